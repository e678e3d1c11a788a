// SPDX-License-Identifier: GPL-2.0

//! Dynamic CPU hotplug states.
//!
//! To come online, a CPU passes through a sequence of states; to go offline, it passes through them
//! in reverse order. Each state has a startup and a teardown callback. This module registers a pair
//! of them at `CPUHP_AP_ONLINE_DYN`: the states that any driver may allocate, in which the CPU is
//! up and schedules. It is independent of hotplug threads. Normal hotplug threads have a lower
//! state: they are unparked before these startups run, and parked after these teardowns have run.
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

/// Whether registering runs `startup` for the CPUs that are online already, and unregistering runs
/// `teardown` for the CPUs that are still online.
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
    /// `cpuhp_setup_state_nocalls()`: the callbacks run only when a CPU comes online or goes
    /// offline.
    No,
}

/// A type with its own static for the registration of its callbacks.
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

/// Makes the static that the registration of [`Callbacks`] needs. The type must be concrete.
///
/// [`Callbacks`] has an example.
#[macro_export]
macro_rules! cpuhp_state {
    ($type:ty) => {
        // SAFETY: The static is made here, inside the function, where no other code can name it.
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

/// The callbacks of a hotplug state: one when a CPU comes online, one when it goes offline.
///
/// Both callbacks run in the CPU's own hotplug thread, `cpuhp/N`, on that CPU, while it is online,
/// and may sleep. The task that changes the CPU's state waits, with the hotplug lock held; the
/// rules of [`Context`] about that lock hold here too. A callback that the type does not implement
/// is NULL in the core.
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
/// // Unregistering takes the same lock.
/// drop(cpus);
/// drop(up);
/// ```
#[vtable]
pub trait Callbacks: HasStateSlot + Send + Sync {
    /// The name of the state in `/sys/devices/system/cpu/hotplug/states`, by custom
    /// `subsystem/driver:online`.
    const NAME: &'static CStr;

    /// Runs when a CPU has come online; with [`Invoke::Yes`] also during registration, for each
    /// online CPU.
    ///
    /// An error rolls back the CPU-up, or the registration: `teardown` runs for the CPUs for which
    /// this has run.
    ///
    /// When a later step of a CPU-down fails, this runs after [`teardown`](Self::teardown). An
    /// error then rolls nothing back, as in C: the kernel warns (in `cpuhp_thread_fun()`; with
    /// `panic_on_warn` that is a panic), and the CPU stays online between two states, with all
    /// states above this one torn down. So return an error only from work that `teardown` does not
    /// undo.
    fn startup(&self, _cx: &Context<'_>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Runs before a CPU goes offline; with [`Invoke::Yes`] also during unregistration, for each
    /// online CPU.
    ///
    /// It cannot fail: an error during unregistration would be a `BUG()`, in `cpuhp_issue_call()`.
    /// The CPU may stay online: when a later step of a CPU-down fails, `startup` follows, and
    /// should succeed.
    fn teardown(&self, _cx: &Context<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}
