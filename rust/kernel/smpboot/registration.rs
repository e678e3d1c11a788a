// SPDX-License-Identifier: GPL-2.0

//! The registration of hotplug threads.

use super::{
    super::module_scope::ModuleScope,
    table::ThreadSlot,
    thread::HotplugThread,
    untyped::{
        InstallParking,
        Live, //
    },
    wake::Threads, //
};
use core::{
    marker::PhantomData,
    ops::Deref, //
};
use kernel::{
    cpu::CpuId,
    prelude::*, //
};

/// One thread per CPU, registered with the kernel until the registration is dropped.
///
/// Dereferences to the shared value.
///
/// Dropping it stops the threads and waits until they have exited. Drop it in process context, with
/// no hotplug lock held. A drop in a callback of a hotplug thread or a hotplug state would wait for
/// itself. There it only logs an error, and the module's end unregisters the threads.
///
/// A registration that is leaked with [`core::mem::forget`] ends with the module: see
/// [`module_scope`](super::module_scope). The memory of its tasks, its storage and its value is
/// lost, because the code that leaked it may still [wake](Self::wake) threads through it. While
/// such a registration ends, CPUs cannot go offline or come online (`EBUSY`).
///
/// The type is invariant in `T`: a subtype of `T` is another type, with its own static.
///
/// # Examples
///
/// ```
/// # worker!(Worker, c"worker");
/// use smpboot::hotplug;
///
/// let workers = Registration::new(scope, Worker)?;
/// let threads = workers.threads();
/// assert!(hotplug::online_cpus().all(|cpu| threads.info(cpu).is_some()));
///
/// // Each type has at most one set of threads.
/// assert_eq!(Registration::new(scope, Worker).err(), Some(EBUSY));
///
/// drop(workers);
/// assert!(hotplug::possible_cpus().all(|cpu| threads.info(cpu).is_none()));
/// ```
///
/// # Invariants
///
/// `register` moved the slot of `T` to the state `REGISTERED`. It is still there, or its scope is
/// moving or has moved it from there to `REVOKED`.
pub struct Registration<T: HotplugThread>(PhantomData<fn(T) -> T>);

impl<T: HotplugThread> Registration<T> {
    /// Registers one thread per CPU: `smpboot_register_percpu_thread()`.
    ///
    /// Makes the shared value with `init`, allocates the storage of all possible CPUs, and creates
    /// the threads of the online CPUs. When this returns, the threads exist, but may not have run
    /// yet: see [`wait_until_up`](Self::wait_until_up).
    ///
    /// Process context, with no hotplug lock held. Waits for a CPU hotplug operation in progress.
    /// The end of the module waits for this function, and so for `init` and `create`.
    ///
    /// # Errors
    ///
    /// - `EBUSY`: the threads of `T` are registered, or were leaked.
    /// - `EDEADLK`: called in the callback of a hotplug thread or a hotplug state.
    /// - `EINTR`: the calling task was killed.
    /// - `ENOMEM`, `EAGAIN`: the kernel could not allocate the value or the storage, or could not
    ///   create a thread.
    /// - `ESHUTDOWN`: the module is ending, or began to end during the call.
    /// - The error of `init`.
    ///
    /// After an error nothing stays registered. The threads made so far are stopped: those that had
    /// run called `setup` and `cleanup`, the others neither. With `ESHUTDOWN` this may happen
    /// later, but before the module has ended.
    pub fn new<E>(scope: &'static ModuleScope, init: impl PinInit<T, E>) -> Result<Self>
    where
        Error: From<E>,
    {
        Self::register(scope, init, None)
    }

    #[inline]
    pub(super) fn register<E>(
        scope: &'static ModuleScope,
        init: impl PinInit<T, E>,
        parking: Option<InstallParking>,
    ) -> Result<Self>
    where
        Error: From<E>,
    {
        ThreadSlot::<T>::get()
            .claim(scope, init)?
            .register(parking)?;
        // INVARIANT: Registered just now.
        Ok(Self(PhantomData))
    }

    /// Waits until the threads of all online CPUs have run [`setup`](HotplugThread::setup). No CPU
    /// goes online or offline during the wait.
    ///
    /// Process context, with no hotplug lock held. Do not call this if a thread's `setup` waits for
    /// the caller. If real-time tasks keep a thread from running, this waits until a signal
    /// arrives, and CPU hotplug waits too.
    ///
    /// # Errors
    ///
    /// - `EDEADLK`: called in the callback of a hotplug thread or a hotplug state.
    /// - `EINTR`: a signal is pending.
    /// - `ESHUTDOWN`: the registration was leaked, and the module is ending.
    pub fn wait_until_up(&self) -> Result {
        ThreadSlot::<T>::core().wait_until_up(self.live())
    }

    /// Makes the thread of `cpu` run at least once from now on.
    ///
    /// Works like [`Threads::wake`], in the same contexts, but costs less: the caller has the
    /// registration, so it needs no RCU protection. If the registration was leaked and the module
    /// has ended it, no thread runs.
    #[inline]
    pub fn wake(&self, cpu: CpuId) {
        self.live().wake(cpu);
    }

    #[inline]
    fn live(&self) -> Live<'_> {
        // SAFETY: The storage exists as long as the registration. The C core keeps the tasks; the
        // scope takes a reference of its own to each task before the core drops them.
        unsafe { ThreadSlot::<T>::core().live() }
    }

    /// Returns a handle to the threads.
    #[inline]
    pub fn threads(&self) -> Threads<T> {
        Threads::new()
    }
}

impl<T: HotplugThread> Deref for Registration<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariant the slot holds a value, of type `T`. Only `unregister`
        // drops it, which only the drop of `self` calls; otherwise it is leaked.
        unsafe { ThreadSlot::<T>::get().value() }
    }
}

impl<T: HotplugThread> Drop for Registration<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `self` is the registration.
        unsafe { ThreadSlot::<T>::core().unregister() };
    }
}
