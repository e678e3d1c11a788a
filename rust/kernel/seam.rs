// SPDX-License-Identifier: GPL-2.0

//! Instructions, raw layouts and differences between kernel versions, in one place.
//!
//! Where the kernels differ, the code is written so that it compiles with each of them. No cfg
//! depends on the version: a stable release of 7.2 may backport a change of 7.3. Where no common
//! code exists, `smpboot.mk` searches the metadata of the kernel's crates and sets
//! `kernel_has_...`.
//!
//! The kernel crate's atomics are calls into C unless the kernel is built with
//! `CONFIG_RUST_INLINE_HELPERS`. A wake and a run do little more than change a [`Flag`]. So here
//! each change is one instruction, like those that C compiles `xchg()` and `READ_ONCE()` to, on
//! architectures where we know it.

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

/// Makes the errors that `kernel::error::code` of 7.2 lacks.
const fn code(errno: u32) -> Error {
    // SAFETY: The only field of `Error` is a `NonZeroI32` of the same size, so at offset 0. Its
    // value must be a negative errno, which this is.
    unsafe { core::mem::transmute(-(errno as i32)) }
}

/// C's `THIS_MODULE`.
pub(crate) const THIS_MODULE: *mut bindings::module = &raw mut bindings::__this_module;

/// Returns `EAGAIN` unless the module is live: its `init` has succeeded, and its unloading has not
/// begun.
#[inline]
pub(super) fn check_live() -> Result {
    // SAFETY: The module's own structure exists as long as its code. The field is aligned, and the
    // kernel writes it as a whole.
    let state = unsafe { (&raw const (*THIS_MODULE).state).read_volatile() };
    if state == bindings::module_state_MODULE_STATE_LIVE {
        Ok(())
    } else {
        Err(EAGAIN)
    }
}

/// Executes a full memory barrier between CPUs. Since 7.3 the kernel crate's function takes the
/// ordering as an argument.
#[inline]
pub(crate) fn smp_mb() {
    // SAFETY: This function has no requirements.
    unsafe { bindings::smp_mb() };
}

/// Waits for a grace period. Process context; may sleep.
#[inline]
pub(crate) fn synchronize_rcu() {
    // SAFETY: The caller is in process context and may sleep, which is the only requirement.
    unsafe { bindings::synchronize_rcu() };
}

#[cfg(kernel_has_raw_init)]
pub(crate) use pin_init::{
    raw_init,
    raw_try_init, //
};

/// # Safety
///
/// The requirements of [`PinInit::__pinned_init`], for an initializer that cannot fail.
#[cfg(not(kernel_has_raw_init))]
pub(crate) unsafe fn raw_init<T>(slot: *mut T, init: impl PinInit<T>) {
    // SAFETY: By the requirements of this function.
    match unsafe { init.__pinned_init(slot) } {
        Ok(()) => {}
    }
}

/// # Safety
///
/// The requirements of [`PinInit::__pinned_init`].
#[cfg(not(kernel_has_raw_init))]
pub(crate) unsafe fn raw_try_init<T, E>(slot: *mut T, init: impl PinInit<T, E>) -> Result<(), E> {
    // SAFETY: By the requirements of this function.
    unsafe { init.__pinned_init(slot) }
}

/// Returns the value of a module's parameter. `value()` of 7.2 returns a reference to it.
pub(crate) fn param<T: Copy>(param: &ModuleParamAccess<T>) -> T {
    *Borrow::<T>::borrow(&param.value())
}

/// Loads the value like `READ_ONCE()`, without the call that a relaxed load needs.
#[inline(always)]
pub(super) fn read_once<T: AtomicType>(atomic: &Atomic<T>) -> T {
    // SAFETY: Valid and aligned, by the guarantees of `as_ptr`. While it is shared, all writes to
    // it are atomic. It is an integer or a pointer in all uses, so one instruction reads it.
    unsafe { atomic.as_ptr().read_volatile() }
}

/// A flag. Zeroed memory is a flag that is not set.
#[repr(transparent)]
pub(super) struct Flag(Atomic<u32>);

impl Flag {
    /// Returns whether the flag is set, without ordering, like `READ_ONCE()`.
    #[inline(always)]
    pub(super) fn is_set(&self) -> bool {
        read_once(&self.0) != 0
    }

    /// Sets the flag, with a full memory barrier before and after.
    #[cfg(CONFIG_X86_64)]
    #[inline(always)]
    pub(super) fn set(&self) {
        // SAFETY: The instruction changes memory that is valid and aligned, by the guarantees of
        // `as_ptr`. A locked instruction is atomic and a full barrier; without `nomem` it is a
        // compiler barrier, too.
        unsafe {
            core::arch::asm!(
                "lock or dword ptr [{flag}], 1",
                flag = in(reg) self.0.as_ptr(),
                options(nostack)
            )
        };
    }

    /// Clears the flag, with a full memory barrier before and after.
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

    /// Sets the flag, with a full memory barrier before and after.
    #[cfg(not(CONFIG_X86_64))]
    #[inline(always)]
    pub(super) fn set(&self) {
        self.0.xchg(1, Full);
    }

    /// Clears the flag, with a full memory barrier before and after.
    #[cfg(not(CONFIG_X86_64))]
    #[inline(always)]
    pub(super) fn clear(&self) {
        self.0.xchg(0, Full);
    }
}

/// Returns whether `cpu` is in the mask of possible CPUs.
#[inline(always)]
pub(super) fn cpu_possible(cpu: CpuId) -> bool {
    // Like `Cpumask::test`, but without its call into C: every wake needs this.
    let words = (&raw const bindings::__cpu_possible_mask).cast::<usize>();
    let bits = usize::BITS as usize;
    let cpu = cpu.as_u32() as usize;
    // SAFETY: The mask has a bit for each CPU number below `NR_CPUS`, and a `CpuId` is one. The
    // mask is written only at boot.
    let word = unsafe { *words.add(cpu / bits) };
    word >> (cpu % bits) & 1 != 0
}

// `per_cpu_ptr()` is a macro that each architecture may define. On these it adds
// `__per_cpu_offset[cpu]`; without SMP that array does not exist.
#[cfg(not(any(CONFIG_X86_64, CONFIG_ARM64, CONFIG_ARM, CONFIG_LOONGARCH)))]
compile_error!("rust_smpboot supports x86-64, arm64, arm and loongarch, not this architecture");
#[cfg(not(CONFIG_SMP))]
compile_error!("rust_smpboot needs a kernel with CONFIG_SMP");

/// Allocates zeroed per-CPU storage of at least one byte. Process context. Returns null if the
/// allocator cannot.
#[inline]
pub(super) fn alloc_percpu(size: usize, align: usize) -> *mut c_void {
    // SAFETY: Any size and alignment are valid. The caller ensures process context.
    unsafe { bindings::pcpu_alloc_noprof(size, align, false, bindings::GFP_KERNEL) }
}

/// Returns the address of `cpu`'s copy of `ptr`, like `per_cpu_ptr()` in C. For a CPU that is not
/// possible the address is invalid.
#[allow(
    clippy::pointers_in_nomem_asm_block,
    reason = "the pointer is hidden, not followed"
)]
#[inline(always)]
pub(super) fn per_cpu_ptr<T>(ptr: *mut T, cpu: CpuId) -> *mut T {
    let offsets = &raw const bindings::__per_cpu_offset;

    // SAFETY: The array has an entry for each CPU number below `NR_CPUS`, and a `CpuId` is one. The
    // entries are written only at boot.
    let offset = unsafe { *offsets.cast::<c_ulong>().add(cpu.as_u32() as usize) };

    #[allow(unused_mut, reason = "only asm changes it")]
    let mut ptr = ptr.wrapping_byte_add(offset);
    // Like C's macro, this hides the origin of the address from the compiler (`RELOC_HIDE()`).
    // Otherwise the compiler computes the address again for each field.
    // SAFETY: This emits no instruction.
    #[cfg(CONFIG_X86_64)]
    unsafe {
        core::arch::asm!("/* {0} */", inout(reg) ptr, options(pure, nomem, nostack, preserves_flags))
    };
    ptr
}

/// Stores the state and executes a full barrier, like the C macro.
pub(super) fn set_current_state(state: u32) {
    let current = Task::current_raw();
    // SAFETY: `current` is valid. A running task sets its own state, with the same store as in C,
    // which allows for concurrent wakers.
    unsafe { (&raw mut (*current).__state).write_volatile(state) };
    smp_mb();
}

/// Returns the state of `task`, like `READ_ONCE()`, without the call that an `Atomic` needs.
#[inline(always)]
pub(super) fn task_state(task: &Task) -> u32 {
    // SAFETY: A `Task` is valid. The scheduler writes its state with `WRITE_ONCE()`.
    unsafe { (&raw const (*task.as_ptr()).__state).read_volatile() }
}

/// Returns whether a task waits in the queue, without ordering.
///
/// # Safety
///
/// `head` is initialized.
#[inline(always)]
pub(super) unsafe fn waitqueue_active(head: *mut bindings::wait_queue_head) -> bool {
    // SAFETY: `head` is initialized. The list is changed under its lock with `WRITE_ONCE()`, and
    // only the address is used. This is `READ_ONCE()`, without the call that an `Atomic` needs.
    unsafe {
        let list = &raw mut (*head).head;
        (&raw const (*list).next).read_volatile() != list
    }
}
