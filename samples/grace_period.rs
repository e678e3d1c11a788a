// SPDX-License-Identifier: GPL-2.0

//! Grace periods of RCU that are asked about, not waited for.
//!
//! [`kernel::sync::rcu`] can wait for a grace period. Whoever has other things to do meanwhile, or
//! must not wait, takes a [`GracePeriod`] along and asks it later. No callback is involved, and
//! so there is nothing that could run after its module is gone.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)

use kernel::{
    bindings,
    prelude::*, //
};

/// A grace period that began after this was made, or will.
///
/// When it [has passed](Self::has_passed), every RCU read-side critical section that was in
/// progress when this was made has ended, and what it did is visible.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GracePeriod(c_ulong);

impl GracePeriod {
    /// Asks RCU for a grace period: `start_poll_synchronize_rcu()`. Any context but NMI.
    ///
    /// What the caller stored before this is what new readers find: unpublish first, ask then.
    pub fn start() -> Self {
        // SAFETY: May be called anywhere but in NMI, which Rust code cannot be reached from.
        Self(unsafe { bindings::start_poll_synchronize_rcu() })
    }

    /// Whether it has passed: `poll_state_synchronize_rcu()`. Any context but NMI.
    ///
    /// If it has not, this asks for one again. `rcu_state.gp_seq_polled` counts normal and
    /// expedited grace periods as one where they overlap. A state that was taken while an expedited
    /// one was under way may then still wait for one more when both have ended, and RCU, which did
    /// what it was asked for, rests until somebody else needs a grace period.
    pub fn has_passed(self) -> bool {
        // SAFETY: The state comes from `start_poll_synchronize_rcu()`.
        let passed = unsafe { bindings::poll_state_synchronize_rcu(self.0) };
        if !passed {
            Self::start();
        }
        passed
    }

    /// Waits until it has passed: `cond_synchronize_rcu()`. Process context.
    pub fn wait(self) {
        // SAFETY: The state comes from `start_poll_synchronize_rcu()`.
        unsafe { bindings::cond_synchronize_rcu(self.0) };
    }
}
