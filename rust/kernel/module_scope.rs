// SPDX-License-Identifier: GPL-2.0

//! Registrations that end with the module, whatever became of their owner.
//!
//! Neither `struct smp_hotplug_thread` nor a hotplug state has an `.owner`: the C core takes no
//! reference to the module whose functions it calls. A Rust registration unregisters when it is
//! dropped, but [`core::mem::forget`] is safe, and a forgotten registration would survive `rmmod`
//! and call freed code. Taking a module reference in its place would make every module that
//! registers in `init` impossible to remove.
//!
//! So the last word belongs to the module itself. [`scoped_module!`](crate::scoped_module) declares
//! a module like the kernel's `module!` does, and puts a guard into it that is dropped after the
//! user's module type, on `rmmod` as well as when `init` fails. The guard unregisters what is still
//! registered. Registering needs a [`ModuleScope`], and the only way to one is the `init` of such a
//! module, so that safe code cannot register without the guard being in place:
//!
//! - The guard's constructor is unsafe; only the macro calls it, once per module: a second call,
//!   which would need a second value of the hidden module type, returns `EBUSY`.
//! - The value that holds the guard is the module's own. It lives in the static that `module!`
//!   makes and drops; no path leads there from outside.
//!
//! What remains of a leaked registration is its shared value: nobody dropped it, so the guard does
//! not either. A line in the kernel log tells which registration it was.

use super::seam::ESHUTDOWN;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            AtomicFlag,
            Relaxed, //
        },
        global_lock,
        Arc, //
    }, //
};

/// Proof that what is registered now is unregistered before the module's code goes away.
///
/// Obtained in [`ScopedModule::init`]; see the [module's page](self).
pub struct ModuleScope(());

/// A module whose registrations cannot outlive it. Declare it with
/// [`scoped_module!`](crate::scoped_module).
pub trait ScopedModule: Sized + Send + Sync {
    /// Called when the module is loaded, like [`kernel::InPlaceModule::init`].
    fn init(module: &'static ThisModule, scope: &'static ModuleScope) -> impl PinInit<Self, Error>;
}

/// Something that can be unregistered without the value that stands for its registration.
///
/// For other abstractions whose C side does not hold the module either, such as `debugfs.rs`.
pub trait Revoke: Sync {
    /// Unregisters, unless that has been done. Called in process context.
    fn revoke(&self);
}

enum Entry {
    Static(&'static dyn Revoke),
    Shared(Arc<dyn Revoke + Send>),
}

impl Entry {
    fn get(&self) -> &dyn Revoke {
        match self {
            Self::Static(entry) => *entry,
            Self::Shared(entry) => &**entry,
        }
    }
}

struct Registry {
    entries: KVec<Entry>,
    closed: bool,
}

global_lock! {
    // SAFETY: Initialized by `ScopeGuard::new` before a `ModuleScope` exists, without which nobody
    // comes here.
    unsafe(uninit) static REGISTRY: Mutex<Registry> = Registry {
        entries: KVec::new(),
        closed: false,
    };
}

static CLAIMED: AtomicFlag = AtomicFlag::new(false);

static SCOPE: ModuleScope = ModuleScope(());

impl ModuleScope {
    fn add_entry(&self, entry: Entry) -> Result {
        let mut registry = REGISTRY.lock();
        if registry.closed {
            return Err(ESHUTDOWN);
        }
        registry.entries.push(entry, GFP_KERNEL)?;
        Ok(())
    }

    /// Adds `entry` to what is revoked when the module goes away.
    ///
    /// Returns `ESHUTDOWN` when that has begun, or `ENOMEM`.
    pub fn add(&self, entry: &'static dyn Revoke) -> Result {
        self.add_entry(Entry::Static(entry))
    }

    /// Like [`add`](Self::add), for what is not static.
    pub fn add_shared(&self, entry: Arc<dyn Revoke + Send>) -> Result {
        self.add_entry(Entry::Shared(entry))
    }

    /// Takes back an [`add`](Self::add) or [`add_shared`](Self::add_shared).
    pub fn remove(&self, entry: &dyn Revoke) {
        REGISTRY
            .lock()
            .entries
            .retain(|e| !core::ptr::addr_eq(e.get(), entry));
    }
}

/// The field that [`scoped_module!`](crate::scoped_module) adds to the module.
#[doc(hidden)]
pub struct ScopeGuard(());

impl ScopeGuard {
    /// Opens the module's scope. Returns `EBUSY` if that was done before.
    ///
    /// # Safety
    ///
    /// If the result is `Ok`, the guard must be dropped before the module's code goes away.
    pub unsafe fn new() -> Result<Self> {
        if CLAIMED.xchg(true, Relaxed) {
            return Err(EBUSY);
        }
        // SAFETY: `CLAIMED` lets exactly one caller come here.
        unsafe { REGISTRY.init() };
        Ok(Self(()))
    }

    /// The scope that this guard closes.
    pub fn scope(&self) -> &'static ModuleScope {
        &SCOPE
    }
}

impl Drop for ScopeGuard {
    fn drop(&mut self) {
        REGISTRY.lock().closed = true;
        loop {
            // The lock is not held while revoking: that waits for callbacks, and takes the CPU
            // hotplug lock, under which others may come to `add`.
            let last = REGISTRY.lock().entries.pop();
            match last {
                Some(entry) => entry.get().revoke(),
                None => break,
            }
        }
        // A static is not dropped; this one stays empty, as it is closed.
        REGISTRY.lock().entries = KVec::new();
    }
}

/// Declares a module whose registrations cannot outlive it.
///
/// Takes what the kernel's `module!` takes, which wants the keys in its order and a comma after each;
/// `type` is a [`ScopedModule`].
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use smpboot::{ModuleScope, ScopedModule};
///
/// struct Example {
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
        /// The module as the kernel sees it: the user's value, then the guard. Fields are dropped
        /// in this order.
        #[doc(hidden)]
        #[::kernel::prelude::pin_data]
        pub struct ScopedLocalModule {
            #[pin]
            module: $type,
            guard: $crate::smpboot::ScopeGuard,
        }

        impl ::kernel::InPlaceModule for ScopedLocalModule {
            fn init(
                module: &'static ::kernel::ThisModule,
            ) -> impl ::kernel::prelude::PinInit<Self, ::kernel::error::Error> {
                // The guard is the first to be initialized: if the rest fails, `pin_init` drops it.
                ::kernel::prelude::try_pin_init!(Self {
                    // SAFETY: This type is the `type` of `module!` below, which drops it in
                    // `__exit`. Another value of this type cannot get a guard: `module!` calls
                    // this function before any other code of the module runs.
                    guard: unsafe { $crate::smpboot::ScopeGuard::new() }?,
                    module <- <$type as $crate::smpboot::ScopedModule>::init(
                        module,
                        guard.scope(),
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
