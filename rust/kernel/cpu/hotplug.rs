// SPDX-License-Identifier: GPL-2.0

//! Which CPUs there are, and the lock that keeps it so.
//!
//! The kernel keeps several masks of CPUs. *Possible* CPUs are fixed at boot: per-CPU storage
//! exists for these. *Online* CPUs come and go; a hotplug thread exists for each CPU that has been
//! online since its registration.
//!
//! C header: [`include/linux/cpu.h`](srctree/include/linux/cpu.h)

use super::super::{
    bindings,
    seam::{
        cpu_possible,
        EDEADLK, //
    }, //
};
use kernel::{
    cpu::{
        nr_cpu_ids,
        CpuId, //
    },
    cpumask::{
        Cpumask,
        CpumaskVar, //
    },
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    task::Task,
    types::NotThreadSafe, //
};

fn online_mask() -> &'static Cpumask {
    // SAFETY: The mask is a static. It changes bit by bit, with atomic operations, and
    // `Cpumask::test` reads it atomically.
    unsafe { Cpumask::from_raw(&raw const bindings::__cpu_online_mask) }
}

/// Whether `cpu` can ever be online. Any context.
#[inline]
pub fn is_possible(cpu: CpuId) -> bool {
    cpu_possible(cpu)
}

/// Whether `cpu` is online now. Any context.
///
/// Says little about the threads of that CPU: it is true before they are unparked, and still true
/// after they were parked. It can change at once unless a [`CpusReadGuard`] is held.
#[inline]
pub fn is_online(cpu: CpuId) -> bool {
    online_mask().test(cpu)
}

fn all() -> impl Iterator<Item = CpuId> {
    (0..nr_cpu_ids()).filter_map(CpuId::from_u32)
}

/// The CPUs that can ever be online, in rising order.
///
/// # Examples
///
/// ```
/// use smpboot::hotplug;
///
/// assert!(hotplug::online_cpus().all(hotplug::is_possible));
/// assert!(hotplug::possible_cpus().count() >= hotplug::online_cpus().count());
/// ```
pub fn possible_cpus() -> impl Iterator<Item = CpuId> {
    all().filter(|cpu| is_possible(*cpu))
}

/// The CPUs that are online, each tested when the iterator comes by.
pub fn online_cpus() -> impl Iterator<Item = CpuId> {
    all().filter(|cpu| is_online(*cpu))
}

/// The CPUs of a mask, in rising order.
pub fn cpus_of(mask: &Cpumask) -> impl Iterator<Item = CpuId> + '_ {
    all().filter(|cpu| mask.test(*cpu))
}

/// Reads a CPU list as the kernel's own files do: `cpulist_parse()`.
///
/// That is numbers and ranges, `0-3,7`, ranges with a pattern, `0-7:1/2`, `all` or `N` for the last
/// CPU, and white space around. An empty list is an empty mask.
///
/// # Examples
///
/// ```
/// use smpboot::hotplug;
///
/// let cpus = hotplug::parse_cpu_list(c"0-3,7")?;
/// for cpu in hotplug::cpus_of(&cpus) {
///     pr_info!("CPU {}\n", cpu.as_u32());
/// }
/// ```
///
/// # Errors
///
/// Returns `EINVAL` for what is no list, `ERANGE` for a CPU of [`nr_cpu_ids()`] or above,
/// `EOVERFLOW` for a number that does not fit, `ENOMEM`.
pub fn parse_cpu_list(list: &CStr) -> Result<CpumaskVar> {
    let mask = CpumaskVar::new_zero(GFP_KERNEL)?;

    // SAFETY: `list` is NUL-terminated, and the mask has room for `nr_cpu_ids` bits.
    kernel::error::to_result(unsafe {
        bindings::bitmap_parselist(
            list.as_char_ptr(),
            mask.as_raw().cast(),
            nr_cpu_ids() as c_int,
        )
    })?;

    Ok(mask)
}

/// The task in whose context a `create` callback of this module runs, or null.
///
/// The core serializes them with `smpboot_threads_lock`.
pub(in super::super) static CREATING: Atomic<usize> = Atomic::new(0);

/// The address of `smpboot_thread_fn`, which is not exported; 0 until a thread of ours exists.
pub(in super::super) static THREAD_FN: Atomic<usize> = Atomic::new(0);

/// Whether this is a callback of a hotplug thread or a hotplug state, or called by one.
///
/// Whoever waits there for the hotplug lock, or for anybody else who may wait for it, may wait for
/// ever: see [`Context`](super::Context). A CPU that goes down waits, with the lock held for writing,
/// for the callbacks of that CPU's hotplug threads to return. The callbacks of a hotplug state run in
/// the kernel's own hotplug threads, `cpuhp/N`.
///
/// # Examples
///
/// ```
/// use smpboot::hotplug;
///
/// /// Returns whether it could.
/// fn wait_for_all_workers() -> bool {
///     if hotplug::in_callback() {
///         return false;
///     }
///     // ...
/// #   true
/// }
/// ```
pub fn in_callback() -> bool {
    let current = Task::current_raw();

    if CREATING.load(Relaxed) == current as usize {
        return true;
    }

    // SAFETY: `current` is valid for the duration of this call, and only the task itself writes
    // its flags.
    if unsafe { (*current).flags } & bindings::PF_KTHREAD == 0 {
        return false;
    }

    // SAFETY: `current` is a valid kernel thread, as tested just now.
    let thread_fn = unsafe { bindings::kthread_func(current) } as usize;
    thread_fn != 0 && thread_fn == THREAD_FN.load(Relaxed)
}

/// Holds the CPU hotplug lock for reading: while it lives, no CPU goes online or offline.
///
/// Do not register or unregister threads or hotplug states while holding it: they take the lock
/// themselves, and a second reader waits behind a writer that waits for the first. lockdep reports
/// that. [`cpuhp::Registration::new_cpuslocked`](super::cpuhp::Registration::new_cpuslocked) is
/// for callers that hold it.
///
/// # Examples
///
/// ```
/// use smpboot::hotplug::{self, CpusReadGuard};
///
/// let cpus = CpusReadGuard::new()?;
/// for cpu in hotplug::online_cpus() {
///     pr_info!("CPU {} stays online here\n", cpu.as_u32());
/// }
/// drop(cpus);
/// ```
///
/// # Invariants
///
/// The task that made it holds `cpu_hotplug_lock` for reading.
pub struct CpusReadGuard(NotThreadSafe);

impl CpusReadGuard {
    /// Takes the lock: `cpus_read_lock()`. Process context; waits for a hotplug operation in
    /// progress.
    ///
    /// Returns `EDEADLK` in the callback of a hotplug thread or a hotplug state, where waiting for
    /// the lock can wait for ever.
    pub fn new() -> Result<Self> {
        if in_callback() {
            return Err(EDEADLK);
        }
        // SAFETY: Process context is the caller's business, as for any sleeping function.
        unsafe { bindings::cpus_read_lock() };
        // INVARIANT: Taken just now.
        Ok(Self(NotThreadSafe))
    }

    /// Takes the lock if that needs no waiting: `cpus_read_trylock()`.
    pub fn try_new() -> Option<Self> {
        // SAFETY: May be called at any time in process context.
        if unsafe { bindings::cpus_read_trylock() } == 0 {
            return None;
        }
        // INVARIANT: Taken just now.
        Some(Self(NotThreadSafe))
    }
}

impl Drop for CpusReadGuard {
    fn drop(&mut self) {
        // SAFETY: This task holds the lock, by the type invariant.
        unsafe { bindings::cpus_read_unlock() };
    }
}
