// SPDX-License-Identifier: GPL-2.0

//! What is known of one run.

use crate::ftrace::Trace;
use crate::spark::Histogram;
use serde::{Deserialize, Serialize};

/// Nanoseconds since the module was loaded, in the guest's `CLOCK_MONOTONIC`. Before that: negative.
pub type Nanos = i64;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub about: About,
    pub actions: Vec<Action>,
    /// In the order of their numbers.
    pub cpus: Vec<Cpu>,
    /// Empty if the kernel was not traced.
    pub trace: Trace,
    /// By how much the times of `trace` may be off from those of the module's events, either way.
    pub clock_error: Nanos,
    pub counters: Table,
}

/// Where it ran. Shown as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    pub title: String,
    /// As `uname -r` gives it.
    pub release: String,
    pub arch: String,
    /// How many CPUs the VM has.
    pub cpus: u32,
    /// `kvm`, or `tcg` and how.
    pub accelerator: String,
    pub date: String,
}

/// What the host had done in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    pub label: String,
    pub begin: Nanos,
    /// Nothing if it did not end.
    pub end: Option<Nanos>,
}

/// A CPU and its thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    pub id: u32,
    /// When the recording began.
    pub online: bool,
    /// In the order of their numbers. Their times may differ from that by a little: a number is taken after the clock
    /// was read, and any CPU may wake a thread.
    pub events: Vec<Event>,
    pub lost: Vec<Lost>,
    pub latencies: Histogram,
}

impl Cpu {
    pub fn new(id: u32) -> Self {
        Self { id, online: true, events: vec![], lost: vec![], latencies: Histogram::default() }
    }
}

/// An event that the module recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub time: Nanos,
    pub number: u64,
    pub kind: Kind,
}

/// Events that were overwritten before they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The number of the first one.
    pub first: u64,
    pub count: u64,
}

/// As in the module's `demo/events.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    Create = 1,
    Setup = 2,
    Park = 3,
    Unpark = 4,
    CleanupOnline = 5,
    CleanupOffline = 6,
    Wake = 7,
    Run = 8,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::Create,
        Self::Setup,
        Self::Park,
        Self::Unpark,
        Self::CleanupOnline,
        Self::CleanupOffline,
        Self::Wake,
        Self::Run,
    ];

    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == number)
    }

    /// As in the kernel log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Setup => "setup",
            Self::Park => "park",
            Self::Unpark => "unpark",
            Self::CleanupOnline => "cleanup(online)",
            Self::CleanupOffline => "cleanup(offline)",
            Self::Wake => "wake",
            Self::Run => "run",
        }
    }
}

/// A table of words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_modules_numbers() {
        let numbers: Vec<u32> = Kind::ALL.into_iter().map(|kind| kind as u32).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(Kind::from_number(8), Some(Kind::Run));
        assert_eq!(Kind::from_number(0), None);
        assert_eq!(Kind::from_number(9), None);
    }

    #[test]
    fn a_run_survives_json() {
        let mut cpu = Cpu::new(3);
        cpu.events.push(Event { time: -5, number: 7, kind: Kind::CleanupOffline });
        cpu.lost.push(Lost { first: 0, count: 7 });
        let run = Run {
            cpus: vec![cpu],
            actions: vec![Action { label: "cpu3 offline".into(), begin: -1, end: None }],
            ..Run::default()
        };
        let json = serde_json::to_string(&run).unwrap();
        assert_eq!(serde_json::from_str::<Run>(&json).unwrap(), run);
    }
}
