// SPDX-License-Identifier: GPL-2.0

//! Registrations that end with the module, whatever became of their owner.
//!
//! Neither `struct smp_hotplug_thread` nor a hotplug state has an `.owner`: the C core takes no
//! reference to the module whose functions it calls. A Rust registration unregisters when it is
//! dropped, but [`core::mem::forget`] is safe, and a forgotten registration would survive `rmmod`
//! and call freed code. If each registration took a module reference instead, a module that
//! registers in `init` could never be removed.
//!
//! So the module itself unregisters what is left. [`scoped_module!`](crate::scoped_module) declares
//! a module like the kernel's `module!` does, and puts a [`ModuleScope`] beside the user's module
//! type. The scope is dropped after that, on `rmmod` as well as when `init` fails, and ends all
//! registrations that it still has. Registering needs a [`ModuleScope`]. Safe code gets one only in
//! the `init` of such a module:
//!
//! - [`ModuleScope::new`] is unsafe; only the macro calls it, once per module. A second call, which
//!   would need a second value of the hidden module type, returns `EBUSY`.
//! - The value that holds the scope is the module's own. It lives in the static that `module!`
//!   makes and drops; no path leads there from outside.
//!
//! Only the library's own registrations enter and leave a scope: the functions for that are private
//! to the library. A registration is known by the address of its node, which has a size and is a
//! part of a static or of the value that owns it.
//!
//! # While the scope closes
//!
//! - The newest complete registration ends first.
//! - Another task may be in the middle of registering, from the initializer of the shared value to
//!   the end of `create` or `startup`, or in the middle of unregistering. The scope first ends all
//!   complete registrations, as such a task may be a callback of one of them. Then it waits for the
//!   task. So the user's code that runs during a registration ends before the module does.
//! - A registration that begins meanwhile returns `ESHUTDOWN` at once. A registration that completes
//!   meanwhile returns `ESHUTDOWN`, too, and the scope undoes it. The task that registers does not,
//!   because that takes locks, and a callback of a registration that is just ending may wait for the
//!   task, with these locks held on its behalf.
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

/// Proof that what is registered now is unregistered before the module's code goes away.
///
/// Obtained in [`ScopedModule::init`]; see the [module's page](self). It is also the module's
/// [`ThreadFn`], to be passed to [`in_callback`](super::cpu::hotplug::in_callback).
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
    /// The state of a node has changed, or a thread has run its `setup`.
    #[pin]
    changed: CondVar,
}

/// Ends all registrations when it is dropped.
///
/// It has a type parameter so that `drop` is inlined and no more: of a type that has none, rustc
/// emits the methods of traits in any case.
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
    /// Takes `node`, as [`ModuleScope::retire`] does. If that is `None`, closes the scope, and
    /// takes the newest node of those that are registered. Returns the node that the caller owns
    /// now; `None` if it owns none, and never will.
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
                        // Who waits for these threads to be up holds the hotplug lock.
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
    /// Process context. Fails as [`ThreadFn::learn`] does, and with `EBUSY` if `claimed` is set.
    ///
    /// # Safety
    ///
    /// - The scope must be dropped before the module's code goes away, after all that the module owns.
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

    /// Takes a node and puts it into the list: `FREE -> BUSY`.
    ///
    /// Process context. Returns `ESHUTDOWN` if the scope is closing, and `EBUSY` if the node is in use.
    #[inline]
    pub(super) fn claim(&'static self, node: NodeRef) -> Result<Owned> {
        self.enter(node)?;
        // INVARIANT: This task took it.
        Ok(Owned(node))
    }

    /// As [`claim`](Self::claim), but returns `EDEADLK` in a callback, which would wait for the end
    /// of itself.
    #[inline]
    pub(super) fn claim_outside(&'static self, node: NodeRef) -> Result<Owned> {
        self.enter_outside(node)?;
        // INVARIANT: This task took it.
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
    /// Process context. Returns `None` if the scope has ended the registration, or if nothing is
    /// registered.
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

    /// Waits until `condition` holds: it may depend on the states of nodes, and on what a call of
    /// [`notify`](Self::notify) follows. Process context. Returns `EINTR` on a signal.
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
        // The lock is not held while a registration ends: that waits for callbacks, which may take
        // it.
        while let Some(owned) = self.registrations.take(None) {
            // SAFETY: As `Node::new` says: the function of this node, which was registered.
            unsafe { (owned.node().get().end)(owned) };
        }
    }
}

/// A module whose registrations cannot outlive it. Declare it with
/// [`scoped_module!`](crate::scoped_module).
pub trait ScopedModule: Sized + Send + Sync {
    /// Called when the module is loaded, like [`kernel::InPlaceModule::init`].
    ///
    /// Another call, with the same scope, makes another value, which its caller owns.
    fn init(module: &'static ThisModule, scope: &'static ModuleScope) -> impl PinInit<Self, Error>;
}

/// Declares a module whose registrations cannot outlive it.
///
/// Takes what the kernel's `module!` takes, which wants the keys in its order and a comma after each;
/// `type` is a [`ScopedModule`].
///
/// Loading the module waits for a CPU hotplug operation in progress. It takes one of the kernel's 40
/// dynamic hotplug states for a moment, and fails with `ENOSPC` if none is free: see [`ThreadFn`].
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
///         // Whatever is registered with `scope`, now or later, ends with the module.
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
        /// The module as the kernel sees it: the user's value, then the scope. Fields are dropped
        /// in this order.
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
                // The scope is the first to be initialized: if the rest fails, `pin_init` drops it.
                ::kernel::prelude::try_pin_init!(&this in Self {
                    scope <- {
                        // In a block of its own: `$type` is code of the user's, which could name it.
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
