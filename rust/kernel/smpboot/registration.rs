// SPDX-License-Identifier: GPL-2.0

//! Registering hotplug threads, and waking them.

use super::{
    super::{
        bindings,
        cpu::{
            cpuhp,
            hotplug,
            slot::{
                Slot,
                State, //
            }, //
        },
        module_scope::{
            ModuleScope,
            Revoke, //
        },
        percpu::RawPerCpu,
        seam::{
            self,
            per_cpu_ptr,
            smp_mb,
            synchronize_rcu,
            Flag,
            EDEADLK, //
        }, //
    },
    thread::{
        Callbacks,
        HotplugThread, //
    }, //
};
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    mem::MaybeUninit,
    ops::Deref, //
};
use kernel::{
    cpu::CpuId,
    cpumask::Cpumask,
    error::to_result,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            AtomicFlag,
            Full,
            Relaxed, //
        },
        rcu, //
    },
    task::Pid, //
};

/// What a registration keeps for each possible CPU.
///
/// The layout starts with what C's `store` points to.
#[repr(C)]
pub(super) struct PerThread<L> {
    /// The thread; null until its CPU was online. Written by the C core.
    task: Atomic<*mut bindings::task_struct>,
    /// Somebody wants the thread to run.
    pub(super) pending: Flag,
    /// The thread's own state: initialized from the end of `setup` to `cleanup`.
    pub(super) local: UnsafeCell<MaybeUninit<L>>,
}

impl<L> PerThread<L> {
    /// # Safety
    ///
    /// The current task is the thread that this belongs to, in a callback between `setup` and the
    /// end of `cleanup`, and has no other reference to its local state.
    #[inline(always)]
    pub(super) unsafe fn local(&self) -> Pin<&mut L> {
        // SAFETY: Initialized by `setup`; only this thread uses it, and it has no other reference,
        // by the requirements of this function. It is pinned: nothing moves it.
        unsafe { Pin::new_unchecked(&mut *self.local.get().cast()) }
    }

    /// The thread, or null: as `READ_ONCE()`, without the call that an [`Atomic`] needs.
    #[inline(always)]
    fn task(&self) -> *mut bindings::task_struct {
        // SAFETY: Valid and aligned. The C core writes it, as a whole.
        unsafe { self.task.as_ptr().read_volatile() }
    }

    /// Wakes the thread if it sleeps. The flag is set, and a full barrier came after.
    ///
    /// # Safety
    ///
    /// The task, if there is one, is kept during this call.
    #[inline]
    unsafe fn wake_task(&self) -> Wake {
        let task = self.task();
        if task.is_null() {
            return Wake::Deferred;
        }
        // SAFETY: By the requirements of this function.
        let state = unsafe { task_state(task) };
        if state == ThreadState::Running {
            return Wake::Running;
        }
        // SAFETY: By the requirements of this function.
        unsafe { Self::wake_sleeping(task, state) }
    }

    /// Apart, so that the wake of a thread that is awake stays small.
    ///
    /// # Safety
    ///
    /// The task is kept during this call.
    #[inline(never)]
    unsafe fn wake_sleeping(task: *mut bindings::task_struct, state: ThreadState) -> Wake {
        if state == ThreadState::Parked {
            return Wake::Deferred;
        }
        // SAFETY: By the requirements of this function.
        if unsafe { bindings::wake_up_process(task) } != 0 {
            Wake::Woken
        } else {
            Wake::Running
        }
    }
}

/// The static that [`hotplug_thread!`](crate::hotplug_thread) makes: all that the callbacks of one
/// type need, and the descriptor that the C core links into its list.
///
/// # Invariants
///
/// - `ht` and `storage` are written only by the task that owns `slot`, in the state `BUSY`, with
///   no wakers left.
/// - `storage` is `Some` in the states `REGISTERING` and `REGISTERED`, as long as the C core knows
///   `ht`, and until the wakers of those times are gone; and in the state `REVOKED`, and on the way
///   there.
/// - Tasks that `storage` points to in the state `REGISTERED` are valid in the state `REVOKED`, too.
/// - In the state `REGISTERED`, `ht` is registered, and if `selfparking`, so is the hotplug state
///   in `park_state`.
#[doc(hidden)]
pub struct ThreadSlot<T: HotplugThread> {
    slot: Slot<T>,
    ht: UnsafeCell<bindings::smp_hotplug_thread>,
    storage: UnsafeCell<Option<RawPerCpu<PerThread<T::Local>>>>,
    park_state: Atomic<i32>,
    /// A wake came while the threads were being registered.
    early_wake: AtomicFlag,
    /// Somebody looked for threads under RCU, ever.
    rcu_users: AtomicFlag,
}

// SAFETY: `ht` and `storage` are protected as the invariants say. Local states belong to their
// threads. The rest is `Sync`: `Slot<T>` because `T` is `Send` and `Sync`.
unsafe impl<T: HotplugThread> Sync for ThreadSlot<T> {}

/// Which threads to register.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Parked and unparked by the core.
    Normal,
    /// Parked and unparked by a hotplug state of their own.
    SelfParking,
}

impl<T: HotplugThread> ThreadSlot<T> {
    /// An empty slot.
    #[allow(clippy::new_without_default, reason = "only for statics")]
    pub const fn new() -> Self {
        // Here, so that it is the macro that fails, not whoever registers.
        let () = RawPerCpu::<PerThread<T::Local>>::FITS;

        Self {
            slot: Slot::new(),
            ht: UnsafeCell::new(Callbacks::<T>::table()),
            storage: UnsafeCell::new(None),
            park_state: Atomic::new(0),
            early_wake: AtomicFlag::new(false),
            rcu_users: AtomicFlag::new(false),
        }
    }

    /// The shared value.
    ///
    /// # Safety
    ///
    /// The slot holds a value during `'a`: as long as the C core may call back, or a registration
    /// exists.
    #[inline(always)]
    pub(super) unsafe fn shared<'a>(&'static self) -> &'a T {
        // SAFETY: By the requirements of this function.
        unsafe { self.slot.value() }
    }

    /// What belongs to the thread of `cpu`.
    ///
    /// # Safety
    ///
    /// `storage` is `Some` during `'a`, and `cpu` is possible.
    #[inline(always)]
    pub(super) unsafe fn per_thread<'a>(&'static self, cpu: u32) -> &'a PerThread<T::Local> {
        // SAFETY: Not written while it is `Some` and in use, by the type invariants.
        let storage = unsafe { &*self.storage.get() };
        // SAFETY: It is `Some`, by the requirements of this function.
        let base = unsafe { storage.as_ref().unwrap_unchecked() }.base();
        // SAFETY: `cpu` is possible. The storage was zeroed, which is a valid value for the task
        // and the flag; the rest may be uninitialized. All of it has interior mutability, and the C
        // core writes the task pointer only.
        unsafe { &*per_cpu_ptr(base, cpu) }
    }

    fn register<E>(
        &'static self,
        scope: &'static ModuleScope,
        init: impl PinInit<T, E>,
        kind: Kind,
    ) -> Result
    where
        Error: From<E>,
    {
        if hotplug::in_callback() {
            return Err(EDEADLK);
        }

        self.slot.claim(init)?;
        // SAFETY: This task owns the slot.
        unsafe { self.register_claimed(scope, kind) }.inspect_err(|_| {
            // SAFETY: This task owns the slot, in the state `BUSY` again. No thread is left to
            // refer to the value, and wakers never do.
            unsafe { self.slot.release() }
        })
    }

    /// # Safety
    ///
    /// The caller owns the slot, in the state `BUSY`, with a value in it. It still does on error.
    unsafe fn register_claimed(&'static self, scope: &'static ModuleScope, kind: Kind) -> Result {
        let storage = RawPerCpu::<PerThread<T::Local>>::new_zeroed()?;
        scope.add(self)?;

        // SAFETY: This task owns the slot, in the state `BUSY`.
        unsafe {
            let ht = self.ht.get();
            // A per-CPU pointer to the first field of `PerThread`: all entries are null.
            (*ht).store = storage.base().cast();
            (*ht).selfparking = kind == Kind::SelfParking;
            *self.storage.get() = Some(storage);
        }
        self.early_wake.store(false, Relaxed);

        // SAFETY: This task owns the slot, in the state `BUSY`, with a value.
        unsafe { self.slot.open() };

        // SAFETY:
        // - `ht` is in a static, and stays registered until this slot unregisters it: before the
        //   module goes away, because `scope` knows of it.
        // - `store` is per-CPU storage whose entries are null, and is freed after that.
        // - All that the callbacks use is there: value and storage.
        // - The name is a static format string that takes one number.
        let ret = unsafe { bindings::smpboot_register_percpu_thread(self.ht.get()) };
        let result = to_result(ret).and_then(|()| match kind {
            Kind::Normal => Ok(()),
            Kind::SelfParking => {
                // SAFETY: The callbacks only use the slot's storage, which is there until after
                // `unregister_threads` removes the state.
                let state = unsafe {
                    cpuhp::setup_state(
                        T::NAME,
                        cpuhp::Invoke::Yes,
                        Self::unpark_callback,
                        Self::park_callback,
                    )
                };
                state
                    .map(|state| self.park_state.store(state, Relaxed))
                    .inspect_err(|_| {
                        // SAFETY: Registered just now.
                        unsafe { bindings::smpboot_unregister_percpu_thread(self.ht.get()) }
                    })
            }
        });

        if result.is_err() {
            // SAFETY: This task owns the slot, in the state `REGISTERING`.
            unsafe { self.slot.abort() };
            scope.remove(self);
            // Wakers may still look at the flags.
            synchronize_rcu();
            // SAFETY: This task owns the slot, and the wakers are gone. The C core does not know
            // `ht` any more: it stopped the threads that it had made.
            unsafe { *self.storage.get() = None };
            return result;
        }

        // SAFETY: This task owns the slot, in the state `REGISTERING`.
        unsafe { self.slot.publish() };

        // Wakers that came before only left their flag: until now the core could have taken the
        // threads away again. The barrier pairs with the one between their `early_wake` and their
        // second look at the state.
        smp_mb();
        if self.early_wake.load(Relaxed) {
            for cpu in hotplug::possible_cpus() {
                // SAFETY: The storage is there; only this task can unregister.
                let this = unsafe { self.per_thread(cpu.as_u32()) };
                if this.pending.is_set() {
                    let _ = self.wake(cpu);
                }
            }
        }

        Ok(())
    }

    /// Stops the threads. The shared value and the storage stay.
    ///
    /// # Safety
    ///
    /// The caller owns the slot, moved from `REGISTERED` to `BUSY` by `retire`.
    unsafe fn unregister_threads(&'static self) {
        // New wakers see the state, and stay away from the threads. Wait for those who did not:
        // below, the core drops its references to the tasks before it forgets the pointers. Most
        // modules wake by their registration, and have nobody to wait for: see `state_under_rcu`.
        if self.rcu_users.load(Relaxed) {
            synchronize_rcu();
        }

        // SAFETY: Only written by the owner of the slot.
        if unsafe { (*self.ht.get()).selfparking } {
            // Parks the threads of the CPUs that are online.
            // SAFETY: Registered, by the type invariant.
            unsafe { cpuhp::remove_state(self.park_state.load(Relaxed), cpuhp::Invoke::Yes) };
        }

        // SAFETY: `ht` is registered, by the type invariant.
        unsafe { bindings::smpboot_unregister_percpu_thread(self.ht.get()) };
    }

    /// Takes a reference to each thread's task, for ever.
    ///
    /// # Safety
    ///
    /// The threads are registered, only the caller can unregister them, and none is being created.
    unsafe fn keep_tasks(&'static self) {
        for cpu in hotplug::possible_cpus() {
            // SAFETY: There is storage while the threads are registered.
            let task = unsafe { self.per_thread(cpu.as_u32()) }.task();
            if !task.is_null() {
                // SAFETY: The C core has a reference until the threads are unregistered.
                unsafe { bindings::get_task_struct(task) };
            }
        }
    }

    fn unregister(&'static self, scope: &'static ModuleScope) {
        if hotplug::in_callback() {
            // Stopping a thread from a callback waits for that callback.
            pr_err!(
                "{}: registration dropped in a hotplug callback; it ends with the module\n",
                T::NAME.to_str().unwrap_or_default()
            );
            return;
        }

        if !self.slot.retire() {
            return;
        }
        scope.remove(self);
        // SAFETY: `retire` gave the slot to this task.
        unsafe { self.unregister_threads() };
        // SAFETY: This task owns the slot, and the wakers are gone: those under RCU, for whom
        // `unregister_threads` waited, and those with the registration, which is being
        // dropped. The C core does not know `ht` any more.
        unsafe { *self.storage.get() = None };
        // SAFETY: The threads are gone, wakers never refer to the value, and the registration,
        // through which others did, is being dropped.
        unsafe { self.slot.release() };
    }

    /// The state, for somebody who then uses the threads under RCU.
    ///
    /// Either the one who unregisters finds `rcu_users` set, and waits for a grace period; or this
    /// finds that the threads are going: both change or see one of the two, with a full barrier,
    /// before they look at the other. To find it set is not enough without the barrier: somebody else
    /// set it, and where stores reach some CPUs earlier than others, acquire orders nothing against
    /// the state.
    fn state_under_rcu(&'static self, _rcu: &rcu::Guard) -> State {
        if self.rcu_users.load(Relaxed) {
            smp_mb();
        } else {
            self.rcu_users.xchg(true, Full);
        }
        self.slot.state()
    }

    /// Wakes the thread of `cpu`, or leaves it a note.
    ///
    /// This is one side of the handshake, and `smpboot_thread_fn()` the other:
    ///
    /// ```text
    ///     waker                                thread
    ///
    ///     store work                           store state = INTERRUPTIBLE
    ///     set pending (full barrier)           full barrier (set_current_state)
    ///     load state: sleeping? wake it up     load pending: false? schedule()
    /// ```
    ///
    /// Of the two loads at the end, at least one sees the other side's store: either the thread
    /// finds the flag, or the waker finds it sleeping. So the waker may leave a thread alone that
    /// is running, and need not ask whether the flag was set before: whoever set it may have been
    /// preempted on its way to waking the thread. A thread that is parked goes round the loop after
    /// it is unparked, with the same barrier, and finds the flag then.
    ///
    /// A `should_run` of the implementor's may look at the work instead of the flag: the barriers
    /// are the same.
    ///
    /// RCU keeps the task and the storage: a registration that goes away waits for a grace period
    /// before it stops the threads. One that is not complete may fail and free the tasks at any
    /// time; then there is only the flag, and the registering task wakes the threads at the end.
    fn wake(&'static self, cpu: CpuId) -> Wake {
        if !hotplug::is_possible(cpu) {
            return Wake::NoThread;
        }

        let rcu = rcu::read_lock();

        let mut state = self.state_under_rcu(&rcu);
        if state == State::Gone {
            return Wake::NoThread;
        }

        // SAFETY: The storage is there: the state said so, and it is freed a grace period after
        // the state changes.
        let this = unsafe { self.per_thread(cpu.as_u32()) };
        this.pending.set();

        if state == State::Registering {
            // Full: the registering task sees this, or this sees that it is done.
            self.early_wake.xchg(true, Full);
            state = self.slot.state();
            if state != State::Registered {
                return Wake::Deferred;
            }
        }

        // SAFETY: The task is kept as described above.
        unsafe { this.wake_task() }
    }

    /// Like [`wake`](Self::wake), for a caller that keeps the registration: then there is nothing
    /// that could go away meanwhile, and no need for RCU.
    ///
    /// # Safety
    ///
    /// The slot is in the state `REGISTERED` or `REVOKED`, or on the way from the one to the other,
    /// and stays there.
    #[inline]
    unsafe fn wake_registered(&'static self, cpu: CpuId) -> Wake {
        if !hotplug::is_possible(cpu) {
            return Wake::NoThread;
        }

        // SAFETY: `storage` is `Some` in these states, and `cpu` is possible.
        let this = unsafe { self.per_thread(cpu.as_u32()) };
        this.pending.set();

        // SAFETY: In the state `REGISTERED` the C core keeps the tasks; what `revoke` has it drop
        // is kept by a reference of its own.
        unsafe { this.wake_task() }
    }

    fn info(&'static self, cpu: CpuId) -> Option<ThreadInfo> {
        if !hotplug::is_possible(cpu) {
            return None;
        }

        let rcu = rcu::read_lock();

        if self.state_under_rcu(&rcu) != State::Registered {
            return None;
        }
        // SAFETY: As in `wake`.
        let task = unsafe { self.per_thread(cpu.as_u32()) }.task();
        if task.is_null() {
            return None;
        }
        Some(ThreadInfo {
            // SAFETY: The task is kept by RCU, as in `wake`. Its pid does not change.
            pid: unsafe { (*task).pid },
            // SAFETY: The same.
            state: unsafe { task_state(task) },
        })
    }

    /// Starts the thread of a CPU that came online, as a hotplug state's startup.
    ///
    /// # Safety
    ///
    /// Called by the hotplug core while the state is registered.
    unsafe extern "C" fn unpark_callback(cpu: c_uint) -> c_int {
        // SAFETY: There is storage while the state is registered.
        let task = unsafe { T::slot().per_thread(cpu) }.task();
        if !task.is_null() {
            // SAFETY: The task is not stopped before the state is removed.
            unsafe { bindings::kthread_unpark(task) };
        }
        0
    }

    /// Parks the thread of a CPU that goes offline, as a hotplug state's teardown.
    ///
    /// # Safety
    ///
    /// Called by the hotplug core while the state is registered.
    unsafe extern "C" fn park_callback(cpu: c_uint) -> c_int {
        // SAFETY: There is storage while the state is registered.
        let task = unsafe { T::slot().per_thread(cpu) }.task();
        if !task.is_null() {
            // It fails for a thread that is dead after a panic, which will not get in the way.
            // SAFETY: The task is not stopped before the state is removed.
            unsafe { bindings::kthread_park(task) };
        }
        0
    }
}

impl<T: HotplugThread> Revoke for ThreadSlot<T> {
    fn revoke(&self) {
        let this = T::slot();
        if this.slot.retire() {
            pr_warn!(
                "{}: registration was leaked; its threads end with the module\n",
                T::NAME.to_str().unwrap_or_default()
            );
            // Whoever leaked the registration may still be using it. No thread may come into being
            // between here and the end of all, whose task would not be kept.
            // SAFETY: Process context, with no hotplug lock held.
            unsafe { bindings::cpu_hotplug_disable() };
            // SAFETY: This task owns the slot, and no CPU comes or goes.
            unsafe { this.keep_tasks() };
            // SAFETY: `retire` gave the slot to this task.
            unsafe { this.unregister_threads() };
            // SAFETY: Disabled above.
            unsafe { bindings::cpu_hotplug_enable() };
            // SAFETY: This task owns the slot.
            unsafe { this.slot.leak() };
        }
    }
}

/// # Safety
///
/// `task` is valid.
#[inline]
unsafe fn task_state(task: *mut bindings::task_struct) -> ThreadState {
    // SAFETY: By the requirements of this function.
    let state = unsafe { seam::task_state(task) };

    // A task that is `WAKING` has been woken; what is left to do is to find it a place in a queue.
    if state & !bindings::TASK_WAKING == bindings::TASK_RUNNING {
        ThreadState::Running
    } else if state & bindings::TASK_PARKED != 0 {
        ThreadState::Parked
    } else {
        ThreadState::Sleeping
    }
}

/// What a wake did.
///
/// # Examples
///
/// ```
/// # use kernel::cpu::CpuId;
/// # use smpboot::Wake;
/// # worker!(Worker, c"worker");
/// fn kick(worker: &Registration<Worker>, cpu: CpuId) -> Result {
///     match worker.threads().wake(cpu) {
///         Wake::Woken | Wake::Running => Ok(()),
///         // Not before the CPU is back: the caller may choose another one meanwhile.
///         Wake::Deferred => Err(EAGAIN),
///         Wake::NoThread => Err(ENODEV),
///     }
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Wake {
    /// The thread was sleeping, and runs now.
    Woken,
    /// The thread is awake, and will look again before it sleeps.
    Running,
    /// The thread is parked or not there yet, because its CPU is offline, or on its way; it will
    /// run when the CPU is back, if ever.
    Deferred,
    /// There is no such thread: the CPU is not possible, or nothing is registered.
    NoThread,
}

/// What a thread is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ThreadState {
    /// It runs, or could.
    Running,
    /// It waits for a wake, or for something in one of its callbacks.
    Sleeping,
    /// Its CPU is offline, or on its way.
    Parked,
}

/// A look at a thread, which may have gone on since.
#[derive(Clone, Copy, Debug)]
pub struct ThreadInfo {
    /// The thread's number, as in `ps`.
    pub pid: Pid,
    /// What it is doing.
    pub state: ThreadState,
}

/// A handle of no size to the threads of `T`, to be copied to wherever wakes come from.
///
/// It may be used at any time, also before and after the registration, and while that comes and
/// goes on another CPU; then it says [`Wake::NoThread`]. Any context that C allows for
/// `wake_up_process()`: process context, callbacks, softirq, hard-irq; not NMI, and not with a
/// run-queue lock held.
///
/// # Examples
///
/// ```
/// # use kernel::cpu::CpuId;
/// # use smpboot::{ThreadState, Threads, Wake};
/// # worker!(Worker, c"worker");
/// // No reference to the registration is needed.
/// fn poke(cpu: CpuId) -> Wake {
///     Threads::<Worker>::new().wake(cpu)
/// }
///
/// fn is_parked(cpu: CpuId) -> bool {
///     Threads::<Worker>::new()
///         .info(cpu)
///         .is_some_and(|thread| thread.state == ThreadState::Parked)
/// }
/// ```
pub struct Threads<T: HotplugThread>(PhantomData<fn() -> T>);

impl<T: HotplugThread> Clone for Threads<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: HotplugThread> Copy for Threads<T> {}

impl<T: HotplugThread> Threads<T> {
    /// The threads of `T`.
    #[allow(clippy::new_without_default, reason = "nothing is made")]
    pub const fn new() -> Self {
        Self(PhantomData)
    }

    /// Makes the thread of `cpu` run at least once from now on.
    ///
    /// What was stored before this call is seen by that run. Several wakes may lead to one run. If
    /// the CPU is offline, the wake is kept until it is back.
    #[inline]
    pub fn wake(self, cpu: CpuId) -> Wake {
        T::slot().wake(cpu)
    }

    /// Looks at the thread of `cpu`. `None` if there is no thread: the CPU has not been online since
    /// registration, or is not possible, or nothing is registered. Any context.
    pub fn info(self, cpu: CpuId) -> Option<ThreadInfo> {
        T::slot().info(cpu)
    }

    /// [Wakes](Self::wake) the threads of the CPUs in `mask`, and tells `each` what happened.
    pub fn wake_mask(self, mask: &Cpumask, mut each: impl FnMut(CpuId, Wake)) {
        for cpu in hotplug::cpus_of(mask) {
            each(cpu, self.wake(cpu));
        }
    }

    /// [Wakes](Self::wake) the threads of all CPUs that are online.
    ///
    /// A CPU that goes offline or comes online meanwhile may be included or not; included, nothing
    /// is lost, as for a single wake.
    pub fn wake_all(self) {
        for cpu in hotplug::online_cpus() {
            let _ = self.wake(cpu);
        }
    }
}

/// One thread per CPU, registered with the kernel until this is dropped.
///
/// Gives access to the shared value.
///
/// Dropping it stops the threads and waits until they are gone: process context, with no hotplug
/// lock held. In a callback of a hotplug thread or a hotplug state that would wait for itself; the
/// registration stays then, an error is logged, and the module's end unregisters it.
///
/// A registration that is leaked with [`core::mem::forget`] ends with the module: see
/// [`module_scope`](super::module_scope). The memory of its tasks and its storage is lost then, as whoever leaked it
/// may still [wake](Self::wake) by it; and while it ends, CPUs cannot go or come (`EBUSY`).
///
/// # Examples
///
/// ```
/// # worker!(Worker, c"worker");
/// let workers = Registration::new(scope, Worker)?;
/// workers.threads().wake_all();
/// drop(workers);
/// ```
///
/// # Invariants
///
/// The slot of `T` is in the state `REGISTERED`, by `register`, or in the state `REVOKED`.
pub struct Registration<T: HotplugThread> {
    scope: &'static ModuleScope,
    _slot: PhantomData<fn() -> T>,
}

impl<T: HotplugThread> Registration<T> {
    /// Registers one thread per CPU: `smpboot_register_percpu_thread()`.
    ///
    /// Makes the shared value with `init`, allocates what all possible CPUs need, and creates the
    /// threads of the CPUs that are online. When this returns, they exist, but none of them has
    /// necessarily run.
    ///
    /// Process context; waits for a CPU hotplug operation in progress.
    ///
    /// # Errors
    ///
    /// - `EBUSY`: the threads of `T` are registered.
    /// - `EDEADLK`: called in the callback of a hotplug thread or a hotplug state.
    /// - `EINTR`: the calling task was killed.
    /// - `ENOMEM`, `EAGAIN`: storage or a thread could not be made.
    /// - `ESHUTDOWN`: the module is going away.
    /// - what `init` fails with.
    ///
    /// On error, threads that had been made have been stopped: those that had come to run went
    /// through `setup` and `cleanup`, the others through neither.
    pub fn new<E>(scope: &'static ModuleScope, init: impl PinInit<T, E>) -> Result<Self>
    where
        Error: From<E>,
    {
        T::slot().register(scope, init, Kind::Normal)?;
        // INVARIANT: Registered just now.
        Ok(Self {
            scope,
            _slot: PhantomData,
        })
    }

    /// Makes the thread of `cpu` run at least once from now on, like [`Threads::wake`], but for less:
    /// as the registration is there, nothing has to be done for the case that it goes away.
    ///
    /// The same contexts. Should the module be at its end, and this registration have been leaked,
    /// the answer is [`Wake::Deferred`] once the threads are gone.
    #[inline]
    pub fn wake(&self, cpu: CpuId) -> Wake {
        // SAFETY: By the type invariant. The state changes from `REGISTERED` to another than
        // `REVOKED` only when `self` is dropped.
        unsafe { T::slot().wake_registered(cpu) }
    }

    /// A handle to the threads.
    #[inline]
    pub fn threads(&self) -> Threads<T> {
        Threads::new()
    }
}

impl<T: HotplugThread> Deref for Registration<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: By the type invariant the slot holds a value. It is dropped by `unregister`,
        // which takes dropping `self`, or never.
        unsafe { T::slot().shared() }
    }
}

impl<T: HotplugThread> Drop for Registration<T> {
    fn drop(&mut self) {
        T::slot().unregister(self.scope);
    }
}

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
/// # use smpboot::SelfParkingRegistration;
/// # worker!(Stopper, c"stopper");
/// let stoppers = SelfParkingRegistration::new(scope, Stopper)?;
/// stoppers.threads().wake_all();
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
        T::slot().register(scope, init, Kind::SelfParking)?;
        // INVARIANT: Registered just now.
        Ok(Self(Registration {
            scope,
            _slot: PhantomData,
        }))
    }
}

impl<T: HotplugThread> Deref for SelfParkingRegistration<T> {
    type Target = Registration<T>;

    fn deref(&self) -> &Registration<T> {
        &self.0
    }
}
