// SPDX-License-Identifier: GPL-2.0

//! Waking hotplug threads, and looking at them.

use super::{
    super::{
        bindings,
        cpu::hotplug::{
            self,
            PossibleCpu, //
        },
        module_scope::{
            REGISTERED,
            REGISTERING, //
        },
        seam::{
            read_once,
            smp_mb,
            task_state,
            Flag, //
        }, //
    },
    table::ThreadSlot,
    thread::HotplugThread,
    untyped::{
        Core,
        Live, //
    }, //
};
use core::marker::PhantomData;
use kernel::{
    cpu::CpuId,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        rcu, //
    },
    task::{
        Pid,
        Task,
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

/// A thread, or the place of one.
///
/// # Invariants
///
/// The task, if there is one, is kept during `'a`.
pub(super) struct Thread<'a>(&'a Head);

impl<'a> Thread<'a> {
    /// # Safety
    ///
    /// The task, if there is one, is kept during `'a`.
    #[inline(always)]
    pub(super) unsafe fn new(head: &'a Head) -> Self {
        // INVARIANT: By the requirements of this function.
        Self(head)
    }

    #[inline(always)]
    pub(super) fn task(&self) -> Option<&'a Task> {
        // SAFETY: Null, or a task, which is valid by the type invariant.
        unsafe { read_once(&self.0.task).cast::<Task>().as_ref() }
    }

    /// Wakes the thread if it sleeps. `pending` is set, and a full barrier came after.
    #[inline]
    fn wake(&self) {
        // Of other states, `TASK_RUNNING`, `TASK_WAKING` and those of a thread in a callback are followed
        // by a look at `pending`; a thread that is `TASK_PARKED` looks when it is unparked.
        if let Some(task) = self.task() {
            if task_state(task) & TASK_NORMAL != 0 {
                task.wake_up();
            }
        }
    }

    /// Takes a reference to the task, for ever, or else wakes it if `pending` is set.
    #[inline]
    pub(super) fn visit(&self, keep: bool) {
        if let Some(task) = self.task() {
            if keep {
                core::mem::forget(ARef::from(task));
            } else if self.0.pending.is_set() {
                task.wake_up();
            }
        }
    }

    /// Whether the thread has run its `setup`.
    #[inline]
    pub(super) fn is_up(&self) -> bool {
        self.0.is_up.is_set()
    }

    #[inline]
    pub(super) fn info(&self) -> Option<ThreadInfo> {
        let task = self.task()?;
        let state = task_state(task);
        Some(ThreadInfo {
            pid: task.pid(),
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
    /// Either a task that changes the state finds `rcu_users` set, in `had_rcu_users`; or this
    /// finds the new state. Both change or see one of the two, with a full barrier, before they
    /// look at the other. Finding `rcu_users` set needs the barrier too: another CPU set it, and on
    /// machines that are not multi-copy atomic an acquire does not order it against the state.
    fn rcu_state(&'static self, _rcu: &rcu::Guard) -> u32 {
        if self.rcu_users.load(Relaxed) {
            smp_mb();
        } else {
            self.rcu_users.xchg(true, Full);
        }
        self.state()
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
        let Some(cpu) = PossibleCpu::new(cpu) else {
            return;
        };

        let rcu = rcu::read_lock();

        let state = self.rcu_state(&rcu);
        if state != REGISTERING && state != REGISTERED {
            return;
        }

        // SAFETY: The storage is there: the state said so, and it is freed a grace period after
        // the state changes.
        let head = unsafe { self.head(cpu) };
        head.pending.set();

        // The second look, a full barrier after the flag: either this finds that the registration
        // is complete, or the registering task, which has a barrier on its side too, finds the
        // flag.
        if state == REGISTERED || self.state() == REGISTERED {
            // SAFETY: The task is kept as described above.
            unsafe { Thread::new(head) }.wake();
        }
    }

    #[inline(never)]
    fn info(&'static self, cpu: CpuId) -> Option<ThreadInfo> {
        let cpu = PossibleCpu::new(cpu)?;

        let rcu = rcu::read_lock();

        if self.rcu_state(&rcu) != REGISTERED {
            return None;
        }
        // SAFETY: As in `wake`.
        unsafe { self.live() }.thread(cpu).info()
    }
}

impl Live<'_> {
    /// Wakes a thread, for a caller that keeps the registration: then nothing goes away meanwhile,
    /// and there is no need for RCU.
    #[inline]
    pub(super) fn wake(self, cpu: CpuId) {
        if let Some(cpu) = PossibleCpu::new(cpu) {
            let thread = self.thread(cpu);
            thread.0.pending.set();
            thread.wake();
        }
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
        ThreadSlot::<T>::core().wake(cpu);
    }

    /// Looks at the thread of `cpu`. `None` if there is no thread: the CPU has not been online since
    /// registration, or is not possible, or nothing is registered. Any context.
    #[inline]
    pub fn info(self, cpu: CpuId) -> Option<ThreadInfo> {
        ThreadSlot::<T>::core().info(cpu)
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
