// SPDX-License-Identifier: GPL-2.0

//! The CPUs and threads at one time, as a user can see them.

use demo_format::format::Counts;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The present state, as `/sys/devices/system/cpu` and the module's files show it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Whether the module is loaded.
    pub loaded: bool,
    /// Period of the timers in microseconds; 0: no timers.
    pub period_us: u32,
    /// Number of the module's files that are open, without those of the observer.
    pub open_files: u32,
    /// The possible CPUs.
    pub cpus: BTreeMap<u32, Thread>,
}

/// A CPU and its thread.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    pub online: bool,
    /// `none`, `parked`, `sleeping` or `running`, as in `cpuN/state`; empty if not loaded.
    pub state: String,
    /// 0: no thread.
    pub pid: i32,
    #[serde(with = "counts")]
    pub counts: Counts<u64>,
    /// Whether a wake is pending: the thread was woken, and has not run since.
    pub pending: bool,
    /// The priority of a thread with the scheduling policy `SCHED_FIFO`.
    pub fifo: Option<u32>,
}

impl Observation {
    /// Returns the numbers of the CPUs that are online.
    pub fn online(&self) -> impl Iterator<Item = u32> {
        self.cpus.iter().filter(|(_, thread)| thread.online).map(|(cpu, _)| *cpu)
    }

    /// Returns the numbers of the CPUs that are offline.
    pub fn offline(&self) -> impl Iterator<Item = u32> {
        self.cpus.iter().filter(|(_, thread)| !thread.online).map(|(cpu, _)| *cpu)
    }

    /// Returns the CPU and its thread; without the CPU, one that is offline and has no thread.
    pub fn thread(&self, cpu: u32) -> Thread {
        self.cpus.get(&cpu).cloned().unwrap_or_default()
    }

    /// Returns whether no thread has work: each wake of an online CPU has led to a run.
    pub fn is_settled(&self) -> bool {
        self.cpus.values().all(|thread| match thread.online {
            true => !thread.pending && matches!(thread.state.as_str(), "" | "none" | "sleeping"),
            false => matches!(thread.state.as_str(), "" | "none" | "parked"),
        })
    }
}

/// Returns the priority of a thread with the policy `SCHED_FIFO`, by its `/proc/PID/stat`. `None`:
/// the text is invalid.
pub fn fifo(stat: &str) -> Option<Option<u32>> {
    const SCHED_FIFO: u32 = 1;
    // The name, in parentheses, may have any characters.
    let (_, after_name) = stat.rsplit_once(") ")?;
    // The fields 40 and 41 of proc_pid_stat(5); the first one here is 3.
    let mut fields = after_name.split_whitespace().skip(40 - 3);
    let priority = fields.next()?.parse().ok()?;
    let policy: u32 = fields.next()?.parse().ok()?;
    Some((policy == SCHED_FIFO).then_some(priority))
}

/// The counters as a list, in the order of their declaration.
mod counts {
    use demo_format::format::Counts;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(counts: &Counts<u64>, to: S) -> Result<S::Ok, S::Error> {
        counts.each().map(|(_, _, count)| *count).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Counts<u64>, D::Error> {
        let mut values = <[u64; demo_format::format::COUNTS]>::deserialize(from)?.into_iter();
        Ok(Counts::from_fn(|_| values.next().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_and_priority_are_fields_of_stat() {
        let stat = |priority, policy| {
            format!("121 (a ) b) S {}{priority} {policy} 0 0 0\n", "0 ".repeat(36))
        };
        assert_eq!(fifo(&stat(50, 1)), Some(Some(50)));
        assert_eq!(fifo(&stat(0, 0)), Some(None));
        assert_eq!(fifo(&stat(99, 2)), Some(None));
        assert_eq!(fifo("121 (x) S 0"), None);
    }
}
