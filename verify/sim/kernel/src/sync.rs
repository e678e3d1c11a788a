// SPDX-License-Identifier: GPL-2.0

//! Locks, counted references, RCU, atomics.

use crate::alloc::{Flags, KBox};
use crate::error::{Error, Result};
use crate::world::{self, block_until, changed, step, touch, wait_until};
use core::cell::{Cell, UnsafeCell};
use core::ops::{Deref, DerefMut};
use core::pin::Pin;
use pin_init::PinInit;

pub use crate::{new_condvar, new_mutex, new_spinlock_irq};

pub struct LockClassKey;

impl LockClassKey {
    pub fn as_ptr(&self) -> *mut crate::bindings::lock_class_key {
        core::ptr::null_mut()
    }
}

#[macro_export]
macro_rules! new_mutex {
    ($value:expr $(, $name:literal)?) => {
        $crate::sync::Mutex::new($value)
    };
}
#[macro_export]
macro_rules! new_spinlock_irq {
    ($value:expr $(, $name:literal)?) => {
        $crate::sync::SpinLockIrq::new($value)
    };
}
#[macro_export]
macro_rules! new_condvar {
    ($($name:literal)?) => {
        $crate::sync::CondVar::new()
    };
}

/// The way in which a lock waits.
pub trait Backend {
    fn before() {}
    fn wait(free: impl FnMut() -> bool);
    fn after() {}
}

pub struct Sleeps;
impl Backend for Sleeps {
    fn before() {
        world::might_sleep();
    }
    fn wait(free: impl FnMut() -> bool) {
        wait_until(free);
    }
}

pub struct Spins;
impl Backend for Spins {
    fn before() {
        world::irqs(true);
    }
    fn wait(free: impl FnMut() -> bool) {
        block_until(free);
    }
    fn after() {
        world::irqs(false);
    }
}

pub struct Lock<T, B: Backend> {
    held: Cell<bool>,
    _backend: core::marker::PhantomData<fn() -> B>,
    value: UnsafeCell<T>,
}

pub type Mutex<T> = Lock<T, Sleeps>;
pub type SpinLockIrq<T> = Lock<T, Spins>;
pub type SpinLockIrqGuard<'a, T> = Guard<'a, T, Spins>;

pub mod lock {
    pub mod spinlock {
        pub use crate::sync::SpinLockIrqGuard;
    }
}

// SAFETY: Tasks take turns, and one holds the lock.
unsafe impl<T: Send, B: Backend> Send for Lock<T, B> {}
// SAFETY: The same.
unsafe impl<T: Send, B: Backend> Sync for Lock<T, B> {}

impl<T, B: Backend> Lock<T, B> {
    pub fn new<E>(value: impl PinInit<T, E>) -> impl PinInit<Self, E> {
        // SAFETY: Initializes all fields.
        unsafe {
            pin_init::pin_init_from_closure(move |slot: *mut Self| {
                value.__pinned_init((&raw mut (*slot).value).cast())?;
                (&raw mut (*slot).held).write(Cell::new(false));
                Ok(())
            })
        }
    }

    pub fn lock(&self) -> Guard<'_, T, B> {
        B::before();
        touch(self.held.as_ptr());
        B::wait(|| !self.held.get());
        world::check(self.held.as_ptr());
        self.held.set(true);
        Guard(self)
    }

    fn unlock(&self) {
        self.held.set(false);
        changed();
    }
}

pub struct Guard<'a, T, B: Backend>(&'a Lock<T, B>);

impl<T, B: Backend> Guard<'_, T, B> {
    pub fn as_mut(&mut self) -> Pin<&mut T> {
        // SAFETY: The lock is held, and the value does not move.
        unsafe { Pin::new_unchecked(&mut *self.0.value.get()) }
    }
}

impl<T, B: Backend> Drop for Guard<'_, T, B> {
    fn drop(&mut self) {
        self.0.unlock();
        B::after();
        step();
    }
}

impl<T, B: Backend> Deref for Guard<'_, T, B> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: The lock is held.
        unsafe { &*self.0.value.get() }
    }
}

impl<T: Unpin, B: Backend> DerefMut for Guard<'_, T, B> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: The lock is held.
        unsafe { &mut *self.0.value.get() }
    }
}

pub struct CondVar(Cell<usize>);

// SAFETY: Tasks take turns.
unsafe impl Send for CondVar {}
// SAFETY: Tasks take turns.
unsafe impl Sync for CondVar {}

impl CondVar {
    pub fn new() -> impl PinInit<Self> {
        Self(Cell::new(0))
    }

    pub fn notify_all(&self) {
        touch(self.0.as_ptr());
        self.0.set(self.0.get() + 1);
        changed();
    }

    pub fn wait<T>(&self, guard: &mut Guard<'_, T, Sleeps>) {
        let before = self.0.get();
        guard.0.unlock();
        wait_until(|| self.0.get() != before);
        step();
        wait_until(|| !guard.0.held.get());
        guard.0.held.set(true);
    }

    /// There are no signals.
    pub fn wait_interruptible<T>(&self, guard: &mut Guard<'_, T, Sleeps>) -> bool {
        self.wait(guard);
        false
    }
}

struct Counted<T> {
    references: Cell<usize>,
    value: T,
}

pub struct Arc<T>(*mut Counted<T>);

// SAFETY: Like `std`'s: tasks take turns.
unsafe impl<T: Send + Sync> Send for Arc<T> {}
// SAFETY: The same.
unsafe impl<T: Send + Sync> Sync for Arc<T> {}

impl<T> Arc<T> {
    pub fn new(value: T, flags: Flags) -> Result<Self> {
        Self::pin_init::<core::convert::Infallible>(value, flags)
    }

    pub fn pin_init<E>(init: impl PinInit<T, E>, flags: Flags) -> Result<Self>
    where
        Error: From<E>,
    {
        // SAFETY: Initializes all fields.
        let counted = unsafe {
            pin_init::pin_init_from_closure(move |slot: *mut Counted<T>| {
                init.__pinned_init(&raw mut (*slot).value)?;
                (&raw mut (*slot).references).write(Cell::new(1));
                Ok::<(), E>(())
            })
        };
        let counted = KBox::pin_init(counted, flags)?;
        // SAFETY: The value stays in place.
        Ok(Self(KBox::into_raw(unsafe { Pin::into_inner_unchecked(counted) })))
    }

    pub fn into_raw(this: Self) -> *const T {
        // SAFETY: Valid.
        unsafe { &raw const (*core::mem::ManuallyDrop::new(this).0).value }
    }

    pub unsafe fn from_raw(at: *const T) -> Self {
        Self(at.byte_sub(core::mem::offset_of!(Counted<T>, value)).cast_mut().cast())
    }

    /// # Safety
    ///
    /// `id` is the `id()` of a reference that is kept.
    pub(crate) unsafe fn from_id(id: usize) -> Self {
        Self(id as *mut Counted<T>)
    }

    pub(crate) fn id(&self) -> usize {
        self.0 as usize
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Self {
        touch(self.0);
        // SAFETY: Valid.
        let references = unsafe { &(*self.0).references };
        references.set(references.get() + 1);
        Self(self.0)
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;
    fn deref(&self) -> &T {
        world::check(self.0);
        // SAFETY: Valid.
        unsafe { &(*self.0).value }
    }
}

impl<T> Drop for Arc<T> {
    fn drop(&mut self) {
        touch(self.0);
        // SAFETY: Valid; the last reference frees it.
        unsafe {
            let references = &(*self.0).references;
            references.set(references.get() - 1);
            if references.get() == 0 {
                drop(KBox::from_raw(self.0));
            }
        }
    }
}

/// A reference lent by the owner of an `Arc`.
pub struct ArcBorrow<'a, T>(pub(crate) &'a T);

impl<T> Deref for ArcBorrow<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.0
    }
}

pub mod aref {
    use crate::{bindings, task::Task};

    /// A counted reference to a task.
    pub struct ARef<T>(core::marker::PhantomData<T>);

    impl<T> Drop for ARef<T> {
        fn drop(&mut self) {
            unreachable!("the library keeps these references forever");
        }
    }

    impl From<&Task> for ARef<Task> {
        fn from(task: &Task) -> Self {
            // SAFETY: The caller ensures that the task is valid, which this checks.
            unsafe { bindings::get_task_struct(task.as_ptr()) };
            Self(core::marker::PhantomData)
        }
    }
}

pub mod rcu {
    pub struct Guard(());

    pub fn read_lock() -> Guard {
        crate::world::rcu_lock();
        Guard(())
    }

    impl Drop for Guard {
        fn drop(&mut self) {
            crate::world::rcu_unlock();
        }
    }
}

pub mod atomic {
    use crate::world::touch;
    use core::cell::UnsafeCell;
    use core::ops::Add;

    pub struct Relaxed;
    pub struct Acquire;
    pub struct Release;
    pub struct Full;

    pub mod ordering {
        pub use super::{Acquire, Full, Relaxed, Release};
    }

    pub trait AtomicType: Copy + PartialEq {}
    impl<T: Copy + PartialEq> AtomicType for T {}

    #[repr(transparent)]
    pub struct Atomic<T>(UnsafeCell<T>);

    // SAFETY: Tasks take turns.
    unsafe impl<T> Sync for Atomic<T> {}
    // SAFETY: Tasks take turns.
    unsafe impl<T> Send for Atomic<T> {}

    impl<T: AtomicType> Atomic<T> {
        pub const fn new(value: T) -> Self {
            Self(UnsafeCell::new(value))
        }

        /// Executes the step of the volatile access that follows.
        pub fn as_ptr(&self) -> *mut T {
            touch(self.0.get());
            self.0.get()
        }

        fn access<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
            touch(self.0.get());
            // SAFETY: Tasks take turns.
            f(unsafe { &mut *self.0.get() })
        }

        pub fn load<O>(&self, _: O) -> T {
            self.access(|now| *now)
        }

        pub fn store<O>(&self, value: T, _: O) {
            self.access(|now| *now = value);
        }

        pub fn xchg<O>(&self, value: T, _: O) -> T {
            self.access(|now| core::mem::replace(now, value))
        }

        pub fn cmpxchg<O>(&self, old: T, new: T, _: O) -> Result<T, T> {
            self.access(|now| {
                if *now == old {
                    *now = new;
                    Ok(old)
                } else {
                    Err(*now)
                }
            })
        }

        pub fn fetch_add<O>(&self, value: T, _: O) -> T
        where
            T: WrappingAdd,
        {
            self.access(|now| core::mem::replace(now, now.wrapping_add(value)))
        }

        pub fn add<O>(&self, value: T, order: O)
        where
            T: WrappingAdd,
        {
            self.fetch_add(value, order);
        }
    }

    pub trait WrappingAdd: Add + Sized {
        fn wrapping_add(self, other: Self) -> Self;
    }
    impl WrappingAdd for u64 {
        fn wrapping_add(self, other: Self) -> Self {
            self.wrapping_add(other)
        }
    }
    impl WrappingAdd for u32 {
        fn wrapping_add(self, other: Self) -> Self {
            self.wrapping_add(other)
        }
    }

    pub type AtomicFlag = Atomic<bool>;
}
