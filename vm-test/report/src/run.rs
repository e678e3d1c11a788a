// SPDX-License-Identifier: GPL-2.0

//! The data of one run.

use crate::ftrace::Trace;
use demo_format::Nanos;
use demo_format::events::Cpu;
use demo_format::files::Table;
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Action {
    pub label: String,
    pub begin: Nanos,
    /// `None` if it did not end.
    pub end: Option<Nanos>,
}
