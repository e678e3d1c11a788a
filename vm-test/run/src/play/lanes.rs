// SPDX-License-Identifier: GPL-2.0

//! The moving lanes of a CPU and its thread.

use super::look::{Look, Part};
use demo_format::Nanos;
use demo_format::format::Kind;
use live::{Cpu, Mark, Span as Lane};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use std::collections::VecDeque;

/// The time that is shown.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub begin: Nanos,
    pub end: Nanos,
    /// Columns.
    pub width: usize,
}

impl Window {
    /// The column of a time in the window.
    fn column(self, time: Nanos) -> Option<usize> {
        let (at, length) = (time - self.begin, (self.end - self.begin).max(1));
        let column = (i128::from(at) * self.width as i128 / i128::from(length)) as usize;
        (at >= 0 && time <= self.end).then_some(column.min(self.width.saturating_sub(1)))
    }
}

/// One row.
type Cells = Vec<(char, Style)>;

/// The CPU's lane and the thread's, with the marks on it.
pub fn two(cpu: &Cpu, window: Window, look: Look) -> [Line<'static>; 2] {
    let mut power = row(&parts(&cpu.powers, window, Part::of_cpu), look);
    let mut thread = row(&parts(&cpu.lives, window, Part::of_thread), look);
    words(&mut power, &parts(&cpu.powers, window, Part::of_cpu), &[]);
    let marked = marks(&mut thread, cpu, window, look);
    words(&mut thread, &parts(&cpu.lives, window, Part::of_thread), &marked);
    [line(power), line(thread)]
}

/// Both in one row: the CPU's state where the CPU is not online, else the thread's.
pub fn one(cpu: &Cpu, window: Window, look: Look) -> Line<'static> {
    let power = parts(&cpu.powers, window, Part::of_cpu);
    let thread = parts(&cpu.lives, window, Part::of_thread);
    let both = power.iter().zip(&thread).map(|(power, thread)| match (power, thread) {
        (Part::Online, Part::Nothing) => Part::Online,
        (Part::Online, thread) => *thread,
        (power, _) => *power,
    });
    let both: Vec<Part> = both.collect();
    let mut cells = row(&both, look);
    let marked = marks(&mut cells, cpu, window, look);
    words(&mut cells, &both, &marked);
    line(cells)
}

/// The most important state in each column.
fn parts<T: Copy>(lane: &VecDeque<Lane<T>>, window: Window, part: fn(T) -> Part) -> Vec<Part> {
    let mut parts = vec![Part::Nothing; window.width];
    let first = lane.partition_point(|span| span.from <= window.begin).saturating_sub(1);
    for (i, span) in lane.iter().enumerate().skip(first) {
        let until = lane.get(i + 1).map_or(window.end, |next| next.from.min(window.end));
        if span.from > window.end || until < window.begin {
            continue;
        }
        let from = window.column(span.from.max(window.begin)).unwrap_or(0);
        let to = window.column(until).unwrap_or(0);
        for column in parts.iter_mut().take(to + 1).skip(from) {
            *column = (*column).max(part(span.state));
        }
    }
    parts
}

fn row(parts: &[Part], look: Look) -> Cells {
    parts.iter().map(|part| look.part(*part)).collect()
}

/// Writes words into long parts, between the marks: color is not the only sign of a state.
fn words(cells: &mut Cells, parts: &[Part], marked: &[usize]) {
    let mut begin = 0;
    for run in parts.chunk_by(|a, b| a == b) {
        let end = begin + run.len();
        if let Some(word) = run[0].word() {
            // The place that is the nearest to the middle.
            let middle = begin + run.len().saturating_sub(word.len()) / 2;
            let is_free =
                |at: &usize| !marked.iter().any(|mark| (*at..at + word.len()).contains(mark));
            let last = end.saturating_sub(word.len() + 1);
            let place = (begin + 1..=last).filter(is_free).min_by_key(|at| at.abs_diff(middle));
            if let Some(at) = place {
                for (cell, character) in cells[at..].iter_mut().zip(word.chars()) {
                    cell.0 = character;
                }
            }
        }
        begin = end;
    }
}

/// Adds the marks, of several in one column the rarest; returns their columns.
fn marks(cells: &mut Cells, cpu: &Cpu, window: Window, look: Look) -> Vec<usize> {
    let rank = |kind| match kind {
        Kind::Wake => 1,
        Kind::Run => 2,
        Kind::Setup => 3,
        Kind::Create => 4,
        Kind::Unpark => 5,
        Kind::Park => 6,
        Kind::CleanupOnline | Kind::CleanupOffline => 7,
    };
    let mut best: Vec<Option<Kind>> = vec![None; window.width];
    // Times of different CPUs' wakes may be slightly out of order.
    let slack = 1_000_000_000;
    for Mark { time, kind } in cpu.marks.iter().rev() {
        if *time + slack < window.begin {
            break;
        }
        if let Some(column) = window.column(*time) {
            if best[column].is_none_or(|other| rank(other) < rank(*kind)) {
                best[column] = Some(*kind);
            }
        }
    }
    for (cell, kind) in cells.iter_mut().zip(&best) {
        if let Some(kind) = kind {
            *cell = look.mark(*kind);
        }
    }
    if is_pending(cpu) {
        let wake = cpu.marks.iter().rev().find(|mark| mark.kind == Kind::Wake);
        if let Some(column) = wake.and_then(|wake| window.column(wake.time)) {
            cells[column] = look.pending();
        }
    }
    let columns = best.iter().enumerate();
    columns.filter(|(_, kind)| kind.is_some()).map(|(column, _)| column).collect()
}

/// Whether a wake waits for the thread to be unparked.
pub fn is_pending(cpu: &Cpu) -> bool {
    cpu.pending && cpu.thread != "sleeping" && cpu.thread != "running"
}

/// Joins cells of one style.
fn line(cells: Cells) -> Line<'static> {
    let spans = cells.chunk_by(|a, b| a.1 == b.1);
    let span = |cells: &[(char, Style)]| {
        Span::styled(cells.iter().map(|(character, _)| character).collect::<String>(), cells[0].1)
    };
    spans.map(span).collect::<Vec<_>>().into()
}
