// SPDX-License-Identifier: GPL-2.0

//! The registration of a dynamic hotplug state.

use super::{
    super::{
        super::{
            bindings,
            module_scope::{
                ModuleScope,
                NodeRef,
                Owned, //
            }, //
        },
        slot::{
            Access,
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
    ops::Deref,
    ptr::NonNull, //
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
/// `state` comes from [`setup_state`], and has not been removed.
#[inline]
pub(in super::super::super) unsafe fn remove_state(state: c_int, invoke: Invoke) {
    // SAFETY: By the requirements of this function.
    unsafe {
        bindings::__cpuhp_remove_state(state as bindings::cpuhp_state, invoke == Invoke::Yes)
    };
}

/// All of a registration but its type.
///
/// # Invariants
///
/// `installed` is used only by the task that owns the slot. In the state `REGISTERED` it has the number of
/// an installed hotplug state, and how it was installed.
#[repr(C)]
struct Core {
    slot: Slot,
    installed: Cell<(c_int, Invoke)>,
    startup: Option<RawCallback>,
    teardown: Option<RawCallback>,
}

// SAFETY: `installed` is used by the owner of the slot.
unsafe impl Sync for Core {}

impl Core {
    fn node(&'static self) -> NodeRef {
        // SAFETY: The node is the first field, and the address is that of the whole, which is static.
        unsafe { NodeRef::new(NonNull::from(self).cast()) }
    }

    /// Installs the callbacks. On error, the slot is free, or the scope ends the registration.
    ///
    /// # Safety
    ///
    /// `owned` is the ownership of this slot, which has a value.
    #[inline]
    unsafe fn register(&'static self, owned: Owned, invoke: Invoke) -> Result {
        // SAFETY: The callbacks are static, and so is the name. The state is removed before the module goes
        // away: by the owner of the registration, or by the scope, which has the slot in its list. The
        // value that they use is there, and is dropped after that.
        let result = unsafe { setup_state(self.slot.name(), invoke, self.startup, self.teardown) };
        match result {
            Ok(state) => {
                self.installed.set((state, invoke));
                // INVARIANT: The state was installed above.
                owned.publish()
            }
            Err(e) => {
                // SAFETY: By the requirements of this function. The callbacks are not installed, and there
                // is no registration.
                unsafe { self.slot.release(owned) };
                Err(e)
            }
        }
    }

    /// # Safety
    ///
    /// There is a registration, which is being dropped.
    #[inline]
    unsafe fn unregister(&'static self) {
        if let Some(owned) = self.slot.retire(self.node()) {
            // SAFETY: It is the ownership of this slot, which was registered.
            unsafe { Self::end(owned) };
        }
    }

    /// Removes the hotplug state. Frees the slot, or revokes it if the owner of the registration may still
    /// be using that.
    ///
    /// # Safety
    ///
    /// As of the function that [`Node::new`](super::super::super::module_scope::Node::new) takes; the node
    /// is that of a `Core`.
    #[inline]
    unsafe fn end(owned: Owned) {
        // SAFETY: The address that `node` returned, of a `Core` in a static.
        let this: &'static Self = unsafe { &*owned.node().as_ptr().cast() };
        let leaked = this.slot.is_leaked(&owned);
        let (state, invoke) = this.installed.get();
        // SAFETY: Installed, by the type invariants, and removed only here.
        unsafe { remove_state(state, invoke) };
        if leaked {
            owned.revoke();
        } else {
            // SAFETY: No callbacks come any more, and there is no registration, as it is abandoned.
            unsafe { this.slot.release(owned) };
        }
    }
}

/// The static that [`cpuhp_state!`](crate::cpuhp_state) makes.
#[doc(hidden)]
#[repr(transparent)]
pub struct StateSlot<T: Callbacks> {
    core: Core,
    _value: PhantomData<fn(T) -> T>,
}

impl<T: Callbacks> StateSlot<T> {
    /// An empty slot.
    #[allow(clippy::new_without_default, reason = "only for statics")]
    pub const fn new() -> Self {
        Self {
            core: Core {
                slot: Slot::new::<T>(T::NAME, Core::end),
                installed: Cell::new((0, Invoke::No)),
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
            },
            _value: PhantomData,
        }
    }

    /// Returns the slot of `T`.
    #[inline(always)]
    fn get() -> &'static Core {
        &T::slot(Access::new()).core
    }

    /// Returns what a callback works with.
    ///
    /// # Safety
    ///
    /// Called by the hotplug core, on the CPU `cpu`, in a callback that lasts for `'a`.
    #[inline(always)]
    unsafe fn call<'a>(cpu: c_uint) -> (&'a T, Context<'a>) {
        // SAFETY: The core calls back only while the state is installed, for as long as there is a value
        // of type `T`.
        let shared = unsafe { Self::get().slot.value() };
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

/// Hotplug callbacks, installed until this is dropped. Gives access to the shared value.
///
/// Dropping it waits for the hotplug lock: process context, and not in a callback; see
/// [`smpboot::Registration`](crate::smpboot::Registration), which is alike in this and in what becomes of
/// leaks.
///
/// # Invariants
///
/// The slot of `T` is in the state `REGISTERED`, by `new`, or is or was moved from there to `REVOKED` by
/// its scope.
pub struct Registration<T: Callbacks>(PhantomData<fn(T) -> T>);

impl<T: Callbacks> Registration<T> {
    /// Installs the callbacks, with the value that `init` makes.
    ///
    /// Process context, with no hotplug lock held; waits for a CPU hotplug operation in progress. The
    /// end of the module waits for this function, and so for `init` and `startup`.
    ///
    /// # Errors
    ///
    /// - `EBUSY`: the callbacks of `T` are installed, or were leaked.
    /// - `EDEADLK`: called in the callback of a hotplug thread or a hotplug state.
    /// - `ENOSPC`: the kernel has no dynamic state left (there are 40).
    /// - `ENOMEM`: no memory for the shared value.
    /// - `ESHUTDOWN`: the module is going away, or began to while this ran.
    /// - the error of `init` or `startup`.
    ///
    /// On error nothing stays: `teardown` has run where `startup` had. With `ESHUTDOWN` it may run
    /// later, before the module has ended.
    pub fn new<E>(
        scope: &'static ModuleScope,
        invoke: Invoke,
        init: impl PinInit<T, E>,
    ) -> Result<Self>
    where
        Error: From<E>,
    {
        let core = StateSlot::<T>::get();
        // SAFETY: It is the node of this slot, which is that of `T`.
        let owned = unsafe { core.slot.claim::<T, E>(core.node(), scope, init) }?;
        // SAFETY: It is the ownership of this slot.
        unsafe { core.register(owned, invoke) }?;
        // INVARIANT: Registered just now.
        Ok(Self(PhantomData))
    }
}

impl<T: Callbacks> Deref for Registration<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariant there is a value. It is dropped by `unregister`, which takes
        // dropping `self`, or never.
        unsafe { StateSlot::<T>::get().slot.value() }
    }
}

impl<T: Callbacks> Drop for Registration<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: This is the registration.
        unsafe { StateSlot::<T>::get().unregister() };
    }
}
