// SPDX-License-Identifier: GPL-2.0

//! What can be seen of the CPUs and threads at one time.

use demo_format::format::Counts;
use std::collections::BTreeMap;

/// The present state, as `/sys/devices/system/cpu` and the module's files show it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observation {
    /// Whether the module is loaded.
    pub loaded: bool,
    /// Period of the timers in microseconds; 0: no timers.
    pub period_us: u32,
    /// The possible CPUs.
    pub cpus: BTreeMap<u32, Thread>,
}

/// A CPU and its thread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Thread {
    pub online: bool,
    /// `none`, `parked`, `sleeping` or `running`, as in `cpuN/state`; empty if not loaded.
    pub state: String,
    /// 0: no thread.
    pub pid: i32,
    pub counts: Counts<u64>,
    /// Whether a wake is pending: the thread was woken, and has not run since.
    pub pending: bool,
}

impl Observation {
    /// Returns the numbers of the CPUs that are online.
    pub fn online(&self) -> impl Iterator<Item = u32> {
        self.cpus.iter().filter(|(_, thread)| thread.online).map(|(cpu, _)| *cpu)
    }
}
