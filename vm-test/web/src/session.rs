// SPDX-License-Identifier: GPL-2.0

//! The session, as the server needs it. Tests of the server have one without a VM.

use anyhow::{Result, ensure};
use live::{State, Status};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tour::Action;

/// A session that the server shows.
pub trait Session: Send + Sync + 'static {
    /// Returns the newest state.
    fn state(&self) -> Arc<State>;

    /// Waits for a newer state than `seen`, at most `limit`; returns the newest.
    fn changed(&self, seen: &Arc<State>, limit: Duration) -> Arc<State>;

    /// Requests an action, and returns at once.
    fn act(&self, action: Action);

    /// Requests that the next hotplug operation of a CPU fails.
    fn fail_next(&self, cpu: u32);

    /// Saves the report so far. Returns the paths of all reports of the session, the newest last.
    fn save(&self) -> Result<Vec<PathBuf>>;

    /// Requests the end of the session: the state will have the verdict.
    fn end(&self);
}

/// Longest time to write a report.
const SAVED: Duration = Duration::from_secs(60);

impl Session for live::Session {
    fn state(&self) -> Arc<State> {
        self.state()
    }

    fn changed(&self, seen: &Arc<State>, limit: Duration) -> Arc<State> {
        self.changed(seen, limit)
    }

    fn act(&self, action: Action) {
        self.act(action);
    }

    fn fail_next(&self, cpu: u32) {
        self.fail_next(cpu);
    }

    fn save(&self) -> Result<Vec<PathBuf>> {
        let (start, before) = (Instant::now(), self.state());
        let mut state = before.clone();
        self.save();
        // The end of a session writes the last report.
        while (state.saves == before.saves || state.saving) && state.status == Status::Running {
            ensure!(start.elapsed() < SAVED, "not written within {} s", SAVED.as_secs());
            state = self.changed(&state, Duration::from_secs(1));
        }
        Ok(state.reports.clone())
    }

    fn end(&self) {
        self.end();
    }
}

/// A session without a VM, for tests.
#[cfg(test)]
pub mod fake {
    use super::*;
    use crate::protocol::tests::state;
    use std::sync::{Condvar, Mutex};

    pub struct Fake {
        state: Mutex<Arc<State>>,
        changed: Condvar,
        requests: Mutex<Vec<String>>,
        report: Mutex<Option<PathBuf>>,
    }

    impl Fake {
        pub fn new(cpus: u32) -> Arc<Fake> {
            Arc::new(Fake {
                state: Mutex::new(Arc::new(state(cpus))),
                changed: Condvar::new(),
                requests: Mutex::default(),
                report: Mutex::default(),
            })
        }

        /// Returns the commands that were requested.
        pub fn requests(&self) -> Vec<String> {
            self.requests.lock().unwrap().clone()
        }

        fn request(&self, what: impl Into<String>) {
            self.requests.lock().unwrap().push(what.into());
        }

        /// Publishes a changed state.
        pub fn change(&self, change: impl FnOnce(&mut State)) {
            let mut newest = self.state.lock().unwrap();
            let mut state = State::clone(&newest);
            change(&mut state);
            *newest = Arc::new(state);
            self.changed.notify_all();
        }

        pub fn set_report(&self, path: PathBuf) {
            *self.report.lock().unwrap() = Some(path);
        }
    }

    impl Session for Fake {
        fn state(&self) -> Arc<State> {
            self.state.lock().unwrap().clone()
        }

        fn changed(&self, seen: &Arc<State>, limit: Duration) -> Arc<State> {
            let newest = self.state.lock().unwrap();
            let same = |state: &mut Arc<State>| Arc::ptr_eq(state, seen);
            self.changed.wait_timeout_while(newest, limit, same).unwrap().0.clone()
        }

        fn act(&self, action: Action) {
            self.request(action.command());
        }

        fn fail_next(&self, cpu: u32) {
            self.request(format!("fail-next {cpu}"));
        }

        fn save(&self) -> Result<Vec<PathBuf>> {
            self.request("save");
            Ok(self.report.lock().unwrap().iter().cloned().collect())
        }

        fn end(&self) {
            self.request("end");
        }
    }
}
