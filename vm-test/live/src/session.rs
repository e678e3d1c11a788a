// SPDX-License-Identifier: GPL-2.0

//! The session, as views have it.

use crate::player::{Player, sentence_of};
use crate::state::{State, Status};
use anyhow::{Context, Result};
use demo_format::Nanos;
use host::vm::Echo;
use host::{Vm, clock};
use report::run::About;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tour::Action;

/// A request of a view.
pub(crate) enum Command {
    /// An action, and when the user wanted it.
    Act(Action, Nanos),
    /// The next hotplug operation of this CPU is to fail.
    FailNext(u32, Nanos),
    Save,
    Shell(Box<Terminal>, Sender<Result<Opened>>),
    End,
}

/// The caller's terminal, for a shell in the guest.
pub struct Terminal {
    pub rows: u16,
    pub columns: u16,
    /// Variables for the guest's programs, such as `TERM`.
    pub vars: Vec<(String, String)>,
    /// Gets what the guest prints.
    pub output: Echo,
}

/// The console of the guest, when the shell starts.
pub(crate) struct Opened {
    input: UnixStream,
    ended: Receiver<()>,
}

impl Opened {
    pub fn new(input: UnixStream) -> (Opened, Sender<()>) {
        let (sender, ended) = mpsc::channel();
        (Opened { input, ended }, sender)
    }
}

/// A shell in the guest.
pub struct Shell(Opened);

impl Shell {
    /// A stream that types on the guest's console.
    pub fn input(&mut self) -> &mut UnixStream {
        &mut self.0.input
    }

    /// Whether the shell has ended.
    pub fn has_ended(&self) -> bool {
        !matches!(self.0.ended.try_recv(), Err(mpsc::TryRecvError::Empty))
    }
}

/// The state that all views read.
#[derive(Default)]
pub(crate) struct Shared {
    state: Mutex<Arc<State>>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Arc<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn publish(&self, state: &State) {
        *self.lock() = Arc::new(state.clone());
        self.changed.notify_all();
    }
}

/// A VM that a user plays with, in a thread of its own. When this is dropped, the session ends.
pub struct Session {
    shared: Arc<Shared>,
    commands: Option<Sender<Command>>,
    kill: Box<dyn Fn() + Send + Sync>,
    start: Duration,
    thread: Option<JoinHandle<()>>,
}

impl Session {
    /// Starts a session. The report's files have the name `name`, in the directory for reports.
    pub fn start(vm: Vm, about: About, name: &'static str) -> Result<Session> {
        let start = clock::now();
        let shared = Arc::new(Shared::default());
        let (commands, received) = mpsc::channel();
        let killer = Mutex::new(vm.killer());
        let kill = Box::new(move || killer.lock().unwrap_or_else(PoisonError::into_inner)());
        let (ready, is_ready) = mpsc::channel();
        let thread = {
            let shared = shared.clone();
            let thread = thread::Builder::new().name("session".into());
            thread.spawn(move || {
                Player::run(&vm, about, name, start, &shared, &received, || {
                    let _ = ready.send(());
                });
            })?
        };
        // With a first state.
        let _ = is_ready.recv();
        Ok(Session { shared, commands: Some(commands), kill, start, thread: Some(thread) })
    }

    /// The time of the session.
    pub fn now(&self) -> Nanos {
        since(self.start)
    }

    /// Runs an action, as soon as the ones before are done.
    pub fn act(&self, action: Action) {
        self.send(Command::Act(action, self.now()));
    }

    /// Lets the next hotplug operation of this CPU fail, where that concerns its thread.
    pub fn fail_next(&self, cpu: u32) {
        self.send(Command::FailNext(cpu, self.now()));
    }

    /// The newest state.
    pub fn state(&self) -> Arc<State> {
        self.shared.lock().clone()
    }

    /// Waits for a newer state than `seen`, at most `timeout`; returns the newest.
    pub fn changed(&self, seen: &Arc<State>, timeout: Duration) -> Arc<State> {
        let state = self.shared.lock();
        let same = |state: &mut Arc<State>| Arc::ptr_eq(state, seen);
        let (state, _) = self
            .shared
            .changed
            .wait_timeout_while(state, timeout, same)
            .unwrap_or_else(PoisonError::into_inner);
        state.clone()
    }

    /// Writes the report so far. [`State::saves`] counts the requests, and [`State::reports`] names
    /// it when it is written.
    pub fn save(&self) {
        self.send(Command::Save);
    }

    /// Opens a shell on the guest's console. Until it has ended, no action runs.
    pub fn shell(&self, terminal: Terminal) -> Result<Shell> {
        let (sender, opened) = mpsc::channel();
        self.send(Command::Shell(Box::new(terminal), sender));
        opened.recv().context("the session has ended")?.map(Shell)
    }

    /// Ends the session: CPUs go online, the module is unloaded, and the session is judged. The
    /// verdict is in [`State::status`], when that is known.
    pub fn end(&self) {
        self.send(Command::End);
    }

    /// Kills the guest, for a user who does not want to wait for it.
    pub fn kill(&self) {
        (self.kill)();
    }

    /// Ends the session, and waits for its last state, with the verdict.
    pub fn finish(mut self) -> Arc<State> {
        self.join();
        self.state()
    }

    fn send(&self, command: Command) {
        if let Some(commands) = &self.commands {
            // Fails after the end: the state shows that.
            let _ = commands.send(command);
        }
    }

    fn join(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            if thread.join().is_err() {
                let mut state = State::clone(&self.shared.lock());
                let lines = vec![sentence_of("the session's thread panicked")];
                state.status = Status::Ended { ok: false, lines };
                self.shared.publish(&state);
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.join();
    }
}

/// The time since then.
pub(crate) fn since(start: Duration) -> Nanos {
    (clock::now() - start).as_nanos() as Nanos
}
