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
/// When it [has passed](Self::has_passed), every RCU read-side critical section that was in
/// progress when this was made has ended, and its memory accesses are visible.
///
/// # Examples
///
/// ```
/// use library::rcu::GracePeriod;
///
/// let gp = GracePeriod::start();
/// gp.wait();
/// assert!(gp.has_passed());
///
/// // A reader that began before it holds it up.
/// let reader = kernel::sync::rcu::read_lock();
/// assert!(!GracePeriod::start().has_passed());
/// # drop(reader);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GracePeriod(c_ulong);

impl GracePeriod {
    /// Asks RCU for a grace period: `start_poll_synchronize_rcu()`. Any context but NMI.
    ///
    /// Unpublish first, call this then: a new reader finds what was stored before the call.
    #[inline]
    pub fn start() -> Self {
        // SAFETY: May be called anywhere but in NMI, which Rust code cannot be reached from.
        Self(unsafe { bindings::start_poll_synchronize_rcu() })
    }

    /// Returns whether it has passed: `poll_state_synchronize_rcu()`. Any context but NMI.
    ///
    /// If it has not, this asks for one again. `rcu_state.gp_seq_polled` counts normal and
    /// expedited grace periods as one where they overlap. A state that was taken while an expedited
    /// one was under way may then need one more when both have ended, and RCU, which did what it
    /// was asked for, rests until another caller needs a grace period.
    #[inline]
    pub fn has_passed(self) -> bool {
        // SAFETY: The state comes from `start_poll_synchronize_rcu()`.
        let passed = unsafe { bindings::poll_state_synchronize_rcu(self.0) };
        if !passed {
            Self::start();
        }
        passed
    }

    /// Waits until it has passed: `cond_synchronize_rcu()`. Process context.
    #[inline]
    pub fn wait(self) {
        // SAFETY: The state comes from `start_poll_synchronize_rcu()`.
        unsafe { bindings::cond_synchronize_rcu(self.0) };
    }
}
