// SPDX-License-Identifier: GPL-2.0

//! Boxes and vectors.

use crate::error::{code::ENOMEM, Error, Result};
use crate::world;
use core::alloc::Layout;
use core::ffi::c_void;
use core::ops::{Deref, DerefMut};
use core::pin::Pin;
use pin_init::PinInit;

pub struct Flags;
pub const GFP_KERNEL: Flags = Flags;

pub struct KBox<T>(*mut T);

// SAFETY: Owns its value, like a `Box`.
unsafe impl<T: Send> Send for KBox<T> {}
// SAFETY: Owns its value, like a `Box`.
unsafe impl<T: Sync> Sync for KBox<T> {}

/// Returns the layout of a `T`, at least a word, so that each value has its own address.
fn room<T>() -> Layout {
    let layout = Layout::new::<T>();
    Layout::from_size_align(layout.size().max(8), layout.align()).unwrap()
}

impl<T> KBox<T> {
    pub fn new(value: T, flags: Flags) -> Result<Self> {
        let this = Self::pin_init::<core::convert::Infallible>(value, flags)?;
        // SAFETY: It was movable just now.
        Ok(unsafe { Pin::into_inner_unchecked(this) })
    }

    pub fn pin_init<E>(init: impl PinInit<T, E>, _: Flags) -> Result<Pin<Self>>
    where
        Error: From<E>,
    {
        let at: *mut T = world::alloc(room::<T>()).cast();
        if at.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: Allocated just now.
        unsafe {
            if let Err(e) = init.__pinned_init(at) {
                world::free(at.cast(), room::<T>());
                return Err(e.into());
            }
            Ok(Pin::new_unchecked(Self(at)))
        }
    }

    pub fn into_raw(this: Self) -> *mut T {
        core::mem::ManuallyDrop::new(this).0
    }

    pub unsafe fn from_raw(at: *mut T) -> Self {
        Self(at)
    }
}

impl<T> Deref for KBox<T> {
    type Target = T;
    fn deref(&self) -> &T {
        world::check(self.0);
        // SAFETY: Initialized.
        unsafe { &*self.0 }
    }
}

impl<T> DerefMut for KBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: Initialized.
        unsafe { &mut *self.0 }
    }
}

impl<T> Drop for KBox<T> {
    fn drop(&mut self) {
        // SAFETY: Initialized, and not used again.
        unsafe { self.0.drop_in_place() };
        world::free(self.0.cast(), room::<T>());
    }
}

pub trait ForeignOwnable: Sized {
    type Borrowed<'a>;
    fn into_foreign(self) -> *mut c_void;
    unsafe fn from_foreign(at: *mut c_void) -> Self;
    unsafe fn borrow<'a>(at: *mut c_void) -> Self::Borrowed<'a>;
}

impl<T: 'static> ForeignOwnable for Pin<KBox<T>> {
    type Borrowed<'a> = Pin<&'a T>;

    fn into_foreign(self) -> *mut c_void {
        // SAFETY: The value behind the pointer stays in place.
        KBox::into_raw(unsafe { Pin::into_inner_unchecked(self) }).cast()
    }
    unsafe fn from_foreign(at: *mut c_void) -> Self {
        Pin::new_unchecked(KBox::from_raw(at.cast()))
    }
    unsafe fn borrow<'a>(at: *mut c_void) -> Pin<&'a T> {
        let at: *mut T = at.cast();
        world::check(at);
        Pin::new_unchecked(&*at)
    }
}

pub struct KVec<T>(Vec<T>);

impl<T> KVec<T> {
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self(Vec::new())
    }
    pub fn push(&mut self, value: T, _: Flags) -> Result {
        self.0.push(value);
        Ok(())
    }
}
