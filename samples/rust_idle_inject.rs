// SPDX-License-Identifier: GPL-2.0

//! Idle injection: a thread per CPU that keeps its CPU idle for a share of the time.
//!
//! A timer wakes the threads of the chosen CPUs once per period. They are FIFO threads, so the CPU
//! idles although normal tasks are runnable. In `/sys/kernel/debug/rust_idle_inject/`:
//!
//! - `cpus`: list of the CPUs to make idle. Empty at first; an empty list stops it. When a write
//!   returns, no CPU outside of the list is made idle.
//! - `run_us`, `idle_us`: run time and idle time of each period. `run_us` is at least 1000, so that
//!   the machine stays usable. A change takes effect in the next period.
//! - `cpuN/injections`, `cpuN/injected_us`: number and total time of the CPU's idle injections.
//!
//! Mirrors [`drivers/powercap/idle_inject.c`](srctree/drivers/powercap/idle_inject.c).

use kernel::{
    fmt,
    impl_has_hr_timer,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        ArcBorrow,
        Mutex, //
    },
    time::{
        hrtimer::{
            ArcHrTimerHandle,
            HrTimer,
            HrTimerCallback,
            HrTimerCallbackContext,
            HrTimerPointer,
            HrTimerRestart,
            RelativeMode, //
        },
        Delta,
        Instant,
        Monotonic, //
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
        Registration,
        SchedPolicy,
        ScopedModule,
        Threads, //
    }, //
};

scoped_module! {
    type: Tree<IdleInject>,
    name: "rust_idle_inject",
    authors: ["The rust_smpboot developers"],
    description: "Idle injection by per-CPU threads",
    license: "GPL",
}

#[pin_data]
struct Cpu {
    selected: Atomic<bool>,
    injections: Atomic<u64>,
    injected_us: Atomic<u64>,
    /// Held by the thread while it injects.
    #[pin]
    injecting: Mutex<()>,
}

/// The timer, and the data that it shares with the threads.
#[pin_data]
struct Device {
    #[pin]
    timer: HrTimer<Self>,
    run_us: Atomic<u64>,
    idle_us: Atomic<u64>,
    cpus: PerCpu<Cpu>,
}

impl Device {
    fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            timer <- HrTimer::new(),
            run_us: Atomic::new(10_000),
            idle_us: Atomic::new(10_000),
            cpus: PerCpu::new(|_| {
                pin_init!(Cpu {
                    selected: Atomic::new(false),
                    injections: Atomic::new(0),
                    injected_us: Atomic::new(0),
                    injecting <- new_mutex!(()),
                })
            })?,
        })
    }

    fn idle(&self) -> Delta {
        Delta::from_micros(self.idle_us.load(Relaxed) as i64)
    }

    fn period(&self) -> Delta {
        self.idle() + Delta::from_micros(self.run_us.load(Relaxed) as i64)
    }

    fn wake(&self) {
        for (id, cpu) in self.cpus.iter_online() {
            if cpu.selected.load(Relaxed) {
                Threads::<Injector>::new().wake(id);
            }
        }
    }
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for Device {
        mode: RelativeMode<Monotonic>, field: self.timer
    }
}

impl HrTimerCallback for Device {
    type Pointer<'a> = Arc<Self>;

    fn run(this: ArcBorrow<'_, Self>, mut cx: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
        this.wake();
        cx.forward_now(this.period());
        HrTimerRestart::Restart
    }
}

struct Injector(Arc<Device>);

#[vtable]
impl HotplugThread for Injector {
    const NAME: &'static CStr = c"rust_idle";

    type Local = ();

    fn sched_policy(&self) -> SchedPolicy {
        SchedPolicy::Fifo
    }

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {}

    fn run(&self, _local: Pin<&mut ()>, cx: &Context<'_>) {
        let cpu = self.0.cpus.of(cx);
        let _injecting = cpu.injecting.lock();
        // A wake stays pending while the CPU is offline: it may be older than the list.
        if !cpu.selected.load(Relaxed) {
            return;
        }

        let begin = Instant::<Monotonic>::now();
        // Allow any idle state, whatever its exit latency.
        if cx.play_idle(self.0.idle(), Delta::from_secs(1)).is_ok() {
            cpu.injections.add(1, Relaxed);
            cpu.injected_us
                .add(begin.elapsed().as_micros_ceil() as u64, Relaxed);
        }
    }
}

hotplug_thread!(Injector);

/// Dropping it cancels the timer, then ends the threads.
#[pin_data]
struct IdleInject {
    /// The timer, while it is set.
    #[pin]
    timer: Mutex<Option<ArcHrTimerHandle<Device>>>,
    threads: Registration<Injector>,
}

struct Cpus;

#[vtable]
impl Attribute for Cpus {
    type Data = IdleInject;

    fn show(this: &IdleInject, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (id, cpu) in this.threads.0.cpus.iter() {
            if cpu.selected.load(Relaxed) {
                write!(f, "{separator}{}", id.as_u32())?;
                separator = ",";
            }
        }
        writeln!(f)
    }

    fn store(this: &IdleInject, input: &CStr) -> Result {
        let mask = hotplug::parse_cpu_list(input)?;
        let device = &this.threads.0;

        let mut timer = this.timer.lock();
        for (id, cpu) in device.cpus.iter() {
            cpu.selected.store(mask.test(id), Relaxed);
        }
        if mask.empty() {
            *timer = None;
        } else if timer.is_none() {
            device.wake();
            *timer = Some(device.clone().start(device.period()));
        }
        // Wait for threads that may have seen the CPU selected: they took their lock before this.
        for (_, cpu) in device.cpus.iter().filter(|(id, _)| !mask.test(*id)) {
            drop(cpu.injecting.lock());
        }
        Ok(())
    }
}

fn fill<'data>(this: &'data IdleInject, dir: &Dir<'data>) {
    let device = &this.threads.0;
    dir.file::<Cpus>(c"cpus", this);
    dir.file::<Number<1_000, 1_000_000>>(c"run_us", &device.run_us);
    dir.file::<Number<1, 1_000_000>>(c"idle_us", &device.idle_us);
    for (id, cpu) in device.cpus.iter() {
        let dir = dir.dir(fmt!("cpu{}", id.as_u32()));
        dir.file::<Atomic<u64>>(c"injections", &cpu.injections);
        dir.file::<Atomic<u64>>(c"injected_us", &cpu.injected_us);
    }
}

impl ScopedModule for Tree<IdleInject> {
    fn init(_: &'static ThisModule, scope: &'static ModuleScope) -> impl PinInit<Self, Error> {
        let inject = try_pin_init!(IdleInject {
            timer <- new_mutex!(None),
            threads: Registration::new(scope, Injector(Arc::pin_init(Device::new(), GFP_KERNEL)?))?,
        });
        Tree::new(scope, c"rust_idle_inject", inject, fill)
    }
}
