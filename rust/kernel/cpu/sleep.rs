// SPDX-License-Identifier: GPL-2.0

//! Sleeping in a callback until a task waits for the thread to park or stop.
//!
//! C header: [`include/linux/hrtimer.h`](srctree/include/linux/hrtimer.h)

use super::{
    super::{
        bindings,
        seam::set_current_state, //
    },
    Context, //
};
use kernel::time::Delta;

impl Context<'_> {
    /// Sleeps until `duration` has passed, or until a task waits for this thread to park or to
    /// stop.
    ///
    /// Returns whether all of the time has passed. In [`park`](crate::smpboot::HotplugThread::park)
    /// and [`cleanup`](crate::smpboot::HotplugThread::cleanup) it returns `false` at once. Wakes of
    /// the thread do not end the sleep: they stay pending until the next
    /// [`run`](crate::smpboot::HotplugThread::run). Do not call this where sleeping is not allowed.
    ///
    /// Callbacks should sleep only with this function. Where interrupts are forced into threads,
    /// the hotplug thread `ktimers/N` expires the timers of other sleeps. It is older than a
    /// module's threads, so it parks before them. A callback that sleeps on such a timer when its
    /// CPU goes offline is never woken, and the CPU-down waits for it. The timer of this sleep
    /// expires in the interrupt itself.
    ///
    /// Interrupts are forced into threads on `PREEMPT_RT`, and on any other kernel that is booted
    /// with `threadirqs`. The sleeps concerned are:
    ///
    /// - `msleep()`, `fsleep()` of four jiffies or more, and every wait with a limit in jiffies;
    /// - on `PREEMPT_RT` also `usleep_range()` and a shorter `fsleep()`, in threads that are not
    ///   real-time.
    ///
    /// Threads of a [`SelfParkingRegistration`](crate::smpboot::SelfParkingRegistration) park
    /// before `ktimers`: they may use any sleep.
    pub fn sleep(&self, duration: Delta) -> bool {
        // SAFETY: May be called once timekeeping is initialized, which is before modules are
        // loaded.
        let now = unsafe { bindings::ktime_get() };
        let mut end = now.saturating_add(duration.as_nanos());
        loop {
            set_current_state(bindings::TASK_IDLE);
            // A task that parks or stops the thread first sets the flag and then wakes the thread:
            // either this sees the flag, or the task sees the state and ends the sleep.
            if self.should_park() || self.should_stop() {
                set_current_state(bindings::TASK_RUNNING);
                return false;
            }
            let mode = bindings::hrtimer_mode_HRTIMER_MODE_ABS_HARD;
            // SAFETY: Process context, with preemption on, by the invariants of `Context`; `end` is
            // valid for the call. Returns as `TASK_RUNNING`.
            if unsafe { bindings::schedule_hrtimeout_range(&mut end, 0, mode) } == 0 {
                return true;
            }
        }
    }
}

/// Does nothing. With it, no other code can implement `Copy` or `Drop` for this.
impl Drop for Context<'_> {
    #[inline(always)]
    fn drop(&mut self) {}
}
