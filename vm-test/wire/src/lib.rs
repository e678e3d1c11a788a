// SPDX-License-Identifier: GPL-2.0

//! Messages between the host and the agent in the guest.
//!
//! The host sends [`Request`]s. The agent answers each with one [`Message::Reply`], in order, and
//! sends [`Message::Alive`] about once a second. Both ends are built from the same source;
//! [`VERSION`] detects an agent from another source.

mod calls;
pub mod frame;
pub mod stopwatch;

pub use calls::Call;

use serde::{Deserialize, Serialize};
use std::fmt::{self, Display, Formatter};

/// Changes with every change of a type in this package.
pub const VERSION: u32 = 4;

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
    /// The guest's user space runs, even if the present call waits.
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
    /// File systems that the guest lacks.
    pub missing: Vec<Missing>,
}

/// A file system that could not be mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    pub fstype: String,
    pub target: String,
    pub errno: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    Read,
    /// Reads available data; EAGAIN if there is none.
    ReadNow,
    Write,
}

/// The expected text of a file. White space at the ends of the file is ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Until {
    Is(String),
    Contains(String),
    AtLeast(u64),
}

impl Until {
    pub fn holds(&self, text: &str) -> bool {
        let text = text.trim();
        match self {
            Until::Is(wanted) => text == wanted,
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
    /// `injected`: the task made at least `nth` allocations.
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
    /// Number of complete rounds.
    pub done: u32,
    pub stopped: Option<Stopped>,
}

/// Number of times that a call was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub done: u64,
    pub refused: u64,
}

/// The reason why a `Repeat` did not complete its rounds.
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

impl Display for Missing {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Missing { fstype, target, errno } = self;
        let errno = std::io::Error::from_raw_os_error(*errno);
        write!(f, "the guest cannot mount {fstype} on {target}: {errno}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_ignores_the_newline_of_a_sysfs_file() {
        assert!(Until::Is("1".into()).holds("1\n"));
        assert!(!Until::Is("1".into()).holds("11\n"));
        assert!(Until::Contains("park".into()).holds("state: parked\n"));
    }

    #[test]
    fn at_least_needs_a_number() {
        assert!(Until::AtLeast(3).holds("3\n"));
        assert!(!Until::AtLeast(3).holds("2\n"));
        assert!(!Until::AtLeast(0).holds("none\n"));
        assert!(!Until::AtLeast(0).holds(""));
    }
}
