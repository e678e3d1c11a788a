// SPDX-License-Identifier: GPL-2.0

//! The atomic operations that each item costs, as instructions.
//!
//! The kernel crate's atomics are calls into C unless the kernel is built with
//! `CONFIG_RUST_INLINE_HELPERS`. Queueing and running an item takes little more than such
//! operations. So here, as in `rust/kernel/seam.rs`, they are the instructions that C uses, on
//! architectures where these are known.

#[cfg(not(CONFIG_X86_64))]
use kernel::sync::atomic::Full;
use kernel::sync::atomic::{
    Atomic,
    AtomicType, //
};

/// `READ_ONCE()`.
#[inline(always)]
pub(super) fn read_once<T: AtomicType>(from: &Atomic<T>) -> T {
    // SAFETY: Valid and aligned, by the guarantees of `as_ptr`. Each writer writes it atomically
    // while it is shared.
    unsafe { from.as_ptr().read_volatile() }
}

/// `WRITE_ONCE()`.
#[inline(always)]
pub(super) fn write_once<T: AtomicType>(to: &Atomic<T>, value: T) {
    // SAFETY: Valid and aligned, by the guarantees of `as_ptr`. Each access to it is atomic while
    // it is shared.
    unsafe { to.as_ptr().write_volatile(value) }
}

/// [`Atomic::cmpxchg`] of 64 bits, with a full memory barrier.
#[cfg(CONFIG_X86_64)]
#[inline(always)]
pub(super) fn cmpxchg(word: &Atomic<u64>, old: u64, new: u64) -> Result<u64, u64> {
    let was: u64;
    // SAFETY: Changes memory that is valid and aligned, by the guarantees of `as_ptr`. A locked
    // instruction is atomic, and a full barrier; without `nomem`, the compiler's too.
    unsafe {
        core::arch::asm!(
            "lock cmpxchg qword ptr [{word}], {new}",
            word = in(reg) word.as_ptr(),
            new = in(reg) new,
            inout("rax") old => was,
            options(nostack)
        )
    };
    if was == old {
        Ok(was)
    } else {
        Err(was)
    }
}

/// [`Atomic::cmpxchg`] of a pointer, as `cmpxchg` above.
#[cfg(CONFIG_X86_64)]
#[inline(always)]
pub(super) fn cmpxchg_ptr<T>(
    word: &Atomic<*mut T>,
    old: *mut T,
    new: *mut T,
) -> Result<*mut T, *mut T> {
    let was: *mut T;
    // SAFETY: As in `cmpxchg`.
    unsafe {
        core::arch::asm!(
            "lock cmpxchg qword ptr [{word}], {new}",
            word = in(reg) word.as_ptr(),
            new = in(reg) new,
            inout("rax") old => was,
            options(nostack)
        )
    };
    if was == old {
        Ok(was)
    } else {
        Err(was)
    }
}

/// [`Atomic::fetch_add`], with a full memory barrier.
#[cfg(CONFIG_X86_64)]
#[inline(always)]
pub(super) fn fetch_add(word: &Atomic<u64>, value: u64) -> u64 {
    let was: u64;
    // SAFETY: As in `cmpxchg`.
    unsafe {
        core::arch::asm!(
            "lock xadd qword ptr [{word}], {value}",
            word = in(reg) word.as_ptr(),
            value = inout(reg) value => was,
            options(nostack)
        )
    };
    was
}

/// [`Atomic::cmpxchg`] of 64 bits, with a full memory barrier if it succeeds.
#[cfg(not(CONFIG_X86_64))]
#[inline(always)]
pub(super) fn cmpxchg(word: &Atomic<u64>, old: u64, new: u64) -> Result<u64, u64> {
    word.cmpxchg(old, new, Full)
}

/// [`Atomic::cmpxchg`] of a pointer, as `cmpxchg` above.
#[cfg(not(CONFIG_X86_64))]
#[inline(always)]
pub(super) fn cmpxchg_ptr<T>(
    word: &Atomic<*mut T>,
    old: *mut T,
    new: *mut T,
) -> Result<*mut T, *mut T> {
    word.cmpxchg(old, new, Full)
}

/// [`Atomic::fetch_add`], with a full memory barrier.
#[cfg(not(CONFIG_X86_64))]
#[inline(always)]
pub(super) fn fetch_add(word: &Atomic<u64>, value: u64) -> u64 {
    word.fetch_add(value, Full)
}
