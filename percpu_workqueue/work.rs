// SPDX-License-Identifier: GPL-2.0

//! Work items, and which context owns which part of them.
//!
//! One word, the *state*, has all that several CPUs may change at once:
//!
//! ```text
//!      63                32  31  30    16 15        4    3       2       1       0
//!     +--------------------+----+--------+-----------+-------+-------+-------+-------+
//!     | how often it ended | ODD|  CPU   | cancellers| BATCH | WAITS |RUNNING|PENDING|
//!     +--------------------+----+--------+-----------+-------+-------+-------+-------+
//! ```
//!
//! Each start of a run changes `ODD`, so that two runs in a row differ.
//!
//! `PENDING` is the right to the rest of the head, and a reference to the item. The code that sets
//! the bit stores a reference and gets both as an [`Entry`]. An entry is in one place at a time: in
//! a list or in a variable. It ends in one of three ways, each of which clears the bit and adds 1
//! to the count. It is [started](Batched::start), which leaves a [`Running`]; it is [taken
//! back](Entry::retire); or it is [given back](Retired::refused).
//!
//! A thread takes many entries at once, and starts them one by one without a lock. In between they
//! belong to the bit `BATCH`: the thread clears it to start the item, any other context to take the
//! entry away. The thread keeps a [`Batched`] of such an item, which keeps the memory of the item.
//!
//! An item is never on two CPUs at a time. A thread that finds it `RUNNING` elsewhere leaves the
//! entry to the bit `WAITS`. The thread that ends the run takes it from there.

use super::{
    atomic::{
        cmpxchg,
        fetch_add,
        read_once, //
    },
    QueueType,
    Worker, //
};
use crate::smpboot::seam::smp_mb;
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    mem::ManuallyDrop,
    ops::Deref,
    ptr::{
        null_mut,
        NonNull, //
    },
};
use kernel::{
    cpu::CpuId,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic, //
        },
        Arc, //
    },
    time::{
        Delta,
        Instant,
        Monotonic, //
    },
};

/// A function that a queue runs, with its data.
///
/// # Examples
///
/// ```
/// # use kernel::sync::{atomic::{Atomic, Relaxed}, Arc};
/// # use percpu_workqueue::{Offline, Queue, QueueType, Work, WorkItem, Worker};
/// # use smpboot::SchedPolicy;
/// # struct Events;
/// # impl QueueType for Events {
/// #     const NAME: &'static CStr = c"events";
/// # }
/// # percpu_workqueue!(Events);
/// # let queue = Queue::<Events>::new(scope, Offline::Move, SchedPolicy::Fifo)?;
/// struct Hello(u32);
/// # static SUM: Atomic<u32> = Atomic::new(0);
///
/// impl WorkItem for Hello {
///     type Queue = Events;
///     type Pointer = Arc<Work<Self>>;
///
///     fn run(this: &Arc<Work<Self>>, worker: &Worker<'_, Events>) {
///         pr_info!("hello {} from CPU {}\n", this.0, worker.cpu().as_u32());
/// #       SUM.add(this.0, Relaxed);
///     }
/// }
///
/// let hello = Arc::new(Work::new(Hello(7)), GFP_KERNEL)?;
/// queue.queue_work(hello)?;
///
/// // The end of the queue waits for its items.
/// drop(queue);
/// # assert_eq!(SUM.load(Relaxed), 7);
/// ```
pub trait WorkItem: Sized + Send + Sync + 'static {
    /// The queue of these items. One such queue exists at a time, so an item is never in two
    /// queues.
    type Queue: QueueType;

    /// The queue's pointer to the item while it is pending or running: `Arc<Work<Self>>`, or
    /// `&'static Work<Self>` for items created at compile time.
    type Pointer: Pointer<Item = Self>;

    /// Does the work.
    ///
    /// Called by a thread of the queue, on its CPU, once for each time that the item became
    /// pending. It may sleep, and queue the item again. Never called for one item on two CPUs at a
    /// time. A CPU-down waits for it to return, with the hotplug lock held: [`Worker`] lists what
    /// it must not wait for.
    fn run(this: &Self::Pointer, worker: &Worker<'_, Self::Queue>);

    /// Called when a pending item is given back without a run. Either its CPU went offline and the
    /// queue has [`Offline::Refuse`](super::Offline::Refuse), or the queue was destroyed while the
    /// CPU was offline.
    ///
    /// Called by a thread of the queue, by the task that destroys the queue, or by the context that
    /// queues the item while the CPU goes offline. So it must not sleep. Right after this, in the
    /// same context, the queue drops its pointer. If that is the last one, the item is dropped: if
    /// interrupts queue it, its destructor must not sleep either.
    fn refused(_this: &Self::Pointer) {}
}

/// A pointer with which a queue keeps an item: [`Arc`] or a `static` reference.
///
/// # Safety
///
/// - The pointer that `into_raw` returns is valid for reads, at the same address, until it is
///   passed to `from_raw`. `deref` gives the same address before and after.
/// - Until then, no code gets exclusive access to the item.
pub unsafe trait Pointer: Deref<Target = Work<Self::Item>> + Send + Sized {
    /// The item that it points to.
    type Item: WorkItem<Pointer = Self>;

    #[doc(hidden)]
    fn into_raw(self) -> NonNull<Work<Self::Item>>;

    /// # Safety
    ///
    /// `raw` comes from `into_raw` or `add_raw`, and is passed to `from_raw` at most as often.
    #[doc(hidden)]
    unsafe fn from_raw(raw: NonNull<Work<Self::Item>>) -> Self;

    /// Adds one reference, which one more call of `from_raw` takes.
    ///
    /// # Safety
    ///
    /// `raw` comes from `into_raw`, and the item is not freed during the call.
    #[doc(hidden)]
    unsafe fn add_raw(raw: NonNull<Work<Self::Item>>);
}

// SAFETY: The reference count that `into_raw` keeps holds the item in its place. An item with two
// references cannot be accessed exclusively, nor can `UniqueArc` do so while another reference
// exists.
unsafe impl<T: WorkItem<Pointer = Self>> Pointer for Arc<Work<T>> {
    type Item = T;

    fn into_raw(self) -> NonNull<Work<T>> {
        // SAFETY: An `Arc` is never null.
        unsafe { NonNull::new_unchecked(Arc::into_raw(self).cast_mut()) }
    }

    unsafe fn from_raw(raw: NonNull<Work<T>>) -> Self {
        // SAFETY: By the requirements of this function.
        unsafe { Arc::from_raw(raw.as_ptr()) }
    }

    unsafe fn add_raw(raw: NonNull<Work<T>>) {
        // SAFETY: By the requirements of this function it is in an `Arc` that is not freed. The
        // `Arc` made here is not dropped, so its count stays for the clone's owner.
        let this = ManuallyDrop::new(unsafe { Arc::from_raw(raw.as_ptr()) });
        let _ = ManuallyDrop::new(Arc::clone(&this));
    }
}

// SAFETY: A static reference is valid forever, and no exclusive one exists during that time.
unsafe impl<T: WorkItem<Pointer = Self>> Pointer for &'static Work<T> {
    type Item = T;

    fn into_raw(self) -> NonNull<Work<T>> {
        NonNull::from(self)
    }

    unsafe fn from_raw(raw: NonNull<Work<T>>) -> Self {
        // SAFETY: By the requirements of this function it was such a reference.
        unsafe { raw.as_ref() }
    }

    unsafe fn add_raw(_raw: NonNull<Work<T>>) {}
}

/// A [`WorkItem`] with the fields that a queue needs to keep it.
///
/// It adds a few words and can be a `static`. It may be moved while no queue has it. While a queue
/// has it, it is not moved: a queue takes only an [`Arc`] or a `static`.
#[repr(C)]
pub struct Work<T: WorkItem> {
    head: Head<T::Queue>,
    item: T,
}

impl<T: WorkItem> Work<T> {
    /// Creates an item that is not pending.
    pub const fn new(item: T) -> Self {
        Self {
            head: Head::new(Ops::of::<T>()),
            item,
        }
    }

    /// Returns whether the item is queued and has not begun to run: `work_pending()`. The result
    /// may be outdated. Any context.
    pub fn is_pending(&self) -> bool {
        self.head.state().is(PENDING)
    }

    pub(super) fn head(&self) -> &Head<T::Queue> {
        &self.head
    }
}

impl<T: WorkItem> Deref for Work<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.item
    }
}

/// The operations of a queue on an item of any type.
struct Ops<Q: QueueType> {
    /// Runs the item, ends the run, and takes the item back. The head is the first field of a
    /// `Work<T>` that `Pointer::into_raw` gave away; it is `RUNNING`, and both belong to the
    /// caller.
    run: unsafe fn(NonNull<Head<Q>>, &Worker<'_, Q>),
    /// Calls `WorkItem::refused`. The head is as above; it stays given away.
    refused: unsafe fn(NonNull<Head<Q>>),
    /// Takes the item back. The head is as above.
    put: unsafe fn(NonNull<Head<Q>>),
    /// Gives the item away once more. The head is as above; the item is not freed during the call.
    add: unsafe fn(NonNull<Head<Q>>),
}

impl<Q: QueueType> Ops<Q> {
    const fn of<T: WorkItem<Queue = Q>>() -> &'static Self {
        const {
            &Self {
                run: Self::run::<T>,
                refused: Self::refused::<T>,
                put: Self::put::<T>,
                add: Self::add::<T>,
            }
        }
    }

    /// Returns the pointer that `head` came from, which must not be dropped.
    ///
    /// # Safety
    ///
    /// `head` is the first field of a `Work<T>` that `T::Pointer::into_raw` gave away, which is not
    /// passed to `from_raw` while the result is used.
    unsafe fn pointer<T: WorkItem<Queue = Q>>(head: NonNull<Head<Q>>) -> ManuallyDrop<T::Pointer> {
        // SAFETY: `Work<T>` is `repr(C)`, so the addresses are the same. It comes from `into_raw`,
        // by the requirements of this function, and is not dropped here.
        ManuallyDrop::new(unsafe { T::Pointer::from_raw(head.cast()) })
    }

    /// # Safety
    ///
    /// As for `Ops::run`, of items of type `T`.
    unsafe fn run<T: WorkItem<Queue = Q>>(this: NonNull<Head<Q>>, worker: &Worker<'_, Q>) {
        // SAFETY: By the requirements of `Ops::run`. It is taken back here.
        let item = ManuallyDrop::into_inner(unsafe { Self::pointer::<T>(this) });
        T::run(&item, worker);

        // `WAITS` may be set until `RUNNING` is cleared, and not afterwards.
        if item.head.end().is(WAITS) {
            worker.threads.place_waiting(&item.head);
        }
    }

    /// # Safety
    ///
    /// As for `Ops::refused`, of items of type `T`.
    unsafe fn refused<T: WorkItem<Queue = Q>>(head: NonNull<Head<Q>>) {
        // SAFETY: By the requirements of `Ops::refused`.
        T::refused(&*unsafe { Self::pointer::<T>(head) });
    }

    /// # Safety
    ///
    /// As for `Ops::put`, of items of type `T`.
    unsafe fn put<T: WorkItem<Queue = Q>>(head: NonNull<Head<Q>>) {
        // SAFETY: By the requirements of `Ops::put`.
        drop(ManuallyDrop::into_inner(unsafe {
            Self::pointer::<T>(head)
        }));
    }

    /// # Safety
    ///
    /// As for `Ops::add`, of items of type `T`.
    unsafe fn add<T: WorkItem<Queue = Q>>(head: NonNull<Head<Q>>) {
        // SAFETY: By the requirements of `Ops::add`; `Work<T>` is `repr(C)`.
        unsafe { T::Pointer::add_raw(head.cast()) };
    }
}

/// The time at which a delayed item is due.
pub(super) type Time = Instant<Monotonic>;

/// Returns `a > b`, which [`Instant`] has only for clocks that can be compared.
pub(super) fn is_later(a: Time, b: Time) -> bool {
    a - b > Delta::ZERO
}

const PENDING: u64 = 1 << 0;
const RUNNING: u64 = 1 << 1;
const WAITS: u64 = 1 << 2;
const BATCH: u64 = 1 << 3;
const CANCELLER: u64 = 1 << 4;
const CANCELLERS: u64 = 0xfff << 4;
const CPU_SHIFT: u32 = 16;
const CPU: u64 = 0x7fff << CPU_SHIFT;
const ODD: u64 = 1 << ODD_SHIFT;
const ODD_SHIFT: u32 = 31;
const ENDED_SHIFT: u32 = 32;
const ENDED: u64 = 1 << ENDED_SHIFT;

fn cpu_bits(cpu: CpuId) -> u64 {
    u64::from(cpu.as_u32()) << CPU_SHIFT
}

const _: () = assert!(kernel::bindings::NR_CPUS <= 1 << (ODD_SHIFT - CPU_SHIFT));

/// A state that the item had.
#[derive(Clone, Copy)]
pub(super) struct State(u64);

impl State {
    fn is(self, bits: u64) -> bool {
        self.0 & bits != 0
    }

    pub(super) fn is_pending(self) -> bool {
        self.is(PENDING)
    }

    pub(super) fn is_running(self) -> bool {
        self.is(RUNNING)
    }

    /// Returns whether a thread has taken it to start it.
    pub(super) fn is_taken(self) -> bool {
        self.is(BATCH | WAITS)
    }

    /// Returns the CPU that it is pending on, or was last.
    pub(super) fn cpu(self) -> Option<CpuId> {
        CpuId::from_u32(((self.0 & CPU) >> CPU_SHIFT) as u32)
    }

    fn ended(self) -> u32 {
        (self.0 >> ENDED_SHIFT) as u32
    }

    /// Returns whether all that was pending or running in state `self` has ended in state `now`.
    ///
    /// May return false during a later run, but not after its end.
    pub(super) fn is_over(self, now: State) -> bool {
        let begun = u32::from(self.is(PENDING)) + u32::from(self.is(RUNNING));
        // What ended may have been queued after `self`, and cancelled.
        let still_runs = State(self.0 & now.0).is(RUNNING) && !State(self.0 ^ now.0).is(ODD);
        now.ended().wrapping_sub(self.ended()) >= begun && !still_runs
    }
}

/// The fields that a list needs, for the owner of the entry.
pub(super) struct Links<Q: QueueType> {
    /// The head itself, as it came from `Pointer::into_raw`.
    pub(super) this: *mut Head<Q>,
    pub(super) next: *mut Head<Q>,
    pub(super) prev: *mut Head<Q>,
    /// The earliest time of the run, if the item is delayed.
    pub(super) due: Option<Time>,
    /// A number that ascends in the order in which items become ready on this CPU. Items that
    /// entered together share one.
    pub(super) turn: u64,
}

/// The part of an item that the queue uses.
///
/// # Invariants
///
/// - It is the first field of a `Work<T>` with `T::Queue = Q`, and `ops` is that type's.
/// - While `PENDING` is set, one [`Entry`] exists for it, or it is in a list. If `WAITS` or `BATCH`
///   is set instead, the entry belongs to the code that clears that bit. The pointer that
///   `Pointer::into_raw` gave away belongs to the entry, but with `BATCH` to a [`Batched`].
///   `links.this` has that pointer.
/// - Only the thread of the CPU in the state sets `BATCH`. While it is set, that CPU does not
///   change.
/// - `links` is accessed only by the owner of the entry, or of the list that it is in.
/// - `list` is the number of the list that the item is in, or 0. Only the owner of that list writes
///   it.
pub(super) struct Head<Q: QueueType> {
    state: Atomic<u64>,
    ops: &'static Ops<Q>,
    pub(super) links: UnsafeCell<Links<Q>>,
    pub(super) list: Atomic<u64>,
}

// SAFETY: By the invariants, one context at a time accesses `links`. It points to heads of items,
// which are `Send` and `Sync`.
unsafe impl<Q: QueueType> Send for Head<Q> {}
// SAFETY: The same; the rest is atomic or constant.
unsafe impl<Q: QueueType> Sync for Head<Q> {}

impl<Q: QueueType> Head<Q> {
    const fn new(ops: &'static Ops<Q>) -> Self {
        // INVARIANT: Not pending, in no list.
        Self {
            state: Atomic::new(0),
            ops,
            links: UnsafeCell::new(Links {
                this: null_mut(),
                next: null_mut(),
                prev: null_mut(),
                due: None,
                turn: 0,
            }),
            list: Atomic::new(0),
        }
    }

    /// Returns the state. All writes before the state was set are visible.
    pub(super) fn state(&self) -> State {
        State(self.state.load(Acquire))
    }

    /// Clears `RUNNING` and adds 1 to the count of ends. Returns the state before. Full barrier.
    ///
    /// Called once, by the owner of `RUNNING`.
    #[inline(always)]
    fn end(&self) -> State {
        State(fetch_add(&self.state, ENDED.wrapping_sub(RUNNING)))
    }

    /// Changes the state, with a full barrier, to the result of `change`, unless that is `None`.
    /// Returns the state before.
    #[inline(always)]
    fn change(&self, change: impl Fn(u64) -> Option<u64>) -> Result<State, State> {
        let mut old = read_once(&self.state);
        loop {
            let Some(new) = change(old) else {
                return Err(State(old));
            };
            match cmpxchg(&self.state, old, new) {
                Ok(_) => return Ok(State(old)),
                Err(now) => old = now,
            }
        }
    }

    /// Tries again after a full barrier, when `change` refused the state of the first try.
    ///
    /// Makes the next run see what the caller wrote: either the run clears `PENDING` after this
    /// barrier, or this finds the bit clear. Pairs with the barrier in [`Batched::start`].
    #[cold]
    #[inline(never)]
    fn change_after_barrier(&self, change: impl Fn(u64) -> Option<u64>) -> Result<State, State> {
        smp_mb();
        self.change(change)
    }

    /// Makes attempts to queue the item fail until [`end_cancel`](Self::end_cancel). `EBUSY` if
    /// 4095 tasks have done so already.
    pub(super) fn begin_cancel(&self) -> Result {
        let begun = self.change(|s| (s & CANCELLERS != CANCELLERS).then(|| s + CANCELLER));
        begun.map(drop).map_err(|_| EBUSY)
    }

    /// Undoes a [`begin_cancel`](Self::begin_cancel) that succeeded.
    pub(super) fn end_cancel(&self) {
        let _ = self.change(|s| (s & CANCELLERS != 0).then(|| s - CANCELLER));
    }

    /// Returns the entry, if it was left to `WAITS`.
    pub(super) fn take_waiting(&self) -> Option<Entry<Q>> {
        self.change(|s| (s & WAITS != 0).then_some(s & !WAITS))
            .ok()?;
        // SAFETY: This cleared `WAITS`, so that the entry is ours, by the type invariants.
        Some(unsafe { Entry::of(self) })
    }

    /// Returns the entry, if a thread has it in its batch.
    pub(super) fn take_batched(&self) -> Option<Entry<Q>> {
        self.change(|s| (s & BATCH != 0).then_some(s & !BATCH))
            .ok()?;
        // SAFETY: This cleared `BATCH`, so that the links are ours, by the type invariants. `this`
        // comes from `Pointer::into_raw`, so the item is in memory that such pointers share. `self`
        // borrows from it during this call, so it is not freed.
        unsafe { (self.ops.add)(NonNull::new_unchecked((*self.links.get()).this)) };
        // SAFETY: As above. The pointer of the `Batched` stays there; `add` made another one.
        Some(unsafe { Entry::of(self) })
    }
}

/// The reason why an item could not be claimed, and the item.
pub(super) enum Unclaimed<P> {
    /// It is pending already.
    Pending(P),
    /// A task in `cancel_sync` waits for it to end.
    Cancelled(P),
}

/// An item that is pending, and a reference to it.
///
/// # Invariants
///
/// It is the one entry of a head that is `PENDING`, by the invariants of [`Head`]; the head is in
/// no list.
pub(super) struct Entry<Q: QueueType>(NonNull<Head<Q>>);

// SAFETY: Items are `Send` and `Sync`, and so are the pointers to them.
unsafe impl<Q: QueueType> Send for Entry<Q> {}

impl<Q: QueueType> Entry<Q> {
    /// Makes an item pending on `cpu`.
    #[inline(always)]
    pub(super) fn claim<P>(
        item: P,
        cpu: CpuId,
        due: Option<Time>,
    ) -> core::result::Result<Self, Unclaimed<P>>
    where
        P: Pointer<Item: WorkItem<Queue = Q>>,
    {
        let cpu = cpu_bits(cpu);
        let claim = |s| (s & (PENDING | CANCELLERS) == 0).then_some(s & !CPU | cpu | PENDING);

        match item
            .head
            .change(claim)
            .or_else(|_| item.head.change_after_barrier(claim))
        {
            Ok(_) => {}
            Err(state) if state.is(CANCELLERS) => return Err(Unclaimed::Cancelled(item)),
            Err(_) => return Err(Unclaimed::Pending(item)),
        }

        let this: NonNull<Head<Q>> = item.into_raw().cast();
        // SAFETY: Valid, for `Work<T>` is `repr(C)`; this set `PENDING`, so the links are ours.
        unsafe {
            let links = (*this.as_ptr()).links.get();
            (*links).this = this.as_ptr();
            (*links).due = due;
        }
        // INVARIANT: This set `PENDING`, the pointer is the one that `into_raw` gave away, and the
        // head was in no list, for it was not pending.
        Ok(Self(this))
    }

    /// # Safety
    ///
    /// By the invariants of [`Head`], `head` is `PENDING`, in no list, and belongs to the caller.
    pub(super) unsafe fn of(head: &Head<Q>) -> Self {
        // SAFETY: It belongs to the caller; `this` was set by `claim`, and is not null.
        unsafe { Self::from_head(NonNull::new_unchecked((*head.links.get()).this)) }
    }

    /// Undoes [`into_head`](Self::into_head).
    ///
    /// # Safety
    ///
    /// As for [`of`](Self::of), and `head` comes from `into_head`.
    #[inline(always)]
    pub(super) unsafe fn from_head(head: NonNull<Head<Q>>) -> Self {
        // INVARIANT: By the requirements of this function.
        Self(head)
    }

    /// Converts the entry to its head, without ending it: for lists.
    pub(super) fn into_head(self) -> NonNull<Head<Q>> {
        ManuallyDrop::new(self).0
    }

    pub(super) fn head(&self) -> &Head<Q> {
        // SAFETY: Valid while the pointer that was given away is not taken back.
        unsafe { self.0.as_ref() }
    }

    pub(super) fn head_ptr(&self) -> *mut Head<Q> {
        self.0.as_ptr()
    }

    fn links(&self) -> &Links<Q> {
        // SAFETY: The links belong to the entry.
        unsafe { &*self.head().links.get() }
    }

    pub(super) fn links_mut(&mut self) -> &mut Links<Q> {
        // SAFETY: The links belong to the entry.
        unsafe { &mut *self.head().links.get() }
    }

    pub(super) fn due(&self) -> Option<Time> {
        self.links().due
    }

    pub(super) fn turn(&self) -> u64 {
        self.links().turn
    }

    pub(super) fn set_due(&mut self, due: Option<Time>) {
        self.links_mut().due = due;
    }

    /// Makes the item pending on another CPU.
    pub(super) fn set_cpu(&mut self, cpu: CpuId) {
        let cpu = cpu_bits(cpu);
        let _ = self.head().change(|s| Some(s & !CPU | cpu));
    }

    /// Leaves the entry to `BATCH`. Called by the thread of the CPU that it is pending on.
    #[inline(always)]
    pub(super) fn into_batch(self) -> Batched<Q> {
        let head = self.into_head();
        // INVARIANT: The entry had the reference. It belongs to `BATCH` now. The bit was clear,
        // because there was an entry.
        // SAFETY: It was an entry.
        fetch_add(unsafe { &head.as_ref().state }, BATCH);
        Batched(head)
    }

    /// Ends the entry without a run.
    pub(super) fn retire(self) -> Retired<Q> {
        let head = self.into_head();
        // SAFETY: It was an entry.
        let _ = unsafe { head.as_ref() }.change(|s| Some((s & !PENDING).wrapping_add(ENDED)));
        // INVARIANT: The reference was the entry's.
        Retired(head, PhantomData)
    }
}

impl<Q: QueueType> Drop for Entry<Q> {
    fn drop(&mut self) {
        // INVARIANT: It stands for `self`, which is not used again, and `retire` forgets it.
        drop(Self(self.0).retire());
    }
}

/// The reference of an entry that has ended; dropping this drops it.
///
/// # Invariants
///
/// The head is of an item that `Pointer::into_raw` gave away, which belongs to this.
pub(super) struct Retired<Q: QueueType>(NonNull<Head<Q>>, PhantomData<fn() -> Q>);

impl<Q: QueueType> Retired<Q> {
    /// Calls [`WorkItem::refused`].
    pub(super) fn refused(self) {
        // SAFETY: The item was given away by `into_raw`, and belongs to this.
        unsafe { (self.0.as_ref().ops.refused)(self.0) };
    }
}

impl<Q: QueueType> Drop for Retired<Q> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; nothing uses it afterwards.
        unsafe { (self.0.as_ref().ops.put)(self.0) };
    }
}

/// An item that a thread has taken to start it, with others. Dropping it drops the reference only.
///
/// # Invariants
///
/// The head is of an item that `Pointer::into_raw` gave away, which belongs to this.
#[must_use]
pub(super) struct Batched<Q: QueueType>(NonNull<Head<Q>>);

impl<Q: QueueType> Batched<Q> {
    /// Clears `BATCH` and applies `change` to the rest of the state. Fails if the entry was taken
    /// away.
    ///
    /// The item may be pending again since then, even in the batch of another thread, but not of
    /// this one: `cpu` is the CPU of the thread that calls this.
    #[inline(always)]
    fn clear(&self, cpu: CpuId, change: impl Fn(u64) -> u64) -> Option<State> {
        let ours = BATCH | cpu_bits(cpu);
        // SAFETY: Valid while the reference belongs to this.
        let head = unsafe { self.0.as_ref() };
        head.change(|s| (s & (BATCH | CPU) == ours).then(|| change(s & !BATCH)))
            .ok()
    }

    /// Clears `PENDING` and sets `RUNNING`. Returns `None` if the entry was taken away. Returns
    /// `None` also if the item runs on another CPU, whose thread will take the entry from `WAITS`.
    #[inline(always)]
    pub(super) fn start(self, cpu: CpuId) -> Option<Running<Q>> {
        let before = self.clear(cpu, |s| {
            if s & RUNNING != 0 {
                s | WAITS
            } else {
                (s & !PENDING | RUNNING) ^ ODD
            }
        })?;
        // INVARIANT: With `WAITS`, the reference belongs to the entry again.
        let head = ManuallyDrop::new(self).0;
        // INVARIANT: This set `RUNNING`, and has the reference.
        (!before.is(RUNNING)).then_some(Running(head))
    }

    /// Converts it back to an entry, unless the entry was taken away.
    pub(super) fn into_entry(self, cpu: CpuId) -> Result<Entry<Q>, Self> {
        match self.clear(cpu, |s| s) {
            // INVARIANT: This cleared `BATCH`, and the reference was that of this.
            Some(_) => Ok(Entry(ManuallyDrop::new(self).0)),
            None => Err(self),
        }
    }
}

impl<Q: QueueType> Drop for Batched<Q> {
    fn drop(&mut self) {
        // INVARIANT: The reference was that of this, which is not used again.
        drop(Retired(self.0, PhantomData));
    }
}

// SAFETY: Items are `Send` and `Sync`, and so are the pointers to them.
unsafe impl<Q: QueueType> Send for Batched<Q> {}

/// An item that a thread has to run.
///
/// # Invariants
///
/// It is `RUNNING`, and only this clears that. What `Pointer::into_raw` gave away belongs to this.
#[must_use]
pub(super) struct Running<Q: QueueType>(NonNull<Head<Q>>);

impl<Q: QueueType> Running<Q> {
    /// Runs the item, and passes on an entry that another thread left to `WAITS`.
    #[inline(always)]
    pub(super) fn run(self, worker: &Worker<'_, Q>) {
        let this = self.0;
        // SAFETY: It was given away by `into_raw`, is `RUNNING`, and belongs to this.
        unsafe { (this.as_ref().ops.run)(this, worker) };
    }
}
