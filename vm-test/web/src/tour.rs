// SPDX-License-Identifier: GPL-2.0

//! The tour that all pages share.

use crate::protocol::Request;
use crate::session::Session;
use live::{State, Status};
use serde_json::{Value, json};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tour::{Guide, LESSONS, Machine, Said};

/// The lessons, once a page has begun them. The user acts; the tour watches.
#[derive(Default)]
pub struct Tour(Mutex<Option<Guide>>);

impl Tour {
    fn with<T>(&self, act: impl FnOnce(&mut Option<Guide>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does what a page asks of the tour. Returns whether it did.
    pub fn request(&self, request: &Request, state: &State, session: &dyn Session) -> bool {
        let now = state.observation();
        self.with(|guide| match (request, guide) {
            (Request::Tour { lesson }, guide) => {
                let machine = Machine::clone(&state.machine);
                let mut begun = Guide::new(*lesson, machine, &now, Duration::ZERO);
                begun.take_over();
                *guide = Some(begun);
            }
            (Request::TourNext, Some(guide)) => guide.skip(&now),
            (Request::TourDo, Some(guide)) => {
                let actions = guide.page(&now).map(|page| page.task.actions);
                actions.into_iter().flatten().for_each(|action| session.act(action));
            }
            (Request::TourEnd, guide) => *guide = None,
            _ => {}
        });
        use Request::{Tour, TourDo, TourEnd, TourNext};
        matches!(request, Tour { .. } | TourNext | TourDo | TourEnd)
    }

    /// Looks at a new state. Returns what the pages show: null without a tour.
    pub fn look(&self, state: &State) -> Value {
        self.with(|guide| {
            let Some(guide) = guide else { return Value::Null };
            let now = state.observation();
            let time = Duration::from_nanos(state.now.max(0) as u64);
            if state.status == Status::Running {
                // By hand: it starts nothing.
                guide.look(&now, time, state.running.is_some());
            }
            let messages = guide.said().iter().map(text).collect::<Vec<_>>();
            let page = guide.page(&now).map(|page| {
                json!({
                    "lesson": page.lesson,
                    "title": page.title,
                    "text": page.text,
                    "step": page.step,
                    "steps": page.steps,
                    "task": page.task.what,
                    "commands": page.task.commands,
                })
            });
            json!({ "lessons": LESSONS.len(), "page": page, "messages": messages })
        })
    }
}

fn text(said: &Said) -> String {
    match said {
        Said::Done(text) | Said::Hint(text) => text.clone(),
        Said::Ended(lesson) => format!("Lesson {lesson} is done."),
        Said::Skipped(lesson, why) => format!("Lesson {lesson} is skipped: {why}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::fake::Fake;
    use demo_format::format::Counts;

    #[test]
    fn the_tour_follows_what_the_user_does() {
        let (session, tour) = (Fake::new(2), Tour::default());
        session.change(|state| {
            state.machine = Machine::new(vec![0, 1], vec![1], "", "").into();
            state.cpus.values_mut().for_each(|cpu| cpu.counts = Counts::SET_UP);
        });
        let ask = |request| tour.request(&request, &session.state(), &*session);
        assert_eq!(tour.look(&session.state()), Value::Null);
        assert!(ask(Request::Tour { lesson: 1 }));
        let shown = tour.look(&session.state());
        assert_eq!((&shown["page"]["lesson"], &shown["page"]["step"]), (&json!(1), &json!(1)));
        assert_eq!(shown["page"]["task"], "Wake the thread of CPU 1: it runs");
        assert_eq!(session.requests(), [""; 0], "the tour only watches");

        ask(Request::TourDo);
        assert_eq!(session.requests(), ["echo 1 > /sys/kernel/debug/rust_smpboot_demo/wake"]);
        session.change(|state| {
            let counts = &mut state.cpus.get_mut(&1).unwrap().counts;
            (counts.wake, counts.run) = (1, 1);
        });
        let shown = tour.look(&session.state());
        assert_eq!(shown["page"]["step"], 2);
        assert!(shown["messages"][0].as_str().unwrap().contains("run 0 -> 1"), "{shown}");

        ask(Request::TourNext);
        assert_eq!(tour.look(&session.state())["page"]["step"], 3);
        ask(Request::TourEnd);
        assert_eq!(tour.look(&session.state()), Value::Null);
        assert!(!ask(Request::Load));
    }

    #[test]
    fn lessons_that_the_machine_cannot_show_are_skipped() {
        let (session, tour) = (Fake::new(1), Tour::default());
        session.change(|state| state.machine = Machine::new(vec![0], vec![], "", "").into());
        tour.request(&Request::Tour { lesson: 1 }, &session.state(), &*session);
        let shown = tour.look(&session.state());
        assert!(
            shown["messages"][0].as_str().unwrap().starts_with("Lesson 1 is skipped"),
            "{shown}"
        );
        assert_ne!(shown["page"]["lesson"], 1);
    }
}
