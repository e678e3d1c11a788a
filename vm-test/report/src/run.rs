// SPDX-License-Identifier: GPL-2.0

//! The data of one run.

use crate::ftrace::{Marker, Trace};
use demo_format::Nanos;
use demo_format::events::Cpu;
use demo_format::files::Table;
use demo_format::life::Violation;
use serde::Serialize;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Run {
    pub about: About,
    pub actions: Vec<Action>,
    /// The CPUs, in the order of their numbers.
    pub cpus: Vec<Cpu>,
    /// The kernel's trace: empty if the kernel was not traced.
    pub trace: Trace,
    /// Maximum error of the times of `trace` against the module's clock, either way.
    pub clock_error: Nanos,
    pub counters: Table,
    /// The faults of a failed run.
    pub faults: Vec<Fault>,
}

/// A fault of the run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fault {
    pub text: String,
    /// The CPU and the time of the event at fault, if it is known.
    pub at: Option<(u32, Nanos)>,
}

impl From<Violation> for Fault {
    fn from(violation: Violation) -> Self {
        let at = Some((violation.cpu, violation.event.time));
        Self { text: violation.to_string(), at }
    }
}

/// The machine of the run. Shown unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    pub title: String,
    /// The output of `uname -r`.
    pub release: String,
    pub arch: String,
    /// Number of CPUs of the VM.
    pub cpus: u32,
    /// `kvm`, or `tcg` with its mode.
    pub accelerator: String,
    pub date: String,
}

/// An action of the host in the guest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Action {
    /// A sentence: `Take CPU 1 offline: its thread is parked first`.
    pub label: String,
    /// The commands to type for the same; empty if they are unknown.
    pub commands: Vec<String>,
    pub begin: Nanos,
    /// `None` if it did not end.
    pub end: Option<Nanos>,
}

impl Action {
    pub(crate) fn aligns_clocks(&self) -> bool {
        Marker::synced(&self.label).is_some()
    }

    /// Returns the CPU that the action takes offline (`false`) or brings online, if it does that
    /// only.
    pub(crate) fn toggles(&self) -> Option<(u32, bool)> {
        let [command] = self.commands.as_slice() else { return None };
        let (value, file) = command.strip_prefix("echo ")?.split_once(" > ")?;
        let cpu = file.strip_prefix("/sys/devices/system/cpu/cpu")?.strip_suffix("/online")?;
        let online = match value {
            "0" => false,
            "1" => true,
            _ => return None,
        };
        Some((cpu.parse().ok()?, online))
    }
}
