// SPDX-License-Identifier: GPL-2.0

//! Costs measured in several boots: figures, comparisons and goals.
//!
//! Each boot gives one median per figure. The result is the median of these medians, with their
//! range. Two figures with overlapping ranges count as equal. Ratios are of figures of the same
//! boot.

mod goals;
mod render;

pub use goals::{Goal, Verdict};
pub use render::{page, text};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All figures, and the conditions of their measurement.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Bench {
    pub conditions: Conditions,
    pub figures: Vec<Figure>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Conditions {
    pub release: String,
    pub qemu_version: String,
    pub date: String,
    /// QEMU's arguments, without those that name files of the host.
    pub flags: String,
    pub command_line: String,
    /// SHA-256 sums, by the name of the file.
    pub hashes: BTreeMap<String, String>,
    pub boots: u32,
}

/// The subject of a figure.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// `latency`, `waker` and so on: see `bench/smpboot_bench.c`.
    pub figure: String,
    pub name: String,
    /// 1 for FIFO, or the number of registrations.
    pub arg: u32,
    /// Whether the work runs on another CPU than the measuring one.
    pub other_cpu: bool,
    pub count: u32,
    /// Number of CPUs of the machine.
    pub cpus: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    pub key: Key,
    /// The median of each boot, in the order of the boots.
    pub medians: Vec<f64>,
    /// Minimum of all rounds of all boots.
    pub minimum: f64,
    /// Number of rounds in each boot.
    pub rounds: u32,
}

/// The median of medians, and their range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stat {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Stat {
    pub fn of(values: &[f64]) -> Option<Stat> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
            _ => sorted[middle],
        };
        Some(Stat { median, low, high })
    }

    pub fn overlaps(&self, other: &Stat) -> bool {
        self.low <= other.high && other.low <= self.high
    }

    fn scaled(self, by: f64) -> Stat {
        Stat { median: self.median * by, low: self.low * by, high: self.high * by }
    }
}

impl Figure {
    pub fn stat(&self) -> Stat {
        Stat::of(&self.medians).unwrap_or(Stat { median: 0.0, low: 0.0, high: 0.0 })
    }
}

/// Figures that are shown together.
pub(crate) struct Group {
    pub(crate) title: String,
    pub(crate) unit: &'static str,
    pub(crate) note: &'static str,
    pub(crate) rows: Vec<Row>,
}

pub(crate) struct Row {
    pub(crate) label: String,
    pub(crate) stat: Stat,
    pub(crate) minimum: f64,
    pub(crate) rounds: u32,
    /// Comparison with the first row that is comparable.
    pub(crate) versus: Option<Versus>,
}

/// The relation of a figure to another of the same boots.
pub(crate) enum Versus {
    /// The ranges overlap.
    Same,
    Ratio(Stat),
}

/// Figures shown together: their common name, their divisor and their sections.
struct Shown {
    title: &'static str,
    unit: &'static str,
    note: &'static str,
    figure: &'static str,
    divisor: fn(&Key) -> f64,
    section: fn(&Key) -> String,
}

/// Defaults for a figure with one section.
const PLAIN: Shown = Shown {
    title: "",
    unit: "instructions",
    note: "",
    figure: "",
    divisor: |_| 1.0,
    section: |_| String::new(),
};

pub(crate) fn mechanism(name: &str) -> &str {
    match name {
        "c" | "many_c" => "C twin",
        "rust" | "many_rust" => "Rust",
        "rust_workqueue" => "rust_percpu_workqueue",
        "rust_workqueue_arc" => "the same, items in an Arc",
        "wq" => "queue_work_on",
        "wq_highpri" => "queue_work_on, WQ_HIGHPRI",
        "smp_call" => "smp_call_function_single",
        "nothing" => "a loop that records nothing",
        "record" => "a loop that records an event",
        name => name,
    }
}

fn placed(key: &Key) -> String {
    let place = if key.other_cpu { "another CPU" } else { "the same CPU" };
    format!("{place}, {}", if key.arg == 1 { "FIFO" } else { "normal priority" })
}

fn per_count(key: &Key) -> f64 {
    f64::from(key.count.max(1))
}

pub(crate) fn many(count: u32, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

const SHOWN: &[Shown] = &[
    Shown {
        title: "From wake to run",
        note: "On the same CPU the waker sleeps after the wake, which is included at normal priority. An \
               interrupt (smp_call_function_single) has no priority.",
        figure: "latency",
        section: placed,
        ..PLAIN
    },
    Shown {
        title: "Cost for the waker",
        note: "With preemption off: the woken thread runs later.",
        figure: "waker",
        section: placed,
        ..PLAIN
    },
    Shown {
        title: "Wake while one is pending",
        note: "The C twin always calls wake_up_process().",
        figure: "pending",
        section: placed,
        ..PLAIN
    },
    Shown {
        title: "A burst for one CPU, per item",
        unit: "instructions per item",
        note: "A thread is woken for each item and handles all in one run. A work queue, rust_percpu_workqueue included, runs a function for each.",
        figure: "burst",
        divisor: per_count,
        section: |key| many(key.count, "item"),
    },
    Shown {
        title: "A burst from all CPUs for one CPU, per item",
        unit: "instructions per item",
        note: "Interrupts queue one item each in turns. Instructions are counted, not the wait for a lock or a cache line.",
        figure: "crowd",
        divisor: per_count,
        section: |key| format!("{} items from {} CPUs", key.count, key.cpus),
    },
    Shown {
        title: "A turn of the core's loop",
        note: "From one run to the next of a C thread that always has work, with callbacks that count.",
        figure: "turns",
        divisor: per_count,
        ..PLAIN
    },
    Shown {
        title: "CPU offline and online",
        note: "With this number of registrations, each with a thread on that CPU.",
        figure: "hotplug",
        section: |key| many(key.arg, "registration"),
        ..PLAIN
    },
    Shown {
        title: "Register and unregister, per CPU",
        unit: "instructions per CPU",
        note: "Includes waits, such as for RCU's expedited grace period.",
        figure: "register",
        divisor: |key| f64::from(key.cpus.max(1)),
        section: |key| many(key.cpus, "CPU"),
    },
    Shown {
        title: "Memory of a thread",
        unit: "bytes",
        note: "Pages no longer free, per CPU and registration. This is less than a task and its stack take, \
               so it is not reliable: the allocator's free lists of each CPU may be missing.",
        figure: "memory",
        divisor: |key| f64::from(key.cpus.max(1)) * f64::from(key.arg.max(1)),
        ..PLAIN
    },
    Shown {
        title: "Record an event of the demo",
        unit: "instructions per turn",
        figure: "call",
        divisor: per_count,
        ..PLAIN
    },
    Shown {
        title: "Size of the twins",
        unit: "bytes",
        note: "The thread's functions are its callbacks and its wake. The module adds the code that registers, and all \
               code that exists once.",
        figure: "size",
        section: |key| match key.arg {
            0 => "text of the thread's functions".into(),
            1 => "text of the module".into(),
            _ => "data of the module".into(),
        },
        ..PLAIN
    },
];

impl Bench {
    pub fn find(&self, key: &Key) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.key == *key)
    }

    /// Returns each section of each kind of figure.
    pub(crate) fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = vec![];
        for shown in SHOWN {
            let mut sections: Vec<(String, Vec<&Figure>)> = vec![];
            for figure in self.figures.iter().filter(|f| f.key.figure == shown.figure) {
                let section = (shown.section)(&figure.key);
                match sections.iter_mut().find(|(known, _)| *known == section) {
                    Some((_, figures)) => figures.push(figure),
                    None => sections.push((section, vec![figure])),
                }
            }
            for (i, (section, figures)) in sections.into_iter().enumerate() {
                let colon = if section.is_empty() { "" } else { ": " };
                groups.push(Group {
                    title: format!("{}{colon}{section}", shown.title),
                    unit: shown.unit,
                    note: if i == 0 { shown.note } else { "" },
                    rows: rows(shown, &figures),
                });
            }
        }
        groups
    }
}

fn rows(shown: &Shown, figures: &[&Figure]) -> Vec<Row> {
    let row = |figure: &&Figure| {
        let by = 1.0 / (shown.divisor)(&figure.key);
        let first = figures.first().filter(|first| !std::ptr::eq(**first, *figure));
        Row {
            label: mechanism(&figure.key.name).into(),
            stat: figure.stat().scaled(by),
            minimum: figure.minimum * by,
            rounds: figure.rounds,
            versus: first.and_then(|first| versus(figure, first)),
        }
    };
    figures.iter().map(row).collect()
}

fn versus(figure: &Figure, other: &Figure) -> Option<Versus> {
    if figure.stat().overlaps(&other.stat()) && figure.medians.len() > 1 {
        return Some(Versus::Same);
    }
    ratio(figure, other).map(Versus::Ratio)
}

/// Returns the ratio, boot by boot, if both are of the same boots.
pub(crate) fn ratio(figure: &Figure, other: &Figure) -> Option<Stat> {
    let ratios: Vec<f64> = match figure.medians.len() == other.medians.len() {
        true => figure.medians.iter().zip(&other.medians).map(|(a, b)| a / b).collect(),
        false => vec![figure.stat().median / other.stat().median],
    };
    Stat::of(&ratios).filter(|stat| stat.high.is_finite())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn figure(name: &str, medians: &[f64]) -> Figure {
        let key = Key { figure: "latency".into(), name: name.into(), cpus: 4, ..Key::default() };
        Figure { key, medians: medians.into(), minimum: 1.0, rounds: 9 }
    }

    #[test]
    fn the_median_of_medians_and_their_range() {
        assert_eq!(Stat::of(&[3.0, 9.0, 5.0]), Some(Stat { median: 5.0, low: 3.0, high: 9.0 }));
        assert_eq!(Stat::of(&[4.0, 2.0]), Some(Stat { median: 3.0, low: 2.0, high: 4.0 }));
        assert_eq!(Stat::of(&[]), None);
    }

    #[test]
    fn figures_with_overlapping_ranges_are_equal() {
        let c = figure("c", &[100.0, 104.0, 102.0]);
        assert!(matches!(versus(&figure("rust", &[103.0, 105.0, 110.0]), &c), Some(Versus::Same)));
        let Some(Versus::Ratio(ratio)) = versus(&figure("rust", &[200.0, 208.0, 214.2]), &c) else {
            panic!()
        };
        assert_eq!((ratio.median, ratio.low), (2.0, 2.0));
    }

    #[test]
    fn figures_of_a_kind_are_shown_together() {
        let mut fifo = figure("c", &[50.0]);
        fifo.key.arg = 1;
        let bench = Bench {
            figures: vec![figure("c", &[100.0]), fifo, figure("rust", &[120.0])],
            ..Bench::default()
        };
        let groups = bench.groups();
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].title, "From wake to run: the same CPU, normal priority");
        assert_eq!(groups[0].rows.len(), 2);
        assert!(groups[0].rows[0].versus.is_none() && groups[0].rows[1].versus.is_some());
    }
}
