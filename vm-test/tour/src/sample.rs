// SPDX-License-Identifier: GPL-2.0

//! The modules that a user can load beside the demo.

/// A module with per-CPU hotplug threads of its own.
#[derive(Debug, PartialEq, Eq)]
pub struct Sample {
    /// The module's name.
    pub name: &'static str,
    /// Its idea, in one line: as in `samples/README.md`.
    pub shows: &'static str,
}

const fn sample(name: &'static str, shows: &'static str) -> Sample {
    Sample { name, shows }
}

/// The samples, and the module that exercises the work queue.
pub const SAMPLES: [Sample; 6] = [
    sample("rust_ksoftirqd", "interrupts leave work to a thread"),
    sample("rust_rcuc", "park moves a queue to another CPU"),
    sample("rust_cpu_stop", "self-parking threads"),
    sample("rust_cpuhp", "state that only its thread changes"),
    sample("rust_idle_inject", "FIFO threads that a timer wakes"),
    sample("rust_percpu_workqueue", "queues whose items wait, move or are refused"),
];

impl Sample {
    /// The sample that is this module.
    pub fn named(name: &str) -> Option<&'static Sample> {
        SAMPLES.iter().find(|sample| sample.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_those_of_the_readme() {
        let readme = include_str!("../../../samples/README.md").replace('`', "");
        let rows = readme.lines().filter(|line| line.starts_with("| [rust_"));
        let rows: Vec<&str> = rows.collect();
        // The work queue is not in that directory.
        assert_eq!(rows.len() + 1, SAMPLES.len());
        for (row, sample) in rows.iter().zip(&SAMPLES) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            assert!(cells[1].starts_with(&format!("[{}]", sample.name)), "{row}");
            assert!(cells[3].starts_with(sample.shows), "{row}");
        }
    }
}
