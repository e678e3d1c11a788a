// SPDX-License-Identifier: GPL-2.0

//! Grace periods of RCU that are polled.
//!
//! [`kernel::sync::rcu`] waits for a grace period. A callback of a hotplug thread must not: a CPU
//! that goes offline waits for the callback, and where `rcuc/N` runs RCU's callbacks, that thread
//! has parked before. Such a caller keeps a [`GracePeriod`] and asks it later. No RCU callback is
//! involved, so none can run after its module was unloaded.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)

use kernel::{
    bindings,
    prelude::*, //
};

/// A grace period that begins when this is made, or later.
///
/// When it [has passed](Self::has_passed), each RCU read-side critical section that was in progress
/// when this was made has ended, and its memory accesses are visible.
///
/// # Examples
///
/// ```
/// use library::rcu::GracePeriod;
///
/// // A reader that began before a grace period delays it.
/// let reader = kernel::sync::rcu::read_lock();
/// let gp = GracePeriod::start();
/// assert!(!gp.has_passed());
/// drop(reader);
///
/// // Returns once the reader has ended.
/// gp.wait();
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GracePeriod(c_ulong);

impl GracePeriod {
    /// Asks RCU for a grace period: `start_poll_synchronize_rcu()`. Any context but NMI.
    ///
    /// Unpublish first, then call this: a new reader sees all stores before the call.
    #[inline]
    pub fn start() -> Self {
        // SAFETY: May be called anywhere but in NMI, where this Rust code never runs.
        Self(unsafe { bindings::start_poll_synchronize_rcu() })
    }

    /// Returns whether the grace period has passed: `poll_state_synchronize_rcu()`. Any context but
    /// NMI.
    ///
    /// If it has not, this asks for another one. `rcu_state.gp_seq_polled` counts overlapping
    /// normal and expedited grace periods as one. A state that was taken during an expedited grace
    /// period may then need another when both have ended. RCU has done what this type asked for,
    /// and would not start that one until another caller needs a grace period.
    #[inline]
    pub fn has_passed(self) -> bool {
        // SAFETY: The state comes from `start_poll_synchronize_rcu()`.
        let passed = unsafe { bindings::poll_state_synchronize_rcu(self.0) };
        if !passed {
            Self::start();
        }
        passed
    }

    /// Waits until the grace period has passed: `cond_synchronize_rcu()`. Process context.
    ///
    /// [`has_passed`](Self::has_passed) may ask for another grace period after that, see there.
    #[inline]
    pub fn wait(self) {
        // SAFETY: The state comes from `start_poll_synchronize_rcu()`.
        unsafe { bindings::cond_synchronize_rcu(self.0) };
    }
}
