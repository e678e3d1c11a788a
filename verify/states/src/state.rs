// SPDX-License-Identifier: GPL-2.0

//! The shared state of the model's actors, and the step of each actor.
//!
//! A step has the name of its function, or of the part of the function that the quote shows.

pub const CPUS: usize = 2;
/// The maximal number of threads of one run. No place is used twice.
pub const TASKS: usize = 6;
/// The number of storages of a run, one for each registration; 0 is none.
pub const STORAGES: usize = 3;

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Run {
    /// Created, and not woken yet.
    New,
    Running,
    Sleeping,
    Parked,
    Dead,
}

/// `status` of `struct smpboot_thread_data`.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Status {
    None,
    Active,
    Parked,
}

/// The steps of a thread.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Thread {
    // linux/kernel/kthread.c kthread: if (!test_bit(KTHREAD_SHOULD_STOP, &self->flags))
    Kthread,
    // linux/kernel/kthread.c __kthread_parkme: set_special_state(TASK_PARKED);
    SetParked,
    // linux/kernel/kthread.c __kthread_parkme: if (!test_bit(KTHREAD_SHOULD_PARK, &self->flags))
    // linux/kernel/kthread.c __kthread_parkme: complete(&self->parked);
    Parkme,
    // linux/kernel/kthread.c __kthread_parkme: schedule_preempt_disabled();
    SleepParked,

    // linux/kernel/smpboot.c smpboot_thread_fn: set_current_state(TASK_INTERRUPTIBLE);
    SetState,
    // linux/kernel/smpboot.c smpboot_thread_fn: if (kthread_should_stop())
    // linux/kernel/smpboot.c smpboot_thread_fn: if (ht->cleanup && td->status != HP_THREAD_NONE)
    ShouldStop,
    // linux/kernel/smpboot.c smpboot_thread_fn: if (kthread_should_park())
    // linux/kernel/smpboot.c smpboot_thread_fn: if (ht->park && td->status == HP_THREAD_ACTIVE)
    // linux/kernel/smpboot.c smpboot_thread_fn: kthread_parkme();
    // linux/kernel/smpboot.c smpboot_thread_fn: case HP_THREAD_NONE:
    // rust/kernel/smpboot/untyped.rs set_up: head.is_up.set();
    // linux/kernel/smpboot.c smpboot_thread_fn: case HP_THREAD_PARKED:
    ShouldPark,
    // linux/kernel/smpboot.c smpboot_thread_fn: if (!ht->thread_should_run(td->cpu))
    // rust/kernel/smpboot/table.rs should_run: return cx.woken().into();
    ShouldRun,
    // linux/kernel/smpboot.c smpboot_thread_fn: schedule();
    Sleep,

    // rust/kernel/smpboot/table.rs run: call.this.head.pending.clear();
    Clear,
    // rust/kernel/smpboot/table.rs run: call.shared.run(call.local, &call.cx);
    Work,

    // linux/kernel/kthread.c kthread: kthread_exit(ret);
    Exit,
    Gone,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct Task {
    pub at: Thread,
    pub cpu: usize,
    pub storage: usize,
    pub run: Run,
    pub should_park: bool,
    pub should_stop: bool,
    /// The completion of `kthread_park()`.
    pub parked: u8,
    pub refs: u8,
    pub status: Status,
    /// The thread has a `Local`.
    pub is_set_up: bool,
    /// `park` was called, but `unpark` not yet.
    pub is_parked: bool,
}

/// The state of a node.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Node {
    Free,
    Busy,
    Registering,
    Registered,
    Revoked,
}

/// The steps of a task that registers, unregisters, or closes the scope.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Step {
    // rust/kernel/module_scope.rs enter: if list.closed
    // rust/kernel/module_scope.rs enter: if state.load(Relaxed) != FREE
    // rust/kernel/module_scope.rs enter: state.store(BUSY, Relaxed);
    Claim,
    // rust/kernel/smpboot/untyped.rs register: RawPerCpu::new_zeroed(this.layout)
    // rust/kernel/smpboot/untyped.rs register: this.storage.set(storage);
    Register,
    // rust/kernel/module_scope/node.rs open: Self::settle(self.node(), REGISTERING);
    Open,
    // linux/kernel/smpboot.c smpboot_register_percpu_thread: cpus_read_lock();
    // linux/kernel/smpboot.c smpboot_register_percpu_thread: mutex_lock(&smpboot_threads_lock);
    CpusReadLock,
    // linux/kernel/smpboot.c smpboot_register_percpu_thread: ret =
    // __smpboot_create_thread(plug_thread, cpu); linux/kernel/smpboot.c
    // smpboot_register_percpu_thread: smpboot_destroy_threads(plug_thread);
    CreateThread,
    // linux/kernel/smpboot.c __smpboot_create_thread: kthread_park(tsk);
    // linux/kernel/smpboot.c __smpboot_create_thread: *per_cpu_ptr(ht->store, cpu) = tsk;
    WaitParked,
    // linux/kernel/smpboot.c smpboot_register_percpu_thread: smpboot_unpark_thread(plug_thread,
    // cpu);
    UnparkThread,
    // linux/kernel/smpboot.c smpboot_register_percpu_thread: list_add(&plug_thread->list,
    // &hotplug_threads);
    ListAdd,
    // rust/kernel/smpboot/untyped.rs register: open.publish()?;
    // rust/kernel/module_scope/node.rs settle: abandoned.set(list.closed)
    // rust/kernel/module_scope/node.rs publish: if Self::settle(self.node(), REGISTERED)
    Publish,
    // rust/kernel/smpboot/untyped.rs register: if this.had_rcu_users()
    HadRcuUsers,
    // rust/kernel/smpboot/untyped.rs register: .visit(false);
    // rust/kernel/smpboot/wake.rs visit: task.wake_up();
    Visit,
    // rust/kernel/smpboot/untyped.rs wait_until_up: let _cpus = CpusReadGuard::new(scope)?;
    CpusReadGuard,
    // rust/kernel/smpboot/untyped.rs wait_until_up: scope.wait_until(
    // rust/kernel/smpboot/untyped.rs wait_until_up: if self.state() != REGISTERED
    WaitUntilUp,
    /// The registration exists.
    Use,

    // rust/kernel/smpboot/untyped.rs register: open.abort()
    Abort,
    // rust/kernel/cpu/slot.rs unregister: scope.retire(self.node())
    // rust/kernel/module_scope.rs take: REGISTERED =>
    // rust/kernel/module_scope.rs take: FREE | REVOKED => return None,
    // rust/kernel/module_scope.rs take: self.changed.wait(&mut list);
    Retire,

    /// The scope is not closed.
    Close,
    // rust/kernel/module_scope.rs take: Some(list.newest?)
    // rust/kernel/module_scope.rs take: REGISTERED =>
    // rust/kernel/module_scope.rs take: self.changed.wait(&mut list);
    Take,

    // rust/kernel/smpboot/untyped.rs end: bindings::cpu_hotplug_disable()
    CpuHotplugDisable,
    // rust/kernel/smpboot/untyped.rs end: .visit(true);
    // rust/kernel/smpboot/wake.rs visit: core::mem::forget(ARef::from(task));
    Keep,
    // rust/kernel/smpboot/untyped.rs wait_for_wakers: if self.had_rcu_users()
    WaitForWakers,
    // rust/kernel/smpboot/untyped.rs wait_for_wakers: synchronize_rcu();
    SynchronizeRcu,
    // linux/kernel/smpboot.c smpboot_unregister_percpu_thread: cpus_read_lock();
    // linux/kernel/smpboot.c smpboot_unregister_percpu_thread: list_del(&plug_thread->list);
    ListDel,
    // linux/kernel/smpboot.c smpboot_destroy_threads: if (tsk)
    // linux/kernel/kthread.c kthread_stop: set_bit(KTHREAD_SHOULD_STOP, &kthread->flags);
    KthreadStop,
    // linux/kernel/kthread.c kthread_stop: kthread_unpark(k);
    // linux/kernel/kthread.c kthread_stop: wake_up_process(k);
    KthreadUnpark,
    // linux/kernel/kthread.c kthread_stop: wait_for_completion(&kthread->exited);
    // linux/kernel/kthread.c kthread_stop_put: put_task_struct(k);
    WaitForCompletion,
    // linux/kernel/smpboot.c smpboot_unregister_percpu_thread: cpus_read_unlock();
    CpusReadUnlock,
    // rust/kernel/smpboot/untyped.rs end: bindings::cpu_hotplug_enable()
    CpuHotplugEnable,
    // rust/kernel/smpboot/untyped.rs end: ending.revoke();
    Revoke,
    // rust/kernel/smpboot/untyped.rs free: bindings::free_percpu(self.entry().storage.get())
    Free,
    // rust/kernel/smpboot/untyped.rs free: self.release();
    // rust/kernel/cpu/slot.rs release: (entry.drop_value)(entry.value.get())
    // rust/kernel/module_scope/node.rs free: Self::settle(self.node(), FREE);
    Release,

    Done,
}

/// The task that registers, or the task that closes the scope.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct Actor {
    pub at: Step,
    /// The CPU of a loop.
    pub cpu: usize,
    pub task: usize,
    /// The task undoes a registration that failed.
    pub fails: bool,
    /// The task ends a leaked registration.
    pub leak: bool,
    /// The task waits for a reader that began earlier.
    pub grace_period: bool,
}

/// The steps of CPU hotplug, for CPU 1.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Hotplug {
    Idle,
    // linux/kernel/cpu.c _cpu_up: cpus_write_lock();
    CpusWriteLock,
    // linux/kernel/smpboot.c smpboot_create_threads: ret = __smpboot_create_thread(cur, cpu);
    CreateThreads,
    // linux/kernel/smpboot.c __smpboot_create_thread: kthread_park(tsk);
    WaitCreated,
    Online,
    // linux/kernel/smpboot.c smpboot_unpark_threads: smpboot_unpark_thread(cur, cpu);
    // linux/kernel/kthread.c kthread_unpark: clear_bit(KTHREAD_SHOULD_PARK, &kthread->flags);
    UnparkThreads,
    // linux/kernel/kthread.c kthread_unpark: wake_up_state(k, TASK_PARKED);
    WakeUpState,
    /// The later hotplug states, which may fail.
    Later,
    // linux/kernel/smpboot.c smpboot_park_threads: smpboot_park_thread(cur, cpu);
    // linux/kernel/kthread.c kthread_park: set_bit(KTHREAD_SHOULD_PARK, &kthread->flags);
    ParkThreads,
    // linux/kernel/kthread.c kthread_park: wake_up_process(k);
    WakeUpProcess,
    // linux/kernel/kthread.c kthread_park: wait_for_completion(&kthread->parked);
    WaitParked,
    Offline,
}

/// The steps of a waker.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Wake {
    Idle,
    // rust/kernel/smpboot/wake.rs rcu_state: self.rcu_users.xchg(true, Full);
    RcuUsers,
    // rust/kernel/smpboot/wake.rs rcu_state: self.state()
    RcuState,
    // rust/kernel/smpboot/wake.rs Core::wake: head.pending.set();
    SetPending,
    // rust/kernel/smpboot/wake.rs Core::wake: self.state() == REGISTERED
    SecondLook,
    // rust/kernel/smpboot/wake.rs Thread::wake: if let Some(task) = self.task()
    Task,
    // rust/kernel/smpboot/wake.rs Thread::wake: task_state(task)
    TaskState,
    // rust/kernel/smpboot/wake.rs Thread::wake: task.wake_up();
    WakeUpProcess,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct Waker {
    pub at: Wake,
    pub left: u8,
    pub cpu: usize,
    /// The number of the waker's wake, on that CPU.
    pub ticket: u8,
    pub storage: usize,
    pub seen: Node,
    pub task: usize,
}

impl Waker {
    pub fn idle(left: u8) -> Self {
        let at = Wake::Idle;
        Self { at, left, cpu: 0, ticket: 0, storage: 0, seen: Node::Free, task: 0 }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct State {
    // CPU hotplug.
    pub readers: u8,
    pub writer: bool,
    pub disabled: bool,
    pub online: [bool; CPUS],
    /// The descriptor is in the core's list.
    pub linked: bool,
    pub tasks: [Option<Task>; TASKS],

    // The core of the registration.
    pub node: Node,
    pub closed: bool,
    pub abandoned: bool,
    pub value: bool,
    pub storage: usize,
    pub alive: [bool; STORAGES],
    pub store: [[Option<usize>; CPUS]; STORAGES],
    pub pending: [[bool; CPUS]; STORAGES],
    pub is_up: [[bool; CPUS]; STORAGES],
    pub rcu_users: bool,

    /// The numbers for each CPU: of the last wake, of the last wake that a run has seen, and of the
    /// last wake that a run must see.
    pub due: [u8; CPUS],
    pub seen: [u8; CPUS],
    pub promised: [u8; CPUS],

    pub owner: Actor,
    pub round: u8,
    /// The owner has leaked its registration.
    pub forgotten: bool,
    pub scope: Actor,
    pub hotplug: Hotplug,
    pub hotplug_left: u8,
    pub hotplug_task: usize,
    /// The waker through [`Threads`], under RCU, and the waker through the registration.
    pub wakers: [Waker; 2],
    pub bad: Option<&'static str>,
}
