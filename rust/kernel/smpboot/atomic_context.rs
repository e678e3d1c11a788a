// SPDX-License-Identifier: GPL-2.0

//! The context of `should_run`, as a type.

use super::super::{
    percpu::CpuContext,
    seam::Flag, //
};
use kernel::{
    cpu::CpuId,
    types::NotThreadSafe, //
};

/// The context of [`should_run`](super::HotplugThread::should_run): the thread itself, on its CPU,
/// with preemption off and its state already set for sleeping.
///
/// The callback must not sleep. It must not take a lock that sleeps on `PREEMPT_RT` either, which
/// there includes every [`SpinLock`](kernel::sync::SpinLock). Atomics suffice.
///
/// # Examples
///
/// ```
/// use kernel::sync::atomic::{Atomic, Relaxed};
/// use smpboot::AtomicContext;
///
/// struct Queue {
///     queued: Atomic<u32>,
/// }
///
/// #[vtable]
/// impl HotplugThread for Queue {
/// #   const NAME: &'static CStr = c"queue";
/// #
/// #   type Local = ();
/// #
/// #   fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {}
/// #
///     fn should_run(&self, _local: Pin<&mut ()>, cx: &AtomicContext<'_>) -> bool {
///         assert_eq!(cx.cpu(), kernel::cpu::CpuId::current());
///         cx.woken() || self.queued.load(Relaxed) != 0
///     }
///
///     fn run(&self, _local: Pin<&mut ()>, cx: &Context<'_>) {
///         // ...
/// #       assert_eq!(cx.cpu(), kernel::cpu::CpuId::current());
///     }
/// }
/// # hotplug_thread!(Queue);
/// # let queue = Registration::new(scope, Queue { queued: Atomic::new(0) })?;
/// # queue.wait_until_up()?;
/// # queue.threads().wake_all();
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

// SAFETY: A thread exists only for possible CPUs.
unsafe impl CpuContext for AtomicContext<'_> {
    #[inline(always)]
    fn cpu(&self) -> CpuId {
        self.cpu
    }
}

impl<'a> AtomicContext<'a> {
    /// # Safety
    ///
    /// The current task is the hotplug thread of the CPU `cpu`, runs there, and keeps preemption
    /// disabled for as long as the value exists.
    #[inline(always)]
    pub(super) unsafe fn new(cpu: CpuId, pending: &'a Flag) -> Self {
        // INVARIANT: By the requirements of this function.
        Self {
            cpu,
            pending,
            _this_cpu: NotThreadSafe,
        }
    }

    /// Returns the CPU on which this runs.
    #[inline(always)]
    pub fn cpu(&self) -> CpuId {
        self.cpu
    }

    /// Returns whether the thread was woken since its last `run`. Types without a `should_run` use
    /// this.
    #[inline(always)]
    pub fn woken(&self) -> bool {
        // This load needs no ordering: the core has executed a full barrier between the store of
        // the task's state and it, see `Core::wake`. The clear before `run` orders the data that
        // the flag announces.
        self.pending.is_set()
    }
}

/// Does nothing. With it, no other code can implement `Copy` or `Drop` for this.
impl Drop for AtomicContext<'_> {
    #[inline(always)]
    fn drop(&mut self) {}
}
