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

/// A type with its own static for the registration of its hotplug threads.
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
/// The type must be concrete: each registration has one set of threads, and so one type.
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
        // SAFETY: The static is made here, inside the function, where no other code can name it.
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
/// All threads share a value of the implementing type, and access it through `&self` at the same
/// time; other CPUs may access it, too. The state of one thread is its [`Local`](Self::Local). The
/// thread makes it in [`setup`](Self::setup), lends it to each callback that it runs, and drops it
/// at the end. So `Local` needs no lock and no atomics.
///
/// Each method's page states when the C core calls it, and what it may do there. The [module's
/// page](super) has the life cycle as a whole.
///
/// A panic in a callback is a BUG: the thread dies, a task that waits for it to park or stop
/// continues, and its `Local` leaks.
///
/// # Examples
///
/// Threads that each keep samples in their `Local`, and run with a real-time priority:
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
    /// The build fails if the result does not fit into a `comm` (`TASK_COMM_LEN`, for all CPU
    /// numbers below `CONFIG_NR_CPUS`), if the name is empty, or if it contains a `%`: the C core
    /// uses it as a format string.
    const NAME: &'static CStr;

    /// The state of one thread.
    ///
    /// It never leaves its thread. [`Send`] excludes values that belong to a context rather than to
    /// a task, such as the guard of a lock. It is pinned, and the thread drops it after
    /// [`cleanup`](Self::cleanup).
    type Local: Send + 'static;

    /// Makes the thread's own state.
    ///
    /// Called by the thread, on its CPU, once: after registration if the CPU is online, otherwise
    /// when the CPU first comes online. The first case may be after
    /// [`Registration::new`](super::Registration::new) has returned. May sleep, but a CPU-down may
    /// wait for it. Cannot fail: do fallible work when you make the shared value, before
    /// registration.
    fn setup(&self, cx: &Context<'_>) -> impl PinInit<Self::Local>;

    /// Does the work.
    ///
    /// Called by the thread, on its CPU. Without a [`should_run`](Self::should_run), it is called
    /// once after one or more wakes; the flag is cleared before the call, so a wake during the call
    /// leads to another call. With a `should_run`, it is called for as long as that returns true.
    /// May sleep, but see [`Context`] for what it must not wait for.
    fn run(&self, local: Pin<&mut Self::Local>, cx: &Context<'_>);

    /// Returns whether [`run`](Self::run) has work to do.
    ///
    /// Called by the thread, on its CPU, before each sleep, with preemption off and the task's
    /// state set to sleep already. Without this method the library's flag decides, which a wake
    /// sets and a run clears: [`AtomicContext::woken`]. An implementation may test its queue
    /// instead of the flag; code that adds to the queue must still wake the thread.
    ///
    /// Relaxed atomics suffice to see data that another CPU published before its wake: both the
    /// waker and this thread execute a full memory barrier between those stores and these loads.
    fn should_run(&self, _local: Pin<&mut Self::Local>, _cx: &AtomicContext<'_>) -> bool {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Runs after the thread of a CPU was created.
    ///
    /// Called by the task that registers, or by the task that brings the CPU online; on any CPU,
    /// with the hotplug lock and the core's mutex held. The thread exists and is parked; its
    /// `Local` does not exist yet. There is no inverse: a thread that is stopped before its first
    /// run has no [`cleanup`](Self::cleanup). The rules of [`Context`] about the hotplug lock hold
    /// here too.
    fn create(&self, _cpu: CpuId) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Runs before the thread parks: it does not run again until [`unpark`](Self::unpark).
    ///
    /// Called by the thread, on its CPU, which is still online. The CPU may stay online: a CPU-down
    /// that fails later is rolled back. The call may be missing: a thread that is unparked and
    /// parked again before it was scheduled, as when a CPU-up fails late, calls neither. The two
    /// calls always alternate. The task that waits holds the hotplug lock for writing. The callback
    /// may sleep, but should return soon.
    fn park(&self, _local: Pin<&mut Self::Local>, _cx: &Context<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Runs after the thread was unparked.
    ///
    /// Called by the thread, on its CPU, after [`park`](Self::park). The C core calls it only if
    /// the table has a `park`; here it is called in any case.
    fn unpark(&self, _local: Pin<&mut Self::Local>, _cx: &Context<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Runs before the thread exits. The thread drops its `Local` right after.
    ///
    /// Called by the thread, last and once, if [`setup`](Self::setup) has run. If `online` is
    /// false, the CPU is offline, the thread runs on another CPU, and its last callback was `park`.
    /// Interruptible sleeps return at once.
    fn cleanup(&self, _local: Pin<&mut Self::Local>, _cx: &Context<'_>, _online: bool) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns the scheduling policy of the threads.
    ///
    /// Called by each thread before [`setup`](Self::setup), also on CPUs that come online later.
    /// Without this method the threads stay as the kernel creates them: `SCHED_NORMAL`, nice 0.
    /// Root can change the policy of a thread later, as for any kernel thread.
    fn sched_policy(&self) -> SchedPolicy {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}
