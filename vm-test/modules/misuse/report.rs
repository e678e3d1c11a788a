// SPDX-License-Identifier: GPL-2.0

//! Results and counters of the checks.

use kernel::{
    alloc::AllocError,
    fmt,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// Why a check failed.
pub(crate) enum Failure {
    /// A condition did not hold.
    Unmet(u32, CString),
    /// Something that should have worked did not.
    Error(Error),
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self::Error(e)
    }
}

impl From<AllocError> for Failure {
    fn from(e: AllocError) -> Self {
        Self::Error(e.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmet(line, what) => {
                write!(f, "line {line}: {}", what.to_str().unwrap_or_default())
            }
            Self::Error(e) => write!(f, "errno {}", e.to_errno()),
        }
    }
}

pub(crate) type Outcome = Result<(), Failure>;

/// Ends a check, unless the condition holds.
macro_rules! ensure {
    ($cond:expr, $($what:tt)*) => {
        if !$cond {
            return Err($crate::misuse::report::Failure::Unmet(
                line!(),
                ::kernel::str::CString::try_from_fmt(::kernel::prelude::fmt!($($what)*))?,
            ));
        }
    };
}

/// Ends a check, unless the two are equal.
macro_rules! ensure_eq {
    ($left:expr, $right:expr) => {
        let (left, right) = ($left, $right);
        ensure!(
            left == right,
            "{} is {left:?}, and {} is {right:?}",
            stringify!($left),
            stringify!($right)
        );
    };
}

/// Waits until `condition` holds, for up to 20 seconds. Returns whether it did.
pub(crate) fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    for _ in 0..20_000 {
        if condition() {
            return true;
        }
        fsleep(Delta::from_millis(1));
    }
    condition()
}

/// A counter that threads share. Checks print it; for an `u64` that fails on 32-bit machines.
pub(crate) struct Count(Atomic<u32>);

impl Default for Count {
    fn default() -> Self {
        Self(Atomic::new(0))
    }
}

impl Count {
    pub(crate) fn up(&self) -> u32 {
        self.0.fetch_add(1, Relaxed) + 1
    }

    pub(crate) fn get(&self) -> u32 {
        self.0.load(Relaxed)
    }
}

/// Calls of callbacks of threads and states, and numbers of values.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) setup: Count,
    pub(crate) run: Count,
    pub(crate) cleanup: Count,
    pub(crate) startup: Count,
    pub(crate) teardown: Count,
    /// Number of [`Tracked`] values.
    pub(crate) made: Count,
    pub(crate) dropped: Count,
    /// Number of dropped [`TrackedLocal`] values.
    pub(crate) local_dropped: Count,
}

impl Counts {
    pub(crate) fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(Self::default(), GFP_KERNEL)?)
    }

    /// Checks, after the threads have exited, that each setup had a cleanup and each value a drop.
    pub(crate) fn balanced(&self) -> Outcome {
        ensure_eq!(self.setup.get(), self.cleanup.get());
        ensure_eq!(self.setup.get(), self.local_dropped.get());
        ensure_eq!(self.made.get(), self.dropped.get());
        Ok(())
    }
}

/// A value that counts its construction and its drop.
pub(crate) struct Tracked(pub(crate) Arc<Counts>);

impl Tracked {
    pub(crate) fn new(counts: &Arc<Counts>) -> Self {
        counts.made.up();
        Self(counts.clone())
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.0.dropped.up();
    }
}

/// A thread's own state that counts its drop.
pub(crate) struct TrackedLocal(pub(crate) Arc<Counts>);

impl Drop for TrackedLocal {
    fn drop(&mut self) {
        self.0.local_dropped.up();
    }
}
