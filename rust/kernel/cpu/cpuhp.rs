// SPDX-License-Identifier: GPL-2.0

//! Dynamic CPU hotplug states.
//!
//! A CPU goes online by climbing a ladder of states, and offline by climbing down; each state has a
//! startup and a teardown callback. This module registers a pair of them at
//! `CPUHP_AP_ONLINE_DYN`, the part of the ladder where the CPU is up and schedules, and anybody may
//! have a state. It is not tied to hotplug threads, and normal hotplug threads are further down the
//! ladder: on the way up they run before these callbacks, on the way down after them.
//!
//! C header: [`include/linux/cpuhotplug.h`](srctree/include/linux/cpuhotplug.h)

use super::{
    slot::Access,
    Context, //
};
use kernel::{
    error::VTABLE_DEFAULT_ERROR,
    prelude::*, //
};

mod registration;

pub use registration::Registration;
#[doc(hidden)]
pub use registration::StateSlot;
pub(in super::super) use registration::{
    remove_state,
    setup_state, //
};

/// Whether the callbacks also run for CPUs that are online already when they are registered, and
/// still when they are unregistered.
///
/// # Examples
///
/// ```
/// # use kernel::sync::atomic::{Atomic, Relaxed};
/// use smpboot::{cpuhp, hotplug};
///
/// struct Starts(Atomic<usize>);
///
/// #[vtable]
/// impl cpuhp::Callbacks for Starts {
///     const NAME: &'static CStr = c"example/starts:online";
///
///     fn startup(&self, _cx: &Context<'_>) -> Result {
///         self.0.add(1, Relaxed);
///         Ok(())
///     }
/// }
///
/// cpuhp_state!(Starts);
///
/// let all = cpuhp::Registration::new(scope, cpuhp::Invoke::Yes, Starts(Atomic::new(0)))?;
/// assert_eq!(all.0.load(Relaxed), hotplug::online_cpus().count());
/// drop(all);
///
/// let later = cpuhp::Registration::new(scope, cpuhp::Invoke::No, Starts(Atomic::new(0)))?;
/// assert_eq!(later.0.load(Relaxed), 0);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invoke {
    /// `cpuhp_setup_state()`: `startup` runs for all online CPUs while registering, `teardown`
    /// while unregistering.
    Yes,
    /// `cpuhp_setup_state_nocalls()`: only CPUs that come and go in between.
    No,
}

/// A type that has a static of its own for the registration of its callbacks.
///
/// Implemented by [`cpuhp_state!`](crate::cpuhp_state).
///
/// # Safety
///
/// `slot` must return the address of the same static whenever it is called, and no other
/// implementation may return that static.
pub unsafe trait HasStateSlot: Sized + 'static {
    #[doc(hidden)]
    fn slot(_: Access) -> &'static StateSlot<Self>
    where
        Self: Callbacks;
}

/// Makes the static that the registration of [`Callbacks`] needs. The type must be a concrete one.
///
/// There is an example at [`Callbacks`].
#[macro_export]
macro_rules! cpuhp_state {
    ($type:ty) => {
        // SAFETY: The static is made here, inside the function, where nothing else can name it.
        unsafe impl $crate::smpboot::cpuhp::HasStateSlot for $type {
            #[inline(always)]
            fn slot(
                _: $crate::smpboot::SlotAccess,
            ) -> &'static $crate::smpboot::cpuhp::StateSlot<Self> {
                static SLOT: $crate::smpboot::cpuhp::StateSlot<$type> =
                    $crate::smpboot::cpuhp::StateSlot::new();
                &SLOT
            }
        }
    };
}

/// What happens when a CPU comes and when it goes.
///
/// Both callbacks run in the CPU's own hotplug thread, `cpuhp/N`, on that CPU, while it is online,
/// and may sleep. The task that changes the CPU's state waits, with the hotplug lock held; what
/// [`Context`] says about that lock holds here too. One that is not written is NULL for the core.
///
/// # Examples
///
/// ```
/// use kernel::sync::atomic::{Atomic, Relaxed};
/// use smpboot::{cpuhp, hotplug, PerCpu};
///
/// struct Up(PerCpu<Atomic<bool>>);
///
/// #[vtable]
/// impl cpuhp::Callbacks for Up {
///     const NAME: &'static CStr = c"example/up:online";
///
///     fn startup(&self, cx: &Context<'_>) -> Result {
///         self.0.of(cx).store(true, Relaxed);
///         Ok(())
///     }
///
///     fn teardown(&self, cx: &Context<'_>) {
///         self.0.of(cx).store(false, Relaxed);
///     }
/// }
///
/// cpuhp_state!(Up);
///
/// let up = Up(PerCpu::new(|_cpu| Atomic::<bool>::new(false))?);
/// let up = cpuhp::Registration::new(scope, cpuhp::Invoke::Yes, up)?;
///
/// let cpus = hotplug::CpusReadGuard::new(scope)?;
/// for (cpu, is_up) in up.0.iter() {
///     assert_eq!(is_up.load(Relaxed), hotplug::is_online(cpu));
/// }
/// // To unregister takes the same lock.
/// drop(cpus);
/// drop(up);
/// ```
#[vtable]
pub trait Callbacks: HasStateSlot + Send + Sync {
    /// The name of the state in `/sys/devices/system/cpu/hotplug/states`, by custom
    /// `subsystem/driver:online`.
    const NAME: &'static CStr;

    /// A CPU has come online, or, with [`Invoke::Yes`], is online while this is being registered.
    ///
    /// An error undoes the CPU-up, or the registration: `teardown` runs for the CPUs that this had
    /// run for.
    ///
    /// It also follows [`teardown`](Self::teardown) when a later step of the CPU-down fails. An error
    /// then undoes nothing, as in C: the kernel warns (in `cpuhp_thread_fun()`; with `panic_on_warn`
    /// that is a panic), and the CPU stays online between two states, with all states above this one
    /// torn down. So return an error only for what `teardown` has not undone.
    fn startup(&self, _cx: &Context<'_>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// A CPU is about to go offline, or, with [`Invoke::Yes`], this is being unregistered.
    ///
    /// It cannot fail: the kernel has no way back from a failed teardown. It does not mean that the
    /// CPU will be gone: when a later step of a CPU-down fails, `startup` follows, and should succeed.
    fn teardown(&self, _cx: &Context<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}
