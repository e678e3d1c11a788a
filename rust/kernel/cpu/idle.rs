// SPDX-License-Identifier: GPL-2.0

//! Injecting idle time from a hotplug thread.
//!
//! C header: [`include/linux/cpu.h`](srctree/include/linux/cpu.h)

use super::{
    super::bindings,
    Context, //
};
use kernel::{
    prelude::*,
    task::Task,
    time::Delta, //
};

impl Context<'_> {
    /// Keeps the CPU of this thread idle for `duration`: `play_idle_precise()`.
    ///
    /// The CPU goes into the deepest idle state that it can leave within `max_latency`, and out of
    /// it for interrupts and for what runs at a higher priority than this thread: a thread of
    /// [`SchedPolicy::Fifo`](crate::smpboot::SchedPolicy::Fifo) keeps all normal tasks away. May not be
    /// called where sleeping is not allowed. Whoever waits for this thread to park or stop waits
    /// until the time is over.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: `duration` is not positive, or `max_latency` is negative.
    /// - `EPERM`: this is no FIFO thread, or not bound to its CPU: it is in
    ///   [`cleanup`](crate::smpboot::HotplugThread::cleanup), and the CPU is offline.
    ///
    /// Root can change the policy of the thread. If that happens between the test and the call, the
    /// kernel warns, as in C.
    #[inline]
    pub fn play_idle(&self, duration: Delta, max_latency: Delta) -> Result {
        let (duration, max_latency) = (duration.as_nanos(), max_latency.as_nanos());
        if duration <= 0 || max_latency < 0 {
            return Err(EINVAL);
        }

        let current = Task::current_raw();
        // SAFETY: `current` is valid. Its policy and affinity may be changed by others: a look that
        // is wrong by the time of the call below leads to a warning there, as in C.
        let (policy, cpus) = unsafe { ((*current).policy, (*current).nr_cpus_allowed) };
        if policy != bindings::SCHED_FIFO || cpus != 1 {
            return Err(EPERM);
        }

        // SAFETY: The current task is a kernel thread, by the invariants of `Context`, with a FIFO
        // policy and one CPU, as tested, which the core marked as not to be moved by user space.
        // The durations are in range.
        unsafe { bindings::play_idle_precise(duration as u64, max_latency as u64) };
        Ok(())
    }
}
