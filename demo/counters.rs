// SPDX-License-Identifier: GPL-2.0

//! What each thread counts of its own life.

use kernel::{
    cpu::CpuId,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    time::{
        Instant,
        Monotonic, //
    },
};

/// A number that only grows.
pub(crate) type Counter = Atomic<u64>;

/// The counters of one CPU.
///
/// All but `wake` and `create` are written by the CPU's own thread alone. They are atomics because
/// the files read them from anywhere.
pub(crate) struct Counters {
    pub(crate) cpu: CpuId,
    pub(crate) create: Counter,
    pub(crate) setup: Counter,
    pub(crate) should_run: Counter,
    pub(crate) run: Counter,
    pub(crate) park: Counter,
    pub(crate) unpark: Counter,
    pub(crate) cleanup: Counter,
    pub(crate) wake: Counter,
    /// How long the last run, and the slowest one, took from wake to run, in nanoseconds.
    pub(crate) latency_last: Counter,
    pub(crate) latency_max: Counter,
    /// When the first wake came that no run has answered yet, in nanoseconds since `epoch`; 0 if
    /// there is none.
    woken_at: Atomic<i64>,
    epoch: Instant<Monotonic>,
}

impl Counters {
    pub(crate) fn new(cpu: CpuId, epoch: Instant<Monotonic>) -> Self {
        Self {
            cpu,
            create: Counter::new(0),
            setup: Counter::new(0),
            should_run: Counter::new(0),
            run: Counter::new(0),
            park: Counter::new(0),
            unpark: Counter::new(0),
            cleanup: Counter::new(0),
            wake: Counter::new(0),
            latency_last: Counter::new(0),
            latency_max: Counter::new(0),
            woken_at: Atomic::new(0),
            epoch,
        }
    }

    /// Takes note of a wake that is about to be made.
    pub(crate) fn wake_begins(&self) {
        increment(&self.wake);
        // A wake that comes on top of another one does not make that one any younger.
        let _ = self.woken_at.cmpxchg(0, self.now(), Relaxed);
    }

    /// Takes note of the run that answers it. Returns how long it took, in nanoseconds.
    pub(crate) fn run_begins(&self) -> u64 {
        increment(&self.run);
        match self.woken_at.xchg(0, Relaxed) {
            0 => 0,
            woken_at => (self.now() - woken_at).max(0) as u64,
        }
    }

    fn now(&self) -> i64 {
        self.epoch.elapsed().as_nanos()
    }
}

/// Counts one up.
pub(crate) fn increment(counter: &Counter) {
    counter.add(1, Relaxed);
}
