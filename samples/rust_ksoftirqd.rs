// SPDX-License-Identifier: GPL-2.0

//! Interrupts that leave their work to a thread per CPU, as softirqs do to `ksoftirqd`.
//!
//! A timer interrupt raises vectors on its CPU and wakes the CPU's thread. The thread runs the
//! pending vectors and sets the timer again. In `/sys/kernel/debug/rust_ksoftirqd/`:
//!
//! - `raise`: takes a number. That many more interrupts, on any CPUs, raise each vector once.
//!   `left` are still to do so. At 0 no timer is set: an idle CPU stays idle.
//! - `period_us`: the time from a run of the thread to the next interrupt.
//! - `hi`, `timer`, `tasklet`: the vectors. In the end, `raised` and `run` of each vector match.
//! - `cpuN/interrupts`, `run`, `taken_over`: interrupts on the CPU, vectors run by its thread, and
//!   vectors that were pending when the CPU went offline. Another CPU runs these.
//!
//! Mirrors `softirq_threads` in [`kernel/softirq.c`](srctree/kernel/softirq.c), where interrupts
//! continue while the thread is parked: `takeover_tasklets()` is called when the CPU is dead.

use kernel::{
    cpu::CpuId,
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
            RelativePinnedHardMode, //
        },
        Delta,
        Monotonic, //
    }, //
};

#[path = "../rust/kernel/library.rs"]
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
        self,
        AtomicContext,
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
    type: Tree<Registration<Ksoftirqd>>,
    name: "rust_ksoftirqd",
    authors: ["The rust_smpboot developers"],
    description: "Work raised by interrupts and run by a thread per CPU, like ksoftirqd",
    license: "GPL",
}

type Counter = Atomic<u64>;

/// The vectors, in the order in which they run.
const VECTORS: [&str; 3] = ["hi", "timer", "tasklet"];

static RAISED: [Counter; VECTORS.len()] = [const { Counter::new(0) }; VECTORS.len()];
static RUN: [Counter; VECTORS.len()] = [const { Counter::new(0) }; VECTORS.len()];
/// Number of interrupts that still have to raise vectors.
static LEFT: Counter = Counter::new(0);
static PERIOD_US: Counter = Counter::new(1000);

#[pin_data]
struct Cpu {
    id: CpuId,
    #[pin]
    timer: HrTimer<Self>,
    /// Number of times that each vector was raised and not run yet. C keeps a bit, which is enough
    /// to run the work. A number also shows that no interrupt is lost.
    pending: [Counter; VECTORS.len()],
    interrupts: Counter,
    run: Counter,
    taken_over: Counter,
}

impl Cpu {
    /// Runs the pending vectors.
    fn handle(&self) {
        for (pending, run) in self.pending.iter().zip(&RUN) {
            let amount = pending.xchg(0, Relaxed);
            run.add(amount, Relaxed);
            self.run.add(amount, Relaxed);
        }
    }
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for Cpu {
        mode: RelativePinnedHardMode<Monotonic>, field: self.timer
    }
}

impl HrTimerCallback for Cpu {
    type Pointer<'a> = Arc<Self>;

    fn run(this: ArcBorrow<'_, Self>, _cx: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
        this.interrupts.add(1, Relaxed);
        let mut left = LEFT.load(Relaxed);
        while left > 0 {
            match LEFT.cmpxchg(left, left - 1, Relaxed) {
                Ok(_) => {
                    for (pending, raised) in this.pending.iter().zip(&RAISED) {
                        raised.add(1, Relaxed);
                        pending.add(1, Relaxed);
                    }
                    Threads::<Ksoftirqd>::new().wake(this.id);
                    break;
                }
                Err(now) => left = now,
            }
        }
        HrTimerRestart::NoRestart
    }
}

struct Ksoftirqd(PerCpu<Arc<Cpu>>);

#[vtable]
impl HotplugThread for Ksoftirqd {
    const NAME: &'static CStr = c"rust_softi";

    type Local = Option<ArcHrTimerHandle<Cpu>>;

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<Self::Local> {
        None
    }

    fn should_run(&self, timer: Pin<&mut Self::Local>, cx: &AtomicContext<'_>) -> bool {
        let mut pending = self.0.of(cx).pending.iter();
        pending.any(|pending| pending.load(Relaxed) > 0)
            || timer.is_none() && LEFT.load(Relaxed) > 0
            || cx.woken()
    }

    fn run(&self, mut timer: Pin<&mut Self::Local>, cx: &Context<'_>) {
        let cpu = self.0.of(cx);
        // If vectors are pending after this, `should_run` is true. Other tasks run in between.
        cpu.handle();
        // Cancel the timer: it is still set if something else woke the thread.
        *timer = None;
        if LEFT.load(Relaxed) > 0 {
            let period = Delta::from_micros(PERIOD_US.load(Relaxed) as i64);
            *timer = Some(cpu.clone().start(period));
        }
    }

    fn park(&self, mut timer: Pin<&mut Self::Local>, cx: &Context<'_>) {
        // No interrupt of the timer follows this.
        *timer = None;
        let cpu = self.0.of(cx);
        let Some((_, other)) = self.0.iter_online().find(|(id, _)| *id != cx.cpu()) else {
            return;
        };
        for (from, to) in cpu.pending.iter().zip(&other.pending) {
            let amount = from.xchg(0, Relaxed);
            cpu.taken_over.add(amount, Relaxed);
            to.add(amount, Relaxed);
        }
        Threads::<Self>::new().wake(other.id);
    }
}

hotplug_thread!(Ksoftirqd);

impl Drop for Ksoftirqd {
    fn drop(&mut self) {
        // The threads have ended and cancelled their timers. Vectors may be pending.
        for (_, cpu) in self.0.iter() {
            cpu.handle();
        }
        for ((name, raised), run) in VECTORS.iter().zip(&RAISED).zip(&RUN) {
            let [raised, run] = [raised, run].map(|n| Decimal(n.load(Relaxed)));
            pr_info!("{name}: {raised} raised, {run} run\n");
        }
    }
}

struct Raise;

#[vtable]
impl Attribute for Raise {
    type Data = Registration<Ksoftirqd>;

    fn store(this: &Self::Data, input: &CStr) -> Result {
        let count = Number::<0, { u32::MAX as u64 }>::parse(input)?;
        LEFT.add(count, Relaxed);
        this.threads().wake_all();
        Ok(())
    }
}

fn fill<'data>(this: &'data Registration<Ksoftirqd>, dir: &Dir<'data>) {
    dir.file::<Raise>(c"raise", this);
    dir.file::<Counter>(c"left", &LEFT);
    dir.file::<Number<100, 1_000_000>>(c"period_us", &PERIOD_US);
    for ((name, raised), run) in VECTORS.iter().zip(&RAISED).zip(&RUN) {
        let dir = dir.dir(fmt!("{name}"));
        dir.file::<Counter>(c"raised", raised);
        dir.file::<Counter>(c"run", run);
    }
    for (id, cpu) in this.0.iter() {
        let dir = dir.dir(fmt!("cpu{}", id.as_u32()));
        dir.file::<Counter>(c"interrupts", &cpu.interrupts);
        dir.file::<Counter>(c"run", &cpu.run);
        dir.file::<Counter>(c"taken_over", &cpu.taken_over);
    }
}

impl ScopedModule for Tree<Registration<Ksoftirqd>> {
    fn init(_: &'static ThisModule, scope: &'static ModuleScope) -> impl PinInit<Self, Error> {
        let cpu = |id| {
            pin_init!(Cpu {
                id,
                timer <- HrTimer::new(),
                pending: [const { Counter::new(0) }; VECTORS.len()],
                interrupts: Counter::new(0),
                run: Counter::new(0),
                taken_over: Counter::new(0),
            })
        };
        let cpus = PerCpu::new(|id| Arc::pin_init(cpu(id), GFP_KERNEL));
        let threads = cpus.and_then(|cpus| Registration::new(scope, Ksoftirqd(cpus)));
        Tree::new(scope, c"rust_ksoftirqd", threads, fill)
    }
}
