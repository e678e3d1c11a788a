// SPDX-License-Identifier: GPL-2.0

//! The kernel's spinlock that disables interrupts, or an equivalent for a kernel that lacks it
//! (7.2).

#[cfg(kernel_has_spin_lock_irq)]
mod lock {
    pub(crate) use kernel::{
        interrupt::local_interrupt_disable,
        new_spinlock_irq,
        sync::{
            lock::spinlock::SpinLockIrqGuard,
            SpinLockIrq, //
        },
    };
}

#[cfg(not(kernel_has_spin_lock_irq))]
mod lock {
    use core::{
        arch::asm,
        mem::ManuallyDrop,
        ptr, //
    };
    use kernel::{
        bindings,
        ffi::c_char,
        sync::lock::{
            spinlock::SpinLockBackend,
            Backend,
            Guard,
            Lock, //
        },
        types::NotThreadSafe, //
    };

    /// A guard that keeps interrupts disabled on this CPU: `local_irq_save()`, a macro that bindgen
    /// cannot bind. Unlike 7.3's, these guards do not nest by a count: drop them in reverse order.
    /// Lockdep does not see them.
    pub(crate) struct LocalInterruptDisabled {
        flags: usize,
        _not_send: NotThreadSafe,
    }

    pub(crate) fn local_interrupt_disable() -> LocalInterruptDisabled {
        let flags;
        // SAFETY: Reads the register with the interrupt state, and sets the mask in it.
        unsafe {
            #[cfg(CONFIG_X86_64)]
            asm!("pushfq", "pop {}", "cli", out(reg) flags);
            #[cfg(CONFIG_ARM64)]
            asm!("mrs {}, daif", "msr daifset, #3", out(reg) flags);
            #[cfg(CONFIG_ARM)]
            asm!("mrs {}, cpsr", "cpsid i", out(reg) flags);
            // Exchanges the bit of the mask, IE.
            #[cfg(CONFIG_LOONGARCH)]
            asm!("csrxchg {}, $t0, 0", inout(reg) 0usize => flags, in("$t0") 4usize);
        }
        LocalInterruptDisabled {
            flags,
            _not_send: NotThreadSafe,
        }
    }

    impl Drop for LocalInterruptDisabled {
        fn drop(&mut self) {
            // SAFETY: This is still the same CPU: with interrupts off, the task cannot migrate. The
            // state is that of `local_interrupt_disable`.
            unsafe {
                #[cfg(CONFIG_X86_64)]
                asm!("push {}", "popfq", in(reg) self.flags);
                #[cfg(CONFIG_ARM64)]
                asm!("msr daif, {}", in(reg) self.flags);
                #[cfg(CONFIG_ARM)]
                asm!("msr cpsr_c, {}", in(reg) self.flags);
                #[cfg(CONFIG_LOONGARCH)]
                asm!("csrxchg {}, $t0, 0", inout(reg) self.flags => _, in("$t0") 4usize);
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
            // With PREEMPT_RT, as in C, a task that waits for a spinlock sleeps.
            let irq = (!cfg!(CONFIG_PREEMPT_RT)).then(local_interrupt_disable);
            // SAFETY: By the requirements of this function.
            let () = unsafe { SpinLockBackend::lock(lock) };
            ManuallyDrop::new(irq)
        }

        unsafe fn unlock(lock: *mut Self::State, irq: &Self::GuardState) {
            // SAFETY: By the requirements of this function.
            unsafe { SpinLockBackend::unlock(lock, &()) };
            // SAFETY: The guard comes from `lock`, and the caller forgets it.
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
            SpinLockIrq::new(
                $inner,
                ::kernel::optional_name!(),
                ::kernel::static_lock_class!(),
            )
        };
    }
    pub(crate) use new_spinlock_irq;
}

pub(crate) use lock::*;
