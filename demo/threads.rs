// SPDX-License-Identifier: GPL-2.0

//! The demo's threads: each records its callbacks and its wake latencies.

use super::{
    cpu::{
        Common,
        Cpu, //
    },
    format::{
        self,
        Kind, //
    },
    timer::{
        self,
        PeriodicWake, //
    }, //
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
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};

/// Data that the threads share.
pub(crate) struct Demo {
    pub(crate) cpus: Arc<PerCpu<Cpu>>,
    pub(crate) common: Arc<Common>,
    /// The period of the timers that wake the threads, in microseconds; 0: no timers.
    pub(crate) period_us: Atomic<u64>,
    /// Whether to log each callback.
    verbose: bool,
}

impl Demo {
    /// Creates the data from the module's parameters. Fails with `EINVAL` if one is out of range,
    /// or with `ENOMEM`.
    pub(crate) fn new(verbose: u8, period_us: u64) -> Result<Self> {
        let verbose = match verbose {
            0 => false,
            1 => true,
            _ => return Err(EINVAL),
        };
        if !timer::is_period(period_us) {
            return Err(EINVAL);
        }
        let common = Arc::new(Common::new()?, GFP_KERNEL)?;
        let cpus = PerCpu::new(|id| Cpu::new(id, common.clone()))?;
        Ok(Self {
            cpus: Arc::new(cpus, GFP_KERNEL)?,
            common,
            period_us: Atomic::new(period_us),
            verbose,
        })
    }

    /// Records a callback of the thread of a CPU.
    fn step(&self, cpu: &Cpu, kind: Kind) {
        cpu.step(kind);
        if self.verbose {
            pr_info!("cpu{}: {}\n", cpu.id.as_u32(), kind.name());
        }
    }
}

/// Data that one thread owns. No other context can access it, so it needs neither lock nor atomics.
pub(crate) struct Local {
    latency_max: u64,
    /// Whether a wake was pending when the thread was set up or unparked. Its age is not a latency:
    /// the thread could not run.
    pending: bool,
    timer: Option<PeriodicWake>,
    /// The period that `timer` was set to; 0: no timer.
    period_us: u64,
}

impl Local {
    /// Sets the timer to `period_us`. Called in the thread, on its CPU.
    fn set_period(&mut self, demo: &Demo, cpu: CpuId, period_us: u64) {
        if self.period_us == period_us {
            return;
        }
        self.timer = None;
        self.period_us = period_us;
        if period_us != 0 {
            self.timer = PeriodicWake::start(demo.cpus.clone(), cpu, period_us)
                .inspect_err(|_| pr_warn!("cpu{}: no memory for a timer\n", cpu.as_u32()))
                .ok();
        }
    }
}

#[vtable]
impl HotplugThread for Demo {
    const NAME: &'static CStr = format::C_THREAD;

    type Local = Local;

    fn create(&self, cpu: CpuId) {
        if let Some(cpu) = self.cpus.get(cpu) {
            self.step(cpu, Kind::Create);
        }
    }

    fn setup(&self, cx: &Context<'_>) -> impl PinInit<Local> {
        let cpu = self.cpus.of(cx);
        self.step(cpu, Kind::Setup);
        let mut local = Local {
            latency_max: 0,
            pending: cpu.is_woken(),
            timer: None,
            period_us: 0,
        };
        local.set_period(self, cx.cpu(), self.period_us.load(Relaxed));
        local
    }

    fn should_run(&self, _local: Pin<&mut Local>, cx: &AtomicContext<'_>) -> bool {
        self.cpus.of(cx).counts.should_run.add(1, Relaxed);
        cx.woken()
    }

    fn run(&self, mut local: Pin<&mut Local>, cx: &Context<'_>) {
        let cpu = self.cpus.of(cx);
        let pending = core::mem::take(&mut local.pending);
        if let Some(latency) = cpu.run_begins().filter(|_| !pending) {
            local.latency_max = local.latency_max.max(latency);
            cpu.latency_last.store(latency, Relaxed);
            cpu.latency_max.store(local.latency_max, Relaxed);
            cpu.latencies.record(latency);
        }
        local.set_period(self, cx.cpu(), self.period_us.load(Relaxed));
    }

    fn park(&self, mut local: Pin<&mut Local>, cx: &Context<'_>) {
        // The timer is pinned: it must not stay behind on a CPU that is taken offline.
        local.set_period(self, cx.cpu(), 0);
        let cpu = self.cpus.of(cx);
        self.step(cpu, Kind::Park);
    }

    fn unpark(&self, mut local: Pin<&mut Local>, cx: &Context<'_>) {
        let cpu = self.cpus.of(cx);
        self.step(cpu, Kind::Unpark);
        local.pending = cpu.is_woken();
        local.set_period(self, cx.cpu(), self.period_us.load(Relaxed));
    }

    fn cleanup(&self, mut local: Pin<&mut Local>, cx: &Context<'_>, online: bool) {
        local.set_period(self, cx.cpu(), 0);
        let kind = if online {
            Kind::CleanupOnline
        } else {
            Kind::CleanupOffline
        };
        let cpu = self.cpus.of(cx);
        self.step(cpu, kind);
    }
}

hotplug_thread!(Demo);
