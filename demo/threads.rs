// SPDX-License-Identifier: GPL-2.0

//! The demo's threads: each counts the steps of its life, and how long its wakes took.

use super::counters::{
    increment,
    Counters, //
};
use crate::{
    hotplug_thread,
    smpboot::{
        AtomicContext,
        Context,
        HotplugThread,
        PerCpu, //
    },
};
use kernel::{
    cpu::CpuId,
    prelude::*,
    sync::atomic::Relaxed,
    time::Instant, //
};

/// What the threads share.
pub(crate) struct Demo {
    pub(crate) counters: PerCpu<Counters>,
    /// Whether the steps of a life go to the kernel log.
    verbose: bool,
}

impl Demo {
    pub(crate) fn new(verbose: bool) -> Result<Self> {
        let epoch = Instant::now();
        Ok(Self {
            counters: PerCpu::new(|cpu| Counters::new(cpu, epoch))?,
            verbose,
        })
    }

    /// The counters of a CPU that a callback runs for.
    fn of(&self, cpu: CpuId, step: impl FnOnce(&Counters)) {
        if let Some(counters) = self.counters.get(cpu) {
            step(counters);
        }
    }

    fn log(&self, cpu: CpuId, step: &str) {
        if self.verbose {
            pr_info!("cpu{}: {step}\n", cpu.as_u32());
        }
    }
}

/// What one thread owns: nobody else can see it, so that it needs no lock and no atomics.
pub(crate) struct Local {
    latency_max: u64,
}

#[vtable]
impl HotplugThread for Demo {
    const NAME: &'static CStr = c"rust_demo";

    type Local = Local;

    fn create(&self, cpu: CpuId) {
        self.of(cpu, |c| increment(&c.create));
        self.log(cpu, "create");
    }

    fn setup(&self, cx: &Context<'_>) -> impl PinInit<Local> {
        self.of(cx.cpu(), |c| increment(&c.setup));
        self.log(cx.cpu(), "setup");
        Local { latency_max: 0 }
    }

    fn should_run(&self, _local: Pin<&mut Local>, cx: &AtomicContext<'_>) -> bool {
        self.of(cx.cpu(), |c| increment(&c.should_run));
        cx.woken()
    }

    fn run(&self, mut local: Pin<&mut Local>, cx: &Context<'_>) {
        self.of(cx.cpu(), |c| {
            let latency = c.run_begins();
            local.latency_max = local.latency_max.max(latency);
            c.latency_last.store(latency, Relaxed);
            c.latency_max.store(local.latency_max, Relaxed);
        });
    }

    fn park(&self, _local: Pin<&mut Local>, cx: &Context<'_>) {
        self.of(cx.cpu(), |c| increment(&c.park));
        self.log(cx.cpu(), "park");
    }

    fn unpark(&self, _local: Pin<&mut Local>, cx: &Context<'_>) {
        self.of(cx.cpu(), |c| increment(&c.unpark));
        self.log(cx.cpu(), "unpark");
    }

    fn cleanup(&self, _local: Pin<&mut Local>, cx: &Context<'_>, online: bool) {
        self.of(cx.cpu(), |c| increment(&c.cleanup));
        self.log(
            cx.cpu(),
            if online {
                "cleanup(online)"
            } else {
                "cleanup(offline)"
            },
        );
    }
}

hotplug_thread!(Demo);
