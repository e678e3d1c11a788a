// SPDX-License-Identifier: GPL-2.0

//! What things cost, of several boots: figures, what they are compared with, what they must reach.
//!
//! Each boot gives one median per figure. What counts is the median of these, and their range: two figures whose ranges
//! overlap are not told apart. Ratios are of figures of the same boot.

mod goals;
mod render;

pub use goals::{Goal, Verdict};
pub use render::{page, text};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All figures, and under which conditions they were taken.
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
    /// QEMU's arguments, but for those that name files of the host.
    pub flags: String,
    pub command_line: String,
    /// SHA-256 by what it is of.
    pub hashes: BTreeMap<String, String>,
    pub boots: u32,
}

/// What a figure is of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// `latency`, `waker` and so on: see `bench/smpboot_bench.c`.
    pub figure: String,
    pub name: String,
    /// 1 for FIFO, or the number of registrations.
    pub arg: u32,
    /// What runs, runs on another CPU than the one that measures.
    pub other_cpu: bool,
    pub count: u32,
    /// CPUs of the machine.
    pub cpus: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    pub key: Key,
    /// One of each boot, in their order.
    pub medians: Vec<f64>,
    /// Of all rounds of all boots.
    pub minimum: f64,
    /// In each boot.
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
    /// Against the first row that it can be compared with.
    pub(crate) versus: Option<Versus>,
}

/// How a figure relates to another of the same boots.
pub(crate) enum Versus {
    /// The ranges overlap.
    Same,
    Ratio(Stat),
}

/// What figures, by what they have in common, and what their values are divided by.
struct Shown {
    title: &'static str,
    unit: &'static str,
    note: &'static str,
    figure: &'static str,
    divisor: fn(&Key) -> f64,
    section: fn(&Key) -> String,
}

/// Of a figure of one section.
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

fn many(count: u32, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

const SHOWN: &[Shown] = &[
    Shown {
        title: "From wake to run",
        note: "On the same CPU the waker goes to sleep after the wake, which is part of it at normal priority. An \
               interrupt (smp_call_function_single) has no priority.",
        figure: "latency",
        section: placed,
        ..PLAIN
    },
    Shown {
        title: "What the waker pays",
        note: "With preemption off: what was woken runs later.",
        figure: "waker",
        section: placed,
        ..PLAIN
    },
    Shown {
        title: "A wake when the last one was not answered yet",
        note: "The C twin always calls wake_up_process().",
        figure: "pending",
        section: placed,
        ..PLAIN
    },
    Shown {
        title: "A burst for one CPU, per item",
        unit: "instructions per item",
        note: "A thread is woken for each item and answers all with one run; a work queue, also rust_percpu_workqueue, runs a function for each.",
        figure: "burst",
        divisor: per_count,
        section: |key| many(key.count, "item"),
    },
    Shown {
        title: "A burst that all CPUs queue for one, per item",
        unit: "instructions per item",
        note: "In interrupts, an item each in turns. Instructions count, not the wait for a lock or a cache line.",
        figure: "crowd",
        divisor: per_count,
        section: |key| format!("{} items from {} CPUs", key.count, key.cpus),
    },
    Shown {
        title: "A turn of the core's loop",
        note: "From one run to the next of a C thread that always has something to do, with callbacks that count.",
        figure: "turns",
        divisor: per_count,
        ..PLAIN
    },
    Shown {
        title: "A CPU goes offline and comes back",
        note: "With so many registrations, each of which has a thread on that CPU.",
        figure: "hotplug",
        section: |key| many(key.arg, "registration"),
        ..PLAIN
    },
    Shown {
        title: "To register and unregister, per CPU",
        unit: "instructions per CPU",
        note: "Includes waiting, as for RCU's grace period (expedited).",
        figure: "register",
        divisor: |key| f64::from(key.cpus.max(1)),
        section: |key| many(key.cpus, "CPU"),
    },
    Shown {
        title: "Memory of a thread",
        unit: "bytes",
        note: "Of the pages that are not free any more, per CPU and registration. Less than a task and its stack take, \
               so not to be relied upon: perhaps what the allocator keeps at hand for each CPU is missing.",
        figure: "memory",
        divisor: |key| f64::from(key.cpus.max(1)) * f64::from(key.arg.max(1)),
        ..PLAIN
    },
    Shown {
        title: "To record an event of the demo",
        unit: "instructions per turn",
        figure: "call",
        divisor: per_count,
        ..PLAIN
    },
    Shown {
        title: "Size of the twins",
        unit: "bytes",
        note: "The thread's own functions are its callbacks and its wake; the module has the code that registers, and all \
               else that there is once.",
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

    /// Each section of each kind of figure.
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

/// Boot by boot, if both are of the same boots.
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
    fn a_difference_inside_the_range_is_none() {
        let c = figure("c", &[100.0, 104.0, 102.0]);
        assert!(matches!(versus(&figure("rust", &[103.0, 105.0, 110.0]), &c), Some(Versus::Same)));
        let Some(Versus::Ratio(ratio)) = versus(&figure("rust", &[200.0, 208.0, 214.2]), &c) else {
            panic!()
        };
        assert_eq!((ratio.median, ratio.low), (2.0, 2.0));
    }

    #[test]
    fn figures_are_shown_with_those_of_their_kind() {
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
