// SPDX-License-Identifier: GPL-2.0

//! The page of the tour, below the lanes.

use super::overlays::wrapped;
use super::view::View;
use ::tour::{LESSONS, Page, Said};
use live::State;
use ratatui::text::{Line, Span};

/// The lines of the present page; none without a tour.
pub fn text(view: &View, state: &State, width: usize) -> Vec<Line<'static>> {
    let Some(guide) = &view.guide else { return Vec::new() };
    let look = view.look;
    let mut lines = Vec::new();
    let add = |lines: &mut Vec<Line<'static>>, first: &str, text: &str, style| {
        let room = width - first.chars().count();
        for (n, line) in wrapped(text, room, look).into_iter().enumerate() {
            let indent = if n == 0 { first.to_owned() } else { " ".repeat(width - room) };
            lines.push(Line::styled(format!(" {indent}{line}"), style));
        }
    };
    for said in guide.said() {
        match said {
            Said::Done(text) => add(&mut lines, look.done(), text, look.good()),
            Said::Hint(text) => add(&mut lines, "! ", text, look.bold()),
            Said::Ended(lesson) => {
                add(&mut lines, look.done(), &format!("Lesson {lesson} is done."), look.good());
            }
            Said::Skipped(lesson, why) => {
                add(&mut lines, "! ", &format!("Lesson {lesson} is skipped: {why}."), look.bold());
            }
        }
    }
    let Some(Page { lesson, title, text, step, steps, task }) = guide.page(&state.observation())
    else {
        let text = "The tour is over. Play on, or end the session with q.";
        add(&mut lines, "", text, look.bold());
        return lines;
    };
    let of = LESSONS.len();
    let place = match step {
        // Before the lesson: its thread or its CPU must be there.
        0 => " first".into(),
        step => format!(" step {step} of {steps}"),
    };
    lines.push(Line::from(vec![
        Span::styled(format!(" Lesson {lesson} of {of}: {title} "), look.key()),
        place.into(),
    ]));
    if step <= 1 {
        add(&mut lines, "", text, look.plain());
    }
    add(&mut lines, look.todo(), &task.what, look.bold());
    for command in &task.commands {
        add(&mut lines, "  ~ # ", command, look.dim());
    }
    lines
}
