// SPDX-License-Identifier: GPL-2.0

//! The tour in a live view: plays the lessons by itself, until the user takes over.

use crate::{Action, Machine, Observation, Page, Player, Said};
use std::collections::VecDeque;
use std::time::Duration;

/// Bound of the time from the last action of a step to its effect. On a slow machine timers take
/// the longest.
const STALLS: Duration = Duration::from_secs(15);

/// A [`Player`] with the pace of a reader. All times are those of the caller's clock.
#[derive(Debug, Clone)]
pub struct Guide {
    player: Player,
    machine: Machine,
    pace: Duration,
    /// The user has taken over.
    by_hand: bool,
    /// Actions of the present step that are still to be done.
    actions: VecDeque<Action>,
    /// The lesson and the step that they are for.
    asked: Option<(usize, usize)>,
    /// Begin of the present pause.
    since: Duration,
    /// The last messages.
    said: Vec<Said>,
}

impl Guide {
    /// Begins with a lesson: 1 is the first.
    pub fn new(lesson: usize, machine: Machine, now: &Observation, pace: Duration) -> Guide {
        let (player, said) = Player::new(lesson, &machine, now);
        Guide {
            player,
            machine,
            pace,
            by_hand: false,
            actions: VecDeque::new(),
            asked: None,
            since: Duration::ZERO,
            said,
        }
    }

    /// Stops to act: the user acts from now on.
    pub fn take_over(&mut self) {
        self.by_hand = true;
        self.actions.clear();
    }

    /// Acts by itself again.
    pub fn resume(&mut self) {
        self.by_hand = false;
        self.asked = None;
    }

    pub fn is_by_hand(&self) -> bool {
        self.by_hand
    }

    /// The present step; `None` after the last lesson.
    pub fn page(&self, now: &Observation) -> Option<Page> {
        self.player.page(&self.machine, now)
    }

    /// The last messages: the explanation of the step before, or a hint.
    pub fn said(&self) -> &[Said] {
        &self.said
    }

    /// Continues with the next step, without a look at the state.
    pub fn skip(&mut self, now: &Observation) {
        self.said = self.player.skip(&self.machine, now);
        self.asked = None;
    }

    /// Continues with the lesson that has this number.
    pub fn go(&mut self, lesson: usize, now: &Observation) {
        self.said = self.player.go(lesson, &self.machine, now);
        self.asked = None;
    }

    /// Looks at a new state; `busy`: an action runs. Returns an action to start, if it is time.
    pub fn look(&mut self, now: &Observation, time: Duration, busy: bool) -> Option<Action> {
        if busy {
            self.since = time;
            return None;
        }
        let said = self.player.observe(&self.machine, now);
        if !said.is_empty() {
            self.said = said;
            self.since = time;
        }
        if self.by_hand || time.saturating_sub(self.since) < self.pace {
            return None;
        }
        let page = self.page(now)?;
        if self.asked != Some((page.lesson, page.step)) {
            self.asked = Some((page.lesson, page.step));
            self.actions = page.task.actions.into();
        }
        if let Some(action) = self.actions.pop_front() {
            self.since = time;
            return Some(action);
        }
        if time.saturating_sub(self.since) > STALLS.max(self.pace) {
            let text = format!("Nothing happened within {} s: skipped.", STALLS.as_secs());
            self.skip(now);
            self.said.insert(0, Said::Hint(text));
            self.since = time;
        }
        None
    }
}
