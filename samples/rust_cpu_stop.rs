// SPDX-License-Identifier: GPL-2.0

//! CPU stoppers: run a closure on the CPUs that the caller chooses. The caller waits for it.
//!
//! A self-parking thread per CPU has a queue of work items. Each item is answered: it has run, or
//! it was refused because its CPU is offline. In `/sys/kernel/debug/rust_cpu_stop/`:
//!
//! - `stop`: takes a CPU list, runs a closure on these CPUs and waits. `ENOENT` if it ran on none.
//! - `hold_us`: time that the closure sleeps, with other items in the queue behind it.
//! - `cpuN/up`: 1 while the CPU takes items. `cpuN/submitted`: number of items for it, the sum of
//!   `run` and `refused`. `cpuN/strays`: number of items that ran on another CPU: always 0.
//!
//! Mirrors `cpu_stop_threads` in [`kernel/stop_machine.c`](srctree/kernel/stop_machine.c).

use kernel::{
    cpu::CpuId,
    cpumask::Cpumask,
    list::{
        impl_list_arc_safe,
        impl_list_item,
        List,
        ListArc,
        ListLinks, //
    },
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Completion,
        SpinLock, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

#[path = "../rust/kernel/library.rs"]
mod library;

use library::{
    debugfs::{
        Attribute,
        Dir,
        Number,
        Tree, //
    },
    smpboot::{
        self,
        hotplug,
        Context,
        HotplugThread,
        ModuleScope,
        PerCpu,
        SchedPolicy,
        ScopedModule,
        SelfParkingRegistration,
        Threads, //
    }, //
};

scoped_module! {
    type: Tree<SelfParkingRegistration<Stoppers>>,
    name: "rust_cpu_stop",
    authors: ["The rust_smpboot developers"],
    description: "Running closures on other CPUs",
    license: "GPL",
}

#[pin_data]
struct Work {
    #[pin]
    links: ListLinks,
    #[pin]
    answered: Completion,
    has_run: Atomic<bool>,
    closure: Arc<dyn Fn() + Send + Sync>,
}

impl_list_arc_safe! { impl ListArcSafe<0> for Work { untracked; } }
impl_list_item! { impl ListItem<0> for Work { using ListLinks { self.links }; } }

#[pin_data]
struct Stopper {
    #[pin]
    queue: SpinLock<List<Work>>,
    /// Only the thread writes it, with the queue locked. `park` then refuses the remaining items.
    up: Atomic<u64>,
    submitted: Atomic<u64>,
    run: Atomic<u64>,
    refused: Atomic<u64>,
    strays: Atomic<u64>,
}

impl Stopper {
    fn open(&self) {
        let _queue = self.queue.lock();
        self.up.store(1, Relaxed);
    }

    fn submit(&self, work: ListArc<Work>) {
        self.submitted.add(1, Relaxed);
        let mut queue = self.queue.lock();
        if self.up.load(Relaxed) == 1 {
            queue.push_back(work);
        } else {
            self.refuse(work);
        }
    }

    fn refuse(&self, work: ListArc<Work>) {
        self.refused.add(1, Relaxed);
        work.answered.complete_all();
    }
}

struct Stoppers {
    cpus: PerCpu<Stopper>,
    hold_us: Atomic<u64>,
}

impl Stoppers {
    /// Runs `closure` on all the CPUs of `mask` at once, and waits. `ENOENT` if it ran on none. May
    /// sleep. A closure must not call this: its CPU would wait for itself.
    fn stop_cpus(&self, mask: &Cpumask, closure: Arc<dyn Fn() + Send + Sync>) -> Result {
        let mut all = KVec::with_capacity(mask.weight() as usize, GFP_KERNEL)?;
        for (cpu, stopper) in self.cpus.iter().filter(|(cpu, _)| mask.test(*cpu)) {
            let closure = closure.clone();
            let work = ListArc::pin_init(
                try_pin_init!(Work {
                    links <- ListLinks::new(),
                    answered <- Completion::new(),
                    has_run: Atomic::new(false),
                    closure,
                }),
                GFP_KERNEL,
            )?;
            all.push(work.clone_arc(), GFP_KERNEL)?;
            stopper.submit(work);
            Threads::<Self>::new().wake(cpu);
        }

        for work in &all {
            work.answered.wait_for_completion();
        }
        let has_run = all.iter().any(|work| work.has_run.load(Relaxed));
        has_run.then_some(()).ok_or(ENOENT)
    }
}

#[vtable]
impl HotplugThread for Stoppers {
    const NAME: &'static CStr = c"rust_stop";

    type Local = ();

    fn sched_policy(&self) -> SchedPolicy {
        SchedPolicy::Fifo
    }

    fn setup(&self, cx: &Context<'_>) -> impl PinInit<()> {
        self.cpus.of(cx).open();
    }

    fn run(&self, _local: Pin<&mut ()>, cx: &Context<'_>) {
        let cpu = self.cpus.of(cx);
        // A stream of callers must not hold up a CPU that goes offline.
        while !cx.should_park() {
            let Some(work) = cpu.queue.lock().pop_front() else {
                return;
            };
            cpu.run.add(1, Relaxed);
            cpu.strays
                .add((CpuId::current() != cx.cpu()).into(), Relaxed);
            (work.closure)();
            work.has_run.store(true, Relaxed);
            work.answered.complete_all();
        }
    }

    fn park(&self, _local: Pin<&mut ()>, cx: &Context<'_>) {
        let cpu = self.cpus.of(cx);
        let mut queue = cpu.queue.lock();
        cpu.up.store(0, Relaxed);
        while let Some(work) = queue.pop_front() {
            cpu.refuse(work);
        }
    }

    fn unpark(&self, _local: Pin<&mut ()>, cx: &Context<'_>) {
        self.cpus.of(cx).open();
    }
}

hotplug_thread!(Stoppers);

struct Stop;

#[vtable]
impl Attribute for Stop {
    type Data = SelfParkingRegistration<Stoppers>;

    fn store(this: &Self::Data, input: &CStr) -> Result {
        let mask = hotplug::parse_cpu_list(input)?;
        let hold = Delta::from_micros(this.hold_us.load(Relaxed) as i64);
        let closure = Arc::new(move || fsleep(hold), GFP_KERNEL)?;
        this.stop_cpus(&mask, closure)
    }
}

fn fill<'data>(this: &'data SelfParkingRegistration<Stoppers>, dir: &Dir<'data>) {
    dir.file::<Stop>(c"stop", this);
    dir.file::<Number<0, 100_000>>(c"hold_us", &this.hold_us);
    for (cpu, stopper) in this.cpus.iter() {
        let dir = dir.dir(fmt!("cpu{}", cpu.as_u32()));
        dir.file::<Atomic<u64>>(c"up", &stopper.up);
        dir.file::<Atomic<u64>>(c"submitted", &stopper.submitted);
        dir.file::<Atomic<u64>>(c"run", &stopper.run);
        dir.file::<Atomic<u64>>(c"refused", &stopper.refused);
        dir.file::<Atomic<u64>>(c"strays", &stopper.strays);
    }
}

impl ScopedModule for Tree<SelfParkingRegistration<Stoppers>> {
    fn init(_: &'static ThisModule, scope: &'static ModuleScope) -> impl PinInit<Self, Error> {
        let cpus = PerCpu::new(|_| {
            pin_init!(Stopper {
                queue <- new_spinlock!(List::new()),
                up: Atomic::new(0),
                submitted: Atomic::new(0),
                run: Atomic::new(0),
                refused: Atomic::new(0),
                strays: Atomic::new(0),
            })
        });
        let hold_us = Atomic::new(0);
        let threads = cpus
            .and_then(|cpus| SelfParkingRegistration::new(scope, Stoppers { cpus, hold_us }))
            // The CPUs that are online take work when the module is loaded.
            .and_then(|threads| threads.wait_until_up().map(|()| threads));
        Tree::new(scope, c"rust_cpu_stop", threads, fill)
    }
}
