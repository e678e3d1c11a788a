// SPDX-License-Identifier: GPL-2.0

//! The static behind a registration.
//!
//! The callbacks of hotplug threads and of hotplug states get a CPU number and nothing else: what
//! else they need must hang off a static. Rust has no statics per instantiation of a generic
//! function (they are shared by all instantiations), so the static is made by a macro, next to
//! the type that it is for, and found through an `unsafe` trait that only the macro implements.
//! Coherence makes it the only one of its type, and since the trait's function returns the address
//! of that static and nothing else, a callback costs no more to find its state than a C callback.

use super::super::seam::raw_try_init;
use core::{
    cell::UnsafeCell,
    mem::MaybeUninit, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        ordering::{
            Acquire,
            Full,
            Release, //
        },
        Atomic, //
    }, //
};

/// Nothing is registered.
const FREE: u32 = 0;
/// One task is making the registration, or taking it apart.
const BUSY: u32 = 1;
/// The C core knows the callbacks but the registration is not complete.
const REGISTERING: u32 = 2;
/// Registered.
const REGISTERED: u32 = 3;
/// Unregistered behind the owner's back. Final: the value is leaked.
const REVOKED: u32 = 4;

/// A place for the shared value of one registration.
///
/// # Invariants
///
/// - `state` moves `FREE -> BUSY -> REGISTERING -> REGISTERED -> BUSY -> FREE`, from `REGISTERING`
///   back to `BUSY`, and from `BUSY` to `REVOKED`. In the states `BUSY` and `REGISTERING` one task
///   owns the slot, the one that moved it away from `FREE` or `REGISTERED`: only it makes the next
///   move.
/// - `value` is initialized in the states `REGISTERING`, `REGISTERED` and `REVOKED`, and in `BUSY`
///   between a successful `claim` and `release`.
pub(in super::super) struct Slot<T> {
    state: Atomic<u32>,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: The value is written by the one task that owns the state `BUSY`; all others get shared
// references only. It may be dropped by another task than the one that made it.
unsafe impl<T: Send + Sync> Sync for Slot<T> {}

/// What a [`Slot`] says about its registration.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum State {
    /// The C core may call back, but the registration may yet fail.
    Registering,
    /// Registered.
    Registered,
    /// Anything else.
    Gone,
}

impl<T> Slot<T> {
    pub(in super::super) const fn new() -> Self {
        // INVARIANT: Nothing is initialized in the state `FREE`.
        Self {
            state: Atomic::new(FREE),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Takes the slot and puts a value into it.
    ///
    /// On success the caller owns the slot, in the state `BUSY`. Returns `EBUSY` if it is in use.
    pub(in super::super) fn claim<E>(&'static self, init: impl PinInit<T, E>) -> Result
    where
        Error: From<E>,
    {
        self.state.cmpxchg(FREE, BUSY, Acquire).map_err(|_| EBUSY)?;

        // SAFETY: This task owns the slot, so that nobody else accesses `value`; on error it counts
        // as uninitialized. It is in a static, and does not move.
        unsafe { raw_try_init(self.as_ptr(), init) }.inspect_err(|_| {
            self.state.store(FREE, Release);
        })?;

        Ok(())
    }

    /// Lets callbacks and wakers in: `BUSY -> REGISTERING`.
    ///
    /// # Safety
    ///
    /// The caller owns the slot, in the state `BUSY` after a successful [`claim`](Self::claim).
    pub(in super::super) unsafe fn open(&self) {
        self.state.store(REGISTERING, Release);
    }

    /// Completes a registration: `REGISTERING -> REGISTERED`.
    ///
    /// # Safety
    ///
    /// The caller owns the slot, in the state `REGISTERING`.
    pub(in super::super) unsafe fn publish(&self) {
        self.state.store(REGISTERED, Release);
    }

    /// Begins to take a failed registration apart: `REGISTERING -> BUSY`.
    ///
    /// # Safety
    ///
    /// The caller owns the slot, in the state `REGISTERING`.
    pub(in super::super) unsafe fn abort(&self) {
        self.state.store(BUSY, Release);
    }

    /// Begins to unregister: `REGISTERED -> BUSY`. Returns whether the caller owns the slot now.
    pub(in super::super) fn retire(&self) -> bool {
        self.state.cmpxchg(REGISTERED, BUSY, Full).is_ok()
    }

    /// Drops the value and makes the slot free.
    ///
    /// # Safety
    ///
    /// The caller owns the slot, in the state `BUSY`, `value` is initialized, and no references to
    /// it are left.
    pub(in super::super) unsafe fn release(&'static self) {
        // SAFETY: By the requirements of this function.
        unsafe { core::ptr::drop_in_place(self.as_ptr()) };
        self.state.store(FREE, Release);
    }

    /// Marks the slot as used up, and leaks the value.
    ///
    /// # Safety
    ///
    /// The caller owns the slot, in the state `BUSY`, and `value` is initialized.
    pub(in super::super) unsafe fn leak(&self) {
        self.state.store(REVOKED, Release);
    }

    /// The registration's state, which may change at any time.
    pub(in super::super) fn state(&self) -> State {
        match self.state.load(Acquire) {
            REGISTERING => State::Registering,
            REGISTERED => State::Registered,
            _ => State::Gone,
        }
    }

    /// The value.
    ///
    /// # Safety
    ///
    /// It is initialized, and not dropped during `'a`.
    pub(in super::super) unsafe fn value<'a>(&'static self) -> &'a T {
        // SAFETY: Initialized by the requirements of this function. Mutable references exist only
        // in the state `BUSY`, while `value` is made and while it is dropped.
        unsafe { &*self.as_ptr() }
    }

    fn as_ptr(&self) -> *mut T {
        self.value.get().cast()
    }
}
