// SPDX-License-Identifier: GPL-2.0

//! The goals of the figures.

use super::{Bench, Figure, Key, ratio};

pub struct Goal {
    pub text: &'static str,
    pub at_most: f64,
    value: fn(&Bench) -> Option<f64>,
    /// Whether the figures overlap, which meets the goal too.
    same: fn(&Bench) -> bool,
}

pub enum Verdict {
    Met(f64),
    Missed(f64),
    /// The figures of the goal were not measured.
    Missing,
}

fn key(figure: &str, name: &str, arg: u32, other_cpu: bool, count: u32, cpus: u32) -> Key {
    Key { figure: figure.into(), name: name.into(), arg, other_cpu, count, cpus }
}

impl Bench {
    fn pair(&self, a: Key, b: Key) -> Option<(&Figure, &Figure)> {
        Some((self.find(&a)?, self.find(&b)?))
    }

    fn ratio(&self, a: Key, b: Key) -> Option<f64> {
        let (a, b) = self.pair(a, b)?;
        Some(ratio(a, b)?.median)
    }

    fn against(&self, figure: &str, arg: u32, other_cpu: bool, names: [&str; 2]) -> Option<f64> {
        let [a, b] = names.map(|name| key(figure, name, arg, other_cpu, 0, MACHINE));
        self.ratio(a, b)
    }

    /// Returns the cost of one of 256 items in our queue, divided by that in another queue.
    fn queues(&self, figure: &str, other: &str) -> Option<f64> {
        let [a, b] = ["rust_workqueue", other].map(|n| key(figure, n, 0, false, 256, MACHINE));
        self.ratio(a, b)
    }

    /// Returns the ratio of the twins that register many times.
    fn many(&self, of: impl Fn(&str) -> Key) -> Option<f64> {
        let [rust, c] = MANY.map(of);
        self.ratio(rust, c)
    }

    fn many_overlap(&self, of: impl Fn(&str) -> Key) -> bool {
        let [rust, c] = MANY.map(of);
        self.pair(rust, c).is_some_and(|(rust, c)| rust.stat().overlaps(&c.stat()))
    }

    pub fn goals(&self) -> Vec<(&'static Goal, Verdict)> {
        let verdict = |goal: &Goal| match (goal.value)(self) {
            None => Verdict::Missing,
            Some(value) if value <= goal.at_most || (goal.same)(self) => Verdict::Met(value),
            Some(value) => Verdict::Missed(value),
        };
        GOALS.iter().map(|goal| (goal, verdict(goal))).collect()
    }
}

/// Number of CPUs of the machine for figures that do not depend on it.
const MACHINE: u32 = 4;
const TWINS: [&str; 2] = ["rust", "c"];

const MANY: [&str; 2] = ["many_rust", "many_c"];
/// Number of CPUs of the largest machine.
const LARGEST: u32 = 64;

fn hotplug(name: &str) -> Key {
    key("hotplug", name, 8, true, 0, MACHINE)
}

fn register_on_largest(name: &str) -> Key {
    key("register", name, 1, false, 0, LARGEST)
}

/// Maximum ratio for figures that cannot be less than those of C, in the same boots.
const LIKE_C: f64 = 1.02;

const fn ratio_goal(text: &'static str, at_most: f64, value: fn(&Bench) -> Option<f64>) -> Goal {
    Goal { text, at_most, value, same: |_| false }
}

const GOALS: &[Goal] = &[
    ratio_goal("wake to run, Rust / C, same CPU", 1.01, |b| b.against("latency", 0, false, TWINS)),
    ratio_goal("wake to run, Rust / C, other CPU", 1.01, |b| b.against("latency", 0, true, TWINS)),
    ratio_goal("wake to run, Rust / C, same CPU, FIFO", 1.01, |b| {
        b.against("latency", 1, false, TWINS)
    }),
    ratio_goal("wake to run, Rust / C, other CPU, FIFO", 1.01, |b| {
        b.against("latency", 1, true, TWINS)
    }),
    ratio_goal("wake to run, Rust / queue_work_on, same CPU", 0.90, |b| {
        b.against("latency", 0, false, ["rust", "wq"])
    }),
    ratio_goal("an item of a burst of 256, our queue / queue_work_on", 0.35, |b| {
        b.queues("burst", "wq")
    }),
    ratio_goal("an item of a burst of 256, our queue / kthread_worker", 0.95, |b| {
        b.queues("burst", "kthread_worker")
    }),
    ratio_goal("the same queued by four CPUs, our queue / kthread_worker", 0.80, |b| {
        b.queues("crowd", "kthread_worker")
    }),
    ratio_goal("a wake when one is pending, Rust / C, same CPU", 0.25, |b| {
        b.against("pending", 0, false, TWINS)
    }),
    ratio_goal("a wake when one is pending, Rust / C, other CPU", 0.25, |b| {
        b.against("pending", 0, true, TWINS)
    }),
    Goal {
        text: "offline and online, 8 registrations, Rust / C",
        at_most: LIKE_C,
        value: |b| b.many(hotplug),
        same: |b| b.many_overlap(hotplug),
    },
    // The kernel determines the growth of the cost per CPU with more CPUs, for C as for Rust.
    Goal {
        text: "register and unregister, 64 CPUs, Rust / C",
        at_most: LIKE_C,
        value: |b| b.many(register_on_largest),
        same: |b| b.many_overlap(register_on_largest),
    },
    ratio_goal("text of a thread's functions, Rust / C", 1.50, |b| {
        let [rust, c] = TWINS.map(|name| key("size", name, 0, false, 0, 0));
        b.ratio(rust, c)
    }),
    ratio_goal("recording an event of the demo, instructions", 60.0, |b| {
        let of = |name| b.find(&key("call", name, 0, false, 1000, MACHINE));
        Some((of("record")?.stat().median - of("nothing")?.stat().median) / 1000.0)
    }),
];

#[cfg(test)]
mod tests {
    use super::super::tests::figure;
    use super::*;

    fn verdict(bench: &Bench, text: &str) -> Verdict {
        let goals = bench.goals();
        goals.into_iter().find(|(goal, _)| goal.text == text).map(|(_, verdict)| verdict).unwrap()
    }

    #[test]
    fn a_goal_is_met_missed_or_unknown() {
        const GOAL: &str = "wake to run, Rust / C, same CPU";
        let bench = |rust| Bench {
            figures: vec![figure("c", &[100.0]), figure("rust", &[rust])],
            ..Bench::default()
        };
        assert!(matches!(verdict(&bench(101.0), GOAL), Verdict::Met(1.01)));
        assert!(matches!(verdict(&bench(102.0), GOAL), Verdict::Missed(1.02)));
        assert!(matches!(verdict(&Bench::default(), GOAL), Verdict::Missing));
    }

    #[test]
    fn a_goal_that_c_misses_too_is_relative_to_c() {
        const GOAL: &str = "register and unregister, 64 CPUs, Rust / C";
        let of =
            |name: &str, median| Figure { key: register_on_largest(name), ..figure("", &[median]) };
        let bench = |rust| Bench {
            figures: vec![of("many_c", 140.0), of("many_rust", rust)],
            ..Bench::default()
        };
        assert!(matches!(verdict(&bench(141.0), GOAL), Verdict::Met(_)));
        assert!(matches!(verdict(&bench(144.0), GOAL), Verdict::Missed(_)));
    }

    #[test]
    fn overlapping_figures_meet_the_goals_that_allow_it() {
        let of = |name: &str, medians: &[f64]| Figure { key: hotplug(name), ..figure("", medians) };
        let figures =
            vec![of("many_c", &[100.0, 110.0, 120.0]), of("many_rust", &[119.0, 130.0, 140.0])];
        let bench = Bench { figures, ..Bench::default() };
        let text = "offline and online, 8 registrations, Rust / C";
        assert!(matches!(verdict(&bench, text), Verdict::Met(_)));
    }
}
