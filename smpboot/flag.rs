// SPDX-License-Identifier: GPL-2.0

//! The flag that a wake sets and a run clears.
//!
//! The kernel crate's atomics are calls into C unless the kernel is built with
//! `CONFIG_RUST_INLINE_HELPERS`. A wake and a run are little more than a change of this flag, so here
//! that is one instruction, as C makes it of `xchg()` and `READ_ONCE()`, where it is known which.

use kernel::sync::atomic::Atomic;
#[cfg(not(CONFIG_X86_64))]
use kernel::sync::atomic::Full;

/// A flag that is not set when its memory is zeroed.
#[repr(transparent)]
pub(super) struct Flag(Atomic<u32>);

impl Flag {
    /// Whether it is set. No order: `READ_ONCE()`.
    #[inline(always)]
    pub(super) fn is_set(&self) -> bool {
        // SAFETY: Valid and aligned, by the guarantees of `as_ptr`. All that write it while it is
        // shared do so atomically.
        unsafe { self.0.as_ptr().read_volatile() != 0 }
    }

    /// Sets it, with a full memory barrier before and after.
    #[cfg(CONFIG_X86_64)]
    #[inline(always)]
    pub(super) fn set(&self) {
        // SAFETY: Changes memory that is valid and aligned, by the guarantees of `as_ptr`. A locked
        // instruction is atomic, and a full barrier; without `nomem`, the compiler's too.
        unsafe {
            core::arch::asm!(
                "lock or dword ptr [{flag}], 1",
                flag = in(reg) self.0.as_ptr(),
                options(nostack)
            )
        };
    }

    /// Clears it, with a full memory barrier before and after.
    #[cfg(CONFIG_X86_64)]
    #[inline(always)]
    pub(super) fn clear(&self) {
        // SAFETY: As in `set`.
        unsafe {
            core::arch::asm!(
                "lock and dword ptr [{flag}], 0",
                flag = in(reg) self.0.as_ptr(),
                options(nostack)
            )
        };
    }

    /// Sets it, with a full memory barrier before and after.
    #[cfg(not(CONFIG_X86_64))]
    #[inline(always)]
    pub(super) fn set(&self) {
        self.0.xchg(1, Full);
    }

    /// Clears it, with a full memory barrier before and after.
    #[cfg(not(CONFIG_X86_64))]
    #[inline(always)]
    pub(super) fn clear(&self) {
        self.0.xchg(0, Full);
    }
}
