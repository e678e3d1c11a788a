// SPDX-License-Identifier: GPL-2.0

//! Waking hotplug threads, and looking at them.

use super::{
    super::{
        bindings,
        cpu::hotplug,
        module_scope::{
            REGISTERED,
            REGISTERING, //
        },
        seam::{
            smp_mb,
            task_state,
            Flag, //
        }, //
    },
    table::ThreadSlot,
    thread::HotplugThread,
    untyped::Core, //
};
use core::marker::PhantomData;
use kernel::{
    cpu::CpuId,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        rcu, //
    },
    task::{
        Pid,
        TASK_NORMAL, //
    }, //
};

/// What a registration keeps for each possible CPU, whatever the type of the thread's own state.
///
/// The layout starts with what C's `store` points to. Zeroed memory is valid.
#[repr(C)]
pub(super) struct Head {
    /// The thread; null until its CPU was online. Written by the C core with a plain store, after
    /// `kthread_park()`, whose barrier publishes the task.
    task: Atomic<*mut bindings::task_struct>,
    /// The thread is to run.
    pub(super) pending: Flag,
    /// The thread has run its `setup`.
    pub(super) is_up: Flag,
}

impl Head {
    /// The thread, or null: as `READ_ONCE()`, without the call that an [`Atomic`] needs.
    #[inline(always)]
    pub(super) fn task(&self) -> *mut bindings::task_struct {
        // SAFETY: Valid and aligned. The C core writes it, as a whole.
        unsafe { self.task.as_ptr().read_volatile() }
    }

    /// Wakes the thread if it sleeps. `pending` is set, and a full barrier came after.
    ///
    /// # Safety
    ///
    /// The task, if there is one, is kept during this call.
    #[inline]
    unsafe fn wake_task(&self) {
        let task = self.task();
        // Of other states, `TASK_RUNNING`, `TASK_WAKING` and those of a thread in a callback are followed
        // by a look at `pending`; a thread that is `TASK_PARKED` looks when it is unparked.
        // SAFETY: By the requirements of this function.
        if !task.is_null() && unsafe { task_state(task) } & TASK_NORMAL != 0 {
            // SAFETY: By the requirements of this function.
            unsafe { bindings::wake_up_process(task) };
        }
    }

    /// Takes a reference to the task, for ever, or else wakes it if `pending` is set.
    ///
    /// # Safety
    ///
    /// As of `wake_task`.
    #[inline]
    pub(super) unsafe fn visit(&self, keep: bool) {
        if keep {
            let task = self.task();
            if !task.is_null() {
                // SAFETY: By the requirements of this function.
                unsafe { bindings::get_task_struct(task) };
            }
        } else if self.pending.is_set() {
            // SAFETY: By the requirements of this function.
            unsafe { self.wake_task() };
        }
    }

    /// # Safety
    ///
    /// As of `wake_task`.
    #[inline]
    pub(super) unsafe fn info(&self) -> Option<ThreadInfo> {
        let task = self.task();
        if task.is_null() {
            return None;
        }
        // SAFETY: By the requirements of this function.
        let state = unsafe { task_state(task) };
        Some(ThreadInfo {
            // SAFETY: By the requirements of this function. The number does not change.
            pid: unsafe { (*task).pid },
            // A task that is `TASK_WAKING` has been woken; what is left is to find it a run queue.
            state: if state & !bindings::TASK_WAKING == bindings::TASK_RUNNING {
                ThreadState::Running
            } else if state & bindings::TASK_PARKED != 0 {
                ThreadState::Parked
            } else {
                ThreadState::Sleeping
            },
        })
    }
}

impl Core {
    /// Returns the state, for a caller that then uses the threads under RCU.
    ///
    /// Either the task that unregisters finds `rcu_users` set, and waits for a grace period, in
    /// `wait_for_wakers`; or this finds that the threads are going. Both change or see one of the two,
    /// with a full barrier, before they look at the other. Finding `rcu_users` set needs the barrier
    /// too: another CPU set it, and on machines that are not multi-copy atomic an acquire does not order
    /// it against the state.
    fn rcu_state(&'static self, _rcu: &rcu::Guard) -> u32 {
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
    /// is running, and need not ask whether the flag was set before: the waker that set it may have
    /// been preempted on its way to waking the thread. A thread that is parked goes round the loop
    /// after it is unparked, with the same barrier, and finds the flag then.
    ///
    /// A `should_run` of the implementor's may look at the work instead of the flag: the barriers
    /// are the same.
    ///
    /// RCU keeps the task and the storage: a registration that goes away waits for a grace period
    /// before it stops the threads. One that is not complete may fail and free the tasks at any
    /// time; then there is only the flag, and the registering task wakes the threads at the end.
    #[inline(never)]
    fn wake(&'static self, cpu: CpuId) {
        if !hotplug::is_possible(cpu) {
            return;
        }

        let rcu = rcu::read_lock();

        let mut state = self.rcu_state(&rcu);
        if state != REGISTERING && state != REGISTERED {
            return;
        }

        // SAFETY: The storage is there: the state said so, and it is freed a grace period after
        // the state changes.
        let head = unsafe { self.head(cpu) };
        head.pending.set();

        if state == REGISTERING {
            // Full: the registering task sees this, or this sees that it is done.
            self.early_wake.xchg(true, Full);
            state = self.slot.state();
        }
        if state == REGISTERED {
            // SAFETY: The task is kept as described above.
            unsafe { head.wake_task() };
        }
    }

    /// Like [`wake`](Self::wake), for a caller that keeps the registration: then nothing goes away
    /// meanwhile, and there is no need for RCU.
    ///
    /// # Safety
    ///
    /// There is a registration during the call.
    #[inline]
    pub(super) unsafe fn wake_registered(&'static self, cpu: CpuId) {
        if !hotplug::is_possible(cpu) {
            return;
        }

        // SAFETY: There is storage as long as there is a registration, and `cpu` is possible.
        let head = unsafe { self.head(cpu) };
        head.pending.set();

        // SAFETY: The C core keeps the tasks; what the scope has it drop is kept by a reference of its
        // own.
        unsafe { head.wake_task() };
    }

    #[inline(never)]
    fn info(&'static self, cpu: CpuId) -> Option<ThreadInfo> {
        if !hotplug::is_possible(cpu) {
            return None;
        }

        let rcu = rcu::read_lock();

        if self.rcu_state(&rcu) != REGISTERED {
            return None;
        }
        // SAFETY: As in `wake`.
        unsafe { self.head(cpu).info() }
    }
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

/// A look at a thread, which may be outdated when the caller gets it. It keeps nothing alive.
#[derive(Clone, Copy, Debug)]
pub struct ThreadInfo {
    /// The thread's number, as in `ps`.
    pub pid: Pid,
    /// What it is doing.
    pub state: ThreadState,
}

/// A handle of no size to the threads of `T`, to be copied to wherever wakes come from.
///
/// It names the static of `T` and is invariant in `T`.
///
/// It may be used at any time, also before and after the registration, and while that comes and
/// goes on another CPU; then a wake does nothing. Any context that C allows for `wake_up_process()`:
/// process context, callbacks, softirq, hard-irq; not NMI, and not with a run-queue lock held.
///
/// # Examples
///
/// ```
/// # use kernel::cpu::CpuId;
/// # worker!(Worker, c"worker");
/// use smpboot::{ThreadState, Threads};
///
/// // No reference to the registration is needed.
/// fn poke(cpu: CpuId) {
///     Threads::<Worker>::new().wake(cpu);
/// }
///
/// fn is_parked(cpu: CpuId) -> Option<bool> {
///     let thread = Threads::<Worker>::new().info(cpu)?;
///     Some(thread.state == ThreadState::Parked)
/// }
///
/// let cpu = CpuId::current();
/// poke(cpu);
/// assert_eq!(is_parked(cpu), None);
///
/// let workers = Registration::new(scope, Worker)?;
/// workers.wait_until_up()?;
/// poke(cpu);
/// assert_eq!(is_parked(cpu), Some(false));
/// ```
pub struct Threads<T: HotplugThread>(PhantomData<fn(T) -> T>);

impl<T: HotplugThread> Clone for Threads<T> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: HotplugThread> Copy for Threads<T> {}

impl<T: HotplugThread> Threads<T> {
    /// The threads of `T`.
    #[allow(clippy::new_without_default, reason = "nothing is made")]
    #[inline]
    pub const fn new() -> Self {
        Self(PhantomData)
    }

    /// Makes the thread of `cpu` run at least once from now on.
    ///
    /// What was stored before this call is seen by that run. Several wakes may lead to one run. If
    /// the CPU is offline, the wake stays pending until it is back. Nothing happens if nothing is
    /// registered, or the CPU is not possible.
    #[inline]
    pub fn wake(self, cpu: CpuId) {
        ThreadSlot::<T>::get().wake(cpu);
    }

    /// Looks at the thread of `cpu`. `None` if there is no thread: the CPU has not been online since
    /// registration, or is not possible, or nothing is registered. Any context.
    #[inline]
    pub fn info(self, cpu: CpuId) -> Option<ThreadInfo> {
        ThreadSlot::<T>::get().info(cpu)
    }

    /// [Wakes](Self::wake) the threads of all CPUs that are online.
    ///
    /// A CPU that goes offline or comes online meanwhile may be included or not; included, nothing
    /// is lost, as for a single wake.
    pub fn wake_all(self) {
        for cpu in hotplug::online_cpus() {
            self.wake(cpu);
        }
    }
}
