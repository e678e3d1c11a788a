// SPDX-License-Identifier: GPL-2.0

//! Idle injection: threads that keep their CPUs idle for a share of the time.
//!
//! In the shape of `drivers/powercap/idle_inject.c`. A timer wakes the threads of a set of CPUs
//! once per period; each makes its CPU idle for a while, ahead of all normal tasks, because it is a
//! FIFO thread.
//!
//! In `/sys/kernel/debug/rust_idle_inject/`:
//!
//! - `cpus`: the CPUs, as a list. None at first.
//! - `run_us`, `idle_us`: how long these run and how long they are idle, in turn. `run_us` is at
//!   least 1000, so that the machine always hears who wants to switch this off again.
//! - `latency_us`: in which time a CPU must be able to leave its idle state.
//! - `enable`: 1 to start. 0 to stop; when that write returns, no thread injects any more.
//! - `cpuN/injections`, `cpuN/injected_us`: how often and how long in all a CPU was made idle.
//!
//! To see it: `taskset 2 sh -c 'while :; do :; done' &`, choose CPU 1, start, and `mpstat -P 1 1`.

use kernel::{
    fmt, impl_has_hr_timer, new_mutex,
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
    },
};

#[path = "../rust/kernel/library.rs"]
mod library;

use debugfs::{
    Attribute,
    Dir,
    Number,
    Tree, //
};
use library::{
    debugfs,
    smpboot, //
};
use smpboot::{
    hotplug,
    Context,
    HotplugThread,
    ModuleScope,
    PerCpu,
    Registration,
    SchedPolicy,
    ScopedModule,
    Threads, //
};

scoped_module! {
    type: IdleInjectModule,
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
    /// Held by the thread while it injects, for others to wait for the end of that.
    #[pin]
    injecting: Mutex<()>,
}

impl Cpu {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            selected: Atomic::new(false),
            injections: Atomic::new(0),
            injected_us: Atomic::new(0),
            injecting <- new_mutex!(()),
        })
    }

    /// Waits until the thread is done with what it injects now.
    fn wait(&self) {
        drop(self.injecting.lock());
    }
}

/// What to inject, where, and the timer that says when.
#[pin_data]
struct Device {
    #[pin]
    timer: HrTimer<Self>,
    enabled: Atomic<bool>,
    run_us: Atomic<u64>,
    idle_us: Atomic<u64>,
    latency_us: Atomic<u64>,
    cpus: PerCpu<Cpu>,
}

impl Device {
    fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            timer <- HrTimer::new(),
            enabled: Atomic::new(false),
            run_us: Atomic::new(10_000),
            idle_us: Atomic::new(10_000),
            latency_us: Atomic::new(u32::MAX.into()),
            cpus: PerCpu::new(|_| Cpu::new())?,
        })
    }

    fn period(&self) -> Delta {
        micros(self.run_us.load(Relaxed) + self.idle_us.load(Relaxed))
    }

    fn wake(&self) {
        for (cpu, this) in self.cpus.iter_online() {
            if this.selected.load(Relaxed) {
                // If the CPU is just going offline, the wake is kept until it is back, and then
                // `run` looks whether it is still to inject.
                Threads::<Injector>::new().wake(cpu);
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

/// The threads.
struct Injector {
    device: Arc<Device>,
}

#[vtable]
impl HotplugThread for Injector {
    const NAME: &'static CStr = c"rust_idle";

    type Local = ();

    fn sched_policy(&self) -> SchedPolicy {
        SchedPolicy::Fifo
    }

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {}

    fn run(&self, _local: Pin<&mut ()>, cx: &Context<'_>) {
        let device = &self.device;
        let cpu = device.cpus.of(cx);

        // Whoever switched off, and then waits for the lock, is seen here.
        let _injecting = cpu.injecting.lock();
        if !device.enabled.load(Relaxed) || !cpu.selected.load(Relaxed) {
            return;
        }

        let begin = Instant::<Monotonic>::now();
        let idle = micros(device.idle_us.load(Relaxed));
        if cx
            .play_idle(idle, micros(device.latency_us.load(Relaxed)))
            .is_ok()
        {
            cpu.injections.add(1, Relaxed);
            cpu.injected_us
                .add(begin.elapsed().as_micros_ceil() as u64, Relaxed);
        }
    }
}

hotplug_thread!(Injector);

/// The switch. The timer goes first when this is dropped, then the threads.
#[pin_data]
struct IdleInject {
    /// The timer, while it is on.
    #[pin]
    timer: Mutex<Option<ArcHrTimerHandle<Device>>>,
    threads: Registration<Injector>,
}

impl IdleInject {
    fn new(scope: &'static ModuleScope) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            timer <- new_mutex!(None),
            threads: Registration::new(scope, Injector {
                device: Arc::pin_init(Device::new(), GFP_KERNEL)?,
            })?,
        })
    }

    fn device(&self) -> &Arc<Device> {
        &self.threads.device
    }

    fn start(&self) {
        let mut timer = self.timer.lock();
        if timer.is_none() {
            self.device().enabled.store(true, Relaxed);
            self.device().wake();
            *timer = Some(self.device().clone().start(self.device().period()));
        }
    }

    /// When this returns, no CPU is being made idle, and none will be.
    fn stop(&self) {
        let mut timer = self.timer.lock();
        // Dropping the handle cancels the timer, and waits for its callback.
        *timer = None;
        self.device().enabled.store(false, Relaxed);
        for (_, cpu) in self.device().cpus.iter() {
            cpu.wait();
        }
    }
}

struct Enable;

#[vtable]
impl Attribute for Enable {
    type Data = IdleInject;

    fn show(this: &IdleInject, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", u8::from(this.device().enabled.load(Relaxed)))
    }

    fn store(this: &IdleInject, input: &CStr) -> Result {
        match Number::<0, 1>::parse(input)? {
            0 => this.stop(),
            _ => this.start(),
        }
        Ok(())
    }
}

struct Cpus;

#[vtable]
impl Attribute for Cpus {
    type Data = IdleInject;

    fn show(this: &IdleInject, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (id, cpu) in this.device().cpus.iter() {
            if cpu.selected.load(Relaxed) {
                write!(f, "{separator}{}", id.as_u32())?;
                separator = ",";
            }
        }
        writeln!(f)
    }

    fn store(this: &IdleInject, input: &CStr) -> Result {
        let mask = hotplug::parse_cpu_list(input)?;

        for (id, cpu) in this.device().cpus.iter() {
            cpu.selected.store(mask.test(id), Relaxed);
            if !mask.test(id) {
                cpu.wait();
            }
        }
        Ok(())
    }
}

fn micros(value: u64) -> Delta {
    Delta::from_micros(value as i64)
}

fn fill<'data>(this: &'data IdleInject, dir: &Dir<'data>) {
    let device = this.device();

    dir.file::<Enable>(c"enable", this);
    dir.file::<Cpus>(c"cpus", this);
    // They count from the next period on.
    dir.file::<Number<1_000, 1_000_000>>(c"run_us", &device.run_us);
    dir.file::<Number<1, 1_000_000>>(c"idle_us", &device.idle_us);
    dir.file::<Number<0, { u32::MAX as u64 }>>(c"latency_us", &device.latency_us);

    for (id, cpu) in device.cpus.iter() {
        let dir = dir.dir(fmt!("cpu{}", id.as_u32()));
        dir.file::<Atomic<u64>>(c"injections", &cpu.injections);
        dir.file::<Atomic<u64>>(c"injected_us", &cpu.injected_us);
    }
}

#[pin_data]
struct IdleInjectModule {
    files: Tree<IdleInject>,
}

impl ScopedModule for IdleInjectModule {
    fn init(
        _module: &'static ThisModule,
        scope: &'static ModuleScope,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            files <- Tree::new(scope, c"rust_idle_inject", IdleInject::new(scope), fill),
        })
    }
}
