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
    /// This is the way for a callback to let time pass. Where interrupts are forced into threads, the
    /// hotplug thread `ktimers/N` expires the timers of other sleeps. It is older than a module's
    /// threads and so parks before them. A callback that sleeps on such a timer when its CPU goes down
    /// is never woken, and the CPU-down waits for it. The timer of this sleep expires in the interrupt
    /// itself.
    ///
    /// Interrupts are forced into threads on `PREEMPT_RT`, and on any other kernel that is booted with
    /// `threadirqs`. The sleeps concerned are:
    ///
    /// - `msleep()`, `fsleep()` of four jiffies or more, and every wait with a limit in jiffies;
    /// - on `PREEMPT_RT` also `usleep_range()` and a shorter `fsleep()`, in threads that are not
    ///   real-time.
    ///
    /// Threads of a [`SelfParkingRegistration`](crate::smpboot::SelfParkingRegistration) park before `ktimers`:
    /// they may sleep in any way.
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
