// SPDX-License-Identifier: GPL-2.0

//! Instructions, raw layouts, and the kernel versions that we build for, in one place.
//!
//! What 7.3 has is made here for 7.2: `smpboot.mk` sets the cfg.
//!
//! The kernel crate's atomics are calls into C unless the kernel is built with
//! `CONFIG_RUST_INLINE_HELPERS`. A wake and a run are little more than a change of a [`Flag`], so here
//! that is one instruction, as C makes it of `xchg()` and `READ_ONCE()`, where it is known which.

use super::bindings;
use kernel::{
    cpu::CpuId,
    ffi::c_ulong,
    module_param::ModuleParamAccess,
    sync::atomic::{
        Atomic,
        Full, //
    },
    task::Task, //
};

#[cfg(not(kernel_7_2))]
mod version {
    use kernel::bindings;

    pub(crate) use kernel::{
        error::code::{
            ECANCELED,
            EDEADLK,
            ESHUTDOWN, //
        },
        interrupt::local_interrupt_disable,
        new_spinlock_irq,
        sync::{
            barrier::smp_mb,
            lock::spinlock::SpinLockIrqGuard,
            rcu::synchronize_rcu,
            SpinLockIrq, //
        },
    };
    pub(crate) use pin_init::{
        raw_init,
        raw_try_init, //
    };

    pub(crate) const HRTIMER_NORESTART: bindings::hrtimer_restart =
        bindings::hrtimer_restart::HRTIMER_NORESTART;

    pub(super) use kernel::module::this_module;
}

#[cfg(kernel_7_2)]
mod version {
    use core::{
        arch::asm,
        mem::ManuallyDrop,
        ptr, //
    };
    use kernel::{
        bindings,
        error::Error,
        ffi::c_char,
        prelude::*,
        sync::{
            atomic::Full,
            barrier,
            lock::{
                spinlock::SpinLockBackend,
                Backend,
                Guard,
                Lock, //
            },
        },
        types::NotThreadSafe,
        ThisModule, //
    };

    pub(crate) const HRTIMER_NORESTART: bindings::hrtimer_restart =
        bindings::hrtimer_restart_HRTIMER_NORESTART;

    pub(crate) const ECANCELED: Error = code(bindings::ECANCELED);
    pub(crate) const EDEADLK: Error = code(bindings::EDEADLK);
    pub(crate) const ESHUTDOWN: Error = code(bindings::ESHUTDOWN);

    const fn code(errno: u32) -> Error {
        // SAFETY: The one field of `Error` is a `NonZeroI32` of the same size, so at offset 0. It is
        // meant to be a negative errno, which this is.
        unsafe { core::mem::transmute(-(errno as i32)) }
    }

    #[inline]
    pub(crate) fn smp_mb(_full: Full) {
        barrier::smp_mb();
    }

    /// Waits for a grace period. Process context; may sleep.
    pub(crate) fn synchronize_rcu() {
        // SAFETY: This may be called wherever one may sleep.
        unsafe { bindings::synchronize_rcu() };
    }

    /// # Safety
    ///
    /// As of [`PinInit::__pinned_init`], which cannot fail.
    pub(crate) unsafe fn raw_init<T>(slot: *mut T, init: impl PinInit<T>) {
        // SAFETY: By the requirements of this function.
        match unsafe { init.__pinned_init(slot) } {
            Ok(()) => {}
        }
    }

    /// # Safety
    ///
    /// As of [`PinInit::__pinned_init`].
    pub(crate) unsafe fn raw_try_init<T, E>(
        slot: *mut T,
        init: impl PinInit<T, E>,
    ) -> Result<(), E> {
        // SAFETY: By the requirements of this function.
        unsafe { init.__pinned_init(slot) }
    }

    pub(super) const fn this_module<M>() -> &'static ThisModule {
        &crate::THIS_MODULE
    }

    /// Interrupts are disabled on this CPU: `local_irq_save()`, which is no function that Rust could
    /// call. Unlike 7.3's, these do not count: they have to be dropped in order. Lockdep is not told.
    pub(crate) struct LocalInterruptDisabled {
        flags: usize,
        _not_send: NotThreadSafe,
    }

    pub(crate) fn local_interrupt_disable() -> LocalInterruptDisabled {
        let flags;
        // SAFETY: Reads the register that has the state, and sets the mask in it.
        unsafe {
            #[cfg(CONFIG_X86_64)]
            asm!("pushfq", "pop {}", "cli", out(reg) flags);
            #[cfg(CONFIG_ARM64)]
            asm!("mrs {}, daif", "msr daifset, #3", out(reg) flags);
        }
        LocalInterruptDisabled {
            flags,
            _not_send: NotThreadSafe,
        }
    }

    impl Drop for LocalInterruptDisabled {
        fn drop(&mut self) {
            // SAFETY: This is still the same CPU: nothing could take its place. The state is that of
            // `local_interrupt_disable`.
            unsafe {
                #[cfg(CONFIG_X86_64)]
                asm!("push {}", "popfq", in(reg) self.flags);
                #[cfg(CONFIG_ARM64)]
                asm!("msr daif, {}", in(reg) self.flags);
            }
        }
    }

    pub(crate) struct SpinLockIrqBackend;

    pub(crate) type SpinLockIrq<T> = Lock<T, SpinLockIrqBackend>;
    pub(crate) type SpinLockIrqGuard<'a, T> = Guard<'a, T, SpinLockIrqBackend>;

    // SAFETY: A `spinlock_t` excludes others; `relock` is the default, which calls `lock`.
    unsafe impl Backend for SpinLockIrqBackend {
        type State = bindings::spinlock_t;
        type GuardState = ManuallyDrop<Option<LocalInterruptDisabled>>;

        unsafe fn init(
            lock: *mut Self::State,
            name: *const c_char,
            key: *mut bindings::lock_class_key,
        ) {
            // SAFETY: By the requirements of this function.
            unsafe { SpinLockBackend::init(lock, name, key) }
        }

        unsafe fn lock(lock: *mut Self::State) -> Self::GuardState {
            // With PREEMPT_RT, as in C: who waits for a spinlock sleeps.
            let irq = (!cfg!(CONFIG_PREEMPT_RT)).then(local_interrupt_disable);
            // SAFETY: By the requirements of this function.
            let () = unsafe { SpinLockBackend::lock(lock) };
            ManuallyDrop::new(irq)
        }

        unsafe fn unlock(lock: *mut Self::State, irq: &Self::GuardState) {
            // SAFETY: By the requirements of this function.
            unsafe { SpinLockBackend::unlock(lock, &()) };
            // SAFETY: The guard comes from `lock`, and whoever calls this forgets it.
            drop(unsafe { ptr::read(&**irq) });
        }

        unsafe fn try_lock(lock: *mut Self::State) -> Option<Self::GuardState> {
            let irq = (!cfg!(CONFIG_PREEMPT_RT)).then(local_interrupt_disable);
            // SAFETY: By the requirements of this function.
            unsafe { SpinLockBackend::try_lock(lock) }.map(|()| ManuallyDrop::new(irq))
        }

        unsafe fn assert_is_held(lock: *mut Self::State) {
            // SAFETY: By the requirements of this function.
            unsafe { SpinLockBackend::assert_is_held(lock) }
        }
    }

    macro_rules! new_spinlock_irq {
        ($inner:expr) => {
            $crate::smpboot::seam::SpinLockIrq::new(
                $inner,
                ::kernel::optional_name!(),
                ::kernel::static_lock_class!(),
            )
        };
    }
    pub(crate) use new_spinlock_irq;
}

pub(crate) use version::*;

/// What C calls `THIS_MODULE`.
pub(crate) const THIS_MODULE: *mut bindings::module =
    version::this_module::<crate::LocalModule>().as_ptr();

/// The value of a module's parameter.
pub(crate) fn param<T: Copy>(param: &ModuleParamAccess<T>) -> T {
    #[cfg(not(kernel_7_2))]
    return param.value();
    #[cfg(kernel_7_2)]
    return *param.value();
}

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
#[cfg(not(all(
    CONFIG_SMP,
    any(CONFIG_X86_64, CONFIG_ARM64, CONFIG_RISCV, CONFIG_LOONGARCH)
)))]
compile_error!("per-CPU storage: this architecture or configuration is not supported yet");

/// Returns the address of `cpu`'s copy of `ptr`, as `per_cpu_ptr()` in C.
///
/// # Safety
///
/// `cpu` must be a possible CPU.
#[allow(
    clippy::pointers_in_nomem_asm_block,
    reason = "the pointer is hidden, not followed"
)]
#[inline(always)]
pub(super) unsafe fn per_cpu_ptr<T>(ptr: *mut T, cpu: u32) -> *mut T {
    let offsets = &raw const bindings::__per_cpu_offset;

    // SAFETY: The array has an entry for each CPU number below `NR_CPUS`, all of which are written
    // once, at boot.
    let offset = unsafe { *offsets.cast::<c_ulong>().add(cpu as usize) };

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
    smp_mb(Full);
}

/// Returns the state of `task`.
///
/// # Safety
///
/// `task` is valid.
#[inline(always)]
pub(super) unsafe fn task_state(task: *mut bindings::task_struct) -> u32 {
    // As `READ_ONCE()`, without the call that an `Atomic` needs.
    // SAFETY: `task` is valid; the scheduler writes its state with `WRITE_ONCE()`.
    unsafe { (&raw const (*task).__state).read_volatile() }
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
