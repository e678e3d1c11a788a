// SPDX-License-Identifier: GPL-2.0

//! The counters and events of each CPU.

use super::{
    events::{
        Event,
        Ring, //
    },
    format::{
        self,
        Counts,
        Kind, //
    },
    latency::Histogram, //
};
use crate::wait::WaitQueue;
use kernel::{
    cpu::CpuId,
    prelude::*,
    static_lock_class,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    },
    time::{
        Instant,
        Monotonic, //
    },
};

/// A number that only grows.
pub(crate) type Counter = Atomic<u64>;

/// Data that all CPUs share.
pub(crate) struct Common {
    /// Time 0 of the events: the time at which the module was loaded.
    epoch: Instant<Monotonic>,
    /// The readers of the next event.
    pub(crate) readers: Arc<WaitQueue>,
}

impl Common {
    pub(crate) fn new() -> Result<Self> {
        let readers = WaitQueue::new(format::C_MODULE, static_lock_class!());
        Ok(Self {
            epoch: Instant::now(),
            readers: Arc::pin_init(readers, GFP_KERNEL)?,
        })
    }

    pub(crate) fn now(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }
}

/// The counters and events of one CPU.
///
/// Only the CPU's own thread writes most of them. They are atomics because a read of a file may run
/// on any CPU.
#[pin_data]
pub(crate) struct Cpu {
    pub(crate) id: CpuId,
    pub(crate) counts: Counts<Counter>,
    /// Time from wake to run of the last run, in nanoseconds.
    pub(crate) latency_last: Counter,
    /// Time from wake to run of the slowest run, in nanoseconds.
    pub(crate) latency_max: Counter,
    pub(crate) latencies: Histogram,
    #[pin]
    pub(crate) ring: Ring,
    /// Time of the first unanswered wake; 0 if no wake is pending.
    woken_at: Atomic<u64>,
    common: Arc<Common>,
}

impl Cpu {
    pub(crate) fn new(id: CpuId, common: Arc<Common>) -> impl PinInit<Self> {
        pin_init!(Self {
            id,
            counts: Counts::from_fn(|_| Counter::new(0)),
            latency_last: Counter::new(0),
            latency_max: Counter::new(0),
            latencies: Histogram::new(),
            ring <- Ring::new(),
            woken_at: Atomic::new(0),
            common,
        })
    }

    /// Counts and records a callback.
    pub(crate) fn step(&self, kind: Kind) {
        kind.count(&self.counts).add(1, Relaxed);
        self.record(kind, self.common.now());
    }

    fn record(&self, kind: Kind, time: u64) {
        self.ring.record(Event { kind, time });
        self.common.readers.notify();
    }

    /// Records a wake of the thread and calls `wake`. In any context in which `wake` may run.
    pub(crate) fn wake(&self, wake: impl FnOnce(CpuId)) {
        let now = self.common.now();
        self.counts.wake.add(1, Relaxed);
        self.record(Kind::Wake, now);
        // Keep the time of the first unanswered wake.
        let _ = self.woken_at.cmpxchg(0, now.max(1), Relaxed);
        wake(self.id);
    }

    /// Returns whether a wake is pending.
    pub(crate) fn is_woken(&self) -> bool {
        self.woken_at.load(Relaxed) != 0
    }

    /// Records a run. Called in the thread. Returns the time since the wake, in nanoseconds.
    pub(crate) fn run_begins(&self) -> Option<u64> {
        let now = self.common.now();
        // Before the run is counted: a caller that sees it counted may wake again.
        let woken_at = self.woken_at.xchg(0, Full);
        self.counts.run.add(1, Relaxed);
        self.record(Kind::Run, now);
        match woken_at {
            0 => None,
            woken_at => Some(now.saturating_sub(woken_at)),
        }
    }
}
