// SPDX-License-Identifier: GPL-2.0

//! What differs between the kernel versions that we build for, in one place: what 7.3 has, for 7.2.
//!
//! `Kbuild` sets the cfg.

#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "no module needs all of it"
)]

use kernel::{
    bindings,
    module_param::ModuleParamAccess, //
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
            $crate::smpboot::compat::SpinLockIrq::new(
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
