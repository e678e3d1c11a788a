// SPDX-License-Identifier: GPL-2.0

//! Time, which passes when a timer expires: see [`clock`](crate::world::clock).

use crate::world::{step, with};
use core::marker::PhantomData;
use core::ops::{Add, Sub};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Delta(i64);

impl Delta {
    pub const ZERO: Self = Self(0);
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs * 1_000_000_000)
    }
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis * 1_000_000)
    }
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }
    pub fn as_nanos(self) -> i64 {
        self.0
    }
}

pub struct Monotonic;

pub struct Instant<C>(i64, PhantomData<C>);

impl<C> Clone for Instant<C> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<C> Copy for Instant<C> {}
impl<C> PartialEq for Instant<C> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<C> Instant<C> {
    pub fn now() -> Self {
        step();
        Self(with(|w| w.now), PhantomData)
    }
}

impl<C> Sub for Instant<C> {
    type Output = Delta;
    fn sub(self, other: Self) -> Delta {
        Delta(self.0 - other.0)
    }
}

impl<C> Add<Delta> for Instant<C> {
    type Output = Self;
    fn add(self, delta: Delta) -> Self {
        Self(self.0.saturating_add(delta.0), PhantomData)
    }
}

#[macro_export]
macro_rules! impl_has_hr_timer {
    (impl{$($generics:tt)*} HasHrTimer<Self> for $t:ty { mode: $mode:ty, field: self.$field:ident }) => {
        impl<$($generics)*> $crate::time::hrtimer::HasHrTimer for $t {
            type Mode = $mode;
        }
    };
}

pub mod delay {
    /// Lets other tasks run.
    pub fn fsleep(_: super::Delta) {
        crate::world::might_sleep();
        crate::world::step();
    }
}

pub mod hrtimer {
    use super::Instant;
    use crate::sync::{Arc, ArcBorrow};
    use crate::world::{changed, current, step, stop_timer, with, Timer};
    use core::marker::PhantomData;
    use pin_init::PinInit;

    pub enum HrTimerRestart {
        NoRestart,
    }

    pub struct AbsolutePinnedHardMode<C>(PhantomData<C>);
    pub struct HrTimerCallbackContext<'a, T>(PhantomData<&'a T>);

    pub struct HrTimer<T>(PhantomData<fn() -> T>);

    impl<T> HrTimer<T> {
        pub fn new() -> impl PinInit<Self> {
            Self(PhantomData)
        }
    }

    pub trait HasHrTimer {
        type Mode;
    }

    pub trait HrTimerCallback: Sized {
        type Pointer<'a>;
        fn run(this: ArcBorrow<'_, Self>, cx: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart;
    }

    pub trait HrTimerPointer: Sized {
        type Handle;
        fn start<C>(self, expires: Instant<C>) -> Self::Handle;
    }

    pub struct ArcHrTimerHandle<T>(Arc<T>);

    impl<T: HrTimerCallback> HrTimerPointer for Arc<T> {
        type Handle = ArcHrTimerHandle<T>;

        fn start<C>(self, expires: Instant<C>) -> ArcHrTimerHandle<T> {
            unsafe fn fire<T: HrTimerCallback>(id: usize) {
                // The handle has the reference.
                let this = core::mem::ManuallyDrop::new(Arc::<T>::from_id(id));
                let HrTimerRestart::NoRestart =
                    T::run(ArcBorrow(&this), HrTimerCallbackContext(PhantomData));
            }
            step();
            // SAFETY: The current task exists.
            let cpu = unsafe { (*current()).on_cpu() };
            let timer =
                Timer { id: self.id(), expires: expires.0, cpu, running: false, fire: fire::<T> };
            with(|w| {
                assert!(
                    !w.timers.iter().any(|t| t.id == timer.id && !t.running),
                    "the timer is set twice"
                );
                w.timers.push(timer);
            });
            changed();
            ArcHrTimerHandle(self)
        }
    }

    impl<T> Drop for ArcHrTimerHandle<T> {
        fn drop(&mut self) {
            stop_timer(self.0.id());
        }
    }
}
