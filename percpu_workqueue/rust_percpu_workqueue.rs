// SPDX-License-Identifier: GPL-2.0

//! A work queue for jobs that must run on one CPU, and a module that tries it.
//!
//! The queue is [`percpu_workqueue`], which says what it does. This module makes three of them, one for
//! each thing that may happen to the items of a CPU that goes down: `wait`, `move`, `refuse`. Each has
//! eight items per CPU, and counts what becomes of them: what was queued was run, cancelled or refused
//! when nothing is pending any more, whatever the CPUs did.
//!
//! In `/sys/kernel/debug/rust_percpu_workqueue/QUEUE/`, where `CPUS` is a CPU list, whose items are
//! meant, and `CPU` a number. A file that takes something takes it in process context, does it for each
//! item, and fails with the first error:
//!
//! | file | takes | |
//! |---|---|---|
//! | `queue` | `CPUS` | queues the items of each of these CPUs there |
//! | `queue_here` | `CPUS` | queues them on the CPU that writes |
//! | `queue_on` | `CPU CPUS` | queues them on that CPU |
//! | `queue_delayed`, `mod_delayed` | `MS CPUS` | with a delay, there |
//! | `cancel`, `cancel_sync`, `flush_work` | `CPUS` | what is called so |
//! | `flush` | anything | waits for all |
//! | `hold` | 0 or 1 | items that run sleep until this is 0, or their CPU goes |
//! | `hold_us` | number | for how long each item sleeps, if its CPU does not go |
//! | `again` | number | how often items that ran queue themselves again, all in all |
//! | `misuse` | anything | runs an item that tries to wait for itself; `deadlocks` counts the refusals |
//! | `cpuN/queued`, `run`, `cancelled`, `refused` | | of the items of CPU N |
//! | `cpuN/merged` | | queued when they were pending already |
//! | `cpuN/here` | | runs on CPU N, of whatever item |
//! | `strays`, `overlaps` | | runs on another CPU than the thread's, or of an item that was running. None |
//!
//! and `hello` in the folder above queues an item that was made at compile time; `greeted` counts it.
//!
//! The thing itself is [`kernel/workqueue.c`](srctree/kernel/workqueue.c); what it rests on here is
//! [`kernel/smpboot.c`](srctree/kernel/smpboot.c).

use core::marker::PhantomData;
use kernel::{
    cpu::CpuId,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    },
    time::Delta, //
};

#[path = "../rust/kernel/library.rs"]
mod library;
#[path = "mod.rs"]
pub mod percpu_workqueue;

use debugfs::{
    Attribute,
    Dir,
    Number,
    Tree, //
};
use library::{
    debugfs,
    smpboot,
    wait, //
};
use percpu_workqueue::{
    Offline,
    Queue,
    QueueType,
    Work,
    WorkItem,
    Worker, //
};
use smpboot::{
    hotplug,
    seam::EDEADLK,
    ModuleScope,
    Nice,
    PerCpu,
    SchedPolicy,
    ScopedModule, //
};

scoped_module! {
    type: WorkqueueModule,
    name: "rust_percpu_workqueue",
    authors: ["The rust_smpboot developers"],
    description: "A work queue for jobs that must run on one CPU",
    license: "GPL",
}

/// Items per CPU.
const ITEMS: usize = 8;

const NORMAL: SchedPolicy = SchedPolicy::Normal(Nice::new::<0>());

type Counter = Atomic<u64>;

struct Waiting;
struct Moving;
struct Refusing;

impl QueueType for Waiting {
    const NAME: &'static CStr = c"rust_wq_w";
}

impl QueueType for Moving {
    const NAME: &'static CStr = c"rust_wq_m";
}

impl QueueType for Refusing {
    const NAME: &'static CStr = c"rust_wq_r";
}

percpu_workqueue!(Waiting);
percpu_workqueue!(Moving);
percpu_workqueue!(Refusing);

/// What became of the items of one CPU.
struct Counts {
    queued: Counter,
    merged: Counter,
    run: Counter,
    cancelled: Counter,
    refused: Counter,
    /// Runs on this CPU.
    here: Counter,
}

impl Counts {
    fn new() -> Self {
        Self {
            queued: Atomic::new(0),
            merged: Atomic::new(0),
            run: Atomic::new(0),
            cancelled: Atomic::new(0),
            refused: Atomic::new(0),
            here: Atomic::new(0),
        }
    }

    fn count(&self, queued: bool) {
        let counter = if queued { &self.queued } else { &self.merged };
        counter.add(1, Relaxed);
    }
}

/// What the items of a queue share.
struct Shared {
    name: &'static CStr,
    cpus: PerCpu<Arc<Counts>>,
    hold: Counter,
    hold_us: Counter,
    again: Counter,
    deadlocks: Counter,
    strays: Counter,
    overlaps: Counter,
}

impl Shared {
    fn new(name: &'static CStr) -> Result<Self> {
        Ok(Self {
            name,
            cpus: PerCpu::new(|_cpu| Arc::new(Counts::new(), GFP_KERNEL))?,
            hold: Atomic::new(0),
            hold_us: Atomic::new(0),
            again: Atomic::new(0),
            deadlocks: Atomic::new(0),
            strays: Atomic::new(0),
            overlaps: Atomic::new(0),
        })
    }

    /// Whether an item queues itself again now.
    fn take_again(&self) -> bool {
        let mut left = self.again.load(Relaxed);
        while left > 0 {
            match self.again.cmpxchg(left, left - 1, Relaxed) {
                Ok(_) => return true,
                Err(now) => left = now,
            }
        }
        false
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let sum = |counter: fn(&Counts) -> &Counter| -> u64 {
            let all = self.cpus.iter();
            all.map(|(_, counts)| counter(counts).load(Relaxed)).sum()
        };
        pr_info!(
            "{}: {} queued, {} run, {} cancelled, {} refused\n",
            self.name.to_str().unwrap_or_default(),
            sum(|counts| &counts.queued),
            sum(|counts| &counts.run),
            sum(|counts| &counts.cancelled),
            sum(|counts| &counts.refused),
        );
    }
}

/// An item that counts.
struct Item<Q: QueueType> {
    cpu: CpuId,
    counts: Arc<Counts>,
    shared: Arc<Shared>,
    is_running: Atomic<bool>,
    _queue: PhantomData<fn() -> Q>,
}

impl<Q: QueueType> WorkItem for Item<Q> {
    type Queue = Q;
    type Pointer = Arc<Work<Self>>;

    fn run(this: &Arc<Work<Self>>, worker: &Worker<'_, Q>) {
        let shared = &this.shared;
        if this.is_running.xchg(true, Full) {
            shared.overlaps.add(1, Relaxed);
        }
        worker.value(&shared.cpus).here.add(1, Relaxed);

        worker.sleep(Delta::from_micros(shared.hold_us.load(Relaxed) as i64));
        while shared.hold.load(Relaxed) != 0 && worker.sleep(Delta::from_millis(1)) {}

        if worker.cpu() != CpuId::current() {
            shared.strays.add(1, Relaxed);
        }
        this.counts.run.add(1, Relaxed);
        if shared.take_again() {
            if let Ok(queued) = worker.queue_work_on(worker.cpu(), this.clone()) {
                this.counts.count(queued);
            }
        }
        this.is_running.store(false, Relaxed);
    }

    fn refused(this: &Arc<Work<Self>>) {
        this.counts.refused.add(1, Relaxed);
    }
}

/// An item that waits for itself, which must not be.
struct Selfish<Q: QueueType> {
    queue: Arc<Queue<Q>>,
    shared: Arc<Shared>,
}

impl<Q: QueueType> WorkItem for Selfish<Q> {
    type Queue = Q;
    type Pointer = Arc<Work<Self>>;

    fn run(this: &Arc<Work<Self>>, _worker: &Worker<'_, Q>) {
        for result in [
            this.queue.flush_work(this),
            this.queue.flush(),
            this.queue.cancel_sync(this).map(drop),
        ] {
            if result == Err(EDEADLK) {
                this.shared.deadlocks.add(1, Relaxed);
            }
        }
    }
}

/// An item that is made at compile time.
struct Hello {
    greeted: Counter,
}

impl WorkItem for Hello {
    type Queue = Moving;
    type Pointer = &'static Work<Self>;

    fn run(this: &&'static Work<Self>, _worker: &Worker<'_, Moving>) {
        this.greeted.add(1, Relaxed);
    }
}

static HELLO: Work<Hello> = Work::new(Hello {
    greeted: Atomic::new(0),
});

/// A queue, with items for each CPU. The queue goes first when this is dropped.
struct Trial<Q: QueueType> {
    queue: Arc<Queue<Q>>,
    items: PerCpu<KVec<Arc<Work<Item<Q>>>>>,
    shared: Arc<Shared>,
}

impl<Q: QueueType> Trial<Q> {
    fn new(scope: &'static ModuleScope, name: &'static CStr, offline: Offline) -> Result<Self> {
        let shared = Arc::new(Shared::new(name)?, GFP_KERNEL)?;
        let items = PerCpu::new(|cpu| -> Result<_> {
            let counts = shared.cpus.get(cpu).ok_or(EINVAL)?;
            let mut items = KVec::with_capacity(ITEMS, GFP_KERNEL)?;
            for _ in 0..ITEMS {
                let item = Work::new(Item {
                    cpu,
                    counts: counts.clone(),
                    shared: shared.clone(),
                    is_running: Atomic::new(false),
                    _queue: PhantomData,
                });
                items.push(Arc::new(item, GFP_KERNEL)?, GFP_KERNEL)?;
            }
            Ok(items)
        })?;
        Ok(Self {
            queue: Arc::new(Queue::new(scope, offline, NORMAL)?, GFP_KERNEL)?,
            items,
            shared,
        })
    }

    /// Counts what came of queueing an item.
    fn queueing(&self, item: &Work<Item<Q>>, queued: Result<bool>) -> Result {
        item.counts.count(queued?);
        Ok(())
    }

    fn cancelled(&self, item: &Work<Item<Q>>, cancelled: bool) {
        if cancelled {
            item.counts.cancelled.add(1, Relaxed);
        }
    }

    fn fill<'data>(&'data self, dir: &Dir<'data>) {
        let dir = dir.dir(fmt!("{}", self.shared.name.to_str().unwrap_or_default()));
        dir.file::<Each<Q, QueueThere>>(c"queue", self);
        dir.file::<Each<Q, QueueHere>>(c"queue_here", self);
        dir.file::<Each<Q, QueueOn>>(c"queue_on", self);
        dir.file::<Each<Q, QueueDelayed>>(c"queue_delayed", self);
        dir.file::<Each<Q, ModDelayed>>(c"mod_delayed", self);
        dir.file::<Each<Q, Cancel>>(c"cancel", self);
        dir.file::<Each<Q, CancelSync>>(c"cancel_sync", self);
        dir.file::<Each<Q, FlushWork>>(c"flush_work", self);
        dir.file::<Flush<Q>>(c"flush", self);
        dir.file::<Misuse<Q>>(c"misuse", self);

        let shared = &*self.shared;
        for (name, setting) in [
            (c"hold", &shared.hold),
            (c"hold_us", &shared.hold_us),
            (c"again", &shared.again),
        ] {
            dir.file::<Setting>(name, setting);
        }
        for (name, counter) in [
            (c"deadlocks", &shared.deadlocks),
            (c"strays", &shared.strays),
            (c"overlaps", &shared.overlaps),
        ] {
            dir.file::<Counter>(name, counter);
        }
        for (cpu, counts) in shared.cpus.iter() {
            let dir = dir.dir(fmt!("cpu{}", cpu.as_u32()));
            for (name, counter) in [
                (c"queued", &counts.queued),
                (c"merged", &counts.merged),
                (c"run", &counts.run),
                (c"cancelled", &counts.cancelled),
                (c"refused", &counts.refused),
                (c"here", &counts.here),
            ] {
                dir.file::<Counter>(name, counter);
            }
        }
    }
}

impl<Q: QueueType> Drop for Trial<Q> {
    fn drop(&mut self) {
        // The queue waits for items that run.
        self.shared.hold.store(0, Relaxed);
    }
}

/// Something to do with an item.
trait Act: 'static {
    /// A number comes before the CPU list.
    const NUMBER: bool = false;

    fn act<Q: QueueType>(trial: &Trial<Q>, item: &Arc<Work<Item<Q>>>, number: u32) -> Result;
}

/// A file that takes a CPU list, and does something with each item of these CPUs.
struct Each<Q, A>(PhantomData<fn() -> (Q, A)>);

#[vtable]
impl<Q: QueueType, A: Act> Attribute for Each<Q, A> {
    type Data = Trial<Q>;

    fn store(trial: &Trial<Q>, input: &CStr) -> Result {
        let input = input.to_str()?;
        let (number, list) = match A::NUMBER {
            true => input.split_once(' ').ok_or(EINVAL)?,
            false => ("0", input),
        };
        let copy = |part: &str| CString::try_from_fmt(fmt!("{part}"));
        let number = Setting::parse(&copy(number)?)? as u32;
        let cpus = hotplug::parse_cpu_list(&copy(list)?)?;

        let mut result = Ok(());
        for (_, items) in trial.items.iter().filter(|(cpu, _)| cpus.test(*cpu)) {
            for item in items {
                result = result.and(A::act(trial, item, number));
            }
        }
        result
    }
}

struct QueueThere;

impl Act for QueueThere {
    fn act<Q: QueueType>(trial: &Trial<Q>, item: &Arc<Work<Item<Q>>>, _: u32) -> Result {
        trial.queueing(item, trial.queue.queue_work_on(item.cpu, item.clone()))
    }
}

struct QueueHere;

impl Act for QueueHere {
    fn act<Q: QueueType>(trial: &Trial<Q>, item: &Arc<Work<Item<Q>>>, _: u32) -> Result {
        trial.queueing(item, trial.queue.queue_work(item.clone()))
    }
}

struct QueueOn;

impl Act for QueueOn {
    const NUMBER: bool = true;

    fn act<Q: QueueType>(trial: &Trial<Q>, item: &Arc<Work<Item<Q>>>, cpu: u32) -> Result {
        let cpu = CpuId::from_u32(cpu).ok_or(ERANGE)?;
        trial.queueing(item, trial.queue.queue_work_on(cpu, item.clone()))
    }
}

fn ms(number: u32) -> Delta {
    Delta::from_millis(number.into())
}

struct QueueDelayed;

impl Act for QueueDelayed {
    const NUMBER: bool = true;

    fn act<Q: QueueType>(trial: &Trial<Q>, item: &Arc<Work<Item<Q>>>, delay: u32) -> Result {
        let queue = &trial.queue;
        trial.queueing(
            item,
            queue.queue_delayed_work_on(item.cpu, item.clone(), ms(delay)),
        )
    }
}

struct ModDelayed;

impl Act for ModDelayed {
    const NUMBER: bool = true;

    fn act<Q: QueueType>(trial: &Trial<Q>, item: &Arc<Work<Item<Q>>>, delay: u32) -> Result {
        let queue = &trial.queue;
        let was_pending = queue.mod_delayed_work_on(item.cpu, item.clone(), ms(delay));
        trial.queueing(item, was_pending.map(|was_pending| !was_pending))
    }
}

struct Cancel;

impl Act for Cancel {
    fn act<Q: QueueType>(trial: &Trial<Q>, item: &Arc<Work<Item<Q>>>, _: u32) -> Result {
        trial.cancelled(item, trial.queue.cancel(item));
        Ok(())
    }
}

struct CancelSync;

impl Act for CancelSync {
    fn act<Q: QueueType>(trial: &Trial<Q>, item: &Arc<Work<Item<Q>>>, _: u32) -> Result {
        trial.cancelled(item, trial.queue.cancel_sync(item)?);
        Ok(())
    }
}

struct FlushWork;

impl Act for FlushWork {
    fn act<Q: QueueType>(trial: &Trial<Q>, item: &Arc<Work<Item<Q>>>, _: u32) -> Result {
        trial.queue.flush_work(item)
    }
}

struct Flush<Q>(PhantomData<fn() -> Q>);

#[vtable]
impl<Q: QueueType> Attribute for Flush<Q> {
    type Data = Trial<Q>;

    fn store(trial: &Trial<Q>, _: &CStr) -> Result {
        trial.queue.flush()
    }
}

struct Misuse<Q>(PhantomData<fn() -> Q>);

#[vtable]
impl<Q: QueueType> Attribute for Misuse<Q> {
    type Data = Trial<Q>;

    fn store(trial: &Trial<Q>, _: &CStr) -> Result {
        let selfish = Selfish {
            queue: trial.queue.clone(),
            shared: trial.shared.clone(),
        };
        let selfish = Arc::new(Work::new(selfish), GFP_KERNEL)?;
        trial.queue.queue_work(selfish.clone())?;
        trial.queue.flush_work(&selfish)
    }
}

type Setting = Number<0, { u32::MAX as u64 }>;

struct Trials {
    wait: Trial<Waiting>,
    moving: Trial<Moving>,
    refuse: Trial<Refusing>,
}

impl Trials {
    fn new(scope: &'static ModuleScope) -> Result<Self> {
        Ok(Self {
            wait: Trial::new(scope, c"wait", Offline::Wait)?,
            moving: Trial::new(scope, c"move", Offline::Move)?,
            refuse: Trial::new(scope, c"refuse", Offline::Refuse)?,
        })
    }

    fn fill<'data>(&'data self, dir: &Dir<'data>) {
        self.wait.fill(dir);
        self.moving.fill(dir);
        self.refuse.fill(dir);
        dir.file::<Greet>(c"hello", self);
        dir.file::<Counter>(c"greeted", &HELLO.greeted);
    }
}

struct Greet;

#[vtable]
impl Attribute for Greet {
    type Data = Trials;

    fn store(trials: &Trials, _: &CStr) -> Result {
        trials.moving.queue.queue_work(&HELLO)?;
        trials.moving.queue.flush_work(&HELLO)
    }
}

#[pin_data]
struct WorkqueueModule {
    files: Tree<Trials>,
}

impl ScopedModule for WorkqueueModule {
    fn init(
        _module: &'static ThisModule,
        scope: &'static ModuleScope,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            files <- Tree::new(
                scope,
                c"rust_percpu_workqueue",
                Trials::new(scope),
                Trials::fill,
            ),
        })
    }
}
