// SPDX-License-Identifier: GPL-2.0

//! The flag that a wake sets and a run clears.

use crate::sync::atomic::{
    Atomic,
    Full,
    Relaxed, //
};

/// A flag. Zeroed memory is a flag that is not set.
#[repr(transparent)]
pub(super) struct Flag(Atomic<u32>);

impl Flag {
    /// Returns whether the flag is set, without ordering, like `READ_ONCE()`.
    #[inline(always)]
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Relaxed) != 0
    }

    /// Sets the flag, with a full memory barrier before and after.
    #[inline(always)]
    pub(super) fn set(&self) {
        self.0.xchg(1, Full);
    }

    /// Clears the flag, with a full memory barrier before and after.
    #[inline(always)]
    pub(super) fn clear(&self) {
        self.0.xchg(0, Full);
    }
}
