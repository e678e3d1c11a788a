// SPDX-License-Identifier: GPL-2.0

//! Hotplug threads that the core neither parks nor unparks.

use super::{
    super::{
        bindings,
        cpu::cpuhp,
        module_scope::ModuleScope,
        percpu::PossibleCpu, //
    },
    registration::Registration,
    table::ThreadSlot,
    thread::HotplugThread,
    untyped::Core, //
};
use core::ops::Deref;
use kernel::{
    cpu::CpuId,
    prelude::*,
    task::Task, //
};

/// One thread per CPU that the core neither parks nor unparks.
///
/// A common misconception is that the core unparks a self-parking thread like any other, and that
/// the thread parks itself. The core does neither: it creates the thread parked and leaves it
/// parked (`smpboot_unpark_thread()` and `smpboot_park_thread()` test `selfparking`). In C, the
/// owner has a hotplug callback that unparks the thread and parks it. If the owner parks it too
/// late, or never, the thread of an offline CPU keeps running.
///
/// This type installs such a callback: a dynamic hotplug state with the name of the threads. So its
/// threads are unparked late in a CPU-up, after the workqueues of the CPU are online, and parked
/// early in a CPU-down. Normal threads are unparked before the workqueues are online, and parked
/// after they are offline. In all other respects this is a [`Registration`]. A type can have one or
/// the other, but not both at a time.
///
/// # Examples
///
/// ```
/// # worker!(Stopper, c"stopper");
/// use smpboot::{hotplug, SelfParkingRegistration, ThreadState};
///
/// let stoppers = SelfParkingRegistration::new(scope, Stopper)?;
/// stoppers.wait_until_up()?;
///
/// // The threads of online CPUs are unparked.
/// for cpu in hotplug::online_cpus() {
///     let state = stoppers.threads().info(cpu).map(|thread| thread.state);
///     assert!(matches!(state, Some(ThreadState::Sleeping | ThreadState::Running)));
/// }
/// ```
pub struct SelfParkingRegistration<T: HotplugThread>(Registration<T>);

impl<T: HotplugThread> SelfParkingRegistration<T> {
    /// Registers one self-parking thread per CPU, and the hotplug state that parks and unparks it.
    ///
    /// Process context. Fails like [`Registration::new`], and with `ENOSPC` if the kernel has no
    /// dynamic hotplug state left.
    pub fn new<E>(scope: &'static ModuleScope, init: impl PinInit<T, E>) -> Result<Self>
    where
        Error: From<E>,
    {
        Registration::register(scope, init, Some(Parking::<T>::install)).map(Self)
    }
}

impl<T: HotplugThread> Deref for SelfParkingRegistration<T> {
    type Target = Registration<T>;

    #[inline]
    fn deref(&self) -> &Registration<T> {
        &self.0
    }
}

/// Does nothing. With it, no other code can implement `Copy` or `Drop` for this.
impl<T: HotplugThread> Drop for SelfParkingRegistration<T> {
    #[inline(always)]
    fn drop(&mut self) {}
}

/// The hotplug state of one type's threads.
struct Parking<T>(core::marker::PhantomData<T>);

impl<T: HotplugThread> Parking<T> {
    /// # Safety
    ///
    /// As of [`InstallParking`](super::untyped::InstallParking), for the core of `T`.
    unsafe fn install(_core: &'static Core) -> Result<c_int> {
        // SAFETY: The callbacks use the threads' storage, which exists until after the state is
        // removed, by the requirements of this function.
        unsafe {
            cpuhp::setup_state(
                T::NAME,
                cpuhp::Invoke::Yes,
                Some(Self::unpark),
                Some(Self::park),
            )
        }
    }

    /// Returns the thread of `cpu`.
    ///
    /// # Safety
    ///
    /// Called by the hotplug core while the state is registered. It stays registered during `'a`.
    unsafe fn task<'a>(cpu: c_uint) -> Option<&'a Task> {
        let cpu = CpuId::from_u32(cpu).and_then(PossibleCpu::new)?;
        // SAFETY: The storage exists while the state is registered. The tasks are not stopped
        // before the state is removed.
        unsafe { ThreadSlot::<T>::core().live() }.thread(cpu).task()
    }

    /// Unparks the thread of a CPU that is coming online: the startup callback of the hotplug
    /// state.
    ///
    /// # Safety
    ///
    /// Called by the hotplug core while the state is registered.
    unsafe extern "C" fn unpark(cpu: c_uint) -> c_int {
        // SAFETY: By the requirements of this function.
        if let Some(task) = unsafe { Self::task(cpu) } {
            // SAFETY: The task is a thread that the core created, so a kernel thread.
            unsafe { bindings::kthread_unpark(task.as_ptr()) };
        }
        0
    }

    /// Parks the thread of a CPU that is going offline: the teardown callback of the hotplug state.
    ///
    /// # Safety
    ///
    /// Called by the hotplug core while the state is registered.
    unsafe extern "C" fn park(cpu: c_uint) -> c_int {
        // SAFETY: By the requirements of this function.
        if let Some(task) = unsafe { Self::task(cpu) } {
            // This fails only for a thread that died in a panic, which needs no parking.
            // SAFETY: As in `unpark`.
            unsafe { bindings::kthread_park(task.as_ptr()) };
        }
        0
    }
}
