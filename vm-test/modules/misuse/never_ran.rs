// SPDX-License-Identifier: GPL-2.0

//! Threads that are stopped before their first run: no setup, no cleanup, nothing to drop.
//!
//! An unregistration waits for a grace period, during which most threads run. So threads of a
//! higher class keep the CPUs busy from the moment the other threads exist.

use super::report::{
    eventually,
    Count,
    Counts,
    Outcome,
    Tracked,
    TrackedLocal, //
};
use crate::{
    hotplug_thread,
    smpboot::{
        hotplug,
        Context,
        HotplugThread,
        ModuleScope,
        PerCpu,
        Registration,
        SchedPolicy,
        Threads, //
    }, //
};
use kernel::{
    cpu::CpuId,
    prelude::*,
    processor::cpu_relax,
    sync::Arc,
    time::{
        Delta,
        Instant,
        Monotonic, //
    }, //
};

/// Longest time that a CPU is kept busy: longer than a grace period takes, shorter than the
/// scheduler lets other classes starve.
const BUSY: Delta = Delta::from_millis(900);

/// Keeps its CPU busy when woken, until the starved registration has been dropped.
struct Hog {
    started: Arc<PerCpu<Count>>,
    gone: Arc<Count>,
}

#[vtable]
impl HotplugThread for Hog {
    const NAME: &'static CStr = c"mis_hog";

    type Local = ();

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {}

    fn run(&self, _local: Pin<&mut ()>, cx: &Context<'_>) {
        let gone = self.gone.get();
        self.started.of(cx).up();
        let start = Instant::<Monotonic>::now();
        while start.elapsed() < BUSY && !cx.should_park() && self.gone.get() == gone {
            cpu_relax();
        }
    }

    fn sched_policy(&self) -> SchedPolicy {
        SchedPolicy::Fifo
    }
}

hotplug_thread!(Hog);

/// Threads that find their CPU busy.
struct Starved {
    value: Tracked,
    started: Arc<PerCpu<Count>>,
}

#[vtable]
impl HotplugThread for Starved {
    const NAME: &'static CStr = c"mis_starve";

    type Local = TrackedLocal;

    fn create(&self, cpu: CpuId) {
        // Not the CPU that this runs on.
        if cpu == CpuId::current() {
            return;
        }
        if let Some(started) = self.started.get(cpu) {
            let before = started.get();
            Threads::<Hog>::new().wake(cpu);
            eventually(|| started.get() > before);
        }
    }

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<TrackedLocal> {
        self.value.0.setup.up();
        TrackedLocal(self.value.0.clone())
    }

    fn run(&self, _local: Pin<&mut TrackedLocal>, _cx: &Context<'_>) {}

    fn cleanup(&self, _local: Pin<&mut TrackedLocal>, _cx: &Context<'_>, _online: bool) {
        self.value.0.cleanup.up();
    }
}

hotplug_thread!(Starved);

pub(crate) fn never_ran(scope: &'static ModuleScope, count: u32) -> Outcome {
    let counts = Counts::new()?;
    let started = Arc::new(PerCpu::new(|_cpu| Count::default())?, GFP_KERNEL)?;
    let gone = Arc::new(Count::default(), GFP_KERNEL)?;
    let hog = Hog {
        started: started.clone(),
        gone: gone.clone(),
    };
    let hogs = Registration::new(scope, hog)?;
    for _ in 0..count {
        let starved = Starved {
            value: Tracked::new(&counts),
            started: started.clone(),
        };
        drop(Registration::new(scope, starved)?);
        gone.up();
    }
    drop(hogs);

    let threads = count * hotplug::online_cpus().count() as u32;
    pr_info!(
        "never_ran: {} of {threads} threads ran\n",
        counts.setup.get()
    );
    // On PREEMPT_RT a grace period needs threads that the busy ones starve as well: it ends only
    // when the busy ones have ended and all threads have run.
    ensure!(
        cfg!(CONFIG_PREEMPT_RT) || counts.setup.get() < threads,
        "all threads ran"
    );
    counts.balanced()
}
