// SPDX-License-Identifier: GPL-2.0

//! Sleeping in a callback, but not when somebody waits for the thread.
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
    /// Sleeps until `duration` has passed, or until somebody waits for this thread to park or to stop.
    ///
    /// Returns whether all of the time has passed; at once, with `false`, in
    /// [`park`](crate::smpboot::HotplugThread::park) and [`cleanup`](crate::smpboot::HotplugThread::cleanup). Wakes of the
    /// thread do not end it: they are for the next [`run`](crate::smpboot::HotplugThread::run). May not be called
    /// where sleeping is not allowed.
    ///
    /// This is the way for a callback to let time pass. On `PREEMPT_RT` others are woken by the hotplug
    /// thread `ktimers/N`, which is older than a module's threads and so parks before them: `msleep()`,
    /// whatever waits with a limit in jiffies, and, in threads that are not real-time, `usleep_range()`. A
    /// callback that sleeps like that when its CPU goes down is never woken, and the CPU-down waits for
    /// it. The timer of this sleep expires in the interrupt itself.
    pub fn sleep(&self, duration: Delta) -> bool {
        // SAFETY: May be called once time is kept, which is before modules.
        let now = unsafe { bindings::ktime_get() };
        let mut end = now.saturating_add(duration.as_nanos());
        loop {
            set_current_state(bindings::TASK_IDLE);
            // Whoever wants the thread parked or stopped says so first, and then wakes it: either it is
            // seen here, or it finds the state, and ends the sleep.
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
