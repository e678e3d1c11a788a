// SPDX-License-Identifier: GPL-2.0

//! The threads of a queue, and the items queued for each.

use super::{
    atomic::{
        read_once,
        write_once, //
    },
    irq::{
        local_interrupt_disable,
        new_spinlock_irq,
        SpinLockIrq,
        SpinLockIrqGuard, //
    },
    list::{
        Chain,
        Incoming,
        List, //
    },
    work::{
        is_later,
        Batched,
        Entry,
        Head,
        Pointer,
        Retired,
        Time,
        Unclaimed,
        Work,
        WorkItem, //
    },
    HasSlot,
    Offline,
    Place,
    QueueType,
    Worker, //
};
use crate::{
    smpboot::{
        hotplug,
        seam::{
            ECANCELED,
            EDEADLK,
            ESHUTDOWN, //
        },
        AtomicContext,
        Context,
        HasThreadSlot,
        HotplugThread,
        ModuleScope,
        PerCpu,
        SchedPolicy,
        SlotAccess,
        ThreadSlot,
        Threads, //
    },
    wait::WaitQueue, //
};
use core::marker::PhantomData;
use kernel::{
    cpu::CpuId,
    impl_has_hr_timer,
    prelude::*,
    processor::cpu_relax,
    static_lock_class,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed, //
        },
        Arc,
        ArcBorrow, //
    },
    time::{
        hrtimer::{
            AbsolutePinnedHardMode,
            ArcHrTimerHandle,
            HrTimer,
            HrTimerCallback,
            HrTimerCallbackContext,
            HrTimerPointer,
            HrTimerRestart, //
        },
        Delta,
        Instant,
        Monotonic, //
    },
};

/// Maximum delay, 100 years: a longer one is cut to it, so that a clock of 64 bits does not
/// overflow.
const MAX_DELAY: Delta = Delta::from_secs(100 * 365 * 24 * 3600);

/// Number of items that a thread takes at once. They are in its [`Local`], 16 bytes each.
const BATCH: usize = 32;

/// Number of batches that run before the core's loop has a turn.
const BATCHES: u32 = 2;

/// Wakes the thread of a CPU when the first of its delayed items is due.
///
/// The thread starts the timer, and stops it by dropping the handle before it parks or ends. So the
/// timer fires on that CPU only, and not after the end of the queue.
#[pin_data]
pub(super) struct Alarm<Q: QueueType> {
    #[pin]
    timer: HrTimer<Self>,
    cpu: CpuId,
    _queue: PhantomData<fn() -> Q>,
}

impl<Q: QueueType> HrTimerCallback for Alarm<Q> {
    type Pointer<'a> = Arc<Self>;

    fn run(this: ArcBorrow<'_, Self>, _cx: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
        Threads::<Workers<Q>>::new().wake(this.cpu);
        HrTimerRestart::NoRestart
    }
}

impl_has_hr_timer! {
    impl{Q: QueueType} HasHrTimer<Self> for Alarm<Q> {
        mode: AbsolutePinnedHardMode<Monotonic>, field: self.timer
    }
}

/// Items that a thread has received, in order.
struct Backlog<Q: QueueType> {
    ready: List<Q>,
    delayed: List<Q>,
    /// The turn of the items that became ready last.
    turns: u64,
    /// The thread is up: set up or unparked, and not parked since.
    up: bool,
}

impl<Q: QueueType> Backlog<Q> {
    fn new() -> Self {
        Self {
            ready: List::new(),
            delayed: List::new(),
            turns: 0,
            up: false,
        }
    }

    /// Appends an item whose delay has ended.
    fn add_ready(&mut self, mut entry: Entry<Q>) {
        entry.set_due(None);
        self.turns += 1;
        entry.links_mut().turn = self.turns;
        self.ready.push_back(entry);
    }

    /// Appends the items of a chain from [`Incoming`].
    fn add(&mut self, chain: Chain<Q>) {
        self.turns += 1;
        let mut delayed = self.ready.append(chain, self.turns);
        while let Some(entry) = delayed.pop() {
            self.delayed.insert_by_due(entry);
        }
    }

    /// Makes delayed items ready that are due at the time `by`; all of them if `by` is `None`.
    fn make_ready(&mut self, by: Option<Time>) {
        let is_early = |e: &Entry<Q>| match (e.due(), by) {
            (Some(due), Some(by)) => is_later(due, by),
            _ => false,
        };
        while self.delayed.first(is_early) == Some(false) {
            let Some(entry) = self.delayed.pop_front() else {
                break;
            };
            self.add_ready(entry);
        }
    }

    fn pop(&mut self) -> Option<Entry<Q>> {
        self.ready.pop_front().or_else(|| self.delayed.pop_front())
    }

    fn remove(&mut self, head: &Head<Q>) -> Option<Entry<Q>> {
        self.ready
            .remove(head)
            .or_else(|| self.delayed.remove(head))
    }
}

/// An item in a batch, and its turn.
struct Slot<Q: QueueType> {
    item: Batched<Q>,
    turn: u64,
}

/// Items that a thread has taken, in order, in the first slots.
type Batch<Q> = [Option<Slot<Q>>; BATCH];

/// No turn.
const NONE: u64 = u64::MAX;

/// The items queued for one CPU.
#[pin_data]
struct Cpu<Q: QueueType> {
    incoming: Incoming<Q>,
    #[pin]
    backlog: SpinLockIrq<Backlog<Q>>,
    /// The turn of the first item of the thread's batch that has not ended, or [`NONE`].
    doing: Atomic<u64>,
    alarm: Arc<Alarm<Q>>,
}

impl<Q: QueueType> Cpu<Q> {
    fn new(cpu: CpuId, open: bool) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            incoming: Incoming::new(open),
            backlog <- new_spinlock_irq!(Backlog::new()),
            doing: Atomic::new(NONE),
            alarm: Arc::pin_init(
                pin_init!(Alarm {
                    timer <- HrTimer::new(),
                    cpu,
                    _queue: PhantomData,
                }),
                GFP_KERNEL,
            )?,
        }? Error)
    }

    /// Locks the backlog, and adds the incoming items to it.
    fn backlog(&self) -> SpinLockIrqGuard<'_, Backlog<Q>> {
        let mut backlog = self.backlog.lock();
        backlog.add(self.incoming.take());
        backlog
    }

    fn open(&self) {
        self.incoming.open();
        self.backlog.lock().up = true;
    }

    /// Returns whether all items that had become ready up to this turn have ended or left this CPU.
    fn is_past(&self, backlog: &Backlog<Q>, turn: u64) -> bool {
        self.doing.load(Acquire) > turn && backlog.ready.first(|e| e.turn() > turn) != Some(false)
    }

    /// Takes the next items into an empty batch. Returns the due time of the first delayed item.
    fn fill(&self, batch: &mut Batch<Q>) -> Option<Time> {
        let mut backlog = self.backlog();
        if !backlog.delayed.is_empty() {
            backlog.make_ready(Some(Instant::now()));
        }
        let first = backlog.ready.first(|e| e.turn());
        write_once(&self.doing, first.unwrap_or(NONE));
        backlog.ready.pop_into(batch, |slot, entry| {
            let turn = entry.turn();
            let item = entry.into_batch();
            // No item is dropped: the batch was empty.
            core::mem::forget(slot.replace(Slot { item, turn }));
        });
        backlog.delayed.first(|e| e.due()).flatten()
    }

    /// Puts the rest of a batch back.
    fn put_back(&self, batch: &mut Batch<Q>, cpu: CpuId) {
        {
            let mut backlog = self.backlog.lock();
            for slot in batch.iter_mut().rev() {
                let Some(Slot { item, turn }) = slot.take() else {
                    continue;
                };
                match item.into_entry(cpu) {
                    Ok(entry) => backlog.ready.push_front(entry),
                    Err(item) => *slot = Some(Slot { item, turn }),
                }
            }
            write_once(&self.doing, NONE);
        }
        // Drop the references of items that were taken away, without the lock.
        for slot in batch {
            *slot = None;
        }
    }

    /// Closes the list and gives all items back.
    fn refuse_all(&self) {
        {
            let mut backlog = self.backlog.lock();
            backlog.add(self.incoming.close());
            backlog.up = false;
        }
        loop {
            // The lock is not held during the callback.
            let next = self.backlog.lock().pop().map(Entry::retire);
            match next {
                Some(retired) => retired.refused(),
                None => break,
            }
        }
    }
}

/// The threads of a queue, and their shared data.
pub struct Workers<Q: QueueType> {
    scope: &'static ModuleScope,
    cpus: PerCpu<Cpu<Q>>,
    offline: Offline,
    sched: SchedPolicy,
    /// Whether the queue is being destroyed.
    closing: Atomic<bool>,
    /// Number of times that the queue itself moved an item to another CPU. A task that waits for
    /// one CPU after the other has to begin again then. A move is counted when the item is on the
    /// new CPU, and while the old CPU is not past it. So a task that sees the move counted finds
    /// the item on the new CPU. A task that does not find the item on the old CPU sees the move
    /// counted.
    moves: Atomic<u64>,
    /// The tasks that wait for items to end.
    ended: Pin<KBox<WaitQueue>>,
}

// SAFETY: The same slot, by the requirements of `HasSlot`.
unsafe impl<Q: QueueType> HasThreadSlot for Workers<Q> {
    #[inline(always)]
    fn slot(access: SlotAccess) -> &'static ThreadSlot<Self> {
        <Q as HasSlot>::slot(access)
    }
}

impl<Q: QueueType> Workers<Q> {
    pub(super) fn new(
        scope: &'static ModuleScope,
        offline: Offline,
        sched: SchedPolicy,
    ) -> Result<Self> {
        let waits = offline == Offline::Wait;
        Ok(Self {
            scope,
            cpus: PerCpu::new(|cpu| Cpu::new(cpu, waits))?,
            offline,
            sched,
            closing: Atomic::new(false),
            moves: Atomic::new(0),
            ended: KBox::pin_init(
                WaitQueue::new(c"percpu_workqueue", static_lock_class!()),
                GFP_KERNEL,
            )?,
        })
    }

    pub(super) fn in_callback(&self) -> bool {
        hotplug::in_callback(self.scope)
    }

    /// Wakes a thread without the registration.
    pub(super) fn wake_from_thread(&self, cpu: CpuId) {
        Threads::<Self>::new().wake(cpu);
    }

    /// Returns the CPU on which an item for this place is queued at the moment.
    #[inline(always)]
    fn target(&self, place: Place) -> Result<(CpuId, &Cpu<Q>)> {
        if read_once(&self.closing) {
            return Err(ESHUTDOWN);
        }
        let cpu = match place {
            Place::On(cpu) => cpu,
            Place::Here => CpuId::current(),
        };
        let this = self.cpus.get(cpu).ok_or(EINVAL)?;
        if this.incoming.is_open() {
            Ok((cpu, this))
        } else if self.offline == Offline::Move || matches!(place, Place::Here) {
            self.another().ok_or(ENODEV)
        } else {
            Err(ENODEV)
        }
    }

    /// Returns a CPU that takes items.
    #[cold]
    fn another(&self) -> Option<(CpuId, &Cpu<Q>)> {
        let mut cpus = self.cpus.iter_online();
        cpus.find(|(_, cpu)| cpu.incoming.is_open())
    }

    fn due(delay: Delta) -> Option<Time> {
        (delay > Delta::ZERO).then(|| Instant::now() + delay.min(MAX_DELAY))
    }

    /// Adds an entry to the list of its CPU. If that CPU takes no items and the queue moves items,
    /// adds it to the list of another CPU. Returns the CPU, or the reference if no CPU takes the
    /// entry. Takes no lock.
    #[inline(always)]
    fn place(&self, entry: Entry<Q>, (cpu, this): (CpuId, &Cpu<Q>)) -> Result<CpuId, Retired<Q>> {
        match this.incoming.push(entry) {
            Ok(()) => Ok(cpu),
            Err(entry) => self.place_elsewhere(entry),
        }
    }

    #[cold]
    fn place_elsewhere(&self, mut entry: Entry<Q>) -> Result<CpuId, Retired<Q>> {
        if self.offline == Offline::Move {
            while let Some((cpu, this)) = self.another() {
                entry.set_cpu(cpu);
                match this.incoming.push(entry) {
                    Ok(()) => return Ok(cpu),
                    Err(back) => entry = back,
                }
            }
        }
        Err(entry.retire())
    }

    /// Wakes the thread of a placed entry, or gives a refused one back.
    #[inline(always)]
    fn placed(&self, placed: Result<CpuId, Retired<Q>>, wake: impl Fn(CpuId)) {
        match placed {
            Ok(cpu) => wake(cpu),
            // The CPU went offline just now.
            Err(retired) => {
                retired.refused();
                // A hard interrupt must not take the lock of a wait queue: a thread does, in `run`
                // or, if no thread is up, in `open`.
                if let Some((cpu, _)) = self.another() {
                    wake(cpu);
                }
            }
        }
    }

    /// Places the entry that waited for the end of another run. Called in a thread.
    #[cold]
    pub(super) fn place_waiting(&self, head: &Head<Q>) {
        let placed = {
            // As in `submit`.
            let _irq = local_interrupt_disable();
            head.take_waiting().map(|entry| {
                let cpu = head.state().cpu();
                match cpu.and_then(|cpu| Some((cpu, self.cpus.get(cpu)?))) {
                    Some(to) => self.place(entry, to),
                    None => Err(entry.retire()),
                }
            })
        };
        self.moves.fetch_add(1, Full);
        if let Some(placed) = placed {
            self.placed(placed, |cpu| self.wake_from_thread(cpu));
        }
    }

    pub(super) fn submit<P>(
        &self,
        place: Place,
        item: P,
        delay: Delta,
        wake: impl Fn(CpuId),
    ) -> Result<bool>
    where
        P: Pointer<Item: WorkItem<Queue = Q>>,
    {
        let to = self.target(place)?;
        match self.claim(to, item, Self::due(delay), wake) {
            Ok(()) => Ok(true),
            Err(Unclaimed::Pending(_item)) => Ok(false),
            Err(Unclaimed::Cancelled(_item)) => Err(ECANCELED),
        }
    }

    /// Queues an item, unless it is pending or a task cancels it.
    #[inline(always)]
    fn claim<P>(
        &self,
        to: (CpuId, &Cpu<Q>),
        item: P,
        due: Option<Time>,
        wake: impl Fn(CpuId),
    ) -> Result<(), Unclaimed<P>>
    where
        P: Pointer<Item: WorkItem<Queue = Q>>,
    {
        let claimed = {
            // A context that takes the item back spins from the claim until the item is in the
            // list.
            let _irq = local_interrupt_disable();
            Entry::claim(item, to.0, due).map(|entry| match to.1.incoming.push(entry) {
                Ok(()) => None,
                Err(entry) => Some(self.place_elsewhere(entry)),
            })
        };
        // An item that was not claimed is dropped by the caller, where its destructor may do all
        // that the caller may do.
        match claimed? {
            None => wake(to.0),
            Some(placed) => self.placed(placed, wake),
        }
        Ok(())
    }

    /// Takes the entry of a pending item, wherever it is, and passes it to `then`. `then` must be
    /// short and take no lock: other contexts spin for the result.
    fn take<R>(&self, head: &Head<Q>, then: impl FnOnce(Entry<Q>) -> R) -> Option<R> {
        loop {
            let state = head.state();
            if !state.is_pending() {
                return None;
            }
            if let Some(cpu) = state.cpu().and_then(|cpu| self.cpus.get(cpu)) {
                let mut backlog = cpu.backlog();
                // With `PREEMPT_RT` the lock does not, and the other contexts spin.
                let _irq = local_interrupt_disable();
                if let Some(entry) = backlog.remove(head) {
                    return Some(then(entry));
                }
            }
            {
                let _irq = local_interrupt_disable();
                if let Some(entry) = head.take_batched().or_else(|| head.take_waiting()) {
                    return Some(then(entry));
                }
            }
            // The item is moving from one place to another.
            cpu_relax();
        }
    }

    pub(super) fn modify<P>(
        &self,
        place: Place,
        mut item: P,
        delay: Delta,
        wake: impl Fn(CpuId),
    ) -> Result<bool>
    where
        P: Pointer<Item: WorkItem<Queue = Q>>,
    {
        let to = self.target(place)?;
        let due = Self::due(delay);

        loop {
            let placed = self.take(item.head(), |mut entry| {
                entry.set_cpu(to.0);
                entry.set_due(due);
                self.place(entry, to)
            });
            if let Some(placed) = placed {
                self.placed(placed, wake);
                // A task that flushes may have waited for the item on its old CPU.
                self.ended.notify();
                return Ok(true);
            }
            match self.claim(to, item, due, &wake) {
                Ok(()) => return Ok(false),
                // Another context queued it just now, perhaps with a longer delay.
                Err(Unclaimed::Pending(back)) => item = back,
                Err(Unclaimed::Cancelled(_item)) => return Err(ECANCELED),
            }
        }
    }

    pub(super) fn cancel<T>(&self, item: &Work<T>) -> bool
    where
        T: WorkItem<Queue = Q>,
    {
        // This may drop the item, so the lock is not held.
        let retired = self.take(item.head(), Entry::retire);
        if retired.is_some() {
            self.ended.notify();
        }
        retired.is_some()
    }

    pub(super) fn cancel_sync<T>(&self, item: &Work<T>) -> Result<bool>
    where
        T: WorkItem<Queue = Q>,
    {
        if self.in_callback() {
            return Err(EDEADLK);
        }
        item.head().begin_cancel()?;
        let cancelled = self.cancel(item);
        self.ended
            .wait_uninterruptibly(|| !item.head().state().is_running());
        item.head().end_cancel();
        Ok(cancelled)
    }

    pub(super) fn flush_work<T>(&self, item: &Work<T>, wake: impl Fn(CpuId)) -> Result
    where
        T: WorkItem<Queue = Q>,
    {
        if self.in_callback() {
            return Err(EDEADLK);
        }
        let head = item.head();
        let state = head.state();
        loop {
            let now = head.state();
            if state.is_over(now) || !now.is_pending() || now.is_taken() {
                break;
            }
            if let Some((cpu, this)) = now.cpu().and_then(|c| Some((c, self.cpus.get(c)?))) {
                let mut backlog = this.backlog();
                if let Some(entry) = backlog.delayed.remove(head) {
                    backlog.add_ready(entry);
                    drop(backlog);
                    wake(cpu);
                    break;
                }
                if backlog.ready.has(head) {
                    break;
                }
            }
            // It is on its way to a list, perhaps to one of delayed items.
            cpu_relax();
        }
        self.ended
            .wait_uninterruptibly(|| state.is_over(head.state()));
        Ok(())
    }

    pub(super) fn flush(&self) -> Result {
        if self.in_callback() {
            return Err(EDEADLK);
        }
        self.until_nothing_moves(|cpu| {
            let last = cpu.backlog().turns;
            self.ended
                .wait_uninterruptibly(|| cpu.is_past(&cpu.backlog(), last));
        });
        Ok(())
    }

    /// Runs the items of CPUs that are online, and keeps work functions from queueing more.
    pub(super) fn drain(&self, wake: impl Fn(CpuId)) {
        self.closing.store(true, Relaxed);
        // Functions that began before this may still queue items, also on a CPU that this has
        // passed. When all have ended, only those items remain.
        for _ in 0..2 {
            self.until_nothing_moves(|cpu| {
                cpu.backlog().make_ready(None);
                wake(cpu.alarm.cpu);
                self.ended.wait_uninterruptibly(|| {
                    let backlog = cpu.backlog();
                    !backlog.up || cpu.is_past(&backlog, backlog.turns)
                });
            });
        }
    }

    fn until_nothing_moves(&self, each: impl Fn(&Cpu<Q>)) {
        loop {
            let moves = self.moves.fetch_add(0, Full);
            for (_, cpu) in self.cpus.iter() {
                each(cpu);
            }
            if self.moves.fetch_add(0, Full) == moves {
                break;
            }
        }
    }

    /// Moves all items queued for `cpu` to other CPUs, in order. Process context.
    fn move_all(&self, cpu: &Cpu<Q>) {
        {
            let mut backlog = cpu.backlog.lock();
            backlog.add(cpu.incoming.close());
            backlog.up = false;
        }
        loop {
            // All online CPUs may have come online just now, so that no thread has run yet.
            self.ended.wait_uninterruptibly(|| self.another().is_some());
            let placed = {
                // With the lock held: a context that takes the item back finds it here or there.
                let mut backlog = cpu.backlog.lock();
                let Some(entry) = backlog.pop() else {
                    break;
                };
                // As in `take`.
                let _irq = local_interrupt_disable();
                let placed = self.place_elsewhere(entry);
                self.moves.fetch_add(1, Full);
                placed
            };
            self.placed(placed, |cpu| self.wake_from_thread(cpu));
        }
    }

    fn open(&self, cx: &Context<'_>) {
        self.cpus.of(cx).open();
        self.ended.notify();
    }
}

/// Data that one thread owns.
pub struct Local<Q: QueueType> {
    /// The alarm while it is set, and its time.
    alarm: Option<(ArcHrTimerHandle<Alarm<Q>>, Time)>,
    /// Whether `run` left items, or the thread was parked since.
    again: bool,
    /// Empty but in `run`.
    batch: Batch<Q>,
}

impl<Q: QueueType> Local<Q> {
    fn set_alarm(&mut self, cpu: &Cpu<Q>, due: Option<Time>) {
        match (&self.alarm, due) {
            (None, None) => return,
            (Some((_, set)), Some(due)) if !is_later(due, *set) && !is_later(*set, due) => return,
            _ => {}
        }
        // Stop the timer before it is started again.
        self.alarm = None;
        self.alarm = due.map(|due| (cpu.alarm.clone().start(due), due));
    }
}

#[vtable]
impl<Q: QueueType> HotplugThread for Workers<Q> {
    const NAME: &'static CStr = Q::NAME;

    type Local = Local<Q>;

    fn sched_policy(&self) -> SchedPolicy {
        self.sched
    }

    fn setup(&self, cx: &Context<'_>) -> impl PinInit<Local<Q>> {
        self.open(cx);
        Local {
            alarm: None,
            again: false,
            batch: [const { None }; BATCH],
        }
    }

    fn should_run(&self, local: Pin<&mut Local<Q>>, cx: &AtomicContext<'_>) -> bool {
        cx.woken() || local.again
    }

    fn run(&self, mut local: Pin<&mut Local<Q>>, cx: &Context<'_>) {
        let cpu = self.cpus.of(cx);
        let worker = Worker { threads: self, cx };
        local.again = false;

        'turn: for _ in 0..BATCHES {
            let due = cpu.fill(&mut local.batch);
            // The last item has ended: notify also tasks that wait for a turn.
            self.ended.notify();
            if local.batch[0].is_none() {
                return local.set_alarm(cpu, due);
            }
            for slot in local.batch.iter_mut() {
                let Some(Slot { item, turn }) = slot.take() else {
                    break;
                };
                write_once(&cpu.doing, turn);
                let Some(running) = item.start(cx.cpu()) else {
                    continue;
                };
                // As above: the item before has ended.
                self.ended.notify();
                running.run(&worker);
                // The rest is for `park`.
                if cx.should_park() {
                    break 'turn;
                }
            }
        }
        // The core's loop checks for park and stop, and calls again.
        cpu.put_back(&mut local.batch, cx.cpu());
        self.ended.notify();
        local.again = true;
    }

    fn park(&self, mut local: Pin<&mut Local<Q>>, cx: &Context<'_>) {
        local.alarm = None;
        let cpu = self.cpus.of(cx);
        match self.offline {
            Offline::Wait => cpu.backlog.lock().up = false,
            Offline::Move => self.move_all(cpu),
            Offline::Refuse => cpu.refuse_all(),
        }
        self.ended.notify();
    }

    fn unpark(&self, mut local: Pin<&mut Local<Q>>, cx: &Context<'_>) {
        local.again = true;
        self.open(cx);
    }

    fn cleanup(&self, _local: Pin<&mut Local<Q>>, cx: &Context<'_>, _online: bool) {
        // Gives back the items of an offline CPU after a drain, and any items after a leak.
        let cpu = self.cpus.of(cx);
        cpu.refuse_all();
        self.ended.notify();
    }
}

impl<Q: QueueType> Drop for Workers<Q> {
    fn drop(&mut self) {
        // Give back the items of CPUs whose thread never ran.
        for (_, cpu) in self.cpus.iter() {
            cpu.refuse_all();
        }
    }
}
