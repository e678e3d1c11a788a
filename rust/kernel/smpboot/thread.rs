// SPDX-License-Identifier: GPL-2.0

//! The callbacks of a hotplug thread, and the C table that is made of them.

use super::{
    super::{
        bindings,
        cpu::{
            hotplug,
            Context, //
        },
        seam::raw_init, //
    },
    atomic_context::AtomicContext,
    registration::ThreadSlot,
    sched::SchedPolicy, //
};
use core::marker::PhantomData;
use kernel::{
    cpu::CpuId,
    error::VTABLE_DEFAULT_ERROR,
    prelude::*,
    sync::atomic::Relaxed,
    task::Task, //
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
    fn slot() -> &'static ThreadSlot<Self>
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
/// ```
#[macro_export]
macro_rules! hotplug_thread {
    ($type:ty) => {
        // SAFETY: The static is made here, inside the function, where nothing else can name it.
        unsafe impl $crate::smpboot::HasThreadSlot for $type {
            #[inline(always)]
            fn slot() -> &'static $crate::smpboot::ThreadSlot<Self> {
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
/// use smpboot::{AtomicContext, SchedPolicy};
/// use kernel::sync::atomic::{Atomic, Relaxed};
///
/// struct Sampler {
///     enabled: Atomic<bool>,
/// }
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
///     }
/// }
///
/// hotplug_thread!(Sampler);
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
    /// task, such as the guard of a lock.
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
    /// it ever ran has no [`cleanup`](Self::cleanup).
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
    /// If it is not written, the threads stay as they are created: normal, nice 0.
    fn sched_policy(&self) -> SchedPolicy {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// The name of the threads as the C core wants it: a format with the CPU as its only argument.
struct Comm<T: HotplugThread>(PhantomData<T>);

const COMM_SUFFIX: &[u8] = b"/%u\0";
const COMM_SIZE: usize = bindings::TASK_COMM_LEN as usize + COMM_SUFFIX.len();

impl<T: HotplugThread> Comm<T> {
    const FORMAT: &'static [u8; COMM_SIZE] = &Self::format();

    const fn format() -> [u8; COMM_SIZE] {
        let name = T::NAME.to_bytes();
        let cpu_digits = (bindings::NR_CPUS - 1).ilog10() as usize + 1;

        assert!(!name.is_empty(), "the name of a hotplug thread is empty");
        assert!(
            name.len() + 1 + cpu_digits < bindings::TASK_COMM_LEN as usize,
            "the name of a hotplug thread does not leave room for `/` and a CPU number"
        );

        let mut format = [0; COMM_SIZE];
        let mut len = 0;
        while len < name.len() {
            assert!(
                name[len] != b'%',
                "the name of a hotplug thread contains a `%`"
            );
            format[len] = name[len];
            len += 1;
        }
        let mut i = 0;
        while i < COMM_SUFFIX.len() {
            format[len + i] = COMM_SUFFIX[i];
            i += 1;
        }
        format
    }
}

/// The C functions that call a [`HotplugThread`]'s.
///
/// The core calls them from the time of `smpboot_register_percpu_thread()` to the end of
/// `smpboot_unregister_percpu_thread()`, in the contexts that the trait describes.
pub(super) struct Callbacks<T: HotplugThread>(PhantomData<T>);

impl<T: HotplugThread> Callbacks<T> {
    /// The descriptor, but for what registration adds: `store` and `selfparking`.
    pub(super) const fn table() -> bindings::smp_hotplug_thread {
        bindings::smp_hotplug_thread {
            store: core::ptr::null_mut(),
            list: bindings::list_head {
                next: core::ptr::null_mut(),
                prev: core::ptr::null_mut(),
            },
            thread_should_run: Some(Self::should_run),
            thread_fn: Some(Self::run),
            create: if T::HAS_CREATE {
                Some(Self::create)
            } else {
                None
            },
            setup: Some(Self::setup),
            cleanup: if T::HAS_CLEANUP || core::mem::needs_drop::<T::Local>() {
                Some(Self::cleanup)
            } else {
                None
            },
            // The core calls `unpark` only for threads that went through `park`, which it leaves
            // out if there is none.
            park: if T::HAS_PARK || T::HAS_UNPARK {
                Some(Self::park)
            } else {
                None
            },
            unpark: if T::HAS_UNPARK {
                Some(Self::unpark)
            } else {
                None
            },
            selfparking: false,
            thread_comm: Comm::<T>::FORMAT.as_ptr(),
        }
    }

    /// # Safety
    ///
    /// Called by the thread of `cpu` as `thread_should_run`: with preemption disabled.
    unsafe extern "C" fn should_run(cpu: c_uint) -> c_int {
        let slot = T::slot();
        // SAFETY: The core calls back only while the threads exist.
        let this = unsafe { slot.per_thread(cpu) };

        // SAFETY: Guaranteed by the core for this callback.
        let cx = unsafe { AtomicContext::new(cpu, &this.pending) };

        if !T::HAS_SHOULD_RUN {
            return cx.woken().into();
        }

        // SAFETY: As above.
        let shared = unsafe { slot.shared() };
        // SAFETY: `setup` came before, and the thread is in no other callback.
        let local = unsafe { this.local() };

        shared.should_run(local, &cx).into()
    }

    /// # Safety
    ///
    /// Called by the thread of `cpu` as `thread_fn`.
    unsafe extern "C" fn run(cpu: c_uint) {
        let slot = T::slot();
        // SAFETY: The core calls back only while the threads exist.
        let (shared, this) = unsafe { (slot.shared(), slot.per_thread(cpu)) };

        // Before the work, so that a wake during the work is not lost. Full order: a waker whose
        // flag this takes published its work before; one that comes later sets the flag again.
        this.pending.clear();

        // SAFETY: `setup` came before, and the thread is in no other callback.
        let local = unsafe { this.local() };
        // SAFETY: Guaranteed by the core for this callback.
        let cx = unsafe { Context::new(cpu) };

        shared.run(local, &cx);
    }

    /// # Safety
    ///
    /// Called as `create`, with `smpboot_threads_lock` held.
    unsafe extern "C" fn create(cpu: c_uint) {
        // SAFETY: The core calls back only while the slot holds a value.
        let shared = unsafe { T::slot().shared() };
        // SAFETY: The core passes the number of a possible CPU.
        let cpu = unsafe { CpuId::from_u32_unchecked(cpu) };

        hotplug::CREATING.store(Task::current_raw() as usize, Relaxed);
        shared.create(cpu);
        hotplug::CREATING.store(0, Relaxed);
    }

    /// # Safety
    ///
    /// Called by the thread of `cpu` as `setup`.
    unsafe extern "C" fn setup(cpu: c_uint) {
        let slot = T::slot();
        // SAFETY: The core calls back only while the threads exist.
        let (shared, this) = unsafe { (slot.shared(), slot.per_thread(cpu)) };

        // SAFETY: The current task is a kernel thread.
        let thread_fn = unsafe { bindings::kthread_func(Task::current_raw()) };
        hotplug::THREAD_FN.store(thread_fn as usize, Relaxed);

        if T::HAS_SCHED_POLICY {
            // SAFETY: The current task is the thread of this registration.
            unsafe { shared.sched_policy().apply() };
        }

        // SAFETY: Guaranteed by the core for this callback.
        let cx = unsafe { Context::new(cpu) };

        // SAFETY: The core calls `setup` once, before all callbacks that use the local state, so
        // that it is uninitialized and nobody refers to it. It stays where it is until it is
        // dropped by `cleanup`, or never: an initializer with no error initializes it.
        unsafe { raw_init(this.local.get().cast(), shared.setup(&cx)) };
    }

    /// # Safety
    ///
    /// Called by the thread of `cpu` as `cleanup`.
    unsafe extern "C" fn cleanup(cpu: c_uint, online: bool) {
        let slot = T::slot();
        // SAFETY: The core calls back only while the threads exist.
        let (shared, this) = unsafe { (slot.shared(), slot.per_thread(cpu)) };

        if T::HAS_CLEANUP {
            // SAFETY: The core calls `cleanup` only if `setup` came before, and the thread is in
            // no other callback.
            let local = unsafe { this.local() };
            // SAFETY: Guaranteed by the core for this callback.
            let cx = unsafe { Context::new(cpu) };

            shared.cleanup(local, &cx, online);
        }

        // SAFETY: Initialized, as above, and not used again: this is the thread's last callback.
        unsafe { core::ptr::drop_in_place(this.local.get().cast::<T::Local>()) };
    }

    /// # Safety
    ///
    /// Called by the thread of `cpu` as `park`.
    unsafe extern "C" fn park(cpu: c_uint) {
        if T::HAS_PARK {
            let slot = T::slot();
            // SAFETY: The core calls back only while the threads exist.
            let (shared, this) = unsafe { (slot.shared(), slot.per_thread(cpu)) };
            // SAFETY: The core parks threads that are active: `setup` came before. The thread is in
            // no other callback.
            let local = unsafe { this.local() };
            // SAFETY: Guaranteed by the core for this callback.
            let cx = unsafe { Context::new(cpu) };

            shared.park(local, &cx);
        }
    }

    /// # Safety
    ///
    /// Called by the thread of `cpu` as `unpark`.
    unsafe extern "C" fn unpark(cpu: c_uint) {
        let slot = T::slot();
        // SAFETY: The core calls back only while the threads exist.
        let (shared, this) = unsafe { (slot.shared(), slot.per_thread(cpu)) };
        // SAFETY: `park` came before, and so did `setup`. The thread is in no other callback.
        let local = unsafe { this.local() };
        // SAFETY: Guaranteed by the core for this callback.
        let cx = unsafe { Context::new(cpu) };

        shared.unpark(local, &cx);
    }
}
