// SPDX-License-Identifier: GPL-2.0

//! The static behind a registration, and the protocol that registrations follow.
//!
//! The callbacks of hotplug threads and of hotplug states get a CPU number and nothing else: what
//! else they need must hang off a static. Rust has no statics per instantiation of a generic
//! function (they are shared by all instantiations), so the static is made by a macro, next to
//! the type that it is for, and found through an `unsafe` trait that only the macro implements.
//! Coherence makes it the only one of its type, and since the trait's function returns the address
//! of that static and nothing else, a callback costs no more to find its state than a C callback.
//!
//! What does not depend on the type is here, once for all types.
//!
//! ```text
//!             claim           open             publish
//!      FREE ---------> BUSY -------> REGISTERING -----> REGISTERED
//!       ^               | ^               |                 |
//!       +-- release ----+ +---- abort ----+                 |
//!                       | +---------- retire ---------------+
//!                       +--- leak ---> REVOKED
//! ```

use super::{
    super::{
        bindings,
        module_scope::{
            ModuleScope,
            Node,
            BUSY,
            FREE,
            REGISTERED,
            REGISTERING,
            REVOKED, //
        },
        seam::EDEADLK, //
    },
    hotplug, //
};
use core::{
    cell::UnsafeCell,
    ptr::{
        null,
        null_mut, //
    }, //
};
use kernel::prelude::*;

/// What only the library has, to find the static of a type.
#[doc(hidden)]
pub struct Access(());

impl Access {
    #[inline(always)]
    pub(in super::super) const fn new() -> Self {
        Self(())
    }
}

/// Does nothing. With it, no other code can implement `Copy` or `Drop` for this.
impl Drop for Access {
    #[inline(always)]
    fn drop(&mut self) {}
}

/// The part of a registration's static that registrations have in common: state and shared value.
///
/// The value has memory of its own: it is pinned, and the static goes away with the module also if the
/// value was leaked.
///
/// # Invariants
///
/// - `scope` and `value` are written only by the task that owns the slot, in the state [`BUSY`], when
///   the C core calls no callbacks, and no registration is left.
/// - In the states [`REGISTERING`], [`REGISTERED`] and [`REVOKED`], and in [`BUSY`] between a successful
///   `claim` and `release`, `scope` is not null, and `value` is that of a `KBox` of the slot's type.
#[repr(C)]
pub(in super::super) struct Slot {
    node: Node,
    scope: UnsafeCell<*const ModuleScope>,
    value: UnsafeCell<*mut c_void>,
    drop_value: unsafe fn(*mut c_void),
    name: &'static CStr,
}

// SAFETY: `scope` and `value` are written as the invariants say; shared references to the value may be
// used by any task, and any task may drop it, because `new` takes only values that are `Send + Sync`.
unsafe impl Sync for Slot {}

impl Slot {
    /// Returns a free slot for values of type `T`. `end` is that of [`Node::new`].
    pub(in super::super) const fn new<T: Send + Sync>(
        name: &'static CStr,
        end: unsafe fn(*const Node),
    ) -> Self {
        /// # Safety
        ///
        /// `value` is that of a `KBox<T>`, and not used any more.
        unsafe fn drop_value<T>(value: *mut c_void) {
            // SAFETY: By the requirements of this function.
            drop(unsafe { KBox::from_raw(value.cast::<T>()) });
        }

        // INVARIANT: The state is `FREE`.
        Self {
            node: Node::new(end),
            scope: UnsafeCell::new(null()),
            value: UnsafeCell::new(null_mut()),
            drop_value: drop_value::<T>,
            name,
        }
    }

    /// Returns the name.
    #[inline(always)]
    pub(in super::super) fn name(&self) -> &'static CStr {
        self.name
    }

    /// Reports what its owner has done to a registration. As `pr_err!`, for a fifth of the code.
    #[cold]
    #[inline]
    fn report(&self, what: &CStr) {
        // SAFETY: The strings that the format asks for.
        unsafe {
            bindings::_printk(
                c"\x013%s: %s: registration %s; it ends with the module\n".as_char_ptr(),
                crate::__LOG_PREFIX.as_ptr(),
                self.name.as_char_ptr(),
                what.as_char_ptr(),
            )
        };
    }

    /// Takes the slot, and puts a value into it: `FREE -> BUSY`.
    ///
    /// On success the caller owns the slot. Process context. Returns `EDEADLK` in a callback, `EBUSY`
    /// if the slot is in use, `ESHUTDOWN` if the module is going away, `ENOMEM`, or what `init` fails
    /// with.
    ///
    /// # Safety
    ///
    /// - `node` is the address of this slot's node, and may be used for all of the static.
    /// - `T` is the slot's type.
    #[inline]
    pub(in super::super) unsafe fn claim<T, E>(
        &'static self,
        node: *const Node,
        scope: &'static ModuleScope,
        init: impl PinInit<T, E>,
    ) -> Result
    where
        Error: From<E>,
    {
        // SAFETY: By the requirements of this function.
        unsafe { self.claim_empty(node, scope) }?;

        let value = KBox::pin_init(init, GFP_KERNEL).inspect_err(|_| {
            // SAFETY: This task owns the slot, which is empty. Only `REGISTERED` may fail.
            let _ = unsafe { self.settle(FREE) };
        })?;
        // SAFETY: The value stays where it is until `drop_value` drops it.
        let value = KBox::into_raw(unsafe { Pin::into_inner_unchecked(value) });
        // SAFETY: This task owns the slot.
        unsafe { *self.value.get() = value.cast() };
        Ok(())
    }

    /// Takes the slot.
    ///
    /// # Safety
    ///
    /// As of `claim`.
    #[inline(never)]
    unsafe fn claim_empty(&'static self, node: *const Node, scope: &'static ModuleScope) -> Result {
        // A callback would wait for the end of itself.
        if hotplug::in_callback(scope) {
            return Err(EDEADLK);
        }
        // SAFETY: In a static.
        unsafe { scope.claim(node) }?;
        // SAFETY: This task owns the slot.
        unsafe { *self.scope.get() = scope };
        Ok(())
    }

    /// # Safety
    ///
    /// As of [`ModuleScope::settle`].
    #[inline]
    unsafe fn settle(&'static self, state: u32) -> Result {
        // SAFETY: The caller owns the slot, so that it has a scope; for the rest, by the requirements of
        // this function.
        unsafe { self.scope().settle(&self.node, state) }
    }

    /// Lets wakers in, before C knows the callbacks: `BUSY -> REGISTERING`.
    ///
    /// # Safety
    ///
    /// The caller owns the slot, in the state `BUSY`, with a value.
    pub(in super::super) unsafe fn open(&'static self) {
        // SAFETY: By the requirements of this function. Only `REGISTERED` may fail.
        let _ = unsafe { self.settle(REGISTERING) };
    }

    /// Completes a registration: to `REGISTERED`. The caller does not own the slot any more.
    ///
    /// Returns `ESHUTDOWN` if the module is going away. Then the registration has no owner, and the
    /// scope ends it.
    ///
    /// # Safety
    ///
    /// The caller owns the slot, in the state `BUSY` or `REGISTERING`, with a value.
    pub(in super::super) unsafe fn publish(&'static self) -> Result {
        // SAFETY: By the requirements of this function.
        unsafe { self.settle(REGISTERED) }
    }

    /// Begins to undo a registration: `REGISTERING -> BUSY`.
    ///
    /// # Safety
    ///
    /// The caller owns the slot, in the state `REGISTERING`.
    pub(in super::super) unsafe fn abort(&'static self) {
        // SAFETY: By the requirements of this function. Only `REGISTERED` may fail.
        let _ = unsafe { self.settle(BUSY) };
    }

    /// Begins to unregister, for the owner of the registration: `REGISTERED -> BUSY`. Waits while the
    /// module's end does so.
    ///
    /// Returns whether the caller owns the slot now. In a callback it does not: the registration is left
    /// to the module's end, with an error in the kernel log. Process context.
    ///
    /// # Safety
    ///
    /// There is a registration.
    #[inline]
    pub(in super::super) unsafe fn retire(&'static self) -> bool {
        // SAFETY: There is a registration.
        let scope = unsafe { self.scope() };
        if hotplug::in_callback(scope) {
            // It would wait for the end of itself.
            self.report(c"dropped in a hotplug callback");
            return false;
        }
        scope.retire(&self.node)
    }

    /// Drops the value, and frees the slot: `BUSY -> FREE`.
    ///
    /// # Safety
    ///
    /// The caller owns the slot, in the state `BUSY`, with a value, to which no references are left.
    #[inline]
    pub(in super::super) unsafe fn release(&'static self) {
        // SAFETY: By the requirements of this function. Only `REGISTERED` may fail.
        unsafe {
            (self.drop_value)(*self.value.get());
            let _ = self.settle(FREE);
        }
    }

    /// Returns whether a registration that its scope ends has an owner, who has leaked it. Reports it
    /// then.
    ///
    /// # Safety
    ///
    /// The caller owns the slot, for its scope.
    #[inline]
    pub(in super::super) unsafe fn is_leaked(&self) -> bool {
        // SAFETY: By the requirements of this function.
        let leaked = !unsafe { self.node.is_abandoned() };
        if leaked {
            self.report(c"was leaked");
        }
        leaked
    }

    /// Marks the slot as used up, and leaks the value: `BUSY -> REVOKED`. For the module's end.
    ///
    /// # Safety
    ///
    /// The caller owns the slot, in the state `BUSY`, with a value.
    pub(in super::super) unsafe fn leak(&'static self) {
        // SAFETY: By the requirements of this function. Only `REGISTERED` may fail.
        let _ = unsafe { self.settle(REVOKED) };
    }

    /// Returns the state, which may change at any time: one of the constants of
    /// [`module_scope`](super::super::module_scope).
    #[inline]
    pub(in super::super) fn state(&self) -> u32 {
        self.node.state()
    }

    /// Returns the scope of the registration.
    ///
    /// # Safety
    ///
    /// The slot is claimed, and stays so: the caller owns it, or there is a registration, or the C core
    /// calls back.
    #[inline(always)]
    pub(in super::super) unsafe fn scope(&self) -> &'static ModuleScope {
        // SAFETY: Not null, and not written, by the type invariants. Scopes are passed as `&'static`.
        unsafe { &**self.scope.get() }
    }

    /// Returns the shared value.
    ///
    /// # Safety
    ///
    /// - `T` is the slot's type.
    /// - There is a value, and it is not dropped during `'a`: there is a registration, or the C core calls
    ///   back.
    #[inline(always)]
    pub(in super::super) unsafe fn value<'a, T>(&'static self) -> &'a T {
        // SAFETY: By the type invariants, and by the requirements of this function. Others have shared
        // references, too.
        unsafe { &*(*self.value.get()).cast::<T>() }
    }
}
