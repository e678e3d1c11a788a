// SPDX-License-Identifier: GPL-2.0

//! The C table that is made of a [`HotplugThread`], and the static that holds it.
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

/// What a registration keeps for each possible CPU. Zeroed at first.
#[repr(C)]
struct PerThread<L> {
    /// What does not depend on the type.
    head: Head,
    /// The thread's own state: initialized from the end of `setup` to `cleanup`.
    local: UnsafeCell<MaybeUninit<L>>,
}

impl<L> PerThread<L> {
    /// # Safety
    ///
    /// The current task is the thread that this belongs to, in a callback between `setup` and the
    /// end of `cleanup`, and has no other reference to its local state.
    #[inline(always)]
    unsafe fn local(&self) -> Pin<&mut L> {
        // SAFETY: Initialized by `setup`; only this thread uses it, and it has no other reference,
        // by the requirements of this function. It is pinned: nothing moves it.
        unsafe { Pin::new_unchecked(&mut *self.local.get().cast()) }
    }
}

/// The static that [`hotplug_thread!`](crate::hotplug_thread) makes: all that the callbacks of one
/// type need.
#[doc(hidden)]
#[repr(transparent)]
pub struct ThreadSlot<T: HotplugThread>(Slot<T, Threads>);

impl<T: HotplugThread> ThreadSlot<T> {
    /// An empty slot.
    #[allow(clippy::new_without_default, reason = "only for statics")]
    pub const fn new() -> Self {
        let storage = Layout::new::<PerThread<T::Local>>();
        // Here, so that it is the macro that fails, not a registration.
        percpu::assert_fits(storage);

        Self(Slot::new(T::NAME, Threads::new(table::<T>(), storage)))
    }

    /// Returns the slot of `T`.
    #[inline(always)]
    pub(super) fn get() -> &'static Slot<T, Threads> {
        &T::slot(Access::new()).0
    }

    /// Returns what of it does not depend on the type.
    #[inline(always)]
    pub(super) fn core() -> &'static Core {
        Self::get().entry()
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

/// Returns the descriptor, but for what registration adds: `store` and `selfparking`.
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
        // The core calls `unpark` only for threads that went through `park`, which it leaves
        // out if there is none.
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

/// A callback.
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

    /// The shared value.
    #[inline(always)]
    fn shared(&self) -> &'a T {
        // SAFETY: There is a value as long as the core calls back, and the slot was made for `T`.
        unsafe { ThreadSlot::<T>::get().value() }
    }

    /// What belongs to the thread.
    #[inline(always)]
    fn this(&self) -> &'a PerThread<T::Local> {
        // SAFETY: There is storage as long as the core calls back, and `cpu` is possible. It has the
        // layout of a `PerThread<T::Local>`, whose head was zeroed; the rest may be uninitialized.
        unsafe { &*ThreadSlot::<T>::core().per_thread(self.cpu).cast() }
    }
}

/// A callback of the thread itself that may sleep, after `setup`.
struct ThreadCall<'a, T: HotplugThread> {
    shared: &'a T,
    this: &'a PerThread<T::Local>,
    local: Pin<&'a mut T::Local>,
    cx: Context<'a>,
}

impl<T: HotplugThread> ThreadCall<'_, T> {
    /// # Safety
    ///
    /// Called by the thread of `cpu` in a callback that may sleep, and lasts for `'a`. `setup` came
    /// before, and the callback has no other reference to its local state.
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

/// The C functions that call a [`HotplugThread`]'s.
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
        // SAFETY: `setup` came before, and the thread is in no other callback.
        let local = unsafe { this.local() };

        call.shared().should_run(local, &cx).into()
    }

    /// # Safety
    ///
    /// Called by the thread of `cpu` as `thread_fn`.
    unsafe extern "C" fn run(cpu: c_uint) {
        // SAFETY: The core calls `setup` before.
        let call = unsafe { ThreadCall::<T>::new(cpu) };

        // Before the work, so that a wake during the work is not lost. Full order: a waker whose
        // flag this takes published its work before; one that comes later sets the flag again.
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
        // that it is uninitialized and nobody refers to it. It stays where it is until it is
        // dropped by `cleanup`, or never: an initializer with no error initializes it.
        unsafe { raw_init(this.local.get().cast(), shared.setup(&cx)) };
        ThreadSlot::<T>::core().set_up(&this.head, &cx);
    }

    /// # Safety
    ///
    /// Called by the thread of `cpu` as `cleanup`.
    unsafe extern "C" fn cleanup(cpu: c_uint, online: bool) {
        // SAFETY: The core calls `cleanup` only if `setup` came before.
        let call = unsafe { ThreadCall::<T>::new(cpu) };

        if T::HAS_CLEANUP {
            call.shared.cleanup(call.local, &call.cx, online);
        }

        // SAFETY: Initialized, as above, and not used again: this is the thread's last callback.
        unsafe { core::ptr::drop_in_place(call.this.local.get().cast::<T::Local>()) };
    }

    /// # Safety
    ///
    /// Called by the thread of `cpu` as `park`.
    unsafe extern "C" fn park(cpu: c_uint) {
        if T::HAS_PARK {
            // SAFETY: The core parks threads that are active: `setup` came before.
            let call = unsafe { ThreadCall::<T>::new(cpu) };

            call.shared.park(call.local, &call.cx);
        }
    }

    /// # Safety
    ///
    /// Called by the thread of `cpu` as `unpark`.
    unsafe extern "C" fn unpark(cpu: c_uint) {
        // SAFETY: `park` came before, and so did `setup`.
        let call = unsafe { ThreadCall::<T>::new(cpu) };

        call.shared.unpark(call.local, &call.cx);
    }
}
