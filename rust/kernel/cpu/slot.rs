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
//!                       +-- revoke --> REVOKED
//! ```

use super::{
    super::{
        bindings,
        module_scope::{
            ModuleScope,
            Node,
            NodeRef,
            Owned, //
        }, //
    },
    hotplug, //
};
use core::{
    cell::Cell,
    ptr::null_mut, //
};
use kernel::{
    prelude::*,
    types::ForeignOwnable, //
};

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
/// - `value` is written only by the task that owns the node, in the state `BUSY`, when the C core calls
///   no callbacks, and no registration is left.
/// - In the states `REGISTERING`, `REGISTERED` and `REVOKED`, and in `BUSY` between a successful
///   `claim` and `release`, `value` is that of a `KBox` of the slot's type.
#[repr(C)]
pub(in super::super) struct Slot {
    node: Node,
    value: Cell<*mut c_void>,
    drop_value: unsafe fn(*mut c_void),
    name: &'static CStr,
}

// SAFETY: `value` is written as the invariants say; shared references to the value may be used by any
// task, and any task may drop it, because `new` takes only values that are `Send + Sync`.
unsafe impl Sync for Slot {}

impl Slot {
    /// Returns a free slot for values of type `T`. `end` is that of [`Node::new`].
    pub(in super::super) const fn new<T: Send + Sync + 'static>(
        name: &'static CStr,
        end: unsafe fn(Owned),
    ) -> Self {
        /// # Safety
        ///
        /// `value` is that of a `KBox<T>`, and not used any more.
        unsafe fn drop_value<T: 'static>(value: *mut c_void) {
            // SAFETY: By the requirements of this function.
            drop(unsafe { Pin::<KBox<T>>::from_foreign(value) });
        }

        // INVARIANT: The state is `FREE`.
        Self {
            node: Node::new(end),
            value: Cell::new(null_mut()),
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
    /// On success the caller owns the slot, with a value. Process context. Returns `EDEADLK` in a callback,
    /// `EBUSY` if the slot is in use, `ESHUTDOWN` if the module is going away, `ENOMEM`, or what `init`
    /// fails with.
    ///
    /// # Safety
    ///
    /// - `node` is the node of this slot.
    /// - `T` is the slot's type.
    #[inline]
    pub(in super::super) unsafe fn claim<T: 'static, E>(
        &'static self,
        node: NodeRef,
        scope: &'static ModuleScope,
        init: impl PinInit<T, E>,
    ) -> Result<Owned>
    where
        Error: From<E>,
    {
        let owned = scope.claim_outside(node)?;
        match KBox::pin_init(init, GFP_KERNEL) {
            Ok(value) => {
                // INVARIANT: This task owns the slot, which is of this type.
                self.value.set(value.into_foreign());
                Ok(owned)
            }
            Err(e) => {
                owned.free();
                Err(e.into())
            }
        }
    }

    /// Begins to unregister, for the owner of the registration: `REGISTERED -> BUSY`. Waits while the
    /// module's end does so.
    ///
    /// Returns `None` if the module's end has done it, and in a callback: there the registration is left
    /// to the module's end, with an error in the kernel log. Process context.
    #[inline]
    pub(in super::super) fn retire(&self, node: NodeRef) -> Option<Owned> {
        let scope = self.node.scope()?;
        if hotplug::in_callback(scope) {
            // It would wait for the end of itself.
            self.report(c"dropped in a hotplug callback");
            return None;
        }
        let owned = scope.retire(node)?;
        owned.abandon();
        Some(owned)
    }

    /// Drops the value, and frees the slot: `BUSY -> FREE`.
    ///
    /// # Safety
    ///
    /// - `owned` is the ownership of this slot, which has a value.
    /// - There are no references to the value: the C core calls no callbacks, and there is no registration.
    #[inline]
    pub(in super::super) unsafe fn release(&'static self, owned: Owned) {
        // SAFETY: By the type invariants, and the requirements of this function.
        unsafe { (self.drop_value)(self.value.get()) };
        owned.free();
    }

    /// Returns whether a registration that ends has an owner, who has leaked it. Reports it then.
    #[inline]
    pub(in super::super) fn is_leaked(&self, owned: &Owned) -> bool {
        let leaked = !owned.is_abandoned();
        if leaked {
            self.report(c"was leaked");
        }
        leaked
    }

    /// Returns the state, which may change at any time: one of the constants of
    /// [`module_scope`](super::super::module_scope).
    #[inline]
    pub(in super::super) fn state(&self) -> u32 {
        self.node.state()
    }

    /// Returns the scope of the registration, if there was one ever.
    #[inline(always)]
    pub(in super::super) fn scope(&self) -> Option<&'static ModuleScope> {
        self.node.scope()
    }

    /// Returns the shared value.
    ///
    /// # Safety
    ///
    /// - `T` is the slot's type.
    /// - There is a value, and it is not dropped during `'a`: there is a registration, or the C core calls
    ///   back.
    #[inline(always)]
    pub(in super::super) unsafe fn value<'a, T: 'static>(&'static self) -> &'a T {
        // SAFETY: By the type invariants, and by the requirements of this function. Others have shared
        // references, too.
        unsafe { Pin::<KBox<T>>::borrow(self.value.get()) }.get_ref()
    }
}
