// SPDX-License-Identifier: GPL-2.0

//! Follows a learner through the lessons.

use crate::lesson::{Hint, Kind, Lesson, Look, Step};
use crate::lessons::PREPARATION;
use crate::{LESSONS, Machine, Observation, Task};
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// The place in the tour. A caller gives it each new observation, and shows its
/// messages to the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Player {
    /// Index of the lesson; behind the last one at the end.
    lesson: usize,
    /// Index of the step; `None`: the preparation.
    step: Option<usize>,
    /// When the lesson began, after its preparation.
    start: Observation,
    /// When the step began.
    before: Observation,
    /// The last hint.
    hint: Option<String>,
    /// Indexes of the lessons that are done.
    done: Vec<usize>,
}

/// A message for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A step is done: an explanation with the numbers of the observation.
    Done(String),
    /// Something else happened.
    Hint(String),
    /// The lesson with this number, from 1, is done.
    Ended(usize),
    /// The lesson with this number is skipped.
    Skipped(usize, &'static str),
}

/// The present step, for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The lesson's number, from 1.
    pub lesson: usize,
    pub title: &'static str,
    pub text: &'static str,
    /// The step's number, from 1; 0: the preparation.
    pub step: usize,
    pub steps: usize,
    pub task: Task,
}

impl Player {
    /// Begins with a lesson: 1 is the first. A lesson that the machine cannot show is skipped.
    pub fn new(lesson: usize, machine: &Machine, now: &Observation) -> (Player, Vec<Said>) {
        let mut player = Player {
            lesson: lesson.saturating_sub(1).min(LESSONS.len()),
            step: None,
            start: now.clone(),
            before: now.clone(),
            hint: None,
            done: Vec::new(),
        };
        let mut said = Vec::new();
        player.enter(machine, now, &mut said);
        (player, said)
    }

    /// The present step; `None` after the last lesson.
    pub fn page(&self, machine: &Machine, now: &Observation) -> Option<Page> {
        let lesson = LESSONS.get(self.lesson)?;
        let steps = steps(lesson, machine);
        let step = self.step.map_or(&PREPARATION, |step| steps[step]);
        Some(Page {
            lesson: self.lesson + 1,
            title: lesson.title,
            text: lesson.text,
            step: self.step.map_or(0, |step| step + 1),
            steps: steps.len(),
            task: (step.task)(&self.look(machine, now)),
        })
    }

    /// Numbers of the lessons that are done, from 1.
    pub fn done(&self) -> impl Iterator<Item = usize> {
        self.done.iter().map(|index| index + 1)
    }

    /// Compares the present state with what the step asks for.
    pub fn observe(&mut self, machine: &Machine, now: &Observation) -> Vec<Said> {
        let mut said = Vec::new();
        while let Some(lesson) = LESSONS.get(self.lesson) {
            let steps = steps(lesson, machine);
            let step = self.step.map_or(&PREPARATION, |step| steps[step]);
            let look = self.look(machine, now);
            if (step.done)(&look) {
                let text = (step.explain)(&look);
                said.push(Said::Done(text));
                self.advance(machine, now, steps.len(), &mut said);
                continue;
            }
            if self.was_unloaded(step, now) {
                let text = "The module was unloaded: the lesson begins again.";
                said.push(Said::Hint(text.into()));
                self.enter(machine, now, &mut said);
                continue;
            }
            let hint = if now.is_settled() { (step.hint)(&look) } else { None };
            let Some(hint) = hint else { break };
            if self.hint.as_deref() != Some(hint.text()) {
                said.push(Said::Hint(hint.text().into()));
                self.hint = Some(hint.text().into());
            }
            if let Hint::Again(_) = hint {
                self.before = now.clone();
            }
            break;
        }
        said
    }

    /// Continues with the next step, or lesson, without a look at the state.
    pub fn skip(&mut self, machine: &Machine, now: &Observation) -> Vec<Said> {
        let mut said = Vec::new();
        if let Some(lesson) = LESSONS.get(self.lesson) {
            match self.step {
                Some(step) if step + 1 == steps(lesson, machine).len() => {
                    self.lesson += 1;
                    self.enter(machine, now, &mut said);
                }
                step => self.begin(step.map_or(0, |step| step + 1), now),
            }
        }
        said
    }

    /// Continues with another lesson, by its number. Lessons that are done stay done.
    pub fn go(&mut self, lesson: usize, machine: &Machine, now: &Observation) -> Vec<Said> {
        let done = std::mem::take(&mut self.done);
        let (player, said) = Player::new(lesson, machine, now);
        *self = Player { done, ..player };
        said
    }

    fn look<'a>(&'a self, machine: &'a Machine, now: &'a Observation) -> Look<'a> {
        Look { machine, start: &self.start, before: &self.before, now }
    }

    /// Enters the lesson, or the next one that the machine can show.
    fn enter(&mut self, machine: &Machine, now: &Observation, said: &mut Vec<Said>) {
        while let Some(lesson) = LESSONS.get(self.lesson) {
            let Some(why) = lesson.needs.lacks(machine) else { break };
            said.push(Said::Skipped(self.lesson + 1, why));
            self.lesson += 1;
        }
        self.step = None;
        self.hint = None;
        self.before = now.clone();
        let is_ready = (PREPARATION.done)(&self.look(machine, now));
        if is_ready && self.lesson < LESSONS.len() {
            self.begin(0, now);
        }
    }

    fn begin(&mut self, step: usize, now: &Observation) {
        if step == 0 {
            self.start = now.clone();
        }
        self.step = Some(step);
        self.before = now.clone();
        self.hint = None;
    }

    fn advance(
        &mut self,
        machine: &Machine,
        now: &Observation,
        steps: usize,
        said: &mut Vec<Said>,
    ) {
        let next = self.step.map_or(0, |step| step + 1);
        if next < steps {
            return self.begin(next, now);
        }
        said.push(Said::Ended(self.lesson + 1));
        if !self.done.contains(&self.lesson) {
            self.done.push(self.lesson);
        }
        self.lesson += 1;
        self.enter(machine, now, said);
    }

    /// Whether the threads are no longer those of the lesson's begin.
    fn was_unloaded(&self, step: &Step, now: &Observation) -> bool {
        let pids = |seen: &Observation| -> Vec<i32> {
            seen.cpus.values().map(|thread| thread.pid).collect()
        };
        step.kind != Kind::Unloads && self.step.is_some() && pids(now) != pids(&self.start)
    }
}

/// The steps that the machine can show.
fn steps<'a>(lesson: &'a Lesson, machine: &Machine) -> Vec<&'a Step> {
    let has_second = machine.cpu().is_some();
    lesson.steps.iter().filter(|step| has_second || step.kind != Kind::Toggles).collect()
}
