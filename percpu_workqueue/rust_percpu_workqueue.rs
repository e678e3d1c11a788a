// SPDX-License-Identifier: GPL-2.0

//! A module that exercises the work queue.
//!
//! The queue is [`percpu_workqueue`]. This module creates three queues, one for each value of
//! [`Offline`]: `wait`, `move`, `refuse`. Each has eight items per CPU and counts their outcomes.
//! When no item is pending, `queued` is the sum of `run`, `cancelled` and `refused`, whichever CPUs
//! were offline.
//!
//! In `/sys/kernel/debug/rust_percpu_workqueue/QUEUE/`, `CPUS` is a CPU list that selects the items
//! of these CPUs, and `CPU` is a number. A write takes effect in process context, once for each
//! item. It fails with the first error:
//!
//! | file | takes | |
//! |---|---|---|
//! | `queue` | `CPUS` | queues the items of each of these CPUs on their CPU |
//! | `queue_here` | `CPUS` | queues them on the CPU that writes |
//! | `queue_on` | `CPU CPUS` | queues them on that CPU |
//! | `queue_delayed`, `mod_delayed` | `MS CPUS` | the same with a delay, on their CPU |
//! | `cancel`, `cancel_sync`, `flush_work` | `CPUS` | calls the function of that name |
//! | `flush` | anything | waits for all items |
//! | `hold` | 0 or 1 | items sleep in their run until this is 0, or until their CPU goes offline |
//! | `hold_us` | number | time that each item sleeps, unless its CPU goes offline |
//! | `again` | number | number of times that items queue themselves again, in total |
//! | `random` | up to 50 | calls this number of functions at random, on a few of the items |
//! | `misuse` | anything | runs an item that tries to wait for itself; `deadlocks` counts the refusals |
//! | `cpuN/queued`, `run`, `cancelled`, `refused` | | counts of the items of CPU N |
//! | `cpuN/merged` | | calls that queued an item while it was pending |
//! | `cpuN/here` | | runs on CPU N, of any item |
//! | `strays`, `overlaps` | | runs on another CPU than the thread's, and runs of an item that was running: both 0 |
//!
//! A write to `hello` in the parent directory queues an item that was created at compile time;
//! `greeted` counts its runs.
//!
//! With the parameter `storm`, a timer per queue interrupts any code every 500 us and calls a
//! function at random. It runs in softirq context (1), or in hard-irq context (2), where it only
//! queues items.
//!
//! When the module ends, it logs the counts of each queue.

#[path = "../rust/kernel/library.rs"]
mod library;
#[path = "mod.rs"]
pub mod percpu_workqueue;

mod exerciser {
    pub(crate) mod items;
    pub(crate) mod storm;
    pub(crate) mod trial;
}

use debugfs::{
    Attribute,
    Dir,
    Tree, //
};
use exerciser::{
    items::{
        Counter,
        Hello, //
    },
    storm,
    trial::Trial, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use library::{
    debugfs,
    smpboot,
    wait, //
};
use percpu_workqueue::{
    Offline,
    QueueType,
    Work, //
};
use smpboot::{
    seam::param,
    ModuleScope,
    ScopedModule, //
};

scoped_module! {
    type: WorkqueueModule,
    name: "rust_percpu_workqueue",
    authors: ["The rust_smpboot developers"],
    description: "Exercises the per-CPU work queue",
    license: "GPL",
    params: {
        storm: u8 {
            default: 0,
            description: "Use the queues at random in softirq (1) or hard-irq (2) context (0: off)",
        },
    },
}

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

static HELLO: Work<Hello> = Work::new(Hello::new());

struct Trials {
    wait: Arc<Trial<Waiting>>,
    moving: Arc<Trial<Moving>>,
    refuse: Arc<Trial<Refusing>>,
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

    fn storm(&self) -> Result<Timers> {
        let kind = param(&module_parameters::storm);
        Ok((
            storm::Timer::start(&self.wait, kind)?,
            storm::Timer::start(&self.moving, kind)?,
            storm::Timer::start(&self.refuse, kind)?,
        ))
    }
}

type Timers = (
    storm::Timer<Waiting>,
    storm::Timer<Moving>,
    storm::Timer<Refusing>,
);

struct Greet;

#[vtable]
impl Attribute for Greet {
    type Data = Trials;

    fn store(trials: &Trials, _: &CStr) -> Result {
        trials.moving.queue.queue_work(&HELLO)?;
        trials.moving.queue.flush_work(&HELLO)
    }
}

/// The timers are stopped before the files are removed and the queues dropped.
#[pin_data]
struct WorkqueueModule {
    _timers: Timers,
    #[pin]
    files: Tree<Trials>,
}

impl ScopedModule for WorkqueueModule {
    fn init(
        _module: &'static ThisModule,
        scope: &'static ModuleScope,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            files <- Tree::new(scope, c"rust_percpu_workqueue", Trials::new(scope), Trials::fill),
            _timers: files.storm()?,
        })
    }
}
