// SPDX-License-Identifier: GPL-2.0

//! What is known of one run.

use crate::ftrace::Trace;
use demo_format::Nanos;
use demo_format::events::Cpu;
use demo_format::files::Table;
use serde::Serialize;

#[derive(Debug, Clone, Default, PartialEq)]
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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Action {
    pub label: String,
    pub begin: Nanos,
    /// Nothing if it did not end.
    pub end: Option<Nanos>,
}
