// SPDX-License-Identifier: GPL-2.0

//! Work queues, used by timers and by tasks at once.
//!
//! There is a queue for each thing that may happen to the items of a CPU that goes offline: `wait`, `move`
//! and `refuse`. A timer of each interrupts whatever runs and does something with an item at random, and
//! so does a task that writes a number to `/sys/kernel/debug/rust_workqueue_storm/QUEUE`, so many times. With
//! `hard=1` the timers expire in hard-irq context, where they only queue items: all else takes a lock.
//!
//! At the end of the module the log has for each queue what became of the items.

#![forbid(unsafe_op_in_unsafe_fn)]

use core::marker::PhantomData;
use kernel::{
    cpu::{
        nr_cpu_ids,
        CpuId, //
    },
    impl_has_hr_timer,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc,
        ArcBorrow, //
    },
    time::{
        hrtimer::{
            ArcHrTimerHandle,
            HrTimer,
            HrTimerCallback,
            HrTimerCallbackContext,
            HrTimerPointer,
            HrTimerRestart,
            RelativeHardMode,
            RelativeSoftMode, //
        },
        Delta,
        Monotonic, //
    }, //
};

#[path = "../../rust/kernel/library.rs"]
mod library;
#[path = "../../percpu_workqueue/mod.rs"]
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
    seam::param,
    ModuleScope,
    Nice,
    SchedPolicy,
    ScopedModule, //
};

scoped_module! {
    type: Storms,
    name: "rust_workqueue_storm",
    authors: ["The rust_smpboot developers"],
    description: "Uses work queues from timers and tasks at once",
    license: "GPL",
    params: {
        hard: u8 {
            default: 0,
            description: "Timers expire in hard-irq context",
        },
    },
}

const ITEMS: usize = 12;

const PERIOD: Delta = Delta::from_micros(500);

const NORMAL: SchedPolicy = SchedPolicy::Normal(Nice::new::<0>());

struct Waiting;
struct Moving;
struct Refusing;

impl QueueType for Waiting {
    const NAME: &'static CStr = c"storm_w";
}

impl QueueType for Moving {
    const NAME: &'static CStr = c"storm_m";
}

impl QueueType for Refusing {
    const NAME: &'static CStr = c"storm_r";
}

percpu_workqueue!(Waiting);
percpu_workqueue!(Moving);
percpu_workqueue!(Refusing);

struct Count(Atomic<u64>);

impl Default for Count {
    fn default() -> Self {
        Self(Atomic::new(0))
    }
}

impl Count {
    fn up(&self) {
        self.0.add(1, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What became of the items of a queue. Logged when the last item is dropped.
struct Counts {
    name: &'static CStr,
    seed: Atomic<u64>,
    queued: Count,
    run: Count,
    cancelled: Count,
    refused: Count,
    dropped: Count,
    overlaps: Count,
    strays: Count,
}

impl Counts {
    fn random(&self) -> u64 {
        self.seed
            .fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
            >> 24
    }

    fn count(&self, queued: Result<bool>) {
        // What is refused with an error was not queued.
        if queued == Ok(true) {
            self.queued.up();
        }
    }

    fn cancelled(&self, cancelled: bool) {
        if cancelled {
            self.cancelled.up();
        }
    }
}

impl Drop for Counts {
    fn drop(&mut self) {
        pr_info!(
            "{}: {} queued, {} run, {} cancelled, {} refused, {} dropped, {} overlaps, {} strays\n",
            self.name.to_str().unwrap_or_default(),
            self.queued.get(),
            self.run.get(),
            self.cancelled.get(),
            self.refused.get(),
            self.dropped.get(),
            self.overlaps.get(),
            self.strays.get(),
        );
    }
}

struct Item<Q: QueueType> {
    counts: Arc<Counts>,
    is_running: Atomic<bool>,
    _queue: PhantomData<fn() -> Q>,
}

impl<Q: QueueType> WorkItem for Item<Q> {
    type Queue = Q;
    type Pointer = Arc<Work<Self>>;

    fn run(this: &Arc<Work<Self>>, worker: &Worker<'_, Q>) {
        let counts = &this.counts;
        if this.is_running.xchg(true, Full) {
            counts.overlaps.up();
        }
        if worker.cpu() != CpuId::current() {
            counts.strays.up();
        }
        counts.run.up();
        if counts.random() % 4 == 0 {
            counts.count(worker.queue_work_on(worker.cpu(), this.clone()));
        }
        this.is_running.store(false, Relaxed);
    }

    fn refused(this: &Arc<Work<Self>>) {
        this.counts.refused.up();
    }
}

impl<Q: QueueType> Drop for Item<Q> {
    fn drop(&mut self) {
        self.counts.dropped.up();
    }
}

/// What the caller may do where it is.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Place {
    HardIrq,
    SoftIrq,
    Task,
}

/// A queue and its items.
struct Storm<Q: QueueType> {
    queue: Queue<Q>,
    items: KVec<Arc<Work<Item<Q>>>>,
    counts: Arc<Counts>,
}

impl<Q: QueueType> Storm<Q> {
    fn new(
        scope: &'static ModuleScope,
        name: &'static CStr,
        offline: Offline,
    ) -> Result<Arc<Self>> {
        let counts = Arc::new(
            Counts {
                name,
                seed: Atomic::new(1),
                queued: Count::default(),
                run: Count::default(),
                cancelled: Count::default(),
                refused: Count::default(),
                dropped: Count::default(),
                overlaps: Count::default(),
                strays: Count::default(),
            },
            GFP_KERNEL,
        )?;
        let mut items = KVec::with_capacity(ITEMS, GFP_KERNEL)?;
        for _ in 0..ITEMS {
            let item = Work::new(Item {
                counts: counts.clone(),
                is_running: Atomic::new(false),
                _queue: PhantomData,
            });
            items.push(Arc::new(item, GFP_KERNEL)?, GFP_KERNEL)?;
        }
        let storm = Self {
            queue: Queue::new(scope, offline, NORMAL)?,
            items,
            counts,
        };
        Ok(Arc::new(storm, GFP_KERNEL)?)
    }

    /// Does something at random.
    fn act(&self, place: Place) {
        const QUEUES: u64 = 5;
        const LOCKS: u64 = QUEUES + 5;
        const SLEEPS: u64 = LOCKS + 3;

        let (queue, counts) = (&self.queue, &self.counts);
        let random = counts.random();
        let Some(item) = self.items.get(random as usize % ITEMS) else {
            return;
        };
        let cpu = CpuId::from_u32((random >> 8) as u32 % nr_cpu_ids());
        let Some(cpu) = cpu else {
            return;
        };
        let delay = Delta::from_micros((random >> 16 & 0x7ff) as i64);
        // So that something is pending when a CPU goes offline.
        let long = Delta::from_micros((random >> 16 & 0xffff) as i64);
        let kinds = match place {
            Place::HardIrq => QUEUES,
            Place::SoftIrq => LOCKS,
            Place::Task => SLEEPS,
        };
        let modified = |was_pending: Result<bool>| was_pending.map(|was_pending| !was_pending);
        match (random >> 32) % kinds {
            0 | 1 => counts.count(queue.queue_work(item.clone())),
            2 => counts.count(queue.queue_work_on(cpu, item.clone())),
            3 => counts.count(queue.queue_delayed_work(item.clone(), delay)),
            4 => counts.count(queue.queue_delayed_work_on(cpu, item.clone(), long)),
            5 => counts.count(modified(queue.mod_delayed_work(item.clone(), delay))),
            6 => counts.count(modified(queue.mod_delayed_work_on(
                cpu,
                item.clone(),
                delay,
            ))),
            7..=9 => counts.cancelled(queue.cancel(item)),
            10 => counts.cancelled(queue.cancel_sync(item) == Ok(true)),
            11 => drop(queue.flush_work(item)),
            _ => drop(queue.flush()),
        }
    }
}

/// Does something in softirq context.
#[pin_data]
struct Soft<Q: QueueType> {
    storm: Arc<Storm<Q>>,
    #[pin]
    timer: HrTimer<Self>,
}

/// Does something in hard-irq context.
#[pin_data]
struct Hard<Q: QueueType> {
    storm: Arc<Storm<Q>>,
    #[pin]
    timer: HrTimer<Self>,
}

impl<Q: QueueType> HrTimerCallback for Soft<Q> {
    type Pointer<'a> = Arc<Self>;

    fn run(this: ArcBorrow<'_, Self>, mut cx: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
        this.storm.act(Place::SoftIrq);
        cx.forward_now(PERIOD);
        HrTimerRestart::Restart
    }
}

impl<Q: QueueType> HrTimerCallback for Hard<Q> {
    type Pointer<'a> = Arc<Self>;

    fn run(this: ArcBorrow<'_, Self>, mut cx: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
        this.storm.act(Place::HardIrq);
        cx.forward_now(PERIOD);
        HrTimerRestart::Restart
    }
}

impl_has_hr_timer! {
    impl{Q: QueueType} HasHrTimer<Self> for Soft<Q> {
        mode: RelativeSoftMode<Monotonic>, field: self.timer
    }
}

impl_has_hr_timer! {
    impl{Q: QueueType} HasHrTimer<Self> for Hard<Q> {
        mode: RelativeHardMode<Monotonic>, field: self.timer
    }
}

enum Timer<Q: QueueType> {
    Soft { _handle: ArcHrTimerHandle<Soft<Q>> },
    Hard { _handle: ArcHrTimerHandle<Hard<Q>> },
}

impl<Q: QueueType> Timer<Q> {
    fn start(storm: &Arc<Storm<Q>>, hard: bool) -> Result<Self> {
        let storm = storm.clone();
        if hard {
            let timer = pin_init!(Hard { storm, timer <- HrTimer::new() });
            let timer = Arc::pin_init(timer, GFP_KERNEL)?;
            Ok(Self::Hard {
                _handle: timer.start(PERIOD),
            })
        } else {
            let timer = pin_init!(Soft { storm, timer <- HrTimer::new() });
            let timer = Arc::pin_init(timer, GFP_KERNEL)?;
            Ok(Self::Soft {
                _handle: timer.start(PERIOD),
            })
        }
    }
}

/// Operations in process context.
struct Act<Q>(PhantomData<fn() -> Q>);

#[vtable]
impl<Q: QueueType> Attribute for Act<Q> {
    type Data = Storm<Q>;

    fn store(storm: &Storm<Q>, input: &CStr) -> Result {
        for _ in 0..<Number>::parse(input)? {
            storm.act(Place::Task);
        }
        Ok(())
    }
}

struct Queues {
    wait: Arc<Storm<Waiting>>,
    moving: Arc<Storm<Moving>>,
    refuse: Arc<Storm<Refusing>>,
}

impl Queues {
    fn new(scope: &'static ModuleScope) -> Result<Self> {
        Ok(Self {
            wait: Storm::new(scope, c"wait", Offline::Wait)?,
            moving: Storm::new(scope, c"move", Offline::Move)?,
            refuse: Storm::new(scope, c"refuse", Offline::Refuse)?,
        })
    }

    fn fill<'data>(&'data self, dir: &Dir<'data>) {
        dir.file::<Act<Waiting>>(c"wait", &self.wait);
        dir.file::<Act<Moving>>(c"move", &self.moving);
        dir.file::<Act<Refusing>>(c"refuse", &self.refuse);
    }
}

/// The timers are stopped before the files are removed and the queues dropped.
#[pin_data]
struct Storms {
    _timers: (Timer<Waiting>, Timer<Moving>, Timer<Refusing>),
    #[pin]
    files: Tree<Queues>,
}

fn timers(queues: &Queues) -> Result<(Timer<Waiting>, Timer<Moving>, Timer<Refusing>)> {
    let hard = param(&module_parameters::hard) != 0;
    Ok((
        Timer::start(&queues.wait, hard)?,
        Timer::start(&queues.moving, hard)?,
        Timer::start(&queues.refuse, hard)?,
    ))
}

impl ScopedModule for Storms {
    fn init(
        _module: &'static ThisModule,
        scope: &'static ModuleScope,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            files <- Tree::new(scope, c"rust_workqueue_storm", Queues::new(scope), Queues::fill),
            _timers: timers(&files)?,
        })
    }
}
