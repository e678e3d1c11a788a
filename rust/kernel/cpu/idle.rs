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
    /// The CPU enters the deepest idle state that it can leave within `max_latency`. It leaves that
    /// state for interrupts and for tasks of a higher priority than this thread: a thread of
    /// [`SchedPolicy::Fifo`](crate::smpboot::SchedPolicy::Fifo) keeps all normal tasks from
    /// running. Do not call this where sleeping is not allowed. A task that waits for this thread
    /// to park or stop waits until the time has passed.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: `duration` is not positive, or `max_latency` is negative.
    /// - `EPERM`: the thread is not a FIFO thread, or is not bound to its CPU, as in
    ///   [`cleanup`](crate::smpboot::HotplugThread::cleanup) while the CPU is offline.
    ///
    /// Root can change the policy of the thread. If that happens between the test and the C call,
    /// the kernel warns, as in C.
    #[inline]
    pub fn play_idle(&self, duration: Delta, max_latency: Delta) -> Result {
        let (duration, max_latency) = (duration.as_nanos(), max_latency.as_nanos());
        if duration <= 0 || max_latency < 0 {
            return Err(EINVAL);
        }

        let current = Task::current_raw();
        // SAFETY: `current` is valid. Other tasks may change its policy and affinity: the fields
        // are aligned and written as a whole. If these values are outdated at the call below, the
        // kernel warns there, as in C.
        let (policy, cpus) = unsafe {
            (
                (&raw const (*current).policy).read_volatile(),
                (&raw const (*current).nr_cpus_allowed).read_volatile(),
            )
        };
        if policy != bindings::SCHED_FIFO || cpus != 1 {
            return Err(EPERM);
        }

        // SAFETY: The current task is a kernel thread, by the invariants of `Context`. It has a
        // FIFO policy and one CPU, as tested, and the core marked it so that user space cannot move
        // it. The durations are in range.
        unsafe { bindings::play_idle_precise(duration as u64, max_latency as u64) };
        Ok(())
    }
}
