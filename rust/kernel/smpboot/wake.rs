// SPDX-License-Identifier: GPL-2.0

//! Waking hotplug threads, and reading their state.

use super::{
    super::{
        bindings,
        cpu::hotplug,
        module_scope::{
            REGISTERED,
            REGISTERING, //
        },
        percpu::PossibleCpu,
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

/// The part of a registration's per-CPU storage that does not depend on the type of the thread's
/// local state.
///
/// The first field is the one that C's `store` points to. Zeroed memory is valid.
#[repr(C)]
pub(super) struct Head {
    /// The thread; null until its CPU was online. Written by the C core with a plain store, after
    /// `kthread_park()`, whose barrier publishes the task.
    task: Atomic<*mut bindings::task_struct>,
    /// A wake is pending.
    pub(super) pending: Flag,
    /// The thread has run its `setup`.
    pub(super) is_up: Flag,
}

/// The entry of one CPU's thread, which may not exist yet.
///
/// # Invariants
///
/// The task, if it exists, is kept during `'a`.
pub(super) struct Thread<'a>(&'a Head);

impl<'a> Thread<'a> {
    /// # Safety
    ///
    /// The task, if it exists, is kept during `'a`.
    #[inline(always)]
    pub(super) unsafe fn new(head: &'a Head) -> Self {
        // INVARIANT: By the requirements of this function.
        Self(head)
    }

    #[inline(always)]
    pub(super) fn task(&self) -> Option<&'a Task> {
        // SAFETY: The pointer is null or points to a task, which is valid by the type invariant.
        unsafe { read_once(&self.0.task).cast::<Task>().as_ref() }
    }

    /// Wakes the thread if it sleeps. The caller has set `pending` and then executed a full
    /// barrier.
    #[inline]
    fn wake(&self) {
        // In other states no wake-up is needed. A thread in `TASK_RUNNING`, in `TASK_WAKING` or in
        // a callback tests `pending` later; a thread in `TASK_PARKED` tests it after it is
        // unparked.
        if let Some(task) = self.task() {
            if task_state(task) & TASK_NORMAL != 0 {
                task.wake_up();
            }
        }
    }

    /// With `keep`, takes a reference to the task, forever; otherwise wakes the thread if `pending`
    /// is set.
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

    /// Returns whether the thread has run its `setup`.
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
            // A task in `TASK_WAKING` has been woken; the scheduler has yet to choose its run
            // queue.
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
    /// Either the task that changes the state sees `rcu_users` set, in `had_rcu_users`, or this
    /// sees the new state. Each side stores one of the two, or sees it set, and executes a full
    /// barrier before it loads the other. Finding `rcu_users` set needs the barrier too: another
    /// CPU set it, and on machines that are not multi-copy atomic an acquire does not order it
    /// against the state.
    fn rcu_state(&'static self, _rcu: &rcu::Guard) -> u32 {
        if self.rcu_users.load(Relaxed) {
            smp_mb();
        } else {
            self.rcu_users.xchg(true, Full);
        }
        self.state()
    }

    /// Wakes the thread of `cpu`, or leaves the wake pending.
    ///
    /// This is one side of the handshake; `smpboot_thread_fn()` is the other:
    ///
    /// ```text
    ///     waker                                thread
    ///
    ///     store work                           store state = INTERRUPTIBLE
    ///     set pending (full barrier)           full barrier (set_current_state)
    ///     load state: sleeping? wake it up     load pending: false? schedule()
    /// ```
    ///
    /// At least one of the two last loads sees the other side's store: either the thread finds the
    /// flag set, or the waker finds the thread sleeping. So the waker need not wake a thread that
    /// is running. It must not skip the wake-up because the flag was set already: the waker that
    /// set it may have been preempted before its wake-up. A parked thread repeats the loop after it
    /// is unparked, with the same barrier, and then finds the flag.
    ///
    /// The implementation's `should_run` may test its work instead of the flag: the same barriers
    /// order it.
    ///
    /// RCU keeps the task and the storage: a registration that ends waits for a grace period before
    /// it stops the threads. An incomplete registration may fail and free the tasks at any time.
    /// For that state this only sets the flag, and the registering task wakes the threads when it
    /// has completed the registration.
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

        // SAFETY: The storage exists in this state, and is freed at the earliest one grace period
        // after the state changes.
        let head = unsafe { self.head(cpu) };
        head.pending.set();

        // The second load of the state follows the flag's full barrier: either this sees the
        // complete registration, or the registering task, which also has a barrier, sees the flag.
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
    /// Wakes a thread, for a caller that has the registration. That keeps the storage and the
    /// tasks, so RCU is not needed.
    #[inline]
    pub(super) fn wake(self, cpu: CpuId) {
        if let Some(cpu) = PossibleCpu::new(cpu) {
            let thread = self.thread(cpu);
            thread.0.pending.set();
            thread.wake();
        }
    }
}

/// The state of a thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ThreadState {
    /// The thread is running or runnable.
    Running,
    /// The thread waits for a wake, or sleeps in one of its callbacks.
    Sleeping,
    /// The thread is parked: its CPU is offline, going offline or coming online.
    Parked,
}

/// A snapshot of a thread. It may be outdated when the caller gets it, and holds no reference to
/// the task.
#[derive(Clone, Copy, Debug)]
pub struct ThreadInfo {
    /// The thread's number, as in `ps`.
    pub pid: Pid,
    /// The thread's state.
    pub state: ThreadState,
}

/// A zero-sized handle to the threads of `T`. Copy it to the code that wakes them.
///
/// It names the static of `T` and is invariant in `T`.
///
/// It may be used at any time: also before and after the registration, when a wake has no effect,
/// and while another CPU registers or unregisters. It may be used in any context that C allows for
/// `wake_up_process()`: process context, callbacks, softirq and hard-irq, but not NMI, and not with
/// a run-queue lock held.
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
    /// Returns the handle to the threads of `T`.
    #[allow(clippy::new_without_default, reason = "nothing is made")]
    #[inline]
    pub const fn new() -> Self {
        Self(PhantomData)
    }

    /// Makes the thread of `cpu` run at least once from now on.
    ///
    /// That run sees all stores before this call. Several wakes may share one run. If the CPU is
    /// offline, the wake stays pending until the CPU is online again. The call has no effect if the
    /// threads are not registered or the CPU is not possible.
    #[inline]
    pub fn wake(self, cpu: CpuId) {
        ThreadSlot::<T>::core().wake(cpu);
    }

    /// Returns a snapshot of the thread of `cpu`, or `None` if it has no thread: the CPU has not
    /// been online since registration, or is not possible, or the threads are not registered. Any
    /// context.
    #[inline]
    pub fn info(self, cpu: CpuId) -> Option<ThreadInfo> {
        ThreadSlot::<T>::core().info(cpu)
    }

    /// [Wakes](Self::wake) the threads of all online CPUs.
    ///
    /// A CPU that goes offline or comes online during the call may be included or not. If it is,
    /// its wake is not lost, as with [`wake`](Self::wake).
    pub fn wake_all(self) {
        for cpu in hotplug::online_cpus() {
            self.wake(cpu);
        }
    }
}
