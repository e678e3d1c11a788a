// SPDX-License-Identifier: GPL-2.0

//! The effect of each step. One step is one access to state that actors share. Steps that only
//! their own actor sees are merged.

use crate::{bugs::Bug, state::*};
use stateright::{Model, Property};

/// The bounds of a search.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// The number of operations on CPU 1: online or offline.
    pub hotplug: u8,
    /// The number of wakes of each of the two wakers.
    pub wakes: u8,
    /// The number of registrations of the owner, one after another.
    pub registrations: u8,
    /// The first CPU that gets a thread. The threads of CPU 0 make the search longer, and add
    /// little.
    pub first_cpu: usize,
    /// The owner waits until all threads are up.
    pub waits_until_up: bool,
    /// The scope closes, at any moment.
    pub closes: bool,
    pub bug: Option<Bug>,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Action {
    Thread(usize, Thread),
    /// `true`: the second alternative of the step (a failure, a leak).
    Owner(Step, bool),
    Scope(Step),
    Hotplug(Hotplug, bool),
    /// The waker, and the CPU of a new wake.
    Wake(usize, Wake, usize),
}

/// One of the two actors that have an [`Actor`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Owner,
    Scope,
}

impl State {
    fn fault(&mut self, why: &'static str) {
        self.bad.get_or_insert(why);
    }

    fn task(&mut self, t: usize) -> &mut Task {
        self.tasks[t].as_mut().expect("tasks are not taken away")
    }

    /// Fails unless the reader of a task's memory has a reference.
    fn use_task(&mut self, t: usize) {
        if self.task(t).refs == 0 {
            self.fault("a task is used after it was freed");
        }
    }

    fn use_storage(&mut self, storage: usize) {
        if !self.alive[storage] {
            self.fault("the storage is used after it was freed");
        }
    }

    /// `wake_up_process()`
    fn wake_up(&mut self, t: usize) {
        self.use_task(t);
        let task = self.task(t);
        if matches!(task.run, Run::New | Run::Sleeping) {
            task.run = Run::Running;
        }
    }

    /// `wake_up_state(k, TASK_PARKED)`
    fn wake_up_parked(&mut self, t: usize) {
        let task = self.task(t);
        if task.run == Run::Parked {
            task.run = Run::Running;
        }
    }

    fn put_task(&mut self, t: usize, references: u8) {
        match self.task(t).refs.checked_sub(references) {
            Some(left) => self.task(t).refs = left,
            None => self.fault("a task is freed twice"),
        }
    }

    fn create_thread(&mut self, cpu: usize) -> usize {
        let t =
            self.tasks.iter().position(Option::is_none).expect("there is a place for each task");
        self.tasks[t] = Some(Task {
            at: Thread::Kthread,
            cpu,
            storage: self.storage,
            run: Run::New,
            should_park: true,
            should_stop: false,
            parked: 0,
            refs: 1,
            status: Status::None,
            is_set_up: false,
            is_parked: false,
        });
        // The completion of `kthread_park()`.
        self.wake_up(t);
        t
    }

    /// The second half of `__smpboot_create_thread()`, when the thread has parked.
    fn store_task(&mut self, t: usize) {
        let task = self.task(t);
        task.parked -= 1;
        task.refs += 1;
        let cpu = task.cpu;
        self.store[self.storage][cpu] = Some(t);
    }

    /// Checks the data that every callback uses.
    fn callback(&mut self, t: usize) {
        let Task { storage, is_set_up, cpu, at, .. } = *self.task(t);
        self.use_storage(storage);
        if !self.value {
            self.fault("the value is used after it was dropped");
        }
        if self.scope.at == Step::Done {
            self.fault("a callback after the end of the module");
        }
        if !is_set_up {
            self.fault("a callback without setup");
        }
        if !self.online[cpu] && at != Thread::ShouldStop {
            self.fault("a callback on a CPU that is offline");
        }
    }

    fn setup(&mut self, t: usize) {
        if self.task(t).is_set_up {
            self.fault("setup twice");
        }
        self.task(t).is_set_up = true;
        self.callback(t);
        let Task { storage, cpu, .. } = *self.task(t);
        self.is_up[storage][cpu] = true;
    }
}

impl Protocol {
    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn thread(&self, s: &mut State, t: usize) {
        let Task { storage, cpu, status, should_stop, should_park, .. } = *s.task(t);
        let next = match s.task(t).at {
            Thread::Kthread if should_stop => Thread::Exit,
            Thread::Kthread | Thread::SetParked => {
                s.task(t).run = Run::Parked;
                Thread::Parkme
            }
            Thread::Parkme if should_park => {
                s.task(t).parked += 1;
                Thread::SleepParked
            }
            Thread::Parkme => {
                s.task(t).run = Run::Running;
                Thread::SetState
            }
            Thread::SleepParked => Thread::SetParked,
            Thread::SetState => {
                s.task(t).run = Run::Sleeping;
                Thread::ShouldStop
            }
            Thread::ShouldStop if should_stop => {
                s.task(t).run = Run::Running;
                if status != Status::None {
                    s.callback(t);
                    if self.has(Bug::CleanupSaysOnline) && !s.online[cpu] {
                        s.fault("cleanup takes an offline CPU for online");
                    }
                    s.task(t).is_set_up = false;
                }
                Thread::Exit
            }
            Thread::ShouldStop => Thread::ShouldPark,
            Thread::ShouldPark if should_park => {
                s.task(t).run = Run::Running;
                if status == Status::Active {
                    s.callback(t);
                    s.task(t).status = Status::Parked;
                    s.task(t).is_parked = true;
                }
                Thread::SetParked
            }
            Thread::ShouldPark => match status {
                Status::Active => Thread::ShouldRun,
                Status::None => {
                    s.setup(t);
                    s.task(t).run = Run::Running;
                    s.task(t).status = Status::Active;
                    Thread::SetState
                }
                Status::Parked => {
                    if self.has(Bug::SetUpAgainAfterPark) {
                        s.setup(t);
                    }
                    if !self.has(Bug::UnparkNotInstalled) {
                        s.callback(t);
                        s.task(t).is_parked = false;
                    }
                    if self.has(Bug::WakeOfOfflineCpuDropped) {
                        s.pending[storage][cpu] = false;
                    }
                    s.task(t).run = Run::Running;
                    s.task(t).status = Status::Active;
                    Thread::SetState
                }
            },
            Thread::ShouldRun => {
                s.callback(t);
                if s.task(t).is_parked {
                    s.fault("should_run of a thread that is parked");
                }
                if s.pending[storage][cpu] {
                    s.task(t).run = Run::Running;
                    if self.has(Bug::FlagClearedLate) { Thread::Work } else { Thread::Clear }
                } else {
                    Thread::Sleep
                }
            }
            Thread::Sleep => Thread::SetState,
            Thread::Clear => {
                s.callback(t);
                s.pending[storage][cpu] = false;
                if self.has(Bug::FlagClearedLate) { Thread::SetState } else { Thread::Work }
            }
            Thread::Work => {
                s.callback(t);
                s.seen[cpu] = s.due[cpu];
                if self.has(Bug::FlagClearedLate) { Thread::Clear } else { Thread::SetState }
            }
            Thread::Exit => {
                s.put_task(t, 1);
                // Values that no step reads any more are the same in all states.
                let task = s.task(t);
                task.run = Run::Dead;
                task.status = Status::None;
                task.should_park = false;
                task.parked = 0;
                Thread::Gone
            }
            Thread::Gone => unreachable!("it has no step"),
        };
        s.task(t).at = next;
    }

    /// Continues a loop over the CPUs: with the next one, or with the step after the loop.
    fn next_cpu(&self, actor: &mut Actor, then: Step) {
        actor.cpu += 1;
        if actor.cpu == CPUS {
            actor.cpu = self.first_cpu;
            actor.at = then;
        }
    }

    fn after_registration(&self) -> Step {
        if self.waits_until_up { Step::CpusReadGuard } else { Step::Use }
    }

    /// Begins `end`, for the task that now owns the slot.
    fn end(&self, s: &mut State, actor: &mut Actor) {
        s.promised = [0; CPUS];
        actor.at = match actor.leak {
            true if self.has(Bug::HotplugNotDisabled) => Step::Keep,
            true => Step::CpuHotplugDisable,
            false => Step::WaitForWakers,
        };
    }

    fn actor(&self, s: &mut State, who: Who, other_way: bool) {
        let mut a = if who == Who::Owner { s.owner } else { s.scope };
        let storage = s.storage;
        match a.at {
            Step::Claim if s.closed && !self.has(Bug::ClaimIgnoresClosed) => a.at = Step::Done,
            Step::Claim if s.node != Node::Free => a.at = Step::Done,
            Step::Claim => {
                s.node = Node::Busy;
                s.value = true;
                a.at = Step::Register;
            }
            Step::Register => {
                s.storage = usize::from(s.round) + 1;
                s.alive[s.storage] = true;
                s.promised = [0; CPUS];
                a.at = Step::Open;
            }
            Step::Open => {
                s.node = Node::Registering;
                a.cpu = self.first_cpu;
                a.at = Step::CpusReadLock;
            }
            Step::CpusReadLock => {
                s.readers += 1;
                a.at = Step::CreateThread;
            }
            Step::CreateThread if !s.online[a.cpu] => self.next_cpu(&mut a, Step::ListAdd),
            Step::CreateThread if self.has(Bug::StoreNotCleared) => {
                self.next_cpu(&mut a, Step::ListAdd)
            }
            Step::CreateThread if other_way => {
                a.fails = true;
                a.cpu = self.first_cpu;
                a.at = Step::KthreadStop;
            }
            Step::CreateThread => {
                a.task = s.create_thread(a.cpu);
                a.at = Step::WaitParked;
            }
            Step::WaitParked => {
                s.store_task(a.task);
                a.at = Step::UnparkThread;
            }
            Step::UnparkThread => {
                s.task(a.task).should_park = false;
                s.wake_up_parked(a.task);
                a.at = Step::CreateThread;
                self.next_cpu(&mut a, Step::ListAdd);
            }
            Step::ListAdd => {
                s.linked = true;
                s.readers -= 1;
                a.at = Step::Publish;
            }
            Step::Publish => {
                s.abandoned = s.closed;
                s.node = Node::Registered;
                a.at = match s.closed {
                    true if self.has(Bug::AbandonedUndoneTwice) => Step::WaitForWakers,
                    true => Step::Done,
                    false => Step::HadRcuUsers,
                };
            }
            Step::HadRcuUsers => {
                a.at = match s.rcu_users && !self.has(Bug::EarlyWakesForgotten) {
                    true => Step::Visit,
                    false => self.after_registration(),
                };
            }
            Step::Visit => {
                s.use_storage(storage);
                if let (true, Some(t)) = (s.pending[storage][a.cpu], s.store[storage][a.cpu]) {
                    s.wake_up(t);
                }
                self.next_cpu(&mut a, self.after_registration());
            }
            Step::CpusReadGuard => {
                s.readers += 1;
                a.at = Step::WaitUntilUp;
            }
            Step::WaitUntilUp => {
                let is_registered = s.node == Node::Registered;
                if s.online[a.cpu] && is_registered && !s.is_up[storage][a.cpu] {
                    s.fault("wait_until_up has not waited");
                }
                self.next_cpu(&mut a, Step::Use);
                if a.at == Step::Use {
                    s.readers -= 1;
                }
            }
            Step::Use if other_way => {
                s.forgotten = true;
                a.at = Step::Done;
            }
            Step::Use => a.at = Step::Retire,

            Step::Retire => match s.node {
                Node::Free | Node::Revoked => a.at = Step::Done,
                _ => {
                    if !self.has(Bug::RetiredLate) {
                        s.node = Node::Busy;
                    }
                    self.end(s, &mut a);
                }
            },
            Step::Abort => {
                s.node = Node::Busy;
                a.at = match self.has(Bug::NoGracePeriodAfterAbort) {
                    true => Step::Free,
                    false => Step::WaitForWakers,
                };
            }
            Step::Close => {
                s.closed = true;
                a.at = Step::Take;
            }
            Step::Take => match s.node {
                Node::Registered => {
                    s.node = Node::Busy;
                    a.leak = !s.abandoned && !self.has(Bug::LeakedFreed);
                    self.end(s, &mut a);
                }
                _ => a.at = Step::Done,
            },

            Step::CpuHotplugDisable => {
                s.disabled = true;
                a.at = Step::Keep;
            }
            Step::Keep => {
                s.use_storage(storage);
                let task = s.store[storage][a.cpu].filter(|_| !self.has(Bug::TasksNotKept));
                if let Some(t) = task {
                    s.task(t).refs += 1;
                }
                self.next_cpu(&mut a, Step::WaitForWakers);
            }
            Step::WaitForWakers => {
                a.at = match (s.rcu_users && !self.has(Bug::NoGracePeriod), a.fails) {
                    (true, _) => {
                        a.grace_period = s.wakers[0].at != Wake::Idle;
                        Step::SynchronizeRcu
                    }
                    (false, true) => Step::Free,
                    (false, false) => Step::ListDel,
                };
            }
            Step::SynchronizeRcu => a.at = if a.fails { Step::Free } else { Step::ListDel },
            Step::ListDel => {
                if !s.linked {
                    s.fault("the descriptor is taken from the list twice");
                }
                s.readers += 1;
                s.linked = false;
                a.at = Step::KthreadStop;
            }
            Step::KthreadStop => match s.store[storage][a.cpu] {
                Some(t) => {
                    s.use_task(t);
                    s.task(t).refs += 1;
                    s.task(t).should_stop = true;
                    a.task = t;
                    a.at = Step::KthreadUnpark;
                }
                None => self.next_cpu(&mut a, Step::CpusReadUnlock),
            },
            Step::KthreadUnpark => {
                if s.task(a.task).should_park {
                    s.task(a.task).should_park = false;
                    s.wake_up_parked(a.task);
                }
                s.wake_up(a.task);
                a.at = Step::WaitForCompletion;
            }
            Step::WaitForCompletion => {
                s.put_task(a.task, 2);
                s.store[storage][a.cpu] = None;
                a.at = Step::KthreadStop;
                self.next_cpu(&mut a, Step::CpusReadUnlock);
            }
            Step::CpusReadUnlock => {
                s.readers -= 1;
                a.at = match (a.fails, a.leak) {
                    (true, _) => Step::Abort,
                    (_, true) => Step::CpuHotplugEnable,
                    (_, false) => Step::Free,
                };
            }
            Step::CpuHotplugEnable => {
                s.disabled = false;
                a.at = Step::Revoke;
            }
            Step::Revoke => {
                s.node = Node::Revoked;
                a.at = Step::Take;
            }
            Step::Free => {
                s.use_storage(storage);
                s.alive[storage] = false;
                s.storage = 0;
                a.at = Step::Release;
            }
            Step::Release => {
                s.value = false;
                s.node = Node::Free;
                (a.fails, a.cpu) = (false, self.first_cpu);
                a.at = match who {
                    Who::Scope => Step::Take,
                    Who::Owner => {
                        s.round += 1;
                        if s.round < self.registrations { Step::Claim } else { Step::Done }
                    }
                };
            }
            Step::Done => unreachable!("it has no step"),
        }
        if who == Who::Owner { s.owner = a } else { s.scope = a }
    }

    fn actor_can(&self, s: &State, a: &Actor) -> bool {
        match a.at {
            Step::CpusReadLock | Step::CpusReadGuard | Step::ListDel => !s.writer,
            Step::WaitUntilUp => {
                let thread = s.store[s.storage][a.cpu].and_then(|t| s.tasks[t]);
                let is_skipped =
                    |t: Task| t.run == Run::Parked && self.has(Bug::ParkedNotWaitedFor);
                let is_up = s.is_up[s.storage][a.cpu] || thread.is_some_and(is_skipped);
                !s.online[a.cpu] || s.node != Node::Registered || is_up
            }
            Step::WaitParked => s.tasks[a.task].is_some_and(|t| t.parked > 0),
            Step::WaitForCompletion => s.tasks[a.task].is_some_and(|t| t.at == Thread::Gone),
            Step::SynchronizeRcu => !a.grace_period,
            // `cpu_maps_update_begin()` waits for an operation in progress.
            Step::CpuHotplugDisable => matches!(s.hotplug, Hotplug::Idle | Hotplug::CpusWriteLock),
            Step::Close => self.closes,
            Step::Retire => {
                self.has(Bug::RetireDoesNotWait)
                    || !matches!(s.node, Node::Busy | Node::Registering)
            }
            Step::Take => {
                self.has(Bug::CloseDoesNotWait) || !matches!(s.node, Node::Busy | Node::Registering)
            }
            Step::Done => false,
            _ => true,
        }
    }

    fn hotplug(&self, s: &mut State, other_way: bool) {
        let storage = s.storage;
        let thread = s.store[storage][1].filter(|_| s.linked);
        s.hotplug = match s.hotplug {
            Hotplug::Idle => {
                s.hotplug_left -= 1;
                Hotplug::CpusWriteLock
            }
            // `EBUSY`
            Hotplug::CpusWriteLock if s.disabled => Hotplug::Idle,
            Hotplug::CpusWriteLock => {
                s.writer = true;
                if s.online[1] { Hotplug::ParkThreads } else { Hotplug::CreateThreads }
            }
            Hotplug::CreateThreads if !s.linked || thread.is_some() => Hotplug::Online,
            Hotplug::CreateThreads if self.has(Bug::StoreNotCleared) => Hotplug::Online,
            Hotplug::CreateThreads if other_way => {
                s.writer = false;
                Hotplug::Idle
            }
            Hotplug::CreateThreads => {
                s.hotplug_task = s.create_thread(1);
                Hotplug::WaitCreated
            }
            Hotplug::WaitCreated => {
                s.store_task(s.hotplug_task);
                Hotplug::Online
            }
            Hotplug::Online => {
                s.online[1] = true;
                Hotplug::UnparkThreads
            }
            Hotplug::UnparkThreads => match thread {
                Some(t) => {
                    s.hotplug_task = t;
                    s.task(t).should_park = false;
                    Hotplug::WakeUpState
                }
                None => {
                    if s.linked {
                        s.fault("there is no thread to unpark");
                    }
                    Hotplug::Later
                }
            },
            Hotplug::WakeUpState => {
                s.wake_up_parked(s.hotplug_task);
                Hotplug::Later
            }
            Hotplug::Later if other_way => Hotplug::ParkThreads,
            Hotplug::Later => {
                s.writer = false;
                Hotplug::Idle
            }
            Hotplug::ParkThreads => match thread {
                Some(t) => {
                    s.hotplug_task = t;
                    s.task(t).should_park = true;
                    Hotplug::WakeUpProcess
                }
                None => Hotplug::Offline,
            },
            Hotplug::WakeUpProcess => {
                s.wake_up(s.hotplug_task);
                Hotplug::WaitParked
            }
            Hotplug::WaitParked => {
                s.task(s.hotplug_task).parked -= 1;
                Hotplug::Offline
            }
            Hotplug::Offline => {
                s.online[1] = false;
                s.writer = false;
                Hotplug::Idle
            }
        };
        if s.hotplug == Hotplug::Idle {
            s.hotplug_task = 0;
        }
    }

    fn hotplug_can(&self, s: &State) -> bool {
        match s.hotplug {
            Hotplug::Idle => s.hotplug_left > 0,
            Hotplug::CpusWriteLock => s.disabled || s.readers == 0,
            Hotplug::WaitCreated | Hotplug::WaitParked => {
                s.tasks[s.hotplug_task].is_some_and(|t| t.parked > 0)
            }
            _ => true,
        }
    }

    fn wake(&self, s: &mut State, i: usize, cpu: usize) {
        let mut w = s.wakers[i];
        let under_rcu = i == 0;
        let flag_late = self.has(Bug::FlagSetLate);
        let next = match w.at {
            Wake::Idle => {
                s.due[cpu] += 1;
                (w.left, w.cpu, w.ticket) = (w.left - 1, cpu, s.due[cpu]);
                if under_rcu {
                    Some(Wake::RcuUsers)
                } else {
                    w.seen = Node::Registered;
                    Some(Wake::SetPending)
                }
            }
            Wake::RcuUsers => {
                s.rcu_users |= !self.has(Bug::RcuUsersNotSet);
                Some(Wake::RcuState)
            }
            Wake::RcuState => {
                w.seen = s.node;
                matches!(s.node, Node::Registered | Node::Registering).then_some(Wake::SetPending)
            }
            // The bug: the flag is set at the end.
            Wake::SetPending if flag_late && w.storage == 0 && w.seen == Node::Registered => {
                w.storage = s.storage;
                Some(Wake::Task)
            }
            Wake::SetPending => {
                let is_end = w.storage != 0;
                w.storage = s.storage;
                s.use_storage(w.storage);
                if !self.has(Bug::WakeWithoutFlag) {
                    s.pending[w.storage][w.cpu] = true;
                }
                match w.seen {
                    _ if is_end => None,
                    Node::Registering if self.has(Bug::NoSecondLook) => None,
                    Node::Registering => Some(Wake::SecondLook),
                    _ => Some(Wake::Task),
                }
            }
            Wake::SecondLook => (s.node == Node::Registered).then_some(Wake::Task),
            Wake::Task => {
                s.use_storage(w.storage);
                let task = s.store[w.storage][w.cpu];
                w.task = task.unwrap_or(0);
                task.map(|_| Wake::TaskState)
            }
            Wake::TaskState => {
                s.use_task(w.task);
                match s.task(w.task).run {
                    Run::New | Run::Sleeping => Some(Wake::WakeUpProcess),
                    Run::Dead | Run::Parked | Run::Running => None,
                }
            }
            Wake::WakeUpProcess => {
                s.wake_up(w.task);
                None
            }
        };
        match next {
            Some(next) => w.at = next,
            None if flag_late
                && matches!(w.at, Wake::Task | Wake::TaskState | Wake::WakeUpProcess) =>
            {
                w.at = Wake::SetPending;
            }
            None => {
                // A registration that is ending promises nothing.
                let registered = matches!(s.node, Node::Registering | Node::Registered);
                if registered && w.storage != 0 && w.storage == s.storage {
                    s.promised[w.cpu] = s.promised[w.cpu].max(w.ticket);
                }
                w = Waker::idle(w.left);
                if under_rcu {
                    s.owner.grace_period = false;
                    s.scope.grace_period = false;
                }
            }
        }
        s.wakers[i] = w;
    }

    /// Returns whether only steps are left that an actor begins by itself.
    fn is_quiet(&self, s: &State) -> bool {
        let mut actions = vec![];
        self.actions(s, &mut actions);
        actions.iter().all(|a| {
            matches!(
                a,
                Action::Owner(Step::Use, _)
                    | Action::Scope(Step::Close)
                    | Action::Wake(_, Wake::Idle, _)
                    | Action::Hotplug(Hotplug::Idle, _)
            )
        })
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let actor = |at| Actor {
            at,
            cpu: self.first_cpu,
            task: 0,
            fails: false,
            leak: false,
            grace_period: false,
        };
        let with = |online| State {
            readers: 0,
            writer: false,
            disabled: false,
            online: [true, online],
            linked: false,
            tasks: [None; TASKS],
            node: Node::Free,
            closed: false,
            abandoned: false,
            value: false,
            storage: 0,
            alive: [false; STORAGES],
            store: [[None; CPUS]; STORAGES],
            pending: [[false; CPUS]; STORAGES],
            is_up: [[false; CPUS]; STORAGES],
            rcu_users: false,
            due: [0; CPUS],
            seen: [0; CPUS],
            promised: [0; CPUS],
            owner: actor(Step::Claim),
            round: 0,
            forgotten: false,
            scope: actor(Step::Close),
            hotplug: Hotplug::Idle,
            hotplug_left: self.hotplug,
            hotplug_task: 0,
            wakers: [Waker::idle(self.wakes); 2],
            bad: None,
        };
        vec![with(true), with(false)]
    }

    fn actions(&self, s: &State, actions: &mut Vec<Action>) {
        if s.bad.is_some() {
            return;
        }
        for (t, task) in s.tasks.iter().enumerate() {
            let Some(task) = task else { continue };
            let waits = matches!(task.at, Thread::Kthread | Thread::SleepParked | Thread::Sleep);
            if task.at != Thread::Gone && !(waits && task.run != Run::Running) {
                actions.push(Action::Thread(t, task.at));
            }
        }
        let at = s.owner.at;
        if self.actor_can(s, &s.owner) {
            // The borrower of the registration finishes before it is dropped. A leak does not wait.
            if at != Step::Use || s.wakers[1].at == Wake::Idle {
                actions.push(Action::Owner(at, false));
            }
            if at == Step::Use || at == Step::CreateThread && s.online[s.owner.cpu] {
                actions.push(Action::Owner(at, true));
            }
        }
        if self.actor_can(s, &s.scope) {
            actions.push(Action::Scope(s.scope.at));
        }
        if self.hotplug_can(s) {
            actions.push(Action::Hotplug(s.hotplug, false));
            if matches!(s.hotplug, Hotplug::CreateThreads | Hotplug::Later) {
                actions.push(Action::Hotplug(s.hotplug, true));
            }
        }
        for (i, waker) in s.wakers.iter().enumerate() {
            if waker.at != Wake::Idle {
                actions.push(Action::Wake(i, waker.at, waker.cpu));
            } else if waker.left > 0 && (i == 0 || at == Step::Use || s.forgotten) {
                let first = if i == 0 { self.first_cpu } else { 1 };
                actions.extend((first..CPUS).map(|cpu| Action::Wake(i, Wake::Idle, cpu)));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut s = last.clone();
        match action {
            Action::Thread(t, _) => self.thread(&mut s, t),
            Action::Owner(_, other_way) => self.actor(&mut s, Who::Owner, other_way),
            Action::Scope(_) => self.actor(&mut s, Who::Scope, false),
            Action::Hotplug(_, other_way) => self.hotplug(&mut s, other_way),
            Action::Wake(i, _, cpu) => self.wake(&mut s, i, cpu),
        }
        Some(s)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::always(NO_FAULT, |_, s: &State| s.bad.is_none()),
            Property::always(NO_WAKE_LOST, |m: &Self, s: &State| {
                let is_served = |c: usize| !s.online[c] || s.seen[c] >= s.promised[c];
                s.bad.is_some()
                    || s.owner.at != Step::Use
                    || (0..CPUS).all(is_served)
                    || !m.is_quiet(s)
            }),
            Property::always(NO_DEADLOCK, |m: &Self, s: &State| {
                let is_end = s.owner.at == Step::Done
                    && matches!(s.scope.at, Step::Done | Step::Close)
                    && s.hotplug == Hotplug::Idle
                    && s.wakers.iter().all(|w| w.at == Wake::Idle);
                let mut actions = vec![];
                if s.bad.is_none() && !is_end {
                    m.actions(s, &mut actions);
                }
                s.bad.is_some() || is_end || !actions.is_empty()
            }),
            Property::always(NOTHING_LEFT, |_, s: &State| {
                s.scope.at != Step::Done
                    || s.bad.is_some()
                    || !s.linked
                        && !s.disabled
                        && matches!(s.node, Node::Free | Node::Revoked)
                        && s.tasks.iter().flatten().all(|t| t.at == Thread::Gone)
            }),
        ];
        if self.wakes > 0 {
            all.push(Property::sometimes(
                "a wake while the threads are registered",
                |_, s: &State| s.wakers[0].at == Wake::SecondLook && s.node == Node::Registered,
            ));
            all.push(Property::sometimes(
                "all is over, after wakes and hotplug",
                |_, s: &State| s.owner.at == Step::Done && s.hotplug_left == 0 && s.due[1] > 1,
            ));
        }
        if self.waits_until_up {
            all.push(Property::sometimes("the scope closes during the wait", |_, s: &State| {
                s.owner.at == Step::WaitUntilUp && s.node == Node::Busy
            }));
        }
        if self.closes && self.wakes > 0 {
            all.push(Property::sometimes(
                "a leaked registration wakes after its end",
                |_, s: &State| s.node == Node::Revoked && s.wakers[1].at == Wake::TaskState,
            ));
        }
        if self.closes {
            all.push(Property::sometimes("a registration has no owner", |_, s: &State| {
                s.abandoned && s.node == Node::Registered
            }));
            all.push(Property::sometimes("an owner waits for the scope", |_, s: &State| {
                s.owner.at == Step::Retire && s.scope.at == Step::WaitForCompletion
            }));
        }
        all
    }
}

pub const NO_FAULT: &str = "no fault";
pub const NO_WAKE_LOST: &str = "no wake is lost";
pub const NO_DEADLOCK: &str = "no deadlock";
pub const NOTHING_LEFT: &str = "nothing is left when the scope is closed";
