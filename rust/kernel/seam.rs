// SPDX-License-Identifier: GPL-2.0

//! Instructions, raw layouts, and the kernel versions that we build for, in one place.
//!
//! What differs between the kernels is written so that each of them compiles it. No cfg depends on the
//! version: a stable release may bring to 7.2 what 7.3 has. Where there is no common code,
//! `smpboot.mk` searches the metadata of the kernel's crates and sets `kernel_has_...`.
//!
//! The kernel crate's atomics are calls into C unless the kernel is built with
//! `CONFIG_RUST_INLINE_HELPERS`. A wake and a run are little more than a change of a [`Flag`], so here
//! that is one instruction, as C makes it of `xchg()` and `READ_ONCE()`, where it is known which.

use super::bindings;
use core::borrow::Borrow;
use kernel::{
    cpu::CpuId,
    error::Error,
    ffi::c_ulong,
    module_param::ModuleParamAccess,
    prelude::*,
    sync::atomic::{
        Atomic,
        AtomicType,
        Full, //
    },
    task::Task, //
};

pub(crate) const ECANCELED: Error = code(bindings::ECANCELED);
pub(crate) const EDEADLK: Error = code(bindings::EDEADLK);
pub(crate) const ESHUTDOWN: Error = code(bindings::ESHUTDOWN);

/// `kernel::error::code` of 7.2 lacks these.
const fn code(errno: u32) -> Error {
    // SAFETY: The one field of `Error` is a `NonZeroI32` of the same size, so at offset 0. It is
    // meant to be a negative errno, which this is.
    unsafe { core::mem::transmute(-(errno as i32)) }
}

/// What C calls `THIS_MODULE`.
pub(crate) const THIS_MODULE: *mut bindings::module = &raw mut bindings::__this_module;

/// Returns `EAGAIN` unless the module is live: its `init` has succeeded, and its end has not begun.
#[inline]
pub(super) fn check_live() -> Result {
    // SAFETY: The module's own structure is there as long as its code. Aligned; the kernel writes the
    // state as a whole.
    let state = unsafe { (&raw const (*THIS_MODULE).state).read_volatile() };
    if state == bindings::module_state_MODULE_STATE_LIVE {
        Ok(())
    } else {
        Err(EAGAIN)
    }
}

/// A full memory barrier between CPUs. The kernel's own takes its ordering as an argument since 7.3.
#[inline]
pub(crate) fn smp_mb() {
    // SAFETY: This may be called anywhere.
    unsafe { bindings::smp_mb() };
}

/// Waits for a grace period. Process context; may sleep.
#[inline]
pub(crate) fn synchronize_rcu() {
    // SAFETY: This may be called wherever one may sleep.
    unsafe { bindings::synchronize_rcu() };
}

#[cfg(kernel_has_raw_init)]
pub(crate) use pin_init::{
    raw_init,
    raw_try_init, //
};

/// # Safety
///
/// As of [`PinInit::__pinned_init`], which cannot fail.
#[cfg(not(kernel_has_raw_init))]
pub(crate) unsafe fn raw_init<T>(slot: *mut T, init: impl PinInit<T>) {
    // SAFETY: By the requirements of this function.
    match unsafe { init.__pinned_init(slot) } {
        Ok(()) => {}
    }
}

/// # Safety
///
/// As of [`PinInit::__pinned_init`].
#[cfg(not(kernel_has_raw_init))]
pub(crate) unsafe fn raw_try_init<T, E>(slot: *mut T, init: impl PinInit<T, E>) -> Result<(), E> {
    // SAFETY: By the requirements of this function.
    unsafe { init.__pinned_init(slot) }
}

/// The value of a module's parameter. `value()` of 7.2 returns a reference to it.
pub(crate) fn param<T: Copy>(param: &ModuleParamAccess<T>) -> T {
    *Borrow::<T>::borrow(&param.value())
}

/// `READ_ONCE()`, without the call that a relaxed load needs.
#[inline(always)]
pub(super) fn read_once<T: AtomicType>(atomic: &Atomic<T>) -> T {
    // SAFETY: Valid and aligned, by the guarantees of `as_ptr`. All that write it while it is
    // shared do so atomically. It is an integer or a pointer in all uses, so that one instruction
    // reads it.
    unsafe { atomic.as_ptr().read_volatile() }
}

/// A flag that is not set when its memory is zeroed.
#[repr(transparent)]
pub(super) struct Flag(Atomic<u32>);

impl Flag {
    /// Whether it is set. No order: `READ_ONCE()`.
    #[inline(always)]
    pub(super) fn is_set(&self) -> bool {
        read_once(&self.0) != 0
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

/// Whether `cpu` is in the mask of possible CPUs.
#[inline(always)]
pub(super) fn cpu_possible(cpu: CpuId) -> bool {
    // As `Cpumask::test`, which is a function in C; this is part of every wake.
    let words = (&raw const bindings::__cpu_possible_mask).cast::<usize>();
    let bits = usize::BITS as usize;
    let cpu = cpu.as_u32() as usize;
    // SAFETY: The mask has a bit for each CPU number below `NR_CPUS`, and a `CpuId` is one. It is
    // written at boot only.
    let word = unsafe { *words.add(cpu / bits) };
    word >> (cpu % bits) & 1 != 0
}

// `per_cpu_ptr()` is a macro that architectures may define in their own way. On these it adds
// `__per_cpu_offset[cpu]`; without SMP there is no such array.
#[cfg(not(any(CONFIG_X86_64, CONFIG_ARM64)))]
compile_error!("rust_smpboot supports x86-64 and arm64, not this architecture");
#[cfg(not(CONFIG_SMP))]
compile_error!("rust_smpboot needs a kernel with CONFIG_SMP");

/// Returns the address of `cpu`'s copy of `ptr`, as `per_cpu_ptr()` in C. For a CPU that is not
/// possible it is the address of nothing.
#[allow(
    clippy::pointers_in_nomem_asm_block,
    reason = "the pointer is hidden, not followed"
)]
#[inline(always)]
pub(super) fn per_cpu_ptr<T>(ptr: *mut T, cpu: CpuId) -> *mut T {
    let offsets = &raw const bindings::__per_cpu_offset;

    // SAFETY: The array has an entry for each CPU number below `NR_CPUS`, and a `CpuId` is one.
    // They are written at boot only.
    let offset = unsafe { *offsets.cast::<c_ulong>().add(cpu.as_u32() as usize) };

    #[allow(unused_mut, reason = "only asm changes it")]
    let mut ptr = ptr.wrapping_byte_add(offset);
    // C's macro hides from the compiler where the address comes from, too (`RELOC_HIDE()`): or else
    // it is computed once more for each field.
    // SAFETY: No instruction at all.
    #[cfg(CONFIG_X86_64)]
    unsafe {
        core::arch::asm!("/* {0} */", inout(reg) ptr, options(pure, nomem, nostack, preserves_flags))
    };
    ptr
}

/// As the C macro: the state, and a full barrier.
pub(super) fn set_current_state(state: u32) {
    let current = Task::current_raw();
    // SAFETY: Valid; a task that runs sets its own state, and wakers write it with what C writes it with.
    unsafe { (&raw mut (*current).__state).write_volatile(state) };
    smp_mb();
}

/// Returns the state of `task`: as `READ_ONCE()`, without the call that an `Atomic` needs.
#[inline(always)]
pub(super) fn task_state(task: &Task) -> u32 {
    // SAFETY: A `Task` is valid; the scheduler writes its state with `WRITE_ONCE()`.
    unsafe { (&raw const (*task.as_ptr()).__state).read_volatile() }
}

/// Whether a task waits in the queue. No order.
///
/// # Safety
///
/// `head` is initialized.
#[inline(always)]
pub(super) unsafe fn waitqueue_active(head: *mut bindings::wait_queue_head) -> bool {
    // SAFETY: `head` is initialized; the list is changed under its lock with `WRITE_ONCE()`, and only
    // the address is looked at. `READ_ONCE()`, without the call that an `Atomic` needs.
    unsafe {
        let list = &raw mut (*head).head;
        (&raw const (*list).next).read_volatile() != list
    }
}
