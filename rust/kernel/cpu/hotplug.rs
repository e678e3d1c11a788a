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
        ECANCELED,
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
    error::to_result,
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

/// A CPU that is possible.
///
/// # Invariants
///
/// It is.
#[derive(Clone, Copy)]
pub(in super::super) struct PossibleCpu(CpuId);

impl PossibleCpu {
    #[inline(always)]
    pub(in super::super) fn new(cpu: CpuId) -> Option<Self> {
        // INVARIANT: Tested just now.
        is_possible(cpu).then_some(Self(cpu))
    }

    #[inline(always)]
    pub(in super::super) fn get(self) -> CpuId {
        self.0
    }
}

/// Whether `cpu` is online now. Any context.
///
/// Says little about the threads of that CPU: it is true before they are unparked, and still true
/// after they were parked. It can change at once unless a [`CpusReadGuard`] is held.
#[inline]
pub fn is_online(cpu: CpuId) -> bool {
    online_mask().test(cpu)
}

/// Whether all of the CPU-up of `cpu` is done, and nothing of a CPU-down. It changes with the hotplug
/// lock held for writing.
pub(in super::super) fn is_active(cpu: CpuId) -> bool {
    // SAFETY: As for the mask of online CPUs.
    unsafe { Cpumask::from_raw(&raw const bindings::__cpu_active_mask) }.test(cpu)
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
/// let first = hotplug::parse_cpu_list(c"0")?;
/// assert!(hotplug::cpus_of(&first).map(|cpu| cpu.as_u32()).eq([0]));
///
/// let all = hotplug::parse_cpu_list(c" 0-N\n")?;
/// assert_eq!(hotplug::cpus_of(&all).count(), kernel::cpu::nr_cpu_ids() as usize);
///
/// assert_eq!(hotplug::parse_cpu_list(c"0-1-2").err(), Some(EINVAL));
/// ```
///
/// # Errors
///
/// Returns `EINVAL` for what is no list, `ERANGE` for a CPU of [`nr_cpu_ids()`] or above,
/// `EOVERFLOW` for a number that does not fit, `ENOMEM`.
pub fn parse_cpu_list(list: &CStr) -> Result<CpumaskVar> {
    let mask = CpumaskVar::new_zero(GFP_KERNEL)?;

    // SAFETY: `list` is NUL-terminated, and the mask has room for `nr_cpu_ids` bits.
    to_result(unsafe {
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

/// Recognizes hotplug threads: the address of `smpboot_thread_fn()`, which the kernel does not export.
///
/// To be passed as a [`ModuleScope`](crate::smpboot::ModuleScope), which has one before any other code
/// of its module runs. So the answer is right in callbacks of other subsystems, too, which may reach
/// the module's code in a hotplug thread before any thread of the module exists: those of a cpufreq
/// driver, for example.
///
/// # Invariants
///
/// It is that address.
pub struct ThreadFn(usize);

impl ThreadFn {
    /// Learns the address from a hotplug state that is installed for a moment, and runs on one CPU.
    ///
    /// Process context, not in a callback; waits for a CPU hotplug operation in progress.
    ///
    /// # Errors
    ///
    /// - `ENOSPC`: the kernel has no dynamic hotplug state left.
    /// - `EAGAIN`: every CPU is stopped half-way up.
    #[inline]
    pub(in super::super) fn learn() -> Result<Self> {
        static LEARNED: Atomic<usize> = Atomic::new(0);

        /// # Safety
        ///
        /// Called by the hotplug core, in a hotplug thread.
        unsafe extern "C" fn startup(_cpu: c_uint) -> c_int {
            // SAFETY: The current task is a kernel thread, `cpuhp/N`.
            let thread_fn = unsafe { bindings::kthread_func(Task::current_raw()) };
            LEARNED.store(thread_fn as usize, Relaxed);
            // With an error the core takes the state back, and calls this for no other CPU.
            ECANCELED.to_errno()
        }

        // SAFETY: The name is static. The core does not call `startup` any more when it has failed, or
        // when the state is removed below.
        let state = unsafe {
            bindings::__cpuhp_setup_state(
                bindings::cpuhp_state_CPUHP_AP_ONLINE_DYN,
                c"rust/module_scope:learn".as_char_ptr(),
                true,
                Some(startup),
                None,
                false,
            )
        };
        if state >= 0 {
            // SAFETY: Installed just now.
            unsafe { bindings::__cpuhp_remove_state(state as bindings::cpuhp_state, false) };
        }
        match LEARNED.load(Relaxed) {
            0 => {
                to_result(state)?;
                Err(EAGAIN)
            }
            // INVARIANT: States of `CPUHP_AP_ONLINE_DYN` run in hotplug threads, and all of these run
            // this function.
            address => Ok(Self(address)),
        }
    }
}

/// Returns whether this is a callback of a hotplug thread or a hotplug state, or called by one.
///
/// Pass a [`ModuleScope`](crate::smpboot::ModuleScope). Any context.
///
/// A task that waits there for the hotplug lock, or for another task that may wait for it, may wait
/// for ever: see [`Context`](super::Context). A CPU-down waits, with the lock held for writing, for the
/// callbacks of that CPU's hotplug threads to return. The callbacks of a hotplug state run in the
/// kernel's own hotplug threads, `cpuhp/N`.
///
/// # Examples
///
/// ```
/// use smpboot::{hotplug, ModuleScope};
///
/// fn wait_for_all_workers(scope: &ModuleScope) -> Result {
///     if hotplug::in_callback(scope) {
///         return Err(EDEADLK);
///     }
///     // ...
/// #   Ok(())
/// }
/// # use smpboot::{cpuhp, seam::EDEADLK};
/// # struct State(&'static ModuleScope);
/// #
/// # #[vtable]
/// # impl cpuhp::Callbacks for State {
/// #     const NAME: &'static CStr = c"example/waits:online";
/// #
/// #     fn startup(&self, _cx: &Context<'_>) -> Result {
/// #         assert_eq!(wait_for_all_workers(self.0), Err(EDEADLK));
/// #         Ok(())
/// #     }
/// # }
/// # cpuhp_state!(State);
/// # cpuhp::Registration::new(scope, cpuhp::Invoke::Yes, State(scope))?;
///
/// assert_eq!(wait_for_all_workers(scope), Ok(()));
/// ```
#[inline(never)]
pub fn in_callback(thread_fn: &ThreadFn) -> bool {
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
    unsafe { bindings::kthread_func(current) as usize == thread_fn.0 }
}

/// Holds the CPU hotplug lock for reading: while it lives, no CPU goes online or offline.
///
/// Do not register or unregister threads or hotplug states while holding it, and do not take a second
/// one: they take the lock themselves, and a second reader waits behind a writer that waits for the
/// first. lockdep reports that. A leaked guard blocks CPU hotplug until the next boot; so does a
/// guard that is held during a wait without end.
///
/// # Examples
///
/// ```
/// use smpboot::hotplug::{self, CpusReadGuard};
///
/// let cpus = CpusReadGuard::new(scope)?;
/// let online = hotplug::online_cpus().count();
/// // None of them goes offline here, and no other comes online.
/// assert_eq!(hotplug::online_cpus().count(), online);
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
    /// Pass a [`ModuleScope`](crate::smpboot::ModuleScope). Returns `EDEADLK` in the callback of a
    /// hotplug thread or a hotplug state, where waiting for the lock can wait for ever.
    pub fn new(thread_fn: &ThreadFn) -> Result<Self> {
        if in_callback(thread_fn) {
            return Err(EDEADLK);
        }
        // SAFETY: Process context is the caller's business, as for any sleeping function.
        unsafe { bindings::cpus_read_lock() };
        // INVARIANT: Taken just now.
        Ok(Self(NotThreadSafe))
    }
}

impl Drop for CpusReadGuard {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: This task holds the lock, by the type invariant.
        unsafe { bindings::cpus_read_unlock() };
    }
}
