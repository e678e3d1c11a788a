// SPDX-License-Identifier: GPL-2.0

//! The masks of CPUs, and the CPU hotplug lock.
//!
//! The kernel keeps several masks of CPUs. *Possible* CPUs are fixed at boot: per-CPU storage
//! exists for these. *Online* CPUs change.
//!
//! C headers: [`include/linux/cpumask.h`](srctree/include/linux/cpumask.h) and
//! [`include/linux/cpuhplock.h`](srctree/include/linux/cpuhplock.h)

use crate::{
    bindings,
    cpu::CpuId,
    cpumask::Cpumask,
    types::NotThreadSafe, //
};

pub use super::masks::{
    cpus_of,
    is_online,
    online_cpus,
    possible_cpus, //
};

/// Returns whether `cpu` can ever be online. Any context.
#[inline]
pub fn is_possible(cpu: CpuId) -> bool {
    // SAFETY: The mask is a static. It is written only at boot.
    unsafe { Cpumask::from_raw(&raw const bindings::__cpu_possible_mask) }.test(cpu)
}

/// Holds the CPU hotplug lock for reading: while it exists, no CPU goes online or offline.
///
/// While you hold one, do not register or unregister hotplug threads or hotplug states, and do not
/// make a second guard: all of these take the lock, and a second reader waits behind a writer that
/// waits for the first. A callback of a hotplug thread or a hotplug state must not take the lock
/// either: the task that takes the CPU offline waits for the callback, with the lock held for
/// writing. lockdep reports all of these, except in a hotplug thread: it does not know that
/// `kthread_park()` waits.
///
/// # Examples
///
/// ```
/// use kernel::cpu::hotplug::{self, CpusReadGuard};
///
/// let cpus = CpusReadGuard::new();
/// let online = hotplug::online_cpus().count();
/// // None of them goes offline here, and no other comes online.
/// assert_eq!(hotplug::online_cpus().count(), online);
/// drop(cpus);
/// ```
///
/// # Invariants
///
/// The task that made it holds `cpu_hotplug_lock` for reading.
#[must_use = "the lock is released when the guard is dropped"]
pub struct CpusReadGuard(NotThreadSafe);

impl CpusReadGuard {
    /// Takes the lock: `cpus_read_lock()`. Waits for a hotplug operation in progress.
    ///
    /// This function can only be used in process context.
    #[expect(clippy::new_without_default, reason = "it takes a lock")]
    #[inline]
    pub fn new() -> Self {
        // SAFETY: `cpus_read_lock()` is always safe to be called from process context.
        unsafe { bindings::cpus_read_lock() };
        // INVARIANT: Taken just now.
        Self(NotThreadSafe)
    }
}

impl Drop for CpusReadGuard {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: This task holds the lock, by the type invariant.
        unsafe { bindings::cpus_read_unlock() };
    }
}
