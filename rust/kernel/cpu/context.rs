// SPDX-License-Identifier: GPL-2.0

//! The context of a callback, as a type.

use super::super::{
    bindings,
    percpu::CpuContext, //
};
use core::marker::PhantomData;
use kernel::{
    cpu::CpuId,
    types::NotThreadSafe, //
};

/// The context of a callback that the thread itself runs with preemption on. The callback may
/// sleep.
///
/// The callback must not take the CPU hotplug lock: a task that takes the CPU offline may be
/// waiting for this callback with the lock held. So it must not call functions that take the lock,
/// directly or indirectly: registering and unregistering, switching static keys, `stop_machine()`,
/// `schedule_on_each_cpu()`, destroying and shrinking slab caches. Nor may it wait for a task that
/// may wait for that lock.
///
/// This library's functions that register and unregister return `EDEADLK` there. Dropping a
/// [`Tree`](super::super::debugfs::Tree) waits for the operations on its files.
///
/// For the same reason a callback must return soon, or test [`should_park`](Self::should_park) and
/// [`should_stop`](Self::should_stop) whenever it waits.
///
/// [`sleep`](Self::sleep) tests both.
///
/// # Examples
///
/// Waiting in a callback until a task waits for the thread to park or stop:
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
///
/// # struct Waiter;
/// #
/// # #[vtable]
/// # impl HotplugThread for Waiter {
/// #     const NAME: &'static CStr = c"waiter";
/// #
/// #     type Local = ();
/// #
/// fn setup(&self, cx: &Context<'_>) -> impl PinInit<()> {
///     assert_eq!(wait_for(cx, || cx.cpu() == kernel::cpu::CpuId::current()), Ok(()));
/// }
/// #
/// #     fn run(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {}
///
/// // The task that unregisters waits for this thread: the wait ends at once.
/// fn cleanup(&self, _local: Pin<&mut ()>, cx: &Context<'_>, _online: bool) {
///     assert_eq!(wait_for(cx, || false), Err(EAGAIN));
/// }
/// # }
/// # hotplug_thread!(Waiter);
/// #
/// # Registration::new(scope, Waiter)?.wait_until_up()?;
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

// SAFETY: A thread exists only for possible CPUs.
unsafe impl CpuContext for Context<'_> {
    #[inline(always)]
    fn cpu(&self) -> CpuId {
        self.cpu
    }
}

impl Context<'_> {
    /// # Safety
    ///
    /// The current task is the hotplug thread of the CPU `cpu`, and stays in a callback that may
    /// sleep for as long as the value exists.
    #[inline(always)]
    pub(in super::super) unsafe fn new(cpu: CpuId) -> Self {
        // INVARIANT: By the requirements of this function.
        Self {
            cpu,
            _callback: PhantomData,
            _this_task: NotThreadSafe,
        }
    }

    /// Returns the CPU of this thread, which is possible.
    ///
    /// The thread runs on that CPU, except in [`cleanup`](crate::smpboot::HotplugThread::cleanup)
    /// while the CPU is offline.
    #[inline(always)]
    pub fn cpu(&self) -> CpuId {
        self.cpu
    }

    /// Returns whether a task waits for this thread to park, because its CPU is going offline.
    #[inline]
    pub fn should_park(&self) -> bool {
        // SAFETY: The current task is a kernel thread, by the type invariant.
        unsafe { bindings::kthread_should_park() }
    }

    /// Returns whether a task waits for this thread to stop, because it is being unregistered.
    #[inline]
    pub fn should_stop(&self) -> bool {
        // SAFETY: The current task is a kernel thread, by the type invariant.
        unsafe { bindings::kthread_should_stop() }
    }
}
