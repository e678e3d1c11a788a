// SPDX-License-Identifier: GPL-2.0

//! The state that views draw.

use demo_format::Nanos;
use demo_format::format::{Counts, Kind};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use tour::{Action, Machine, Observation, Sample};

/// The state of the session at one time. All times are nanoseconds on one clock, which starts with
/// the session.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub now: Nanos,
    pub status: Status,
    /// The machine: it decides which lessons the tour has.
    pub machine: Arc<Machine>,
    /// Whether the module is loaded.
    pub loaded: bool,
    /// Period of the timers in microseconds; 0: no timers.
    pub period_us: u32,
    /// Number of the module's files that are open, without the session's own.
    pub open_files: u32,
    /// The samples that are in the guest, and whether each is loaded.
    pub samples: Vec<(&'static Sample, bool)>,
    pub cpus: BTreeMap<u32, Cpu>,
    /// The action that runs at present.
    pub running: Option<Action>,
    /// Number of actions so far.
    pub actions: u64,
    /// Time from the user's command to its answer, of the last action.
    pub last_took: Nanos,
    /// A sentence on the last action, and why it has this effect.
    pub sentence: String,
    /// Commands and log lines, the newest last.
    pub log: VecDeque<Entry>,
    /// Number of events so far, and of events that were lost.
    pub events: u64,
    pub lost: u64,
    /// Whether a report is being written.
    pub saving: bool,
    /// The reports that were written.
    pub reports: Vec<PathBuf>,
    /// Number of requests for a report so far. It is written when `saving` is false.
    pub saves: u64,
}

/// Whether the session continues.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub enum Status {
    #[default]
    Running,
    /// The session has ended, with the verdict as lines for the user.
    Ended { ok: bool, lines: Vec<String> },
}

/// A CPU, and its thread.
#[derive(Debug, Clone, Default)]
pub struct Cpu {
    /// Whether the CPU can be taken offline.
    pub hotpluggable: bool,
    pub power: Power,
    /// The text of `cpuN/state`: `none`, `parked`, `sleeping`, `running`; empty if not loaded.
    pub thread: String,
    pub pid: i32,
    /// The thread's priority, if it has the scheduling policy `SCHED_FIFO`.
    pub fifo: Option<u32>,
    pub counts: Counts<u64>,
    /// Whether a wake is pending.
    pub pending: bool,
    /// Latencies of the wakes that were not pending while parked: `None` without any.
    pub latency: Option<Latency>,
    /// Bars of the latencies, on a scale that all CPUs share.
    pub bars: String,
    /// The history, for the moving lanes.
    pub powers: VecDeque<Span<Power>>,
    pub lives: VecDeque<Span<demo_format::format::State>>,
    pub marks: VecDeque<Mark>,
}

/// Figures in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Latency {
    pub p50: u64,
    pub p99: u64,
    pub max: u64,
}

/// The state of a CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    #[default]
    Online,
    GoingOffline,
    Offline,
    ComingOnline,
}

/// A state from a time on, until the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span<T> {
    pub from: Nanos,
    pub state: T,
}

/// An event of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub time: Nanos,
    pub kind: Kind,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Entry {
    /// A command, as you type it.
    Command(String),
    /// A line of the kernel log, with its time in seconds.
    Kernel(String),
    /// The error of a command.
    Error(String),
}

impl State {
    /// Returns what the tour needs of this state.
    pub fn observation(&self) -> Observation {
        let thread = |cpu: &Cpu| tour::Thread {
            online: cpu.power != Power::Offline,
            state: cpu.thread.clone(),
            pid: cpu.pid,
            counts: cpu.counts,
            pending: cpu.pending,
            fifo: cpu.fifo,
        };
        Observation {
            loaded: self.loaded,
            period_us: self.period_us,
            open_files: self.open_files,
            cpus: self.cpus.iter().map(|(id, cpu)| (*id, thread(cpu))).collect(),
        }
    }
}
