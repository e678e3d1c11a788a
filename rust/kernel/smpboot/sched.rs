// SPDX-License-Identifier: GPL-2.0

//! The scheduling class of a hotplug thread.

use super::super::{
    bindings,
    cpu::Context, //
};
use kernel::{
    prelude::*,
    task::Task, //
};

/// A nice value, from -20 (most favourable) to 19.
///
/// # Examples
///
/// ```
/// use smpboot::Nice;
///
/// const BACKGROUND: Nice = Nice::new::<19>();
/// assert_eq!(Nice::try_new(19)?, BACKGROUND);
/// assert_eq!(Nice::try_new(20), Err(EINVAL));
/// ```
///
/// # Invariants
///
/// The value is between -20 and 19.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Nice(i8);

impl Nice {
    /// Returns the nice value `N`, which the compiler checks.
    pub const fn new<const N: i8>() -> Self {
        const { assert!(N >= -20 && N <= 19, "nice values go from -20 to 19") };
        // INVARIANT: Asserted above.
        Self(N)
    }

    /// Returns `EINVAL` if `value` is out of range.
    pub fn try_new(value: i32) -> Result<Self> {
        if !(-20..=19).contains(&value) {
            return Err(EINVAL);
        }
        // INVARIANT: Tested just now.
        Ok(Self(value as i8))
    }
}

/// The scheduling policy of a hotplug thread.
///
/// The kernel offers modules these choices, but no exact priorities: choosing one requires
/// knowledge of the whole system. [`HotplugThread::sched_policy`] returns the policy.
///
/// [`HotplugThread::sched_policy`]: super::HotplugThread::sched_policy
///
/// # Examples
///
/// ```
/// use smpboot::{Nice, SchedPolicy};
///
/// fn policy(realtime: bool) -> SchedPolicy {
///     if realtime {
///         SchedPolicy::FifoLow
///     } else {
///         SchedPolicy::Normal(Nice::new::<-5>())
///     }
/// }
///
/// assert_ne!(policy(true), policy(false));
/// assert_eq!(policy(false), SchedPolicy::Normal(Nice::try_new(-5)?));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SchedPolicy {
    /// `SCHED_NORMAL`, as any kernel thread starts, with a nice value: `sched_set_normal()`.
    Normal(Nice),
    /// `SCHED_FIFO` in the middle of its range, ahead of all normal tasks: `sched_set_fifo()`.
    Fifo,
    /// `SCHED_FIFO` with the lowest priority: `sched_set_fifo_low()`.
    FifoLow,
}

impl SchedPolicy {
    /// Applies the policy to the current task, the hotplug thread that has this context.
    #[inline]
    pub(super) fn apply(self, _: &Context<'_>) {
        let current = Task::current_raw();

        // SAFETY: `current` is valid for the duration of the call, and the functions require
        // nothing else. A nice value is in range, by its type invariant.
        unsafe {
            match self {
                Self::Normal(nice) => bindings::sched_set_normal(current, nice.0.into()),
                Self::Fifo => bindings::sched_set_fifo(current),
                Self::FifoLow => bindings::sched_set_fifo_low(current),
            }
        }
    }
}
