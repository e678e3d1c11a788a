// SPDX-License-Identifier: GPL-2.0

//! Calls in separate processes, which run beside the agent or can be killed.
//!
//! The agent starts itself again, with the call on standard input. It writes two frames to standard
//! output: at the begin of the call, and its answer.

use crate::calls::Agent;
use crate::children;
use crate::files::errno;
use crate::programs::exit;
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;
use std::{io, thread};
use wire::stopwatch::receive;
use wire::{Answer, Call, TaskEnd, Value, frame};

pub const ARGUMENT: &str = "task";

pub fn main() -> io::Result<()> {
    let call: Call = frame::receive(&mut io::stdin().lock())?;
    let mut agent = Agent::new()?;
    frame::send(&mut io::stdout().lock(), &())?;
    let answer: Answer = agent.call(call).map_err(|e| e as i32);
    frame::send(&mut io::stdout().lock(), &answer)
}

#[derive(Default)]
pub struct Tasks(BTreeMap<i32, Task>);

struct Task {
    process: Child,
    answer: Receiver<Answer>,
}

impl Agent {
    pub fn spawn(&mut self, call: Box<Call>) -> nix::Result<Value> {
        self.tasks.spawn(&call).map(Value::Task)
    }

    pub fn reap(&mut self, task: i32, limit_ms: u64) -> nix::Result<Value> {
        self.tasks.reap(task, Duration::from_millis(limit_ms)).map(Value::TaskEnd)
    }
}

impl Tasks {
    /// Returns when the task is about to make its call.
    pub fn spawn(&mut self, call: &Call) -> nix::Result<i32> {
        let mut command = Command::new("/proc/self/exe");
        command.arg(ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = children::spawn(command).map_err(errno)?;
        let mut stdin = process.stdin.take().ok_or(Errno::EBADF)?;
        let mut stdout = process.stdout.take().ok_or(Errno::EBADF)?;
        frame::send(&mut stdin, call).map_err(errno)?;
        frame::receive::<()>(&mut stdout).map_err(errno)?;

        let (sender, answer) = mpsc::channel();
        thread::spawn(move || {
            // An end of file: the task died, and the sender is dropped.
            if let Ok(answer) = frame::receive(&mut stdout) {
                let _ = sender.send(answer);
            }
        });
        let pid = process.id() as i32;
        self.0.insert(pid, Task { process, answer });
        Ok(pid)
    }

    fn reap(&mut self, pid: i32, limit: Duration) -> nix::Result<TaskEnd> {
        let task = self.0.get_mut(&pid).ok_or(Errno::ECHILD)?;
        let answer = match receive(&task.answer, limit) {
            Ok(answer) => Some(answer),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => return Err(Errno::ETIME),
        };
        let status = task.process.wait().map_err(errno)?;
        self.0.remove(&pid);
        Ok(match answer {
            Some(answer) => TaskEnd::Answered(Box::new(answer)),
            None => TaskEnd::Died(exit(status)),
        })
    }
}
