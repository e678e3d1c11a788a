// SPDX-License-Identifier: GPL-2.0

//! Hotplug threads that the core neither parks nor unparks.

use super::{
    super::{
        bindings,
        cpu::{
            cpuhp,
            hotplug::PossibleCpu, //
        },
        module_scope::ModuleScope, //
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
/// It is often said that a self-parking thread is unparked by the core like any other, and parks
/// itself. The core does neither: it creates such a thread parked and leaves it so
/// (`smpboot_unpark_thread()` and `smpboot_park_thread()` test `selfparking`). In the kernel, a
/// hotplug callback of the owner's unparks it and parks it; an owner who parked it too late, or not
/// at all, would keep a dead CPU's thread running.
///
/// This type has such a callback of its own, a dynamic hotplug state named like the threads. So its
/// threads are unparked among the last things of a CPU-up, when workqueues and all else of the CPU
/// are up, and parked among the first things of a CPU-down; normal threads are
/// unparked before those are up and parked after they went down. In all else it is like
/// [`Registration`]; one type can have one or the other, not both at a time.
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
        // SAFETY: The callbacks use the threads' storage, which is there until after the state is
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
    /// Called by the hotplug core while the state is registered, which it stays during `'a`.
    unsafe fn task<'a>(cpu: c_uint) -> Option<&'a Task> {
        let cpu = CpuId::from_u32(cpu).and_then(PossibleCpu::new)?;
        // SAFETY: There is storage while the state is registered. The tasks are not stopped before
        // it is removed.
        unsafe { ThreadSlot::<T>::core().live() }.thread(cpu).task()
    }

    /// Starts the thread of a CPU that came online, as a hotplug state's startup.
    ///
    /// # Safety
    ///
    /// Called by the hotplug core while the state is registered.
    unsafe extern "C" fn unpark(cpu: c_uint) -> c_int {
        // SAFETY: By the requirements of this function.
        if let Some(task) = unsafe { Self::task(cpu) } {
            // SAFETY: A thread of the core's, which is a kernel thread.
            unsafe { bindings::kthread_unpark(task.as_ptr()) };
        }
        0
    }

    /// Parks the thread of a CPU that goes offline, as a hotplug state's teardown.
    ///
    /// # Safety
    ///
    /// Called by the hotplug core while the state is registered.
    unsafe extern "C" fn park(cpu: c_uint) -> c_int {
        // SAFETY: By the requirements of this function.
        if let Some(task) = unsafe { Self::task(cpu) } {
            // It fails for a thread that is dead after a panic, which will not get in the way.
            // SAFETY: As in `unpark`.
            unsafe { bindings::kthread_park(task.as_ptr()) };
        }
        0
    }
}
