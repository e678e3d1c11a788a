// SPDX-License-Identifier: GPL-2.0

//! The parts of a lesson.

use crate::{Machine, Observation, Task, Thread};
use demo_format::format::Counts;

/// A lesson.
pub struct Lesson {
    pub title: &'static str,
    /// Its subject, in a few sentences.
    pub text: &'static str,
    pub needs: Needs,
    pub steps: &'static [Step],
}

/// Properties of a machine that a lesson needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    Nothing,
    /// A CPU that can be taken offline.
    SecondCpu,
    /// Also a hotplug state that can fail.
    FailingState,
    /// Also a kernel that can hibernate.
    Hibernation,
}

impl Needs {
    /// Returns why the machine cannot show the lesson, if so.
    pub fn lacks(self, machine: &Machine) -> Option<&'static str> {
        if self != Needs::Nothing && machine.cpu().is_none() {
            return Some("no second CPU can be taken offline; `make vm CPUS=2` has one");
        }
        match self {
            Needs::FailingState if machine.fail.is_none() => {
                Some("no hotplug state behind that of the threads can fail")
            }
            Needs::Hibernation if !machine.hibernates => Some("the kernel cannot hibernate"),
            _ => None,
        }
    }
}

/// A step of a lesson.
pub struct Step {
    pub task: fn(&Look<'_>) -> Task,
    /// Whether it is done. Any way to do it counts.
    pub done: fn(&Look<'_>) -> bool,
    /// Explains the observations when it is done.
    pub explain: fn(&Look<'_>) -> String,
    /// Helps if something else was seen.
    pub hint: fn(&Look<'_>) -> Option<Hint>,
    pub kind: Kind,
}

/// How a step differs from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Usual,
    /// Takes a CPU offline, or brings it online; skipped if no CPU can be taken offline.
    Toggles,
    /// Unloads the module. During other steps that starts the lesson again.
    Unloads,
}

/// Help for a learner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// A part of the step is done.
    Progress(String),
    /// The step begins again with the present state.
    Again(String),
}

impl Hint {
    pub fn text(&self) -> &str {
        match self {
            Hint::Progress(text) | Hint::Again(text) => text,
        }
    }
}

/// The observations that a step compares.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    pub machine: &'a Machine,
    /// When the lesson began, after its preparation.
    pub start: &'a Observation,
    /// When the step began.
    pub before: &'a Observation,
    pub now: &'a Observation,
}

impl Look<'_> {
    /// The CPU of the lesson.
    pub fn cpu(&self) -> u32 {
        self.machine.cpu().unwrap_or(0)
    }

    /// That CPU and its thread.
    pub fn thread(&self) -> Thread {
        self.now.thread(self.cpu())
    }

    /// How much a counter of a CPU has grown during the step.
    pub fn grown(&self, cpu: u32, count: fn(&Counts<u64>) -> u64) -> u64 {
        let before = count(&self.before.thread(cpu).counts);
        count(&self.now.thread(cpu).counts).saturating_sub(before)
    }

    /// A counter before the step and now, as text: `run 3 -> 4`.
    pub fn change(&self, cpu: u32, name: &str, count: fn(&Counts<u64>) -> u64) -> String {
        let (before, now) =
            (count(&self.before.thread(cpu).counts), count(&self.now.thread(cpu).counts));
        match before == now {
            true => format!("{name} is still {now}"),
            false => format!("{name} {before} -> {now}"),
        }
    }

    /// The CPUs that were taken offline during the step, and still are.
    pub fn went_offline(&self) -> Vec<u32> {
        self.now.offline().filter(|cpu| self.before.thread(*cpu).online).collect()
    }
}
