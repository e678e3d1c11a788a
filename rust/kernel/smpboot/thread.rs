// SPDX-License-Identifier: GPL-2.0

//! The callbacks of a hotplug thread.

use super::{
    super::cpu::{
        slot::Access,
        Context, //
    },
    atomic_context::AtomicContext,
    sched::SchedPolicy,
    table::ThreadSlot, //
};
use kernel::{
    cpu::CpuId,
    error::VTABLE_DEFAULT_ERROR,
    prelude::*, //
};

/// A type that has a static of its own for the registration of its hotplug threads.
///
/// Implemented by [`hotplug_thread!`](crate::hotplug_thread).
///
/// # Safety
///
/// `slot` must return the address of the same static whenever it is called, and no other
/// implementation may return that static.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no static for the registration of its hotplug threads",
    note = "`hotplug_thread!({Self})` makes it"
)]
pub unsafe trait HasThreadSlot: Sized + 'static {
    #[doc(hidden)]
    fn slot(_: Access) -> &'static ThreadSlot<Self>
    where
        Self: HotplugThread;
}

/// Makes the static that the registration of a [`HotplugThread`] needs.
///
/// The type must be a concrete one: each registration has one set of threads, and so one type.
///
/// # Examples
///
/// ```
/// # use kernel::prelude::*;
/// # use smpboot::{Context, HotplugThread};
/// struct Worker;
///
/// #[vtable]
/// impl HotplugThread for Worker {
///     const NAME: &'static CStr = c"worker";
///
///     type Local = ();
///
///     fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {}
///
///     fn run(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {}
/// }
///
/// hotplug_thread!(Worker);
///
/// Registration::new(scope, Worker)?;
/// ```
#[macro_export]
macro_rules! hotplug_thread {
    ($type:ty) => {
        // SAFETY: The static is made here, inside the function, where nothing else can name it.
        unsafe impl $crate::smpboot::HasThreadSlot for $type {
            #[inline(always)]
            fn slot(_: $crate::smpboot::SlotAccess) -> &'static $crate::smpboot::ThreadSlot<Self> {
                static SLOT: $crate::smpboot::ThreadSlot<$type> =
                    $crate::smpboot::ThreadSlot::new();
                &SLOT
            }
        }
    };
}

/// One thread per CPU that follows CPU hotplug.
///
/// The implementing type is what the threads share, and what other CPUs may touch: it is reached
/// by `&self` from all of them at once. What belongs to one thread alone is
/// [`Local`](Self::Local): made by [`setup`](Self::setup) in that thread, lent to every callback
/// that the thread runs, and dropped by it at the end. It needs no lock and no atomics.
///
/// Each method says when the C core calls it, and what it may do there. The life cycle as a whole
/// is on the [module's page](super).
///
/// A panic in a callback is a BUG: the thread dies, whoever waits for it to park or stop goes on
/// without it, and its `Local` leaks.
///
/// # Examples
///
/// A thread that keeps a log of its own, in a lifetime of its own, and does its work with a
/// real-time priority:
///
/// ```
/// use kernel::sync::atomic::{Atomic, Relaxed};
/// use smpboot::{hotplug, AtomicContext, SchedPolicy};
///
/// struct Sampler {
///     enabled: Atomic<bool>,
/// }
///
/// static ENDED: Atomic<usize> = Atomic::new(0);
///
/// struct Samples {
///     taken: KVec<u64>,
/// }
///
/// #[vtable]
/// impl HotplugThread for Sampler {
///     const NAME: &'static CStr = c"sampler";
///
///     type Local = Samples;
///
///     fn sched_policy(&self) -> SchedPolicy {
///         SchedPolicy::Fifo
///     }
///
///     fn setup(&self, _cx: &Context<'_>) -> impl PinInit<Samples> {
///         Samples { taken: KVec::new() }
///     }
///
///     fn should_run(&self, _samples: Pin<&mut Samples>, cx: &AtomicContext<'_>) -> bool {
///         self.enabled.load(Relaxed) && cx.woken()
///     }
///
///     fn run(&self, mut samples: Pin<&mut Samples>, cx: &Context<'_>) {
///         if samples.taken.push(0, GFP_KERNEL).is_err() {
///             pr_warn!("CPU {}: a sample is lost\n", cx.cpu().as_u32());
///         }
///     }
///
///     fn park(&self, mut samples: Pin<&mut Samples>, _cx: &Context<'_>) {
///         samples.taken.clear();
///     }
///
///     fn cleanup(&self, samples: Pin<&mut Samples>, cx: &Context<'_>, _online: bool) {
///         pr_info!("CPU {}: {} samples\n", cx.cpu().as_u32(), samples.taken.len());
///         ENDED.add(1, Relaxed);
///     }
/// }
///
/// hotplug_thread!(Sampler);
///
/// let sampler = Registration::new(scope, Sampler { enabled: Atomic::new(true) })?;
/// sampler.wait_until_up()?;
/// sampler.threads().wake_all();
///
/// // Each thread that has run `setup` runs `cleanup`.
/// drop(sampler);
/// assert_eq!(ENDED.load(Relaxed), hotplug::online_cpus().count());
/// ```
#[vtable]
pub trait HotplugThread: HasThreadSlot + Send + Sync {
    /// The name of the threads, to which the core adds `/` and the CPU number.
    ///
    /// It is an error while building if the result does not fit into a `comm`
    /// (`TASK_COMM_LEN`, for all CPU numbers below `CONFIG_NR_CPUS`), if the name is empty, or if
    /// it contains a `%`: the C core uses it as a format string.
    const NAME: &'static CStr;

    /// What one thread owns.
    ///
    /// It never leaves its thread; [`Send`] keeps out what belongs to a context rather than to a
    /// task, such as the guard of a lock. It is pinned, and dropped by the thread, after
    /// [`cleanup`](Self::cleanup).
    type Local: Send + 'static;

    /// Makes the thread's own state.
    ///
    /// Called by the thread, on its CPU, once in its life: after registration for the CPUs that
    /// are online, which may be after [`Registration::new`](super::Registration::new) returned,
    /// and when the CPU first comes online for the others. May sleep, while a CPU-down may be
    /// waiting. Cannot fail: what can fail belongs into the making of the shared value, before
    /// registration.
    fn setup(&self, cx: &Context<'_>) -> impl PinInit<Self::Local>;

    /// Does the work.
    ///
    /// Called by the thread, on its CPU, when there is something to do: once after any number of
    /// wakes, which the abstraction takes note of before the call, so that a wake during the call
    /// leads to another one; or as long as [`should_run`](Self::should_run) says so, if that is
    /// written. May sleep, but see [`Context`] for what it must not wait for.
    fn run(&self, local: Pin<&mut Self::Local>, cx: &Context<'_>);

    /// Whether there is something to do.
    ///
    /// Called by the thread, on its CPU, before each sleep, with preemption off and the task's
    /// state set to sleep already. If it is not written, the abstraction's own flag decides, which
    /// a wake sets and a run clears: [`AtomicContext::woken`]. A queue that is its own flag may
    /// decide without it; whoever puts something there still has to wake the thread.
    ///
    /// To see what another CPU published before its wake, relaxed atomics suffice: between the
    /// waker's stores and these loads there is a full memory barrier on both sides.
    fn should_run(&self, _local: Pin<&mut Self::Local>, _cx: &AtomicContext<'_>) -> bool {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Told that the thread of a CPU was created.
    ///
    /// Called by the task that registers, or by the one that brings the CPU online; on any CPU,
    /// with the hotplug lock and the core's own mutex held. The thread exists and is parked, its
    /// `Local` does not exist yet. There is no inverse: a thread that is created and stopped before
    /// it ever ran has no [`cleanup`](Self::cleanup). What [`Context`] says about the hotplug lock
    /// holds here too.
    fn create(&self, _cpu: CpuId) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Told that the thread will not run until [`unpark`](Self::unpark).
    ///
    /// Called by the thread, on its CPU, which is still online. It does not mean that the CPU goes
    /// away: a CPU-down that fails later on is rolled back. Nor is it called each time: a thread
    /// that is unparked and parked again before it was scheduled, as when a CPU-up fails late, notices
    /// neither. The two calls alternate, always. The waiter holds the hotplug lock for writing.
    /// Sleeping is allowed, being slow is not.
    fn park(&self, _local: Pin<&mut Self::Local>, _cx: &Context<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Told that the thread runs again.
    ///
    /// Called by the thread, on its CPU, after [`park`](Self::park). The C core calls it only if
    /// there is a `park`; here it is called in any case.
    fn unpark(&self, _local: Pin<&mut Self::Local>, _cx: &Context<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Told that the thread ends; its `Local` is dropped right after.
    ///
    /// Called by the thread, if [`setup`](Self::setup) was: last, and once. With `online` false,
    /// the CPU is offline, the thread is running on some other one, and `park` came before with no
    /// `unpark` in between. Interruptible sleeps return at once.
    fn cleanup(&self, _local: Pin<&mut Self::Local>, _cx: &Context<'_>, _online: bool) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The scheduling class of the threads.
    ///
    /// Called by each thread before [`setup`](Self::setup), also on CPUs that come online later.
    /// If it is not written, the threads stay as they are created: normal, nice 0. Root can change
    /// the class of a thread later, as of any kernel thread.
    fn sched_policy(&self) -> SchedPolicy {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}
