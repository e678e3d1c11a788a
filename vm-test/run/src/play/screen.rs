// SPDX-License-Identifier: GPL-2.0

//! Draws the screen.

use super::lanes::{self, Window};
use super::look::Look;
use super::overlays;
use super::tour;
use super::view::{Overlay, View};
use demo_format::Nanos;
use demo_format::histogram::time;
use live::{Cpu, Entry, Power, State, Status};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph, Wrap};

/// The smallest screen that has room for lanes.
const SMALLEST: (u16, u16) = (60, 12);

/// Rows besides those of the CPUs: head, axis, details, sentence, keys.
const FIXED: u16 = 6;

/// Rows that the log gets before the CPUs get two rows each.
const LOG: u16 = 4;

/// Rows that a page of the tour usually needs.
const PAGE: u16 = 8;

/// Width of a CPU's words: with its latency if the screen is wide.
const WORDS: u16 = 27;
const WIDE: u16 = 110;
const LATENCY: u16 = 34;

/// The most important keys.
const KEYS: [(&str, &str); 9] = [
    ("space", "on/off"),
    ("w", "wake"),
    ("t", "timers"),
    ("i", "module"),
    ("f", "fail"),
    ("e", "explain"),
    ("z", "freeze"),
    ("?", "help"),
    ("q", "quit"),
];

/// Those during the tour.
const TOUR_KEYS: [(&str, &str); 9] = [
    ("space", "on/off"),
    ("w", "wake"),
    ("t", "timers"),
    ("i", "module"),
    ("n", "next"),
    ("r", "run"),
    ("T", "no tour"),
    ("?", "help"),
    ("q", "quit"),
];

pub fn draw(frame: &mut Frame<'_>, view: &mut View, state: &State, now: Nanos) {
    let (area, look) = (frame.area(), view.look);
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let (width, height) = SMALLEST;
        let text = format!(
            "This terminal has {}x{} characters. The view needs {width}x{height}: enlarge it, or q to quit.",
            area.width, area.height
        );
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
        return;
    }

    let count = state.cpus.len() as u16;
    let page = tour::text(view, state, usize::from(area.width) - 2);
    // Always the same, so that the lanes stay where they are.
    let (page_rows, log_rows) = if view.guide.is_some() { (PAGE, 0) } else { (0, LOG) };
    let room = area.height.saturating_sub(FIXED + page_rows);
    let height = match () {
        () if 3 * count + log_rows <= room => 3,
        () if 2 * count + log_rows <= room => 2,
        () => 1,
    };
    // The tour explains what it does.
    let is_running = view.guide.as_ref().is_some_and(|guide| !guide.is_by_hand());
    let is_told = is_running && !page.is_empty() && !is_fault(state);
    let lanes_height = (height * count).min(room.saturating_sub(log_rows).max(3));
    let [head, axis, lanes_area, details, sentence, page_area, log, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(lanes_height),
        Constraint::Length(1),
        Constraint::Length(if is_told { 0 } else { 2 }),
        Constraint::Length(page.len() as u16),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(area);

    let fit = usize::from(lanes_height / height);
    view.follow(fit, state.cpus.len());
    view.rows = (lanes_area, height, fit.min(state.cpus.len()));

    frame.render_widget(head_line(view, state), head);
    let words = WORDS + if area.width >= WIDE { LATENCY } else { 0 };
    let (begin, end) = view.shown(now);
    let window = Window { begin, end, width: usize::from(area.width - words) };
    let chart = |row: Rect| Rect { x: row.x + words, width: row.width - words, ..row };
    frame.render_widget(axis_words(view, state, fit), Rect { width: words, ..axis });
    frame.render_widget(axis_line(view, now, window.width), chart(axis));

    for (row, (id, cpu)) in state.cpus.iter().skip(view.top).take(fit).enumerate() {
        let y = lanes_area.y + row as u16 * height;
        let line = |n: u16| Rect { y: y + n, height: 1, ..lanes_area };
        let chosen = view.top + row == view.chosen;
        let left = |n: u16| Rect { width: words, ..line(n) };
        let [first, second] = cpu_words(*id, cpu, chosen, height == 1, words > WORDS, look);
        frame.render_widget(first, left(0));
        if height == 1 {
            frame.render_widget(lanes::one(cpu, window, look), chart(line(0)));
            continue;
        }
        frame.render_widget(second, left(1));
        for (n, lane) in lanes::two(cpu, window, look).into_iter().enumerate() {
            frame.render_widget(lane, chart(line(n as u16)));
        }
    }

    frame.render_widget(details_line(view, state), details);
    let text = match &state.running {
        Some(action) => format!("Running: {}", action.command()),
        None => look.text(&state.sentence),
    };
    let style = if is_fault(state) { look.fault() } else { look.bold() };
    frame.render_widget(Paragraph::new(text).style(style).wrap(Wrap { trim: true }), sentence);
    frame.render_widget(Paragraph::new(page), page_area);
    frame.render_widget(log_lines(state, log.height, look), log);
    frame.render_widget(keys_line(view, state), keys);

    if let Some(text) = overlays::text(view, state) {
        let height = (text.lines.len() as u16).min(area.height - 1);
        let width = text.width().min(usize::from(area.width)) as u16;
        let middle = (area.height - height) / 2;
        let y = match view.overlay {
            // What becomes of its keys is below.
            Some(Overlay::Samples) => middle.min(details.y.saturating_sub(height)),
            _ => middle,
        };
        let place = Rect { x: area.x + (area.width - width) / 2, y: area.y + y, width, height };
        let around = Rect { x: place.x.saturating_sub(1), width: place.width + 2, ..place };
        frame.render_widget(Clear, around.intersection(area));
        frame.render_widget(Paragraph::new(text), place);
    }
}

/// Whether the session has ended with a fault.
fn is_fault(state: &State) -> bool {
    matches!(state.status, Status::Ended { ok: false, .. })
}

fn head_line(view: &View, state: &State) -> Line<'static> {
    let look = view.look;
    let online = state.cpus.values().filter(|cpu| cpu.power == Power::Online).count();
    let mut parts = vec![format!("{online}/{} CPUs online", state.cpus.len())];
    parts.push(match (state.loaded, state.period_us) {
        (false, _) => "not loaded".into(),
        (true, 0) => "no timers".into(),
        (true, us) => format!("timers {}", time(u64::from(us) * 1000)),
    });
    parts.push(match state.lost {
        0 => format!("{} events", state.events),
        lost => format!("{} events, {lost} lost", state.events),
    });
    if state.last_took > 0 {
        parts.push(format!("command {}", time(state.last_took as u64)));
    }
    let text = format!(" {}", parts.join(look.separator()));
    vec![Span::styled(" rust_smpboot ", look.key()), look.text(&text).into()].into()
}

/// Which CPUs are on the screen, if not all.
fn axis_words(view: &View, state: &State, fit: usize) -> Line<'static> {
    let count = state.cpus.len();
    let text = match fit < count {
        true => format!(" CPUs {} to {} of {count}", view.top, view.top + fit - 1),
        false => String::new(),
    };
    Line::styled(text, view.look.dim())
}

/// The times at both ends of the lanes.
fn axis_line(view: &View, now: Nanos, width: usize) -> Line<'static> {
    let look = view.look;
    let ago = |at: Nanos| match (now - at) as u64 {
        0 => "now".to_owned(),
        ago => format!("-{}", time(ago)),
    };
    let (begin, end) = view.shown(now);
    let (left, right) = match view.frozen {
        Some(_) => (ago(begin), format!("frozen, {}", ago(end))),
        None => (format!("-{}", time(view.length() as u64)), "now".into()),
    };
    let gap = width.saturating_sub(left.chars().count() + right.chars().count());
    let line = look.text(&format!("{left}{}{right}", " ".repeat(gap)));
    Line::styled(line, if view.frozen.is_some() { look.bold() } else { look.dim() })
}

/// The words before a CPU's lanes, for its one or two rows.
fn cpu_words(
    id: u32,
    cpu: &Cpu,
    chosen: bool,
    compact: bool,
    wide: bool,
    look: Look,
) -> [Line<'static>; 2] {
    let (word, color) = match cpu.power {
        Power::Online => ("online", Color::Green),
        Power::GoingOffline => ("teardown", Color::Yellow),
        Power::Offline => ("offline", Color::DarkGray),
        Power::ComingOnline => ("bringup", Color::Yellow),
    };
    let pending = lanes::is_pending(cpu);
    let number = format!("{id:>3} ");
    let mut first = vec![
        Span::raw(if chosen { look.selected() } else { " " }),
        if chosen { Span::styled(number, look.bold()) } else { number.into() },
        Span::styled(format!("{word:<10}"), look.color(color)),
    ];
    let thread = match cpu.thread.as_str() {
        _ if pending && compact => "pending",
        _ if pending => "wake pending",
        thread => thread,
    };
    let thread_style = match cpu.thread.as_str() {
        _ if pending => look.color(Color::Yellow).patch(look.bold()),
        "parked" => look.color(Color::Magenta),
        "running" => look.color(Color::LightBlue),
        _ => Style::new(),
    };
    let thread = Span::styled(format!("{thread:<12}"), thread_style);
    if compact {
        first.push(thread);
        return [first.into(), Line::default()];
    }
    let mut second =
        vec![Span::raw(if chosen { look.selected() } else { " " }), "    ".into(), thread];
    if wide {
        let (top, bottom) = match cpu.latency {
            Some(latency) => (
                format!("          p50 {:<8} p99 {}", time(latency.p50), time(latency.p99)),
                format!("max {:<8} {}", time(latency.max), cpu.bars),
            ),
            None => Default::default(),
        };
        first.push(look.text(&format!("{top:<LATENCY$}", LATENCY = usize::from(LATENCY))).into());
        second.push(Span::styled(look.text(&format!("        {bottom}")), look.dim()));
    }
    [first.into(), second.into()]
}

/// The figures of the chosen CPU.
fn details_line(view: &View, state: &State) -> Line<'static> {
    let look = view.look;
    let id = view.cpu(state);
    let Some(cpu) = state.cpus.get(&id) else { return Line::default() };
    let counts = cpu.counts;
    let mut parts = vec![format!("CPU {id}")];
    if let Some(latency) = cpu.latency {
        let [p50, p99, max] = [latency.p50, latency.p99, latency.max].map(time);
        parts.push(format!("p50 {p50}, p99 {p99}, max {max}"));
    }
    if cpu.pid != 0 {
        parts.push(format!("PID {}", cpu.pid));
        parts.push(format!("wake {}, run {}, park {}", counts.wake, counts.run, counts.park));
    }
    Line::styled(look.text(&format!(" {}", parts.join(look.separator()))), look.dim())
}

/// The newest lines of the log.
fn log_lines(state: &State, height: u16, look: Look) -> Paragraph<'static> {
    let skip = state.log.len().saturating_sub(usize::from(height));
    let lines = state.log.iter().skip(skip).map(|entry| match entry {
        Entry::Command(command) => Line::from(vec![
            Span::styled(" ~ # ", look.color(Color::Green)),
            Span::styled(look.text(command), look.bold()),
        ]),
        Entry::Kernel(line) => Line::styled(format!(" {}", look.text(line)), look.dim()),
        Entry::Error(error) => Line::from(format!("     {}", look.text(error))),
    });
    Paragraph::new(lines.collect::<Vec<_>>())
}

/// The keys, or what happens without them.
fn keys_line(view: &View, state: &State) -> Line<'static> {
    if state.status != Status::Running {
        return Line::styled(" q quit", view.look.bold());
    }
    if view.ending {
        let text = "The session ends: CPUs go online, the module is unloaded. q: do not wait";
        return Line::styled(text, view.look.bold());
    }
    let keys = match &view.guide {
        Some(guide) if !guide.is_by_hand() => {
            let text = " The tour runs. Any key takes over; n next step; T no tour; q quit";
            return Line::styled(text, view.look.bold());
        }
        Some(_) => TOUR_KEYS,
        None => KEYS,
    };
    let key = |(key, what): &(&'static str, &'static str)| {
        [Span::styled(*key, view.look.key()), format!(" {what} ").into()]
    };
    keys.iter().flat_map(key).collect::<Vec<_>>().into()
}
