// SPDX-License-Identifier: GPL-2.0

//! The registration of hotplug threads.

use super::{
    flag::Flag,
    Context,
    HotplugThread, //
};
use crate::{
    bindings,
    container_of,
    cpu::{
        hotplug,
        CpuId, //
    },
    error::to_result,
    percpu::{
        assert_fits,
        per_cpu_ptr,
        RawPerCpu, //
    },
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    types::Opaque, //
};
use core::{
    alloc::Layout,
    cell::UnsafeCell,
    marker::PhantomData,
    mem::MaybeUninit, //
};

/// The storage of one thread. The C core writes the first field.
#[repr(C)]
struct PerThread<L> {
    task: Atomic<*mut bindings::task_struct>,
    pending: Flag,
    local: UnsafeCell<MaybeUninit<L>>,
}

/// One thread per CPU, registered with the kernel until the registration is dropped.
///
/// One type may have several registrations at a time.
///
/// Dropping it stops the threads and waits until they have exited. Drop it in process context, with
/// no hotplug lock held, and not in a callback of a hotplug thread or a hotplug state.
///
/// # Examples
///
/// Threads that each count their runs:
///
/// ```
/// use kernel::{
///     cpu::hotplug,
///     smpboot::{
///         Context,
///         HotplugThread,
///         Registration, //
///     }, //
/// };
///
/// struct Counter;
///
/// #[vtable]
/// impl HotplugThread for Counter {
///     type Local = u32;
///
///     fn setup(&self, _cx: &Context<'_>) -> impl PinInit<u32> {
///         0
///     }
///
///     fn run(&self, mut count: Pin<&mut u32>, cx: &Context<'_>) {
///         *count += 1;
///         pr_info!("CPU {}: {} times\n", cx.cpu().as_u32(), *count);
///     }
/// }
///
/// // SAFETY: The registration is dropped at the end of the example.
/// let threads = unsafe { Registration::new(c"counter/%u", Counter) };
/// let threads = KBox::pin_init(threads, GFP_KERNEL)?;
/// for cpu in hotplug::online_cpus() {
///     threads.wake(cpu);
/// }
///
/// // SAFETY: As above. The name lacks the place of the CPU number.
/// let nameless = unsafe { Registration::new(c"counter", Counter) };
/// assert_eq!(KBox::pin_init(nameless, GFP_KERNEL).err(), Some(EINVAL));
/// # Ok::<(), Error>(())
/// ```
///
/// # Invariants
///
/// `ht` is registered with the C core. Its `store` is the storage, which holds a
/// `PerThread<T::Local>` for each possible CPU. `local` of a CPU is initialized from its thread's
/// `setup` to its thread's `cleanup`, and only that thread uses it.
#[pin_data(PinnedDrop)]
pub struct Registration<T: HotplugThread> {
    #[pin]
    ht: Opaque<bindings::smp_hotplug_thread>,
    storage: RawPerCpu,
    /// The storage has a `T::Local` for each CPU. With this the type is invariant in `T`: a subtype
    /// of `T` may have another `Local`.
    _locals: PhantomData<T::Local>,
    #[pin]
    shared: T,
}

// SAFETY: Any task may drop it. `T` and the `Local`s are `Send`; a `Local` never leaves its thread.
unsafe impl<T: HotplugThread> Send for Registration<T> {}
// SAFETY: A shared reference gives access to `&T`, and `T` is `Sync`; and to atomics.
unsafe impl<T: HotplugThread> Sync for Registration<T> {}

impl<T: HotplugThread> Registration<T> {
    /// Registers one thread per CPU: `smpboot_register_percpu_thread()`.
    ///
    /// `comm` is the format of the threads' names, `name/%u`, as in C. Process context, with no
    /// hotplug lock held. When the initializer returns, the threads of the online CPUs exist, but
    /// may not have run yet.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: `comm` does not end in `%u`, or has another `%`.
    /// - `ENOMEM` and others: the kernel could not allocate the storage or create a thread.
    /// - The error of `shared`.
    ///
    /// # Safety
    ///
    /// The value must be dropped before anything that `T` borrows ends, and before the code of `T`
    /// is unloaded. In particular, do not leak it, for example by [`core::mem::forget`].
    pub unsafe fn new<E>(
        comm: &'static CStr,
        shared: impl PinInit<T, E>,
    ) -> impl PinInit<Self, Error>
    where
        Error: From<E>,
    {
        // INVARIANT: If initialization succeeds, `ht` is registered with the storage. It is zeroed:
        // no `local` is initialized.
        try_pin_init!(&this in Self {
            shared <- shared,
            storage: Self::storage(comm)?,
            _locals: PhantomData,
            ht <- Opaque::new(Self::table(comm, storage.base())),
            _: {
                // SAFETY: `this` is valid.
                let ht = Opaque::cast_into(unsafe { &raw const (*this.as_ptr()).ht });
                // SAFETY: `ht` is initialized, and the storage is zeroed: no CPU has a thread. The
                // name is static, and a format with one number. All that the callbacks use is
                // initialized, and stays in place until `drop` unregisters `ht`, or until this
                // fails.
                to_result(unsafe { bindings::smpboot_register_percpu_thread(ht) })?;
            },
        }? Error)
    }

    /// Returns the value that the threads share.
    #[inline]
    pub fn shared(&self) -> &T {
        &self.shared
    }

    /// Checks the name, and allocates the storage.
    fn storage(comm: &CStr) -> Result<RawPerCpu> {
        let layout = Layout::new::<PerThread<T::Local>>();
        const { assert_fits(Layout::new::<PerThread<T::Local>>()) };

        let name = comm.to_bytes().strip_suffix(b"%u").ok_or(EINVAL)?;
        if name.contains(&b'%') {
            return Err(EINVAL);
        }
        RawPerCpu::new_zeroed(layout)
    }

    /// Returns the descriptor of the threads.
    fn table(comm: &'static CStr, storage: *mut c_void) -> bindings::smp_hotplug_thread {
        // Only `park` makes the C core call `unpark`.
        let parks = T::HAS_PARK || T::HAS_UNPARK;
        bindings::smp_hotplug_thread {
            store: storage.cast(),
            list: pin_init::zeroed(),
            thread_should_run: Some(Self::should_run),
            thread_fn: Some(Self::run),
            create: None,
            setup: Some(Self::setup),
            cleanup: Some(Self::cleanup),
            park: if parks { Some(Self::park) } else { None },
            unpark: if T::HAS_UNPARK {
                Some(Self::unpark)
            } else {
                None
            },
            selfparking: false,
            thread_comm: comm.as_char_ptr(),
        }
    }

    /// Makes the thread of `cpu` run at least once from now on.
    ///
    /// While the CPU is offline, the wake is pending: the thread runs when the CPU is online again.
    /// Several wakes may share one run. Does nothing for a CPU that is not possible.
    ///
    /// Any context in which `wake_up_process()` may be called.
    #[inline]
    pub fn wake(&self, cpu: CpuId) {
        if !hotplug::is_possible(cpu) {
            return;
        }
        // SAFETY: `cpu` is possible.
        let thread = unsafe { self.per_thread(cpu) };
        // The full barrier orders it before the loads of the pointer and of the task's state. The
        // thread, once the pointer is stored, stores its state, executes a full barrier, and then
        // loads the flag. One of the two sees the store of the other.
        thread.pending.set();
        let task = thread.task.load(Relaxed);
        if !task.is_null() {
            // SAFETY: The C core holds a reference to the task while the threads are registered. It
            // stored the pointer after `kthread_park()`, whose barriers publish the task.
            unsafe { bindings::wake_up_process(task) };
        }
    }

    /// # Safety
    ///
    /// `cpu` must be possible.
    #[inline(always)]
    unsafe fn per_thread(&self, cpu: CpuId) -> &PerThread<T::Local> {
        let base = self.storage.base().cast::<PerThread<T::Local>>();
        // SAFETY: By the type invariant, and the requirements of this function. Zeroed memory is a
        // valid `PerThread`.
        unsafe { &*per_cpu_ptr(base, cpu) }
    }

    /// Returns what a callback needs.
    ///
    /// # Safety
    ///
    /// Must only be called in a callback of a thread of a `Self`, with its CPU. `'a` must end with
    /// the callback.
    #[inline(always)]
    unsafe fn this<'a>(cpu: c_uint) -> (&'a Self, &'a PerThread<T::Local>, CpuId) {
        // SAFETY: The current task is a hotplug thread.
        let ht = unsafe { bindings::smpboot_current() };
        // SAFETY: `ht` is in a `Self`, which exists while its threads do, and whose fields were
        // initialized before `ht` was registered.
        let this: &Self = unsafe { &*container_of!(Opaque::cast_from(ht), Self, ht) };
        // SAFETY: The C core passes the number of a possible CPU.
        let cpu = unsafe { CpuId::from_u32_unchecked(cpu) };
        // SAFETY: As above.
        (this, unsafe { this.per_thread(cpu) }, cpu)
    }

    /// Calls `f` with the thread's state.
    ///
    /// # Safety
    ///
    /// Must only be called in a callback of a thread of a `Self`, which may sleep, with its CPU,
    /// after `setup` and before the end of `cleanup`.
    #[inline(always)]
    unsafe fn with(cpu: c_uint, f: impl FnOnce(&T, Pin<&mut T::Local>, &Context<'_>)) {
        // SAFETY: By the requirements of this function.
        let (this, thread, cpu) = unsafe { Self::this(cpu) };
        // SAFETY: Initialized, and used only by this thread, by the type invariant. It stays in
        // place until it is dropped.
        let local = unsafe { Pin::new_unchecked((*thread.local.get()).assume_init_mut()) };
        // SAFETY: By the requirements of this function.
        f(&this.shared, local, &unsafe { Context::new(cpu) });
    }

    /// # Safety
    ///
    /// Must only be called by the C core, in a thread of a `Self`, with its CPU.
    unsafe extern "C" fn should_run(cpu: c_uint) -> c_int {
        // SAFETY: By the requirements of this function.
        let (_, thread, _) = unsafe { Self::this(cpu) };
        thread.pending.is_set().into()
    }

    /// # Safety
    ///
    /// As for `should_run`.
    unsafe extern "C" fn run(cpu: c_uint) {
        // SAFETY: By the requirements of this function.
        let (_, thread, _) = unsafe { Self::this(cpu) };
        // Before the work, so that a wake during the work leads to another run. The full barrier
        // orders it before the loads of the work.
        thread.pending.clear();
        // SAFETY: The C core calls this only after `setup`.
        unsafe { Self::with(cpu, T::run) };
    }

    /// # Safety
    ///
    /// As for `should_run`.
    unsafe extern "C" fn setup(cpu: c_uint) {
        // SAFETY: By the requirements of this function.
        let (this, thread, cpu) = unsafe { Self::this(cpu) };
        // SAFETY: By the requirements of this function; the callback may sleep.
        let cx = unsafe { Context::new(cpu) };
        // SAFETY: The memory is valid, not initialized yet, and stays in place.
        unsafe { pin_init::raw_init(thread.local.get().cast(), this.shared.setup(&cx)) };
    }

    /// # Safety
    ///
    /// As for `should_run`.
    unsafe extern "C" fn cleanup(cpu: c_uint, online: bool) {
        if T::HAS_CLEANUP {
            // SAFETY: The C core calls this only after `setup`.
            unsafe { Self::with(cpu, |shared, local, cx| shared.cleanup(local, cx, online)) };
        }
        // SAFETY: By the requirements of this function.
        let (_, thread, _) = unsafe { Self::this(cpu) };
        // SAFETY: Initialized by `setup`. This is the last callback.
        unsafe { (*thread.local.get()).assume_init_drop() };
    }

    /// # Safety
    ///
    /// As for `should_run`.
    unsafe extern "C" fn park(cpu: c_uint) {
        if T::HAS_PARK {
            // SAFETY: The C core calls this only after `setup`.
            unsafe { Self::with(cpu, T::park) };
        }
    }

    /// # Safety
    ///
    /// As for `should_run`.
    unsafe extern "C" fn unpark(cpu: c_uint) {
        // SAFETY: The C core calls this only after `setup`.
        unsafe { Self::with(cpu, T::unpark) };
    }
}

#[pinned_drop]
impl<T: HotplugThread> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Registered, by the type invariant. The threads have exited when this returns.
        unsafe { bindings::smpboot_unregister_percpu_thread(self.ht.get()) };
    }
}
