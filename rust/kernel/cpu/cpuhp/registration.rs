// SPDX-License-Identifier: GPL-2.0

//! The registration of a dynamic hotplug state.

use super::{
    super::{
        super::{
            bindings,
            module_scope::ModuleScope, //
        },
        slot::{
            Access,
            Claim,
            Ending,
            Kind,
            Slot, //
        },
        Context, //
    },
    Callbacks,
    Invoke, //
};
use core::{
    cell::Cell,
    marker::PhantomData,
    ops::Deref, //
};
use kernel::{
    cpu::CpuId,
    error::{
        from_result,
        to_result, //
    },
    prelude::*, //
};

type RawCallback = unsafe extern "C" fn(c_uint) -> c_int;

/// Installs a dynamic state. Returns its number, which is positive. Process context.
///
/// # Safety
///
/// The callbacks may be called until [`remove_state`] returns, and by `remove_state`.
#[inline]
pub(in super::super::super) unsafe fn setup_state(
    name: &'static CStr,
    invoke: Invoke,
    startup: Option<RawCallback>,
    teardown: Option<RawCallback>,
) -> Result<c_int> {
    // SAFETY: The name is static; the callbacks are valid for as long as the state is installed,
    // by the requirements of this function.
    let state = unsafe {
        bindings::__cpuhp_setup_state(
            bindings::cpuhp_state_CPUHP_AP_ONLINE_DYN,
            name.as_char_ptr(),
            invoke == Invoke::Yes,
            startup,
            teardown,
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
/// `state` comes from [`setup_state`], and is still installed.
#[inline]
pub(in super::super::super) unsafe fn remove_state(state: c_int, invoke: Invoke) {
    // SAFETY: By the requirements of this function.
    unsafe {
        bindings::__cpuhp_remove_state(state as bindings::cpuhp_state, invoke == Invoke::Yes)
    };
}

/// The data of one registration of a hotplug state.
///
/// # Invariants
///
/// Only the task that owns the entry uses `installed`. In the state `REGISTERED` it holds the
/// number of an installed hotplug state, and its [`Invoke`].
struct State {
    startup: Option<RawCallback>,
    teardown: Option<RawCallback>,
    installed: Cell<(c_int, Invoke)>,
}

// SAFETY: Only the owner of the entry uses `installed`.
unsafe impl Sync for State {}

impl Claim<State> {
    /// Installs the callbacks. On error, the entry is free, or the scope ends the registration.
    #[inline]
    fn register(self, invoke: Invoke) -> Result {
        let this = self.entry();
        // SAFETY: The callbacks are static, and so is the name. The state is removed before the
        // module's code is freed: by the owner of the registration, or by the scope, which has the
        // entry in its list. The value that the callbacks use exists, and is dropped after the
        // removal.
        let result = unsafe { setup_state(this.name(), invoke, this.startup, this.teardown) };
        match result {
            Ok(state) => {
                this.installed.set((state, invoke));
                // INVARIANT: The state was installed above.
                self.publish()
            }
            Err(e) => {
                self.release();
                Err(e)
            }
        }
    }
}

impl Kind for State {
    #[inline]
    fn end(ending: Ending<Self>) {
        let leaked = ending.is_leaked();
        let (state, invoke) = ending.entry().installed.get();
        // SAFETY: Installed, by the type invariants, and removed only here.
        unsafe { remove_state(state, invoke) };
        if leaked {
            ending.revoke();
        } else {
            // SAFETY: The core does not call the callbacks any more, and the registration is not
            // leaked.
            unsafe { ending.ended() }.release();
        }
    }
}

/// The static that [`cpuhp_state!`](crate::cpuhp_state) makes.
#[doc(hidden)]
#[repr(transparent)]
pub struct StateSlot<T: Callbacks>(Slot<T, State>);

impl<T: Callbacks> StateSlot<T> {
    /// Returns an empty slot.
    #[allow(clippy::new_without_default, reason = "only for statics")]
    pub const fn new() -> Self {
        let state = State {
            startup: if T::HAS_STARTUP {
                Some(Self::startup_callback)
            } else {
                None
            },
            teardown: if T::HAS_TEARDOWN {
                Some(Self::teardown_callback)
            } else {
                None
            },
            installed: Cell::new((0, Invoke::No)),
        };
        Self(Slot::new(T::NAME, state))
    }

    /// Returns the slot of `T`.
    #[inline(always)]
    fn get() -> &'static Slot<T, State> {
        &T::slot(Access::new()).0
    }

    /// Returns the shared value and the context for a callback.
    ///
    /// # Safety
    ///
    /// Called by the hotplug core, on the CPU `cpu`, in a callback that lasts for `'a`.
    #[inline(always)]
    unsafe fn call<'a>(cpu: c_uint) -> (&'a T, Context<'a>) {
        // SAFETY: The core calls back only while the state is installed, and as long as it is, a
        // value of type `T` exists.
        let shared = unsafe { Self::get().value() };
        // SAFETY: The core passes the number of a possible CPU.
        let cpu = unsafe { CpuId::from_u32_unchecked(cpu) };
        // SAFETY: The hotplug thread of `cpu` calls back in a context that may sleep.
        (shared, unsafe { Context::new(cpu) })
    }

    /// # Safety
    ///
    /// Called by the hotplug core, on the CPU `cpu`.
    unsafe extern "C" fn startup_callback(cpu: c_uint) -> c_int {
        // SAFETY: By the requirements of this function.
        let (shared, cx) = unsafe { Self::call(cpu) };

        from_result(|| {
            shared.startup(&cx)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the hotplug core, on the CPU `cpu`.
    unsafe extern "C" fn teardown_callback(cpu: c_uint) -> c_int {
        // SAFETY: By the requirements of this function.
        let (shared, cx) = unsafe { Self::call(cpu) };

        shared.teardown(&cx);
        0
    }
}

/// Hotplug callbacks, installed until this is dropped. Dereferences to the shared value.
///
/// Dropping it waits for the hotplug lock: process context, and not in a callback. This and leaks
/// work as for [`smpboot::Registration`](crate::smpboot::Registration).
///
/// # Invariants
///
/// `new` moved the slot of `T` to the state `REGISTERED`. It is still there, or its scope is moving
/// or has moved it from there to `REVOKED`.
pub struct Registration<T: Callbacks>(PhantomData<fn(T) -> T>);

impl<T: Callbacks> Registration<T> {
    /// Makes the shared value with `init`, and installs the callbacks.
    ///
    /// Process context, with no hotplug lock held. Waits for a CPU hotplug operation in progress.
    /// The end of the module waits for this function, and so for `init` and `startup`.
    ///
    /// # Errors
    ///
    /// - `EBUSY`: the callbacks of `T` are installed, or were leaked.
    /// - `EDEADLK`: called in the callback of a hotplug thread or a hotplug state.
    /// - `ENOSPC`: the kernel has no dynamic state left. There are 41. It also logs a warning.
    /// - `ENOMEM`: no memory for the shared value.
    /// - `ESHUTDOWN`: the module is ending, or began to end during the call.
    /// - The error of `init` or `startup`.
    ///
    /// After an error nothing stays installed: `teardown` has run for each CPU for which `startup`
    /// had run. With `ESHUTDOWN` it may run later, but before the module has ended.
    pub fn new<E>(
        scope: &'static ModuleScope,
        invoke: Invoke,
        init: impl PinInit<T, E>,
    ) -> Result<Self>
    where
        Error: From<E>,
    {
        StateSlot::<T>::get().claim(scope, init)?.register(invoke)?;
        // INVARIANT: Registered just now.
        Ok(Self(PhantomData))
    }
}

impl<T: Callbacks> Deref for Registration<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariant the slot holds a value. Only `unregister` drops it, which
        // only the drop of `self` calls; otherwise it is leaked.
        unsafe { StateSlot::<T>::get().value() }
    }
}

impl<T: Callbacks> Drop for Registration<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `self` is the registration.
        unsafe { StateSlot::<T>::get().entry().unregister() };
    }
}
