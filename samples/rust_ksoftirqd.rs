// SPDX-License-Identifier: GPL-2.0

//! Interrupts that leave their work to a thread per CPU, as softirqs are left to `ksoftirqd`.
//!
//! A timer interrupt on each CPU raises vectors there; the thread of the CPU runs what is pending.
//! `echo 1000 > /sys/kernel/debug/rust_ksoftirqd/raise` lets the next 1000 interrupts, wherever
//! they come, raise every vector once. When they have, the timers stop, so an idle CPU stays idle,
//! and `raised` and `run` of each vector are equal, whatever the CPUs did meanwhile.
//!
//! The threads have the smallest table that there is: a `setup` that makes nothing, `run`, and a
//! `should_run` that looks at what is pending, for that is a flag already. The thread of a CPU also
//! starts its timer, which can only be done there. What a CPU leaves behind
//! when it goes is taken over by another one. `takeover_tasklets()` does that when the CPU is dead;
//! the state used here comes while interrupts still arrive on the CPU, so from then on they raise
//! their vectors on the other one, too.
//!
//! Mirrors `softirq_threads` in [`kernel/softirq.c`](srctree/kernel/softirq.c).

use kernel::{
    cpu::CpuId,
    fmt::{
        self,
        Display, //
    },
    impl_has_hr_timer,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
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
            RelativePinnedHardMode, //
        },
        Delta,
        Monotonic, //
    }, //
};

#[path = "../rust/kernel/library.rs"]
mod library;

use debugfs::{
    Attribute,
    Dir,
    Number,
    Table,
    Tree, //
};
use library::{
    debugfs,
    smpboot, //
};
use smpboot::{
    cpuhp,
    seam::param,
    AtomicContext,
    Context,
    HotplugThread,
    ModuleScope,
    PerCpu,
    Registration,
    ScopedModule,
    Threads, //
};

scoped_module! {
    type: KsoftirqdModule,
    name: "rust_ksoftirqd",
    authors: ["The rust_smpboot developers"],
    description: "Work raised by interrupts, run by a thread per CPU, in the shape of ksoftirqd",
    license: "GPL",
    params: {
        period_us: u32 {
            default: 1000,
            description: "Time between two interrupts of a CPU, in microseconds, at least 100",
        },
    },
}

type Counter = Atomic<u64>;

/// The names of the vectors, in the order in which they run.
const VECTORS: [&CStr; 3] = [c"hi", c"timer", c"tasklet"];

/// How often a run starts over for what was raised meanwhile: `MAX_SOFTIRQ_RESTART`.
const MAX_RESTART: u32 = 10;

struct Vector {
    raised: Counter,
    run: Counter,
}

struct Cpu {
    /// How often each vector was raised and not run yet. C keeps a bit, which is enough to get the
    /// work done; a number also shows that nothing is lost.
    pending: [Counter; VECTORS.len()],
    /// Whether what is raised here goes to another CPU, because this one goes or is gone.
    off: Atomic<bool>,
    interrupts: Counter,
    runs: Counter,
    /// What other CPUs took over from this one.
    taken_over: Counter,
}

struct Softirqs {
    vectors: [Vector; VECTORS.len()],
    cpus: PerCpu<Cpu>,
    /// How many interrupts are still to raise vectors.
    left: Counter,
    period: Delta,
}

impl Softirqs {
    fn new(period: Delta) -> Result<Self> {
        let counter = |_| Counter::new(0);
        Ok(Self {
            vectors: VECTORS.map(|_| Vector {
                raised: Counter::new(0),
                run: Counter::new(0),
            }),
            cpus: PerCpu::new(|_cpu| Cpu {
                pending: VECTORS.map(counter),
                off: Atomic::new(true),
                interrupts: Counter::new(0),
                runs: Counter::new(0),
                taken_over: Counter::new(0),
            })?,
            left: Counter::new(0),
            period,
        })
    }

    /// Returns the CPU itself, or, if it is off, another one. If all are off, because the module is
    /// being unloaded, that is the CPU itself again.
    fn place_for<'a>(&'a self, this: (CpuId, &'a Cpu)) -> (CpuId, &'a Cpu) {
        let is_on = |(_, cpu): &(CpuId, &Cpu)| !cpu.off.load(Relaxed);
        if is_on(&this) {
            return this;
        }
        self.cpus.iter_online().find(is_on).unwrap_or(this)
    }

    /// Adds to what is pending on a CPU, and wakes its thread.
    fn pend(&self, (cpu, to): (CpuId, &Cpu), amounts: [u64; VECTORS.len()]) {
        for (pending, amount) in to.pending.iter().zip(amounts) {
            pending.fetch_add(amount, Release);
        }
        Threads::<Ksoftirqd>::new().wake(cpu);
    }

    /// One interrupt on this CPU. Called with interrupts off.
    fn interrupt(&self) {
        let id = CpuId::current();
        let Some(cpu) = self.cpus.get(id) else {
            return;
        };
        cpu.interrupts.add(1, Relaxed);

        let mut left = self.left.load(Relaxed);
        while left > 0 {
            match self.left.cmpxchg(left, left - 1, Relaxed) {
                Ok(_) => {
                    for vector in &self.vectors {
                        vector.raised.add(1, Relaxed);
                    }
                    return self.pend(self.place_for((id, cpu)), [1; VECTORS.len()]);
                }
                Err(now) => left = now,
            }
        }
    }

    fn is_raising(&self) -> bool {
        self.left.load(Relaxed) > 0
    }

    /// Runs what is pending on a CPU. Returns whether there was anything.
    fn handle(&self, cpu: &Cpu) -> bool {
        let mut any = false;
        for (vector, pending) in self.vectors.iter().zip(&cpu.pending) {
            let amount = pending.xchg(0, Acquire);
            vector.run.add(amount, Relaxed);
            any |= amount > 0;
        }
        any
    }

    /// From now on, everything that is raised on the CPU goes to other CPUs, and what is pending
    /// there, too. Called on that CPU.
    fn take_over(&self, cx: &Context<'_>) {
        let this = self.cpus.of(cx);
        // An interrupt on this CPU comes before this, and its work is found below, or after it,
        // and raises elsewhere.
        this.off.store(true, Relaxed);

        let amounts = this.pending.each_ref().map(|p| p.xchg(0, Acquire));
        if amounts != [0; VECTORS.len()] {
            this.taken_over.add(amounts.iter().sum::<u64>(), Relaxed);
            self.pend(self.place_for((cx.cpu(), this)), amounts);
        }
    }
}

/// Where a CPU's interrupts come from.
#[pin_data]
struct Source {
    #[pin]
    timer: HrTimer<Self>,
    softirqs: Arc<Softirqs>,
    /// Whether the timer has stopped, or never ran. Who clears this starts the timer.
    stopped: Atomic<bool>,
}

impl HrTimerCallback for Source {
    type Pointer<'a> = Arc<Self>;

    fn run(this: ArcBorrow<'_, Self>, mut cx: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
        this.softirqs.interrupt();
        if !this.softirqs.is_raising() {
            this.stopped.xchg(true, Full);
            // The barriers here and in `raise()`: either this sees the new interrupts, or the
            // thread sees that the timer has stopped.
            if !this.is_wanted() {
                return HrTimerRestart::NoRestart;
            }
        }
        cx.forward_now(this.softirqs.period);
        HrTimerRestart::Restart
    }
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for Source {
        mode: RelativePinnedHardMode<Monotonic>, field: self.timer
    }
}

impl Source {
    /// Returns whether the timer is to be started, by the caller.
    fn is_wanted(&self) -> bool {
        self.softirqs.is_raising() && self.stopped.cmpxchg(true, false, Full).is_ok()
    }
}

#[pin_data]
struct Started {
    source: Arc<Source>,
    #[pin]
    handle: Mutex<Option<ArcHrTimerHandle<Source>>>,
}

impl Started {
    fn new(softirqs: Arc<Softirqs>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            source: Arc::pin_init(
                pin_init!(Source {
                    timer <- HrTimer::new(),
                    softirqs,
                    stopped: Atomic::new(true),
                }),
                GFP_KERNEL,
            )?,
            handle <- new_mutex!(None),
        }? Error)
    }

    /// Starts the timer on this CPU, if it has stopped and interrupts are still to raise vectors.
    fn start(&self) {
        let mut handle = self.handle.lock();
        if self.source.is_wanted() {
            // A callback may still be about to return.
            *handle = None;
            *handle = Some(self.source.clone().start(self.source.softirqs.period));
        }
    }

    /// Stops the timer, on whichever CPU it is.
    fn stop(&self) {
        let mut handle = self.handle.lock();
        *handle = None;
        // The barrier for a `start()` after this.
        self.source.stopped.xchg(true, Full);
    }
}

/// The threads.
struct Ksoftirqd {
    softirqs: Arc<Softirqs>,
    sources: Arc<PerCpu<Started>>,
}

impl Ksoftirqd {
    /// Lets so many interrupts more raise vectors.
    fn raise(&self, count: u64) {
        self.softirqs.left.fetch_add(count, Full);
        Threads::<Self>::new().wake_all();
    }
}

#[vtable]
impl HotplugThread for Ksoftirqd {
    const NAME: &'static CStr = c"rust_softi";

    type Local = ();

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {}

    fn should_run(&self, _local: Pin<&mut ()>, cx: &AtomicContext<'_>) -> bool {
        let mut pending = self.softirqs.cpus.of(cx).pending.iter();
        pending.any(|p| p.load(Relaxed) > 0)
            || self.softirqs.is_raising() && self.sources.of(cx).source.stopped.load(Relaxed)
    }

    fn run(&self, _local: Pin<&mut ()>, cx: &Context<'_>) {
        self.sources.of(cx).start();
        let cpu = self.softirqs.cpus.of(cx);
        cpu.runs.add(1, Relaxed);
        // If there is still more then, `should_run` will say so; others run in between.
        for _ in 0..MAX_RESTART {
            if !self.softirqs.handle(cpu) {
                break;
            }
        }
    }
}

hotplug_thread!(Ksoftirqd);

impl Drop for Ksoftirqd {
    fn drop(&mut self) {
        for (_, started) in self.sources.iter() {
            started.stop();
        }
        // The threads have stopped, perhaps before the last work.
        for (_, cpu) in self.softirqs.cpus.iter() {
            while self.softirqs.handle(cpu) {}
        }
        for (name, vector) in VECTORS.iter().zip(&self.softirqs.vectors) {
            pr_info!(
                "{}: {} raised, {} run\n",
                name.to_str().unwrap_or_default(),
                vector.raised.load(Relaxed),
                vector.run.load(Relaxed)
            );
        }
    }
}

/// The hotplug state: interrupts come on CPUs that are online.
struct Hotplug {
    softirqs: Arc<Softirqs>,
    sources: Arc<PerCpu<Started>>,
}

#[vtable]
impl cpuhp::Callbacks for Hotplug {
    const NAME: &'static CStr = c"rust_ksoftirqd:online";

    fn startup(&self, cx: &Context<'_>) -> Result {
        self.softirqs.cpus.of(cx).off.store(false, Relaxed);
        let started = self.sources.of(cx);
        // The timer of a CPU that died has gone on elsewhere.
        started.stop();
        started.start();
        Ok(())
    }

    fn teardown(&self, cx: &Context<'_>) {
        self.softirqs.take_over(cx);
    }
}

cpuhp_state!(Hotplug);

struct Summary;

#[vtable]
impl Attribute for Summary {
    type Data = Ksoftirqds;

    fn show(this: &Ksoftirqds, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new([
            "cpu",
            "place",
            "interrupts",
            "runs",
            "pending",
            "taken_over",
        ]);
        for (cpu, c) in this.threads.softirqs.cpus.iter() {
            let is_off = c.off.load(Relaxed);
            let pending: u64 = c.pending.iter().map(|p| p.load(Relaxed)).sum();
            let row = [
                u64::from(cpu.as_u32()).into(),
                if is_off { "off" } else { "on" }.into(),
                c.interrupts.load(Relaxed).into(),
                c.runs.load(Relaxed).into(),
                pending.into(),
                c.taken_over.load(Relaxed).into(),
            ];
            table.push(row).map_err(|_| fmt::Error)?;
        }
        table.fmt(f)
    }
}

/// Takes a number: so many interrupts more raise vectors.
struct Raise;

#[vtable]
impl Attribute for Raise {
    type Data = Ksoftirqds;

    fn store(this: &Ksoftirqds, input: &CStr) -> Result {
        this.threads
            .raise(Number::<0, { u32::MAX as u64 }>::parse(input)?);
        Ok(())
    }
}

/// The threads, and what keeps them busy, which goes first when this is dropped.
struct Ksoftirqds {
    _hotplug: cpuhp::Registration<Hotplug>,
    threads: Registration<Ksoftirqd>,
}

impl Ksoftirqds {
    fn new(scope: &'static ModuleScope, period_us: u32) -> Result<Self> {
        if period_us < 100 {
            return Err(EINVAL);
        }
        let softirqs = Arc::new(
            Softirqs::new(Delta::from_micros(period_us.into()))?,
            GFP_KERNEL,
        )?;
        let sources = PerCpu::new(|_cpu| Started::new(softirqs.clone()))?;
        let sources = Arc::new(sources, GFP_KERNEL)?;
        let hotplug = Hotplug {
            softirqs: softirqs.clone(),
            sources: sources.clone(),
        };
        let threads = Registration::new(scope, Ksoftirqd { softirqs, sources })?;
        Ok(Self {
            _hotplug: cpuhp::Registration::new(scope, cpuhp::Invoke::Yes, hotplug)?,
            threads,
        })
    }

    fn fill<'data>(&'data self, dir: &Dir<'data>) {
        let softirqs = &*self.threads.softirqs;
        dir.file::<Summary>(c"summary", self);
        dir.file::<Raise>(c"raise", self);
        dir.file::<Counter>(c"left", &softirqs.left);
        for (name, vector) in VECTORS.iter().zip(&softirqs.vectors) {
            let dir = dir.dir(fmt!("{}", name.to_str().unwrap_or_default()));
            dir.file::<Counter>(c"raised", &vector.raised);
            dir.file::<Counter>(c"run", &vector.run);
        }
    }
}

#[pin_data]
struct KsoftirqdModule {
    files: Tree<Ksoftirqds>,
}

impl ScopedModule for KsoftirqdModule {
    fn init(
        _module: &'static ThisModule,
        scope: &'static ModuleScope,
    ) -> impl PinInit<Self, Error> {
        let period_us = param(&module_parameters::period_us);

        try_pin_init!(Self {
            files <- Tree::new(
                scope,
                c"rust_ksoftirqd",
                Ksoftirqds::new(scope, period_us),
                Ksoftirqds::fill,
            ),
        })
    }
}
