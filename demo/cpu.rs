// SPDX-License-Identifier: GPL-2.0

//! What is kept for each CPU.

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

/// What all CPUs refer to.
pub(crate) struct Common {
    /// The time 0 of the events: when the module was loaded.
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
/// Most are written by the CPU's own thread alone. They are atomics because the files read them
/// from anywhere.
#[pin_data]
pub(crate) struct Cpu {
    pub(crate) id: CpuId,
    pub(crate) counts: Counts<Counter>,
    /// How long the last run, and the slowest one, took from wake to run, in nanoseconds.
    pub(crate) latency_last: Counter,
    pub(crate) latency_max: Counter,
    pub(crate) latencies: Histogram,
    #[pin]
    pub(crate) ring: Ring,
    /// When the first wake came that no run has answered yet; 0 if there is none.
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

    /// Counts a step, and records it.
    pub(crate) fn step(&self, kind: Kind) {
        kind.count(&self.counts).add(1, Relaxed);
        self.record(kind, self.common.now());
    }

    fn record(&self, kind: Kind, time: u64) {
        self.ring.record(Event { kind, time });
        self.common.readers.notify();
    }

    /// Records a wake of the thread, and has `wake` do it. Any context in which `wake` may run.
    pub(crate) fn wake(&self, wake: impl FnOnce(CpuId)) {
        let now = self.common.now();
        self.counts.wake.add(1, Relaxed);
        self.record(Kind::Wake, now);
        // A wake that comes on top of another one does not make that one any younger.
        let _ = self.woken_at.cmpxchg(0, now.max(1), Relaxed);
        wake(self.id);
    }

    /// Whether a wake is pending.
    pub(crate) fn is_woken(&self) -> bool {
        self.woken_at.load(Relaxed) != 0
    }

    /// Takes note of a run, in the thread. Returns how long the wake took, in nanoseconds.
    pub(crate) fn run_begins(&self) -> Option<u64> {
        let now = self.common.now();
        // Before the run is counted: who sees it counted may wake again.
        let woken_at = self.woken_at.xchg(0, Full);
        self.counts.run.add(1, Relaxed);
        self.record(Kind::Run, now);
        match woken_at {
            0 => None,
            woken_at => Some(now.saturating_sub(woken_at)),
        }
    }
}
