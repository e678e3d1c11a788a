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
    super::{
        bindings,
        module_scope::{
            ModuleScope,
            Revoke, //
        },
        seam::EDEADLK, //
    },
    hotplug::{
        self,
        CpusReadGuard, //
    },
    slot::Slot,
    Context, //
};
use core::{
    marker::PhantomData,
    ops::Deref, //
};
use kernel::{
    error::{
        from_result,
        to_result,
        VTABLE_DEFAULT_ERROR, //
    },
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    task::Task, //
};

/// Whether the callbacks also run for CPUs that are online already when they are registered, and
/// still when they are unregistered.
///
/// # Examples
///
/// ```
/// use smpboot::cpuhp::Invoke;
///
/// // What exists per CPU already is to be found, too.
/// let invoke = Invoke::Yes;
/// # let _ = invoke;
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
    fn slot() -> &'static StateSlot<Self>
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
            fn slot() -> &'static $crate::smpboot::cpuhp::StateSlot<Self> {
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
/// use smpboot::cpuhp;
///
/// struct Log;
///
/// #[vtable]
/// impl cpuhp::Callbacks for Log {
///     const NAME: &'static CStr = c"example/log:online";
///
///     fn startup(&self, cx: &Context<'_>) -> Result {
///         pr_info!("CPU {} is here\n", cx.cpu().as_u32());
///         Ok(())
///     }
///
///     fn teardown(&self, cx: &Context<'_>) {
///         pr_info!("CPU {} leaves\n", cx.cpu().as_u32());
///     }
/// }
///
/// cpuhp_state!(Log);
///
/// let log = cpuhp::Registration::new(scope, cpuhp::Invoke::Yes, Log)?;
/// # drop(log);
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
    fn startup(&self, _cx: &Context<'_>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// A CPU is about to go offline, or, with [`Invoke::Yes`], this is being unregistered.
    ///
    /// It cannot fail: the kernel has no way back from a failed teardown. It does not mean that the
    /// CPU will be gone: when a later step of a CPU-down fails, `startup` follows.
    fn teardown(&self, _cx: &Context<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

type RawCallback = unsafe extern "C" fn(c_uint) -> c_int;

/// Installs a dynamic state. Process context.
///
/// # Safety
///
/// The callbacks may be called until [`remove_state`] returns, and by `remove_state`.
pub(in super::super) unsafe fn setup_state(
    name: &'static CStr,
    invoke: Invoke,
    startup: RawCallback,
    teardown: RawCallback,
) -> Result<c_int> {
    // SAFETY: The name is static; the callbacks are valid for as long as the state is installed,
    // by the requirements of this function.
    let state = unsafe {
        bindings::__cpuhp_setup_state(
            bindings::cpuhp_state_CPUHP_AP_ONLINE_DYN,
            name.as_char_ptr(),
            invoke == Invoke::Yes,
            Some(startup),
            Some(teardown),
            false,
        )
    };
    to_result(state)?;
    Ok(state)
}

/// Removes a dynamic state. Process context.
///
/// # Safety
///
/// `state` comes from [`setup_state`], and has not been removed.
pub(in super::super) unsafe fn remove_state(state: c_int, invoke: Invoke) {
    // SAFETY: By the requirements of this function.
    unsafe {
        bindings::__cpuhp_remove_state(state as bindings::cpuhp_state, invoke == Invoke::Yes)
    };
}

/// The static that [`cpuhp_state!`](crate::cpuhp_state) makes.
///
/// # Invariants
///
/// In the state `REGISTERED`, `state` is the number of an installed hotplug state, and `invoke`
/// says how it was installed.
#[doc(hidden)]
pub struct StateSlot<T: Callbacks> {
    slot: Slot<T>,
    state: Atomic<i32>,
    invoke: Atomic<bool>,
}

impl<T: Callbacks> StateSlot<T> {
    /// An empty slot.
    #[allow(clippy::new_without_default, reason = "only for statics")]
    pub const fn new() -> Self {
        Self {
            slot: Slot::new(),
            state: Atomic::new(0),
            invoke: Atomic::new(false),
        }
    }

    fn register<E>(
        &'static self,
        scope: &'static ModuleScope,
        cpus: Option<&CpusReadGuard>,
        invoke: Invoke,
        init: impl PinInit<T, E>,
    ) -> Result
    where
        Error: From<E>,
    {
        if hotplug::in_callback() {
            return Err(EDEADLK);
        }

        self.slot.claim(init)?;
        // SAFETY: This task owns the slot.
        unsafe { self.register_claimed(scope, cpus, invoke) }.inspect_err(|_| {
            // SAFETY: This task owns the slot, in the state `BUSY` again, and the callbacks are not
            // installed.
            unsafe { self.slot.release() }
        })
    }

    /// # Safety
    ///
    /// The caller owns the slot, in the state `BUSY`, with a value in it. It still does on error.
    unsafe fn register_claimed(
        &'static self,
        scope: &'static ModuleScope,
        cpus: Option<&CpusReadGuard>,
        invoke: Invoke,
    ) -> Result {
        scope.add(self)?;

        // SAFETY: This task owns the slot, in the state `BUSY`, with a value.
        unsafe { self.slot.open() };

        let step = bindings::cpuhp_state_CPUHP_AP_ONLINE_DYN;
        let name = T::NAME.as_char_ptr();
        let invoke_now = invoke == Invoke::Yes;
        let startup: Option<RawCallback> = if T::HAS_STARTUP {
            Some(Self::startup_callback)
        } else {
            None
        };
        let teardown: Option<RawCallback> = if T::HAS_TEARDOWN {
            Some(Self::teardown_callback)
        } else {
            None
        };
        // Two calls, not one through a pointer: for CFI, a C function with an `enum` among its
        // parameters is of another type than Rust's declaration of it.
        //
        // SAFETY: The name is static, and so are the callbacks: the state is removed before the
        // module goes away, because `scope` knows of it. The value that they use is there. The
        // first function needs the hotplug lock, which `cpus` stands for.
        let state = unsafe {
            match cpus {
                Some(_) => bindings::__cpuhp_setup_state_cpuslocked(
                    step, name, invoke_now, startup, teardown, false,
                ),
                None => {
                    bindings::__cpuhp_setup_state(step, name, invoke_now, startup, teardown, false)
                }
            }
        };

        if let Err(e) = to_result(state) {
            // SAFETY: This task owns the slot, in the state `REGISTERING`.
            unsafe { self.slot.abort() };
            scope.remove(self);
            return Err(e);
        }

        self.state.store(state, Relaxed);
        self.invoke.store(invoke == Invoke::Yes, Relaxed);
        // SAFETY: This task owns the slot, in the state `REGISTERING`.
        // INVARIANT: The state was installed above.
        unsafe { self.slot.publish() };
        Ok(())
    }

    /// Removes the state.
    ///
    /// # Safety
    ///
    /// The caller owns the slot, moved from `REGISTERED` to `BUSY` by `retire`.
    unsafe fn remove(&self, cpus: Option<&CpusReadGuard>) {
        let state = self.state.load(Relaxed) as bindings::cpuhp_state;
        let invoke = self.invoke.load(Relaxed);

        // SAFETY: The state is installed, by the type invariant. The first function needs the
        // hotplug lock, which `cpus` stands for.
        unsafe {
            match cpus {
                Some(_) => bindings::__cpuhp_remove_state_cpuslocked(state, invoke),
                None => bindings::__cpuhp_remove_state(state, invoke),
            }
        }
    }

    fn unregister(&'static self, scope: &'static ModuleScope, cpus: Option<&CpusReadGuard>) {
        if hotplug::in_callback() {
            pr_err!(
                "{}: registration dropped in a hotplug callback; it ends with the module\n",
                T::NAME.to_str().unwrap_or_default()
            );
            return;
        }

        if !self.slot.retire() {
            return;
        }
        scope.remove(self);
        // SAFETY: `retire` gave the slot to this task.
        unsafe { self.remove(cpus) };
        // SAFETY: The callbacks are removed, and the registration, through which others referred to
        // the value, is being dropped.
        unsafe { self.slot.release() };
    }

    /// # Safety
    ///
    /// Called by the hotplug core, on the CPU `cpu`.
    unsafe extern "C" fn startup_callback(cpu: c_uint) -> c_int {
        // SAFETY: The core calls back only while the state is installed.
        let shared = unsafe { Self::shared() };
        // SAFETY: The hotplug thread of `cpu` calls back in a context that may sleep.
        let cx = unsafe { Context::new(cpu) };

        from_result(|| {
            shared.startup(&cx)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the hotplug core, on the CPU `cpu`.
    unsafe extern "C" fn teardown_callback(cpu: c_uint) -> c_int {
        // SAFETY: The core calls back only while the state is installed.
        let shared = unsafe { Self::shared() };
        // SAFETY: The hotplug thread of `cpu` calls back in a context that may sleep.
        let cx = unsafe { Context::new(cpu) };

        shared.teardown(&cx);
        0
    }

    /// # Safety
    ///
    /// For callbacks only.
    unsafe fn shared<'a>() -> &'a T {
        // SAFETY: The current task is a hotplug thread, `cpuhp/N`.
        let thread_fn = unsafe { bindings::kthread_func(Task::current_raw()) };
        hotplug::THREAD_FN.store(thread_fn as usize, Relaxed);

        // SAFETY: The slot holds a value while the state is installed.
        unsafe { T::slot().slot.value() }
    }
}

impl<T: Callbacks> Revoke for StateSlot<T> {
    fn revoke(&self) {
        let this = T::slot();
        if this.slot.retire() {
            pr_warn!(
                "{}: registration was leaked; its callbacks end with the module\n",
                T::NAME.to_str().unwrap_or_default()
            );
            // SAFETY: `retire` gave the slot to this task.
            unsafe { this.remove(None) };
            // SAFETY: This task owns the slot.
            unsafe { this.slot.leak() };
        }
    }
}

/// Hotplug callbacks, installed until this is dropped. Gives access to the shared value.
///
/// Dropping it waits for the hotplug lock: process context, and not in a callback; see
/// [`smpboot::Registration`](crate::smpboot::Registration), which is alike in this and in what becomes of
/// leaks.
///
/// # Examples
///
/// With the hotplug lock held, the online CPUs are the same before and after:
///
/// ```
/// # use smpboot::{cpuhp, hotplug::{self, CpusReadGuard}};
/// # struct Log;
/// # #[vtable]
/// # impl cpuhp::Callbacks for Log {
/// #     const NAME: &'static CStr = c"example/log:online";
/// # }
/// # cpuhp_state!(Log);
/// let cpus = CpusReadGuard::new()?;
/// let count = hotplug::online_cpus().count();
/// let log = cpuhp::Registration::new_cpuslocked(scope, &cpus, cpuhp::Invoke::No, Log)?;
/// drop(cpus);
/// # let _ = (count, log);
/// ```
///
/// # Invariants
///
/// The slot of `T` is in the state `REGISTERED`, by `register`, or in the state `REVOKED`.
pub struct Registration<T: Callbacks> {
    scope: &'static ModuleScope,
    _slot: PhantomData<fn() -> T>,
}

impl<T: Callbacks> Registration<T> {
    /// Installs the callbacks, with the value that `init` makes.
    ///
    /// Process context; waits for a CPU hotplug operation in progress.
    ///
    /// # Errors
    ///
    /// - `EBUSY`: the callbacks of `T` are installed.
    /// - `EDEADLK`: called in the callback of a hotplug thread or a hotplug state.
    /// - `ENOSPC`: the kernel has no dynamic state left (there are 40).
    /// - `ESHUTDOWN`: the module is going away.
    /// - what `init` or `startup` fails with.
    pub fn new<E>(
        scope: &'static ModuleScope,
        invoke: Invoke,
        init: impl PinInit<T, E>,
    ) -> Result<Self>
    where
        Error: From<E>,
    {
        T::slot().register(scope, None, invoke, init)?;
        // INVARIANT: Registered just now.
        Ok(Self {
            scope,
            _slot: PhantomData,
        })
    }

    /// Like [`new`](Self::new), for a caller that holds the hotplug lock.
    pub fn new_cpuslocked<E>(
        scope: &'static ModuleScope,
        cpus: &CpusReadGuard,
        invoke: Invoke,
        init: impl PinInit<T, E>,
    ) -> Result<Self>
    where
        Error: From<E>,
    {
        T::slot().register(scope, Some(cpus), invoke, init)?;
        // INVARIANT: Registered just now.
        Ok(Self {
            scope,
            _slot: PhantomData,
        })
    }

    /// Like dropping it, for a caller that holds the hotplug lock.
    pub fn remove_cpuslocked(self, cpus: &CpusReadGuard) {
        T::slot().unregister(self.scope, Some(cpus));
        core::mem::forget(self);
    }
}

impl<T: Callbacks> Deref for Registration<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: By the type invariant the slot holds a value. It is dropped by `unregister`,
        // which takes dropping `self`, or never.
        unsafe { T::slot().slot.value() }
    }
}

impl<T: Callbacks> Drop for Registration<T> {
    fn drop(&mut self) {
        T::slot().unregister(self.scope, None);
    }
}
