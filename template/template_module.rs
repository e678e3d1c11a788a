// SPDX-License-Identifier: GPL-2.0

//! A thread per CPU that a timer wakes, and that counts.
//!
//! In `/sys/kernel/debug/template_module/`:
//!
//! - `period_us`: the time between two wakes, from the next one on.
//! - `cpuN/count`: number of times that the thread of CPU N has run.

use kernel::{
    cpu::CpuId,
    fmt,
    impl_has_hr_timer,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
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
            RelativePinnedMode, //
        },
        Delta,
        Monotonic, //
    }, //
};

#[path = "ext/rust/kernel/library.rs"]
mod library;

use library::{
    debugfs::{
        Attribute,
        Decimal,
        Dir,
        Number,
        Tree, //
    },
    smpboot::{
        self, // the macros look for it here
        Context,
        HotplugThread,
        ModuleScope,
        PerCpu,
        Registration,
        ScopedModule,
        Threads, //
    }, //
};

scoped_module! {
    type: Tree<Registration<Ticker>>,
    name: "template_module",
    authors: ["A. N. Author"],
    description: "Counts the ticks of a timer on each CPU",
    license: "GPL",
}

static PERIOD_US: Atomic<u64> = Atomic::new(10_000);

/// Data of one CPU that others may read. Its thread owns [`Local`].
#[pin_data]
struct Cpu {
    id: CpuId,
    #[pin]
    timer: HrTimer<Self>,
    count: Atomic<u64>,
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for Cpu {
        mode: RelativePinnedMode<Monotonic>, field: self.timer
    }
}

impl HrTimerCallback for Cpu {
    type Pointer<'a> = Arc<Self>;

    // Called in interrupt context, on the CPU that started the timer.
    fn run(this: ArcBorrow<'_, Self>, mut cx: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
        Threads::<Ticker>::new().wake(this.id);
        cx.forward_now(period());
        HrTimerRestart::Restart
    }
}

fn period() -> Delta {
    Delta::from_micros(PERIOD_US.load(Relaxed) as i64)
}

/// The threads.
struct Ticker(PerCpu<Arc<Cpu>>);

/// The timer while it runs. No other thread has access, so it needs no lock.
type Local = Option<ArcHrTimerHandle<Cpu>>;

#[vtable]
impl HotplugThread for Ticker {
    const NAME: &'static CStr = c"template";

    type Local = Local;

    fn setup(&self, cx: &Context<'_>) -> impl PinInit<Local> {
        Some(self.0.of(cx).clone().start(period()))
    }

    fn run(&self, _timer: Pin<&mut Local>, cx: &Context<'_>) {
        self.0.of(cx).count.add(1, Relaxed);
    }

    // The CPU goes offline: the timer must not stay behind.
    fn park(&self, mut timer: Pin<&mut Local>, _cx: &Context<'_>) {
        *timer = None;
    }

    fn unpark(&self, mut timer: Pin<&mut Local>, cx: &Context<'_>) {
        *timer = Some(self.0.of(cx).clone().start(period()));
    }
}

hotplug_thread!(Ticker);

/// A file with the count of one CPU.
struct Count;

#[vtable]
impl Attribute for Count {
    type Data = Arc<Cpu>;

    fn show(cpu: &Arc<Cpu>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", Decimal(cpu.count.load(Relaxed)))
    }
}

fn fill<'data>(ticker: &'data Registration<Ticker>, dir: &Dir<'data>) {
    dir.file::<Number<100, 1_000_000>>(c"period_us", &PERIOD_US);
    for (id, cpu) in ticker.0.iter() {
        let dir = dir.dir(fmt!("cpu{}", id.as_u32()));
        dir.file::<Count>(c"count", cpu);
    }
}

impl ScopedModule for Tree<Registration<Ticker>> {
    fn init(_: &'static ThisModule, scope: &'static ModuleScope) -> impl PinInit<Self, Error> {
        let cpu = |id| {
            pin_init!(Cpu {
                id,
                timer <- HrTimer::new(),
                count: Atomic::new(0),
            })
        };
        let cpus = PerCpu::new(|id| Arc::pin_init(cpu(id), GFP_KERNEL));
        let threads = cpus.and_then(|cpus| Registration::new(scope, Ticker(cpus)));
        Tree::new(scope, c"template_module", threads, fill)
    }
}
