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

/// One thread per CPU, registered with the kernel until this is dropped.
///
/// Gives access to the shared value.
///
/// Dropping it stops the threads and waits until they are gone: process context, with no hotplug
/// lock held. In a callback of a hotplug thread or a hotplug state that would wait for itself; the
/// registration stays then, an error is logged, and the module's end unregisters it.
///
/// A registration that is leaked with [`core::mem::forget`] ends with the module: see
/// [`module_scope`](super::module_scope). The memory of its tasks, its storage and its value is lost
/// then, as the code that leaked it may still [wake](Self::wake) by it; and while it ends, CPUs cannot
/// go offline or come online (`EBUSY`).
///
/// It is invariant in `T`: a subtype of `T` is another type, with a static of its own.
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
/// // One type has one set of threads.
/// assert_eq!(Registration::new(scope, Worker).err(), Some(EBUSY));
///
/// drop(workers);
/// assert!(hotplug::possible_cpus().all(|cpu| threads.info(cpu).is_none()));
/// ```
///
/// # Invariants
///
/// The slot of `T` is in the state `REGISTERED`, by `register`, or is or was moved from there to
/// `REVOKED` by its scope.
pub struct Registration<T: HotplugThread>(PhantomData<fn(T) -> T>);

impl<T: HotplugThread> Registration<T> {
    /// Registers one thread per CPU: `smpboot_register_percpu_thread()`.
    ///
    /// Makes the shared value with `init`, allocates what all possible CPUs need, and creates the
    /// threads of the CPUs that are online. When this returns, they exist, but none of them has
    /// necessarily run: see [`wait_until_up`](Self::wait_until_up).
    ///
    /// Process context, with no hotplug lock held; waits for a CPU hotplug operation in progress. The
    /// end of the module waits for this function, and so for `init` and `create`.
    ///
    /// # Errors
    ///
    /// - `EBUSY`: the threads of `T` are registered, or were leaked.
    /// - `EDEADLK`: called in the callback of a hotplug thread or a hotplug state.
    /// - `EINTR`: the calling task was killed.
    /// - `ENOMEM`, `EAGAIN`: the value's memory, the storage or a thread could not be made.
    /// - `ESHUTDOWN`: the module is going away, or began to while this ran.
    /// - the error of `init`.
    ///
    /// On error nothing stays. Threads that had been made have been stopped: those that had come to run
    /// went through `setup` and `cleanup`, the others through neither. With `ESHUTDOWN` that may happen
    /// later, before the module has ended.
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

    /// Waits until the threads of all online CPUs have run [`setup`](HotplugThread::setup). During the
    /// wait no CPU goes online or offline.
    ///
    /// Process context, with no hotplug lock held. Do not wait here for a thread that waits for the
    /// caller in its `setup`. A thread that gets no time, because real-time tasks use its CPU,
    /// keeps this waiting, and CPU hotplug with it, until a signal.
    ///
    /// # Errors
    ///
    /// - `EDEADLK`: called in the callback of a hotplug thread or a hotplug state.
    /// - `EINTR`: a signal is pending.
    /// - `ESHUTDOWN`: the registration was leaked, and the module is going away.
    pub fn wait_until_up(&self) -> Result {
        ThreadSlot::<T>::core().wait_until_up(self.live())
    }

    /// Makes the thread of `cpu` run at least once from now on, like [`Threads::wake`], but for less:
    /// as the registration is there, nothing has to be done for the case that it goes away.
    ///
    /// The same contexts. If the registration was leaked, and the module is at its end, no thread runs.
    #[inline]
    pub fn wake(&self, cpu: CpuId) {
        self.live().wake(cpu);
    }

    #[inline]
    fn live(&self) -> Live<'_> {
        // SAFETY: There is storage as long as there is a registration. The C core keeps the tasks;
        // what the scope has it drop is kept by a reference of its own.
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
        // SAFETY: By the type invariant the slot holds a value, of type `T`. It is dropped by
        // `unregister`, which takes dropping `self`, or never.
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
