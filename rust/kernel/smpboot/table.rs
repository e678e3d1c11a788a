// SPDX-License-Identifier: GPL-2.0

//! The C table that describes a [`HotplugThread`], and the static that holds it.
//!
//! C header: [`include/linux/smpboot.h`](srctree/include/linux/smpboot.h)

use super::{
    super::{
        bindings,
        cpu::{
            hotplug,
            slot::{
                Access,
                Slot, //
            },
            Context, //
        },
        percpu,
        seam::raw_init, //
    },
    atomic_context::AtomicContext,
    thread::HotplugThread,
    untyped::{
        Core,
        Threads, //
    },
    wake::Head, //
};
use core::{
    alloc::Layout,
    cell::UnsafeCell,
    marker::PhantomData,
    mem::MaybeUninit, //
};
use kernel::{
    cpu::CpuId,
    prelude::*,
    sync::atomic::Relaxed,
    task::Task, //
};

/// The per-CPU storage of a registration. It starts zeroed.
#[repr(C)]
struct PerThread<L> {
    /// The part that does not depend on the type.
    head: Head,
    /// The thread's own state: initialized from the end of `setup` to `cleanup`.
    local: UnsafeCell<MaybeUninit<L>>,
}

impl<L> PerThread<L> {
    /// # Safety
    ///
    /// The current task is the thread that owns this, in a callback between `setup` and the end of
    /// `cleanup`, and has no other reference to its local state.
    #[inline(always)]
    unsafe fn local(&self) -> Pin<&mut L> {
        // SAFETY: `setup` initialized it. Only this thread uses it, and has no other reference, by
        // the requirements of this function. It is pinned: no code moves it.
        unsafe { Pin::new_unchecked(&mut *self.local.get().cast()) }
    }
}

/// The static that [`hotplug_thread!`](crate::hotplug_thread) makes. It holds everything that the
/// callbacks of one type use.
#[doc(hidden)]
#[repr(transparent)]
pub struct ThreadSlot<T: HotplugThread>(Slot<T, Threads>);

impl<T: HotplugThread> ThreadSlot<T> {
    /// Returns an empty slot.
    #[allow(clippy::new_without_default, reason = "only for statics")]
    pub const fn new() -> Self {
        let storage = Layout::new::<PerThread<T::Local>>();
        // Checked here so that the build fails in the macro, not in a registration.
        percpu::assert_fits(storage);

        Self(Slot::new(T::NAME, Threads::new(table::<T>(), storage)))
    }

    /// Returns the slot of `T`.
    #[inline(always)]
    pub(super) fn get() -> &'static Slot<T, Threads> {
        &T::slot(Access::new()).0
    }

    /// Returns the part of the slot of `T` that does not depend on the type.
    #[inline(always)]
    pub(super) fn core() -> &'static Core {
        Self::get().entry()
    }
}

/// The thread name in the C core's form: a format string with the CPU as its only argument.
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

/// Returns the descriptor. Registration sets `store` and `selfparking`.
const fn table<T: HotplugThread>() -> bindings::smp_hotplug_thread {
    bindings::smp_hotplug_thread {
        store: core::ptr::null_mut(),
        list: bindings::list_head {
            next: core::ptr::null_mut(),
            prev: core::ptr::null_mut(),
        },
        thread_should_run: Some(Callbacks::<T>::should_run),
        thread_fn: Some(Callbacks::<T>::run),
        create: if T::HAS_CREATE {
            Some(Callbacks::<T>::create)
        } else {
            None
        },
        setup: Some(Callbacks::<T>::setup),
        cleanup: if T::HAS_CLEANUP || core::mem::needs_drop::<T::Local>() {
            Some(Callbacks::<T>::cleanup)
        } else {
            None
        },
        // The core calls `unpark` only for threads in `HP_THREAD_PARKED`, and moves a thread there
        // only if the table has a `park`.
        park: if T::HAS_PARK || T::HAS_UNPARK {
            Some(Callbacks::<T>::park)
        } else {
            None
        },
        unpark: if T::HAS_UNPARK {
            Some(Callbacks::<T>::unpark)
        } else {
            None
        },
        selfparking: false,
        thread_comm: Comm::<T>::FORMAT.as_ptr(),
    }
}

/// A callback in progress.
///
/// # Invariants
///
/// The core calls back for `cpu`, which is possible, during `'a`.
struct Call<'a, T: HotplugThread> {
    cpu: CpuId,
    _callback: PhantomData<&'a T>,
}

impl<'a, T: HotplugThread> Call<'a, T> {
    /// # Safety
    ///
    /// The core calls back for `cpu` during `'a`.
    #[inline(always)]
    unsafe fn new(cpu: c_uint) -> Self {
        // INVARIANT: By the requirements of this function.
        Self {
            // SAFETY: The core passes the number of a possible CPU.
            cpu: unsafe { CpuId::from_u32_unchecked(cpu) },
            _callback: PhantomData,
        }
    }

    /// Returns the shared value.
    #[inline(always)]
    fn shared(&self) -> &'a T {
        // SAFETY: The value exists as long as the core calls back, and the slot was made for `T`.
        unsafe { ThreadSlot::<T>::get().value() }
    }

    /// Returns the per-CPU storage of the thread.
    #[inline(always)]
    fn this(&self) -> &'a PerThread<T::Local> {
        // SAFETY: The storage exists as long as the core calls back, and `cpu` is possible. It has
        // the layout of a `PerThread<T::Local>`, whose head was zeroed; the rest may be
        // uninitialized.
        unsafe { &*ThreadSlot::<T>::core().per_thread(self.cpu).cast() }
    }
}

/// A callback in progress that the thread itself runs, after `setup`, and that may sleep.
struct ThreadCall<'a, T: HotplugThread> {
    shared: &'a T,
    this: &'a PerThread<T::Local>,
    local: Pin<&'a mut T::Local>,
    cx: Context<'a>,
}

impl<T: HotplugThread> ThreadCall<'_, T> {
    /// # Safety
    ///
    /// Called by the thread of `cpu` in a callback that may sleep and lasts for `'a`. `setup` has
    /// run, and the callback has no other reference to its local state.
    #[inline(always)]
    unsafe fn new(cpu: c_uint) -> Self {
        // SAFETY: By the requirements of this function.
        let call = unsafe { Call::<T>::new(cpu) };
        let this = call.this();
        Self {
            shared: call.shared(),
            this,
            // SAFETY: By the requirements of this function. The thread is in no other callback.
            local: unsafe { this.local() },
            // SAFETY: By the requirements of this function.
            cx: unsafe { Context::new(call.cpu) },
        }
    }
}

/// The C callbacks, which call the methods of a [`HotplugThread`].
///
/// The core calls them from the time of `smpboot_register_percpu_thread()` to the end of
/// `smpboot_unregister_percpu_thread()`, in the contexts that the trait describes.
struct Callbacks<T: HotplugThread>(PhantomData<T>);

impl<T: HotplugThread> Callbacks<T> {
    /// # Safety
    ///
    /// Called by the thread of `cpu` as `thread_should_run`: with preemption disabled.
    unsafe extern "C" fn should_run(cpu: c_uint) -> c_int {
        // SAFETY: The core calls back.
        let call = unsafe { Call::<T>::new(cpu) };
        let this = call.this();
        // SAFETY: Guaranteed by the core for this callback.
        let cx = unsafe { AtomicContext::new(call.cpu, &this.head.pending) };

        if !T::HAS_SHOULD_RUN {
            return cx.woken().into();
        }
        // SAFETY: `setup` has run, and the thread is in no other callback.
        let local = unsafe { this.local() };

        call.shared().should_run(local, &cx).into()
    }

    /// # Safety
    ///
    /// Called by the thread of `cpu` as `thread_fn`.
    unsafe extern "C" fn run(cpu: c_uint) {
        // SAFETY: The core calls `setup` before `run`.
        let call = unsafe { ThreadCall::<T>::new(cpu) };

        // Cleared before the work, so that a wake during the work is not lost. The order is full: a
        // waker whose flag this clears published its work before, and a later waker sets the flag
        // again.
        call.this.head.pending.clear();

        call.shared.run(call.local, &call.cx);
    }

    /// # Safety
    ///
    /// Called as `create`, with `smpboot_threads_lock` held.
    unsafe extern "C" fn create(cpu: c_uint) {
        // SAFETY: The core calls back.
        let call = unsafe { Call::<T>::new(cpu) };

        hotplug::CREATING.store(Task::current_raw() as usize, Relaxed);
        call.shared().create(call.cpu);
        hotplug::CREATING.store(0, Relaxed);
    }

    /// # Safety
    ///
    /// Called by the thread of `cpu` as `setup`.
    unsafe extern "C" fn setup(cpu: c_uint) {
        // SAFETY: The core calls back.
        let call = unsafe { Call::<T>::new(cpu) };
        let (shared, this) = (call.shared(), call.this());
        // SAFETY: Guaranteed by the core for this callback.
        let cx = unsafe { Context::new(call.cpu) };

        if T::HAS_SCHED_POLICY {
            shared.sched_policy().apply(&cx);
        }

        // SAFETY: The core calls `setup` once, before all callbacks that use the local state, so
        // the state is uninitialized and has no references. It stays in place until `cleanup` drops
        // it, or forever. The initializer cannot fail.
        unsafe { raw_init(this.local.get().cast(), shared.setup(&cx)) };
        ThreadSlot::<T>::core().set_up(&this.head, &cx);
    }

    /// # Safety
    ///
    /// Called by the thread of `cpu` as `cleanup`.
    unsafe extern "C" fn cleanup(cpu: c_uint, online: bool) {
        // SAFETY: The core calls `cleanup` only if `setup` has run.
        let call = unsafe { ThreadCall::<T>::new(cpu) };

        if T::HAS_CLEANUP {
            call.shared.cleanup(call.local, &call.cx, online);
        }

        // SAFETY: `setup` initialized it. It is not used again: this is the thread's last callback.
        unsafe { core::ptr::drop_in_place(call.this.local.get().cast::<T::Local>()) };
    }

    /// # Safety
    ///
    /// Called by the thread of `cpu` as `park`.
    unsafe extern "C" fn park(cpu: c_uint) {
        if T::HAS_PARK {
            // SAFETY: The core parks only active threads, so `setup` has run.
            let call = unsafe { ThreadCall::<T>::new(cpu) };

            call.shared.park(call.local, &call.cx);
        }
    }

    /// # Safety
    ///
    /// Called by the thread of `cpu` as `unpark`.
    unsafe extern "C" fn unpark(cpu: c_uint) {
        // SAFETY: The core calls `unpark` only after `park`, so `setup` has run.
        let call = unsafe { ThreadCall::<T>::new(cpu) };

        call.shared.unpark(call.local, &call.cx);
    }
}
