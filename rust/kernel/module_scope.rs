// SPDX-License-Identifier: GPL-2.0

//! Registrations that end with the module, even if their owner leaked them.
//!
//! Neither `struct smp_hotplug_thread` nor a hotplug state has an `.owner`: the C core takes no
//! reference to the module whose functions it calls. A Rust registration unregisters when it is
//! dropped, but [`core::mem::forget`] is safe, and a forgotten registration would survive `rmmod`
//! and call freed code. If each registration took a module reference instead, a module that
//! registers in `init` could never be removed.
//!
//! So the module itself unregisters the remaining registrations.
//! [`scoped_module!`](crate::scoped_module) declares a module as the kernel's `module!` does, and
//! adds a [`ModuleScope`] beside the user's module type. The scope is dropped after the user's
//! value, on `rmmod` and when `init` fails, and ends all registrations that it still has.
//! Registering needs a [`ModuleScope`]. Safe code gets one only in the `init` of such a module:
//!
//! - [`ModuleScope::new`] is unsafe; only the macro calls it, once per module. A second call, which
//!   would need a second value of the hidden module type, returns `EBUSY`.
//! - The value that holds the scope belongs to the module. It is in the static that `module!` makes
//!   and drops, which no other code can name.
//!
//! Only the library's own registrations enter and leave a scope: the functions for that are private
//! to the library. The address of its node identifies a registration. A node has a size, and is a
//! part of a static or of the value that owns it.
//!
//! # While the scope closes
//!
//! - The newest complete registration ends first.
//! - Another task may be in the middle of registering, from the initializer of the shared value to
//!   the end of `create` or `startup`, or in the middle of unregistering. The scope first ends all
//!   complete registrations, because that task may run a callback of one of them. Then it waits for
//!   the task. So the user's code that runs during a registration ends before the module does.
//! - A registration that begins while the scope closes returns `ESHUTDOWN` at once. A registration
//!   that completes while the scope closes returns `ESHUTDOWN`, too, and the scope undoes it. The
//!   task that registers does not undo it, because that takes locks: a callback of a registration
//!   that is just ending may wait for that task, while the task that waits for the callback holds
//!   these locks.
//! - The value of a leaked registration is leaked too. The kernel log names the registration.

use super::{
    cpu::hotplug::{
        in_callback,
        ThreadFn, //
    },
    seam::{
        EDEADLK,
        ESHUTDOWN, //
    }, //
};
use core::{
    marker::PhantomData,
    ops::Deref,
    ptr::from_ref, //
};
use kernel::{
    new_condvar,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            AtomicFlag,
            Relaxed, //
        },
        CondVar,
        Mutex, //
    }, //
};

mod node;

use node::List;
pub(super) use node::{
    Node,
    NodeRef,
    Owned,
    REGISTERED,
    REGISTERING, //
};
use node::{
    BUSY,
    FREE,
    REVOKED, //
};

/// Proof that every registration ends before the module's code is freed.
///
/// Obtained in [`ScopedModule::init`]; see the [module's page](self). It is also the module's
/// [`ThreadFn`], an argument of [`in_callback`](super::cpu::hotplug::in_callback).
#[pin_data]
pub struct ModuleScope {
    thread_fn: ThreadFn,
    #[pin]
    registrations: Closing<()>,
}

#[pin_data]
struct Registrations {
    #[pin]
    list: Mutex<List>,
    /// Notified when the state of a node has changed, or a thread has run its `setup`.
    #[pin]
    changed: CondVar,
}

/// Ends all registrations when it is dropped.
///
/// The type parameter makes rustc inline `drop` and emit no separate copy, which it always does for
/// the trait methods of a type without parameters.
#[pin_data(PinnedDrop)]
struct Closing<T> {
    #[pin]
    registrations: Registrations,
    _generic: PhantomData<T>,
}

impl Deref for Closing<()> {
    type Target = Registrations;

    #[inline(always)]
    fn deref(&self) -> &Registrations {
        &self.registrations
    }
}

impl Registrations {
    /// Takes `node`, as [`ModuleScope::retire`] does. If `node` is `None`, closes the scope, and
    /// takes its newest registered node. Returns the node that the caller now owns, or `None` if it
    /// will never own one.
    #[inline(never)]
    fn take(&self, node: Option<NodeRef>) -> Option<Owned> {
        let mut list = self.list.lock();
        loop {
            let mut at = if node.is_none() {
                list.closed = true;
                Some(list.newest?)
            } else {
                node
            };
            while let Some(candidate) = at {
                let Node { older, state, .. } = candidate.get();
                match state.load(Relaxed) {
                    REGISTERED => {
                        // INVARIANT: The lock is held. This task is the owner now.
                        state.store(BUSY, Relaxed);
                        // A task that waits for these threads to be up holds the hotplug lock.
                        self.changed.notify_all();
                        return Some(Owned(candidate));
                    }
                    FREE | REVOKED => return None,
                    _ => {}
                }
                at = if node.is_none() { older.get() } else { None };
            }
            // Other tasks own the remaining nodes. None of them waits for the caller.
            self.changed.wait(&mut list);
        }
    }
}

impl ModuleScope {
    /// Opens the module's scope.
    ///
    /// Process context. Fails like [`ThreadFn::learn`], and with `EBUSY` if `claimed` is set.
    ///
    /// # Safety
    ///
    /// - The scope must be dropped before the module's code is freed, and after everything that the
    ///   module owns.
    /// - `claimed` must be the same in all calls of the module.
    #[doc(hidden)]
    #[inline]
    pub unsafe fn new(claimed: &'static AtomicFlag) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            thread_fn: {
                if claimed.xchg(true, Relaxed) {
                    return Err(EBUSY);
                }
                ThreadFn::learn()?
            },
            registrations <- pin_init!(Closing {
                registrations <- pin_init!(Registrations {
                    changed <- new_condvar!("ModuleScope::changed"),
                    list <- new_mutex!(List { newest: None, closed: false }, "ModuleScope::list"),
                }),
                _generic: PhantomData,
            }),
        }? Error)
    }

    /// Takes a node and adds it to the list: `FREE -> BUSY`.
    ///
    /// Process context. Returns `ESHUTDOWN` if the scope is closing, and `EBUSY` if the node is in
    /// use.
    #[inline]
    pub(super) fn claim(&'static self, node: NodeRef) -> Result<Owned> {
        self.enter(node)?;
        // INVARIANT: This task took the node.
        Ok(Owned(node))
    }

    /// Takes a node as [`claim`](Self::claim) does, but returns `EDEADLK` in a callback, where
    /// registering would wait for that callback.
    #[inline]
    pub(super) fn claim_outside(&'static self, node: NodeRef) -> Result<Owned> {
        self.enter_outside(node)?;
        // INVARIANT: This task took the node.
        Ok(Owned(node))
    }

    #[inline(never)]
    fn enter_outside(&'static self, node: NodeRef) -> Result {
        if in_callback(self) {
            return Err(EDEADLK);
        }
        self.enter(node)
    }

    #[inline]
    fn enter(&'static self, node: NodeRef) -> Result {
        let mut list = self.registrations.list.lock();
        if list.closed {
            return Err(ESHUTDOWN);
        }
        let Node { scope, state, .. } = node.get();
        if state.load(Relaxed) != FREE {
            return Err(EBUSY);
        }
        // INVARIANT: The lock is held, and the node enters the list.
        state.store(BUSY, Relaxed);
        scope.store(from_ref(self).cast_mut(), Relaxed);
        list.add(node);
        Ok(())
    }

    /// Takes a registered node: `REGISTERED -> BUSY`. Waits while another task owns the node.
    ///
    /// Process context. Returns `None` if the scope has ended the registration, or if the node is
    /// not registered.
    #[inline]
    pub(super) fn retire(&self, node: NodeRef) -> Option<Owned> {
        self.registrations.take(Some(node))
    }

    /// Makes [`wait_until`](Self::wait_until) evaluate its condition again. Process context.
    #[inline]
    pub(super) fn notify(&self) {
        let _list = self.registrations.list.lock();
        self.registrations.changed.notify_all();
    }

    /// Waits until `condition` holds. It may depend on the states of nodes, and on changes that are
    /// followed by a call of [`notify`](Self::notify). Process context. Returns `EINTR` on a
    /// signal.
    pub(super) fn wait_until(&self, condition: impl Fn() -> bool) -> Result {
        let mut list = self.registrations.list.lock();
        while !condition() {
            if self.registrations.changed.wait_interruptible(&mut list) {
                return Err(EINTR);
            }
        }
        Ok(())
    }
}

impl Deref for ModuleScope {
    type Target = ThreadFn;

    #[inline(always)]
    fn deref(&self) -> &ThreadFn {
        &self.thread_fn
    }
}

#[pinned_drop]
impl<T> PinnedDrop for Closing<T> {
    #[inline]
    fn drop(self: Pin<&mut Self>) {
        // The lock is not held while a registration ends: the end waits for callbacks, which may
        // take the lock.
        while let Some(owned) = self.registrations.take(None) {
            // SAFETY: The function is that of this node, which was registered, as `Node::new`
            // requires.
            unsafe { (owned.node().get().end)(owned) };
        }
    }
}

/// A module whose registrations cannot outlive it. Declare it with
/// [`scoped_module!`](crate::scoped_module).
pub trait ScopedModule: Sized + Send + Sync {
    /// Initializes the module when it is loaded, like [`kernel::InPlaceModule::init`].
    ///
    /// Another call with the same scope makes another value, which its caller owns.
    fn init(module: &'static ThisModule, scope: &'static ModuleScope) -> impl PinInit<Self, Error>;
}

/// Declares a module whose registrations cannot outlive it.
///
/// Takes the keys of the kernel's `module!`, in its order, each followed by a comma. `type` is a
/// [`ScopedModule`].
///
/// Loading the module waits for a CPU hotplug operation in progress. It briefly takes one of the
/// kernel's 41 dynamic hotplug states, and fails with `ENOSPC` if none is free: see [`ThreadFn`].
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use smpboot::{ModuleScope, ScopedModule};
///
/// struct Example {
/// #   #[allow(dead_code, reason = "an example")]
///     scope: &'static ModuleScope,
/// }
///
/// impl ScopedModule for Example {
///     fn init(
///         _module: &'static ThisModule,
///         scope: &'static ModuleScope,
///     ) -> impl PinInit<Self, Error> {
///         // Each registration with `scope`, now or later, ends with the module.
///         Ok(Self { scope })
///     }
/// }
///
/// scoped_module! {
///     type: Example,
///     name: "example",
///     authors: ["A. N. Author"],
///     description: "Example",
///     license: "GPL",
/// }
/// ```
#[macro_export]
macro_rules! scoped_module {
    (type: $type:ty $(, $($rest:tt)*)?) => {
        /// The module type that the kernel sees: the user's value, then the scope. Fields are
        /// dropped in this order.
        #[doc(hidden)]
        #[::kernel::prelude::pin_data]
        pub struct ScopedLocalModule {
            #[pin]
            module: $type,
            #[pin]
            scope: $crate::smpboot::ModuleScope,
        }

        impl ::kernel::InPlaceModule for ScopedLocalModule {
            #[inline]
            fn init(
                module: &'static ::kernel::ThisModule,
            ) -> impl ::kernel::prelude::PinInit<Self, ::kernel::error::Error> {
                // The scope is initialized first: if the rest fails, `pin_init` drops it.
                ::kernel::prelude::try_pin_init!(&this in Self {
                    scope <- {
                        // In its own block: `$type` is the user's code, which could name it
                        // otherwise.
                        static CLAIMED: ::kernel::sync::atomic::AtomicFlag =
                            ::kernel::sync::atomic::AtomicFlag::new(false);

                        // SAFETY: This type is the `type` of `module!` below, which drops it in
                        // `__exit`. Another value of this type cannot get a scope: `module!` calls
                        // this function before any other code of the module runs.
                        unsafe { $crate::smpboot::ModuleScope::new(&CLAIMED) }
                    },
                    module <- <$type as $crate::smpboot::ScopedModule>::init(
                        module,
                        // SAFETY: Initialized just now, in the static of `module!`, as above.
                        unsafe { &(*this.as_ptr()).scope },
                    ),
                }? ::kernel::error::Error)
            }
        }

        ::kernel::prelude::module! {
            type: ScopedLocalModule,
            $($($rest)*)?
        }
    };
    ($($rest:tt)*) => {
        ::core::compile_error!(
            "`scoped_module!` takes what `module!` takes: the first key is `type`"
        );
    };
}
