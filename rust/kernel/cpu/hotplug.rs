// SPDX-License-Identifier: GPL-2.0

//! The masks of CPUs, and the CPU hotplug lock.
//!
//! The kernel keeps several masks of CPUs. *Possible* CPUs are fixed at boot: per-CPU storage
//! exists for these. *Online* CPUs change; a hotplug thread exists for each CPU that was online at
//! its registration or after it.
//!
//! C headers: [`include/linux/cpumask.h`](srctree/include/linux/cpumask.h) and
//! [`include/linux/cpuhplock.h`](srctree/include/linux/cpuhplock.h)

use super::super::{
    bindings,
    seam::{
        cpu_possible,
        ECANCELED,
        EDEADLK, //
    }, //
};
use kernel::{
    cpu::CpuId,
    cpumask::Cpumask,
    error::to_result,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    task::Task,
    types::NotThreadSafe, //
};

pub use super::{
    list::parse_cpu_list,
    masks::{
        cpus_of,
        is_online,
        online_cpus,
        possible_cpus, //
    }, //
};

/// Returns whether `cpu` can ever be online. Any context.
#[inline]
pub fn is_possible(cpu: CpuId) -> bool {
    cpu_possible(cpu)
}

/// Returns whether the CPU-up of `cpu` is complete, and no CPU-down has begun. It changes only with
/// the hotplug lock held for writing.
pub(in super::super) fn is_active(cpu: CpuId) -> bool {
    // SAFETY: The mask is a static. It changes bit by bit, with atomic operations, and
    // `Cpumask::test` reads it atomically.
    unsafe { Cpumask::from_raw(&raw const bindings::__cpu_active_mask) }.test(cpu)
}

/// The task that runs a `create` callback of this module, or null.
///
/// The core serializes these callbacks with `smpboot_threads_lock`.
pub(in super::super) static CREATING: Atomic<usize> = Atomic::new(0);

/// The address of `smpboot_thread_fn()`, which identifies hotplug threads. The kernel does not
/// export it.
///
/// Pass a [`ModuleScope`](crate::smpboot::ModuleScope), which learns the address before any other
/// code of its module runs. So [`in_callback`] is also right in callbacks of other subsystems, such
/// as those of a cpufreq driver: they may call the module's code in a hotplug thread before the
/// module has a thread.
///
/// # Invariants
/// The number is that address.
pub struct ThreadFn(usize);

impl ThreadFn {
    /// Learns the address from a temporary hotplug state, which runs on one CPU.
    ///
    /// Process context, not in a callback. Waits for a CPU hotplug operation in progress.
    ///
    /// # Errors
    ///
    /// - `ENOSPC`: the kernel has no dynamic hotplug state left.
    /// - `EAGAIN`: the CPU-up of every CPU stopped half-way.
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
            // On an error the core removes the state, and calls this for no other CPU.
            ECANCELED.to_errno()
        }

        // SAFETY: The name is static. The core does not call `startup` any more after it has
        // failed, or after the state is removed below.
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
            // INVARIANT: States of `CPUHP_AP_ONLINE_DYN` run in hotplug threads, and all of these
            // run this function.
            address => Ok(Self(address)),
        }
    }
}

/// Returns whether the caller runs in a callback of a hotplug thread or a hotplug state.
///
/// Pass a [`ModuleScope`](crate::smpboot::ModuleScope). Any context.
///
/// A task that waits there for the hotplug lock, or for another task that may wait for it, may wait
/// forever: see [`Context`](super::Context). A CPU-down waits, with the lock held for writing, for
/// the callbacks of that CPU's hotplug threads to return. The callbacks of a hotplug state run in
/// the kernel's own hotplug threads, `cpuhp/N`.
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

    // SAFETY: `current` is valid for the duration of this call, and only the current task writes
    // its flags.
    if unsafe { (*current).flags } & bindings::PF_KTHREAD == 0 {
        return false;
    }

    // SAFETY: `current` is a valid kernel thread, as tested just now.
    unsafe { bindings::kthread_func(current) as usize == thread_fn.0 }
}

/// Holds the CPU hotplug lock for reading: while it exists, no CPU goes online or offline.
///
/// While you hold one, do not register or unregister threads or hotplug states, and do not make a
/// second guard: all of these take the lock, and a second reader waits behind a writer that waits
/// for the first. lockdep reports that. A leaked guard blocks CPU hotplug until the next boot, as
/// does a guard held during an endless wait.
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
    /// hotplug thread or a hotplug state, where a wait for the lock may never end.
    pub fn new(thread_fn: &ThreadFn) -> Result<Self> {
        if in_callback(thread_fn) {
            return Err(EDEADLK);
        }
        // SAFETY: The caller ensures process context, as for any sleeping function.
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
