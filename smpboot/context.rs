// SPDX-License-Identifier: GPL-2.0

//! In which context a callback runs, as a type.

use super::{
    bindings,
    flag::Flag, //
};
use core::marker::PhantomData;
use kernel::{
    cpu::CpuId,
    types::NotThreadSafe, //
};

/// The context of a callback that the thread itself runs, with preemption on: it may sleep.
///
/// The CPU hotplug lock is out of reach all the same, because a CPU that goes down may be waiting
/// for this callback with the lock held. Nothing that takes it may be called, directly or hidden:
/// registering and unregistering (this crate's own return `EDEADLK`), static keys, allocating and
/// destroying workqueues, `stop_machine()`, creating slab caches. For the same reason a callback
/// must come back soon, or look at [`should_park`](Self::should_park) and
/// [`should_stop`](Self::should_stop) whenever it waits; [`sleep`](Self::sleep) does so by itself.
///
/// # Examples
///
/// Waiting in a callback, but not when somebody waits for the thread:
///
/// ```
/// fn wait_for(cx: &Context<'_>, done: impl Fn() -> bool) -> Result {
///     while !done() {
///         if !cx.sleep(kernel::time::Delta::from_millis(1)) {
///             return Err(EAGAIN);
///         }
///     }
///     Ok(())
/// }
/// ```
///
/// # Invariants
///
/// The current task is a hotplug thread, in one of its callbacks, during `'a`.
pub struct Context<'a> {
    cpu: CpuId,
    _callback: PhantomData<&'a ()>,
    _this_task: NotThreadSafe,
}

impl Context<'_> {
    /// # Safety
    ///
    /// The current task is the hotplug thread of the CPU `cpu`, and stays in a callback that may
    /// sleep for as long as the value lives.
    #[inline(always)]
    pub(super) unsafe fn new(cpu: u32) -> Self {
        // INVARIANT: By the requirements of this function.
        Self {
            // SAFETY: A thread exists only for possible CPUs.
            cpu: unsafe { CpuId::from_u32_unchecked(cpu) },
            _callback: PhantomData,
            _this_task: NotThreadSafe,
        }
    }

    /// The CPU that this thread belongs to.
    ///
    /// The thread is running there, except in
    /// [`cleanup`](super::HotplugThread::cleanup) while that CPU is offline.
    #[inline(always)]
    pub fn cpu(&self) -> CpuId {
        self.cpu
    }

    /// Whether somebody waits for this thread to park, because its CPU goes down.
    #[inline]
    pub fn should_park(&self) -> bool {
        // SAFETY: The current task is a kernel thread, by the type invariant.
        unsafe { bindings::kthread_should_park() }
    }

    /// Whether somebody waits for this thread to stop, because it is being unregistered.
    #[inline]
    pub fn should_stop(&self) -> bool {
        // SAFETY: The current task is a kernel thread, by the type invariant.
        unsafe { bindings::kthread_should_stop() }
    }
}

/// The context of [`should_run`](super::HotplugThread::should_run): the thread itself, on its CPU,
/// with preemption off and its state already set for sleeping.
///
/// Nothing that sleeps may be called, and no lock that sleeps on `PREEMPT_RT`: there that is every
/// [`SpinLock`](kernel::sync::SpinLock). Atomics are what is left, and all that is needed.
///
/// # Examples
///
/// ```
/// use kernel::sync::atomic::{Atomic, Relaxed};
/// use smpboot::AtomicContext;
///
/// fn should_run(queued: &Atomic<u32>, cx: &AtomicContext<'_>) -> bool {
///     cx.woken() || queued.load(Relaxed) != 0
/// }
/// ```
///
/// # Invariants
///
/// The current task is a hotplug thread, with preemption disabled, during `'a`.
pub struct AtomicContext<'a> {
    cpu: CpuId,
    pending: &'a Flag,
    _this_cpu: NotThreadSafe,
}

impl<'a> AtomicContext<'a> {
    /// # Safety
    ///
    /// The current task is the hotplug thread of the CPU `cpu`, runs there, and keeps preemption
    /// disabled for as long as the value lives.
    #[inline(always)]
    pub(super) unsafe fn new(cpu: u32, pending: &'a Flag) -> Self {
        // INVARIANT: By the requirements of this function.
        Self {
            // SAFETY: A thread exists only for possible CPUs.
            cpu: unsafe { CpuId::from_u32_unchecked(cpu) },
            pending,
            _this_cpu: NotThreadSafe,
        }
    }

    /// The CPU on which this runs.
    #[inline(always)]
    pub fn cpu(&self) -> CpuId {
        self.cpu
    }

    /// Whether the thread was woken since it last ran: the answer of the `should_run` that is not
    /// written.
    #[inline(always)]
    pub fn woken(&self) -> bool {
        // No order is needed to find the flag: the core has put a full barrier between the task's
        // state and this load, see `ThreadSlot::wake`. For what comes with the flag, there is the
        // exchange before `run`.
        self.pending.is_set()
    }
}
