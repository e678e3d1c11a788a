// SPDX-License-Identifier: GPL-2.0

//! The static of a registration, and the protocol that registrations follow.
//!
//! The callbacks of hotplug threads and of hotplug states get only a CPU number, so they must find
//! all other data through a static. Rust has no statics per instantiation of a generic function
//! (all instantiations share them). So a macro makes the static next to its type, and an `unsafe`
//! trait, which only the macro implements, finds it. Coherence makes it the only one of its type.
//! The trait's function only returns the address of that static, so a callback finds its state as
//! cheaply as a C callback.
//!
//! The parts that do not depend on the type are here, once for all types.
//!
//! ```text
//!             claim           open             publish
//!      FREE ---------> BUSY -------> REGISTERING -----> REGISTERED
//!       ^               | ^               |                 |
//!       +-- release ----+ +---- abort ----+                 |
//!                       |                                   |
//!      REVOKED <--------+------------- retire, end ---------+
//! ```
//!
//! Each state that has an owner is a type, and each step a method of it: [`Claim`], [`Open`] and
//! [`Ending`].

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
    marker::PhantomData,
    ops::Deref,
    ptr::{
        null_mut,
        NonNull, //
    }, //
};
use kernel::{
    prelude::*,
    types::ForeignOwnable, //
};

/// The right to find the static of a type, which only the library has.
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

/// A kind of registration: the data that its static needs beside the state and the value.
pub(in super::super) trait Kind: Sized + 'static {
    /// Ends a registration: removes the callbacks, and then [releases](Claim::release) the slot, or
    /// [revokes](Ending::revoke) it if the registration [was leaked](Ending::is_leaked).
    fn end(ending: Ending<Self>);
}

/// A registration's static, without its type: the state, the shared value, and the data of its
/// kind.
///
/// The value has memory of its own: it is pinned, and the static is freed with the module even if
/// the value was leaked.
///
/// # Invariants
///
/// - `value` is written only by the task that owns the node, in the state `BUSY`, when the C core
///   calls no callbacks, and no registration exists.
/// - In the states `REGISTERING`, `REGISTERED` and `REVOKED`, and in `BUSY` between a successful
///   `claim` and `release`, `value` is that of a `KBox` of the type that the entry was made for.
#[repr(C)]
pub(in super::super) struct Entry<K: Kind> {
    node: Node,
    value: Cell<*mut c_void>,
    drop_value: unsafe fn(*mut c_void),
    name: &'static CStr,
    kind: K,
}

// SAFETY: `value` is written according to the invariants. Any task may use shared references to the
// value, and any task may drop it, because `Slot::new` takes only values that are `Send + Sync`.
unsafe impl<K: Kind + Sync> Sync for Entry<K> {}

impl<K: Kind> Deref for Entry<K> {
    type Target = K;

    #[inline(always)]
    fn deref(&self) -> &K {
        &self.kind
    }
}

/// The prefix of messages, which `module!` makes at the root of the crate. The module may define
/// its own.
const LOG_PREFIX: &[u8] = {
    let prefix = crate::__LOG_PREFIX;
    assert!(
        matches!(prefix, [.., 0]),
        "`__LOG_PREFIX` does not end with a NUL"
    );
    prefix
};

/// Reports that the owner of a registration leaked it or could not drop it. Like `pr_err!`, in a
/// fifth of the code.
#[cold]
#[inline]
fn report(name: &CStr, what: &CStr) {
    // SAFETY: The arguments are the three strings that the format takes.
    unsafe {
        bindings::_printk(
            c"\x013%s: %s: registration %s; it ends with the module\n".as_char_ptr(),
            LOG_PREFIX.as_ptr(),
            name.as_char_ptr(),
            what.as_char_ptr(),
        )
    };
}

impl<K: Kind> Entry<K> {
    /// Returns the name.
    #[inline(always)]
    pub(in super::super) fn name(&self) -> &'static CStr {
        self.name
    }

    /// Returns the state, which may change at any time: one of the constants of
    /// [`module_scope`](super::super::module_scope).
    #[inline]
    pub(in super::super) fn state(&self) -> u32 {
        self.node.state()
    }

    /// Returns the scope of the registration, if the entry was ever registered.
    #[inline(always)]
    pub(in super::super) fn scope(&self) -> Option<&'static ModuleScope> {
        self.node.scope()
    }

    #[inline(always)]
    fn node(&'static self) -> NodeRef {
        // SAFETY: The node is the first field, and the address is that of the whole entry, which is
        // static.
        unsafe { NodeRef::new(NonNull::from(self).cast()) }
    }

    /// Unregisters, for the owner of the registration. If the module's end is unregistering it,
    /// waits for that.
    ///
    /// In a callback this logs an error and leaves the registration to the module's end. Process
    /// context.
    ///
    /// # Safety
    ///
    /// The registration exists, and is being dropped.
    #[inline(never)]
    pub(in super::super) unsafe fn unregister(&'static self) {
        let Some(scope) = self.node.scope() else {
            return;
        };
        if hotplug::in_callback(scope) {
            // Unregistering here would wait for this callback.
            report(self.name, c"dropped in a hotplug callback");
        } else if let Some(owned) = scope.retire(self.node()) {
            owned.abandon();
            // SAFETY: The node is that of this entry, which was registered. By the requirements of
            // this function, the registration does not exist any more.
            unsafe { Self::end(owned) };
        }
    }

    /// Ends a registration for its scope.
    ///
    /// # Safety
    ///
    /// As of the function that [`Node::new`] takes; the node is that of an entry of this kind.
    #[inline(never)]
    unsafe fn end(owned: Owned) {
        // INVARIANT: The node was registered, and is that of an entry of this kind.
        K::end(Ending(Owner(owned, PhantomData)));
    }
}

/// The ownership of an entry.
///
/// # Invariants
///
/// The node is that of a static [`Entry<K>`], which has a value.
struct Owner<K>(Owned, PhantomData<K>);

impl<K: Kind> Owner<K> {
    #[inline(always)]
    fn entry(&self) -> &'static Entry<K> {
        // SAFETY: By the type invariant; the address is that of the whole entry.
        unsafe { &*self.0.node().as_ptr().cast() }
    }
}

/// The ownership of an entry that is not registered: `BUSY`.
///
/// # Invariants
///
/// The C core does not know the callbacks, and no registration exists.
#[must_use]
pub(in super::super) struct Claim<K>(Owner<K>);

impl<K: Kind> Claim<K> {
    #[inline(always)]
    pub(in super::super) fn entry(&self) -> &'static Entry<K> {
        self.0.entry()
    }

    /// Allows wakes, before C knows the callbacks: `BUSY -> REGISTERING`.
    #[inline]
    pub(in super::super) fn open(self) -> Open<K> {
        self.0 .0.open();
        Open(self.0)
    }

    /// Completes a registration, as [`Open::publish`] does: `BUSY -> REGISTERED`.
    #[inline]
    pub(in super::super) fn publish(self) -> Result {
        Open(self.0).publish()
    }

    /// Drops the value, and frees the entry: `BUSY -> FREE`.
    #[inline]
    pub(in super::super) fn release(self) {
        let entry = self.entry();
        // SAFETY: By the type invariants the value exists, and has no references: the C core calls
        // no callbacks, and no registration exists.
        unsafe { (entry.drop_value)(entry.value.get()) };
        self.0 .0.free();
    }
}

/// The ownership of an entry that is being registered: `REGISTERING`. The C core may know the
/// callbacks.
#[must_use]
pub(in super::super) struct Open<K>(Owner<K>);

impl<K: Kind> Open<K> {
    /// Completes a registration: to `REGISTERED`. The kind's invariants of that state hold.
    ///
    /// Returns `ESHUTDOWN` if the module is ending. Then the registration has no owner, and the
    /// scope ends it.
    #[inline]
    pub(in super::super) fn publish(self) -> Result {
        self.0 .0.publish()
    }

    /// Begins to undo a registration: `REGISTERING -> BUSY`.
    ///
    /// # Safety
    ///
    /// The C core does not know the callbacks.
    #[inline]
    pub(in super::super) unsafe fn abort(self) -> Claim<K> {
        self.0 .0.abort();
        // INVARIANT: By the requirements of this function. The registration was not published.
        Claim(self.0)
    }
}

/// The ownership of an entry whose registration ends: `BUSY`.
///
/// # Invariants
///
/// The kind's invariants of the state `REGISTERED` hold. Unless it [is leaked](Self::is_leaked),
/// the registration does not exist any more.
#[must_use]
pub(in super::super) struct Ending<K>(Owner<K>);

impl<K: Kind> Ending<K> {
    #[inline(always)]
    pub(in super::super) fn entry(&self) -> &'static Entry<K> {
        self.0.entry()
    }

    /// Returns whether the registration still has an owner, so was leaked. Logs an error in that
    /// case.
    #[inline]
    pub(in super::super) fn is_leaked(&self) -> bool {
        let leaked = !self.0 .0.is_abandoned();
        if leaked {
            report(self.entry().name, c"was leaked");
        }
        leaked
    }

    /// Returns the claim, as it was before the registration.
    ///
    /// # Safety
    ///
    /// The C core does not know the callbacks any more, and the registration is not leaked.
    #[inline]
    pub(in super::super) unsafe fn ended(self) -> Claim<K> {
        // INVARIANT: By the requirements of this function and the type invariants.
        Claim(self.0)
    }

    /// Marks the entry as unusable, and leaks the value: `BUSY -> REVOKED`.
    #[inline]
    pub(in super::super) fn revoke(self) {
        self.0 .0.revoke();
    }
}

/// The static of one type.
///
/// # Invariants
///
/// The entry was made for `T`.
#[repr(transparent)]
pub(in super::super) struct Slot<T, K: Kind> {
    entry: Entry<K>,
    _value: PhantomData<fn(T) -> T>,
}

impl<T: Send + Sync + 'static, K: Kind> Slot<T, K> {
    /// Returns a free slot.
    pub(in super::super) const fn new(name: &'static CStr, kind: K) -> Self {
        /// # Safety
        ///
        /// `value` is that of a `KBox<T>`, and is not used any more.
        unsafe fn drop_value<T: 'static>(value: *mut c_void) {
            // SAFETY: By the requirements of this function.
            drop(unsafe { Pin::<KBox<T>>::from_foreign(value) });
        }

        // INVARIANT: The state is `FREE`.
        Self {
            entry: Entry {
                node: Node::new(Entry::<K>::end),
                value: Cell::new(null_mut()),
                drop_value: drop_value::<T>,
                name,
                kind,
            },
            _value: PhantomData,
        }
    }

    /// Returns the part that does not depend on the type.
    #[inline(always)]
    pub(in super::super) fn entry(&'static self) -> &'static Entry<K> {
        &self.entry
    }

    /// Takes the slot, and stores a value in it: `FREE -> BUSY`.
    ///
    /// Process context. Returns `EDEADLK` in a callback, `EBUSY` if the slot is in use, `ESHUTDOWN`
    /// if the module is ending, `ENOMEM`, or the error of `init`.
    #[inline]
    pub(in super::super) fn claim<E>(
        &'static self,
        scope: &'static ModuleScope,
        init: impl PinInit<T, E>,
    ) -> Result<Claim<K>>
    where
        Error: From<E>,
    {
        let owned = scope.claim_outside(self.entry.node())?;
        match KBox::pin_init(init, GFP_KERNEL) {
            Ok(value) => {
                // INVARIANT: This task owns the entry, which is for this type.
                self.entry.value.set(value.into_foreign());
                Ok(Claim(Owner(owned, PhantomData)))
            }
            Err(e) => {
                owned.free();
                Err(e)
            }
        }
    }

    /// Returns the shared value.
    ///
    /// # Safety
    ///
    /// The value exists, and is not dropped during `'a`: the registration exists, or the C core
    /// calls back.
    #[inline(always)]
    pub(in super::super) unsafe fn value<'a>(&'static self) -> &'a T {
        // SAFETY: By the type invariants and the requirements of this function. All other
        // references are shared, too.
        unsafe { Pin::<KBox<T>>::borrow(self.entry.value.get()) }.get_ref()
    }
}
