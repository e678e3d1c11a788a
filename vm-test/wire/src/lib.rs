// SPDX-License-Identifier: GPL-2.0

//! Messages between the host and the agent in the guest.
//!
//! The host sends [`Request`]s. The agent answers each with one [`Message::Reply`], in order, and
//! sends [`Message::Alive`] about once a second. Both ends are built from the same source;
//! [`VERSION`] detects an agent that is not.

mod display;
pub mod frame;
pub mod stopwatch;

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Changes with every change of a type in this file.
pub const VERSION: u32 = 3;

/// The virtio-serial port that carries the frames.
pub const PORT_NAME: &str = "rust_smpboot.agent";

/// The first open file's number, in each process of the agent.
pub const FIRST_HANDLE: u32 = 1;

/// Answer of the guest's kernel to one call: a value, or a raw errno if it refused.
pub type Answer = Result<Value, i32>;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    pub id: u32,
    pub call: Call,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Message {
    /// The agent's first message.
    Hello(Hello),
    /// User space runs, even if the present call waits.
    Alive,
    Reply {
        id: u32,
        answer: Answer,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub version: u32,
    /// `uname -r`
    pub release: String,
    /// File systems that the guest has to do without.
    pub missing: Vec<Missing>,
}

/// A file system that could not be mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    pub fstype: String,
    pub target: String,
    pub errno: i32,
}

/// One thing to do in the guest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Call {
    /// The whole file. -> `Bytes`
    Read {
        path: String,
    },
    /// The lines of `/proc/kallsyms` of these symbols. -> `Bytes`
    Symbols {
        names: Vec<String>,
    },
    /// open, one write(2) of all bytes, close. -> `Count`
    Write {
        path: String,
        data: Vec<u8>,
    },
    /// Names in a folder, sorted. -> `Names`
    List {
        path: String,
    },
    /// -> `Stat`
    Stat {
        path: String,
    },
    /// A file that stays open in the agent until `Close`; they are numbered from [`FIRST_HANDLE`]. -> `Handle`
    Open {
        path: String,
        access: Access,
    },
    /// One read(2). -> `Bytes`
    ReadHandle {
        handle: u32,
        max: u32,
    },
    /// One read(2) of `max` bytes into a buffer of which only the first `valid` bytes are accessible. -> `Bytes`
    ReadFaulting {
        handle: u32,
        valid: u32,
        max: u32,
    },
    /// One read(2) with O_NONBLOCK, while a thread without it sleeps in a read(2) of the same open file. -> `Bytes`
    ReadBeside {
        handle: u32,
        max: u32,
    },
    /// One write(2). -> `Count`
    WriteHandle {
        handle: u32,
        data: Vec<u8>,
    },
    Close {
        handle: u32,
    },
    Mount {
        source: String,
        target: String,
        fstype: String,
        options: String,
    },
    /// finit_module(2)
    LoadModule {
        path: String,
        params: String,
    },
    /// delete_module(2) with O_NONBLOCK, as rmmod(8) does
    UnloadModule {
        name: String,
    },
    /// Pid 0 is the agent itself.
    SetAffinity {
        pid: i32,
        cpus: Vec<u32>,
    },
    /// -> `Cpus`
    GetAffinity {
        pid: i32,
    },
    Kill {
        pid: i32,
        signal: i32,
    },
    /// The kernel log since the last `Kmsg`. -> `Kmsg`
    Kmsg,
    /// A program, its standard output and error together. -> `Program`; ETIME when it was killed at the limit
    Run {
        argv: Vec<String>,
        limit_ms: u64,
    },
    /// Polls a file until it reads as wanted. -> `Waited`, also when it never did
    WaitFor {
        path: String,
        until: Until,
        limit_ms: u64,
    },
    Pause {
        us: u64,
    },
    /// All calls, whatever they answer. -> `Batch`
    Batch {
        calls: Vec<Call>,
    },
    /// All calls, again and again, until the first that fails. -> `Rounds`
    Repeat {
        times: u32,
        calls: Vec<Call>,
        limit_ms: u64,
    },
    /// Calls at random, whatever they answer, until the limit. -> `Tallies`
    Churn {
        seed: u64,
        calls: Vec<Call>,
        /// The longest pause between two of them.
        pause_us: u64,
        limit_ms: u64,
    },
    /// One call in a process of its own, which is then on its own. -> `Task`
    Spawn {
        call: Box<Call>,
    },
    /// Waits for a spawned task to end. -> `TaskEnd`; ETIME when it did not
    Reap {
        task: i32,
        limit_ms: u64,
    },
    /// Spawns, sends the signal some time after the task began with its call, reaps. -> `TaskEnd`
    Interrupt {
        call: Box<Call>,
        signal: i32,
        after_us: u64,
        limit_ms: u64,
    },
    /// One call, during which the nth allocation of a task fails; pid 0 is who makes the call. -> `FailedNth`
    FailNth {
        pid: i32,
        nth: u32,
        call: Box<Call>,
    },
    /// All that the process does from here on, and first this call, as that user. For what is spawned.
    As {
        uid: u32,
        call: Box<Call>,
    },
    /// So many write(2)s to one file, of words, random bytes, and what one gets when these are
    /// joined, cut and spoilt. -> `Tally`
    Fuzz {
        path: String,
        words: Vec<Vec<u8>>,
        seed: u64,
        times: u32,
    },
    /// A shell on a terminal of the guest: for a person, or for a script. -> `Program`, when it has
    /// ended; what it said went to the terminal
    Shell {
        tty: String,
        rows: u16,
        columns: u16,
        /// Of the shell's environment.
        vars: Vec<(String, String)>,
        script: Option<Vec<u8>>,
    },
    /// Suspends the guest to RAM; answered when it was woken from outside.
    Suspend,
    /// Has no answer.
    PowerOff,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    Read,
    /// Reads what is there: EAGAIN if that is nothing.
    ReadNow,
    Write,
    ReadWrite,
}

/// What a file has to read as, white space at its ends apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Until {
    Is(String),
    IsNot(String),
    Contains(String),
    AtLeast(u64),
}

impl Until {
    pub fn holds(&self, text: &str) -> bool {
        let text = text.trim();
        match self {
            Until::Is(wanted) => text == wanted,
            Until::IsNot(unwanted) => text != unwanted,
            Until::Contains(part) => text.contains(part.as_str()),
            Until::AtLeast(least) => text.parse::<u64>().is_ok_and(|n| n >= *least),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    Unit,
    Bytes(Vec<u8>),
    Count(u64),
    Names(Vec<String>),
    Stat {
        mode: u32,
        uid: u32,
        size: u64,
    },
    Handle(u32),
    Cpus(Vec<u32>),
    Kmsg(Kmsg),
    Program {
        status: Exit,
        output: Vec<u8>,
    },
    Waited {
        held: bool,
        last: String,
        took_us: u64,
    },
    Batch(Vec<Answer>),
    Rounds(Rounds),
    /// In the order of the calls.
    Tallies(Vec<Tally>),
    Tally(Tally),
    Task(i32),
    TaskEnd(TaskEnd),
    /// `injected`: there were so many allocations.
    FailedNth {
        injected: bool,
        answer: Box<Answer>,
    },
}

/// A piece of the kernel log.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Kmsg {
    pub records: Vec<Record>,
    /// The kernel overwrote records before they were read.
    pub lost: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub seq: u64,
    pub time_us: u64,
    /// 0 (emergency) to 7 (debug)
    pub level: u8,
    /// Written by a program, not by the kernel.
    pub user: bool,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rounds {
    /// Complete ones.
    pub done: u32,
    pub stopped: Option<Stopped>,
}

/// How often a call was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub done: u64,
    pub refused: u64,
}

/// Why a `Repeat` did not do all its rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Stopped {
    Failed { call: u32, errno: i32 },
    Limit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum TaskEnd {
    Answered(Box<Answer>),
    Died(Exit),
}

impl Call {
    /// How long the call may take by its own contents; what it costs besides is the runner's to say.
    pub fn asked_time(&self) -> Duration {
        match self {
            Call::Run { limit_ms, .. }
            | Call::WaitFor { limit_ms, .. }
            | Call::Repeat { limit_ms, .. }
            | Call::Churn { limit_ms, .. }
            | Call::Reap { limit_ms, .. }
            | Call::Interrupt { limit_ms, .. } => Duration::from_millis(*limit_ms),
            Call::Pause { us } => Duration::from_micros(*us),
            Call::FailNth { call, .. } | Call::As { call, .. } => call.asked_time(),
            // What a write may take on a slow kernel.
            Call::Fuzz { times, .. } => Duration::from_millis(2) * *times,
            Call::Batch { calls } => calls.iter().map(Call::asked_time).sum(),
            Call::Shell { .. } => Duration::MAX,
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_ignores_the_newline_of_a_sysfs_file() {
        assert!(Until::Is("1".into()).holds("1\n"));
        assert!(!Until::Is("1".into()).holds("11\n"));
        assert!(Until::IsNot("0".into()).holds("1\n"));
        assert!(Until::Contains("park".into()).holds("state: parked\n"));
    }

    #[test]
    fn at_least_wants_a_number() {
        assert!(Until::AtLeast(3).holds("3\n"));
        assert!(!Until::AtLeast(3).holds("2\n"));
        assert!(!Until::AtLeast(0).holds("none\n"));
        assert!(!Until::AtLeast(0).holds(""));
    }

    #[test]
    fn a_batch_may_take_as_long_as_its_parts() {
        let wait = Call::Run { argv: vec![], limit_ms: 1500 };
        let batch = Call::Batch { calls: vec![wait.clone(), Call::Kmsg, wait] };
        assert_eq!(batch.asked_time(), Duration::from_secs(3));
    }
}
