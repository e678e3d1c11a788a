// SPDX-License-Identifier: GPL-2.0

//! Texts in front of the lanes: help, a CPU explained, the report, the verdict.

use super::lanes;
use super::look::Look;
use super::view::{Overlay, View};
use demo_format::format::{self, Kind};
use demo_format::histogram::time;
use live::{Power, State, Status};
use ratatui::text::{Line, Span, Text};
use tour::Action;

/// Columns inside of the frame; fewer on a narrower screen.
const WIDTH: usize = 74;

/// The text that is in front, if there is one.
pub fn text(view: &View, state: &State) -> Option<Text<'static>> {
    let look = view.look;
    // Beside the frame: two columns for it, one for a space.
    let width = WIDTH.min(usize::from(view.rows.0.width).saturating_sub(3));
    if let Status::Ended { ok, lines } = &state.status {
        let title = if *ok { "The session has ended" } else { "The session has FAILED" };
        let mut text: Vec<Line<'static>> =
            lines.iter().flat_map(|line| lines_of(line, width, look)).collect();
        text.extend(
            state.reports.iter().map(|path| Line::from(format!("Report: {}", path.display()))),
        );
        return Some(framed(title, text, "q quit", width, look));
    }
    Some(match view.overlay? {
        Overlay::Help => framed("Keys", help(view, state), "Esc back", width, look),
        Overlay::Explain => {
            let cpu = view.cpu(state);
            framed(
                &format!("CPU {cpu}"),
                explained(cpu, state, width, look),
                "Esc back",
                width,
                look,
            )
        }
        Overlay::Samples => framed(
            "Samples",
            samples(view, state, width),
            "space load or unload   0-9 CPU on, off   Esc back",
            width,
            look,
        ),
        Overlay::Report => framed("Report", report(state, width, look), "Esc back", width, look),
    })
}

fn report(state: &State, width: usize, look: Look) -> Vec<Line<'static>> {
    let mut lines = match state.reports.last() {
        _ if state.saving => lines_of("The report is being written.", width, look),
        Some(path) => lines_of("The report so far was written. Open it in a browser:", width, look)
            .into_iter()
            .chain([Line::from(format!("file://{}", path.display()))])
            .collect(),
        None => lines_of("There is nothing to report: load the module with i.", width, look),
    };
    lines.extend(lines_of("At the end of the session it is written again.", width, look));
    lines
}

/// The modules beside the demo, what each shows, and the command for the chosen one.
fn samples(view: &View, state: &State, width: usize) -> Vec<Line<'static>> {
    let look = view.look;
    if state.samples.is_empty() {
        return lines_of("There is no sample in this guest.", width, look);
    }
    let line = |(n, (sample, loaded)): (usize, &(&tour::Sample, bool))| {
        let mark = if n == view.sample { look.selected() } else { " " };
        let word = if *loaded { "loaded" } else { "" };
        let text = format!("{mark}{:<22}{word:<7}{}", sample.name, sample.shows);
        Line::styled(look.text(&text), if *loaded { look.bold() } else { look.plain() })
    };
    let mut lines: Vec<Line<'static>> = state.samples.iter().enumerate().map(line).collect();
    if let Some(action) = view.toggle_sample(state) {
        lines.push(Line::styled(format!("  ~ # {}", action.command()), look.dim()));
    }
    lines
}

/// Keys, what they do, and the commands for the chosen CPU.
fn help(view: &View, state: &State) -> Vec<Line<'static>> {
    let look = view.look;
    let cpu = view.cpu(state);
    let command =
        |key| view.action(key, cpu, state).map(|action| action.command()).unwrap_or_default();
    let fail = Action::FailAt(cpu, 0).command().replacen("echo 0", "echo STATE", 1);
    let toggle = match state.cpus.get(&cpu).map(|cpu| cpu.power) {
        Some(Power::Online) => "take this CPU offline",
        _ => "bring this CPU online",
    };
    let module = if state.loaded { "unload the module" } else { "load the module" };
    let rows: [(&str, &str, String); 8] = [
        ("space", toggle, command(' ')),
        ("0-9", "the same for CPU 0 to 9; a click too", String::new()),
        ("w", "wake this thread; a right click too", command('w')),
        ("W", "wake all threads", command('W')),
        ("t", "next period of the timers", command('t')),
        ("i", module, command('i')),
        ("f", "let the next offline or online fail", fail),
        ("$", "a shell in the guest", String::new()),
    ];
    let mut lines = Vec::new();
    for (key, what, command) in rows {
        lines.push(row(key, what, look));
        if !command.is_empty() {
            lines.push(Line::styled(look.text(&format!("          {command}")), look.dim()));
        }
    }
    for (key, what) in [
        ("up down", "choose a CPU; also j, k, page up, page down, wheel"),
        ("z", "freeze; left, right: scroll; + -: zoom"),
        ("e o s T", "explain this CPU; write the report now; samples; the tour"),
        ("q", "end the session: verdict and report"),
    ] {
        lines.push(row(key, what, look));
    }
    let mut marks = vec![Span::raw("  ")];
    for kind in [Kind::Create, Kind::Setup, Kind::Wake, Kind::Run, Kind::Park, Kind::Unpark] {
        let (mark, style) = look.mark(kind);
        marks.extend([Span::styled(mark.to_string(), style), format!(" {}  ", kind.name()).into()]);
    }
    let (mark, style) = look.mark(Kind::CleanupOnline);
    marks.extend([Span::styled(mark.to_string(), style), " cleanup  ".into()]);
    let (mark, style) = look.pending();
    marks.extend([Span::styled(mark.to_string(), style), " pending".into()]);
    lines.push(marks.into());
    lines
}

fn row(key: &str, what: &str, look: Look) -> Line<'static> {
    vec![Span::raw(" "), Span::styled(format!(" {key:<7} "), look.bold()), what.to_owned().into()]
        .into()
}

/// The present state of a CPU and its thread, and the next one.
fn explained(id: u32, state: &State, width: usize, look: Look) -> Vec<Line<'static>> {
    let Some(cpu) = state.cpus.get(&id) else { return Vec::new() };
    let mut lines = vec![chain(cpu, look), Line::default()];
    let mut add = |text: &str| lines.extend(lines_of(text, width, look));
    match cpu.power {
        _ if !cpu.hotpluggable => add(&format!(
            "CPU {id} is online, and stays so: this kernel gives it no file `online`."
        )),
        Power::Online => add(&format!(
            "CPU {id} is online. Offline (space), the kernel parks its thread first: hotplug state \
             smpboot/threads:online."
        )),
        Power::Offline => add(&format!(
            "CPU {id} is offline. Online again (space), the kernel unparks its thread."
        )),
        Power::GoingOffline => add(&format!("CPU {id} goes offline at present.")),
        Power::ComingOnline => add(&format!("CPU {id} comes online at present.")),
    }
    if !state.loaded {
        add("The module is not loaded: there is no thread. Load it with i.");
        return lines;
    }
    let pid = cpu.pid;
    match cpu.thread.as_str() {
        "sleeping" => add(&format!(
            "Its thread, PID {pid}, sleeps until it is woken (w). Then the core calls run()."
        )),
        "running" => add(&format!("Its thread, PID {pid}, runs.")),
        "parked" => add(&format!(
            "Its thread, PID {pid}, is parked: it exists, with its state, and runs nothing."
        )),
        _ => add("It has no thread yet: the kernel creates one when the CPU first comes online."),
    }
    if lanes::is_pending(cpu) {
        add("It was woken since: the wake is pending, and run() is called after the unpark.");
    }
    let counts = cpu.counts;
    add(&format!(
        "So far: setup {}, wake {}, run {}, park {}, unpark {}, cleanup {}.",
        counts.setup, counts.wake, counts.run, counts.park, counts.unpark, counts.cleanup
    ));
    if counts.run < counts.wake {
        add("There are fewer runs than wakes: one run answers all wakes before it.");
    }
    if let Some(latency) = cpu.latency {
        let [p50, p99, max] = [latency.p50, latency.p99, latency.max].map(time);
        add(&format!("From a wake to its run: p50 {p50}, p99 {p99}, max {max}."));
    }
    lines
}

/// The life of a thread, with the present state lit.
fn chain(cpu: &live::Cpu, look: Look) -> Line<'static> {
    use format::State;
    let present = cpu.lives.back().map_or(State::None, |life| life.state);
    let arrow = if look.ascii { " > " } else { " → " };
    let mut spans = vec![Span::raw("  ")];
    for (n, state) in State::ALL.iter().enumerate() {
        if n > 0 {
            spans.push(match (*state, look.ascii) {
                (State::Parked, false) => " ⇄ ".into(),
                (State::Parked, true) => " <> ".into(),
                _ => arrow.into(),
            });
        }
        let name = state.name();
        spans.push(match *state == present {
            true => Span::styled(format!("[{name}]"), look.key()),
            false => Span::styled(name, look.dim()),
        });
    }
    spans.into()
}

/// The lines of a text in the frame.
fn lines_of(text: &str, width: usize, look: Look) -> Vec<Line<'static>> {
    wrapped(text, width, look).into_iter().map(Line::from).collect()
}

/// Breaks a text into lines.
pub fn wrapped(text: &str, width: usize, look: Look) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in look.text(text).split_whitespace() {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].chars().count() + 1 + word.chars().count() > width
        {
            lines.push(word.to_owned());
        } else {
            if !lines[last].is_empty() {
                lines[last].push(' ');
            }
            lines[last] += word;
        }
    }
    lines
}

/// Puts a frame around lines.
fn framed(
    title: &str,
    lines: Vec<Line<'static>>,
    keys: &str,
    width: usize,
    look: Look,
) -> Text<'static> {
    let [top_left, top_right, bottom_left, bottom_right, side, edge] = if look.ascii {
        ["+", "+", "+", "+", "|", "-"]
    } else {
        ["╭", "╮", "╰", "╯", "│", "─"]
    };
    let border = |left: &str, text: &str, right: &str| {
        let text = format!(" {text} ");
        let rest = edge.repeat(width + 1 - text.chars().count());
        Line::from(format!("{left}{edge}{text}{rest}{right}"))
    };
    let mut text = vec![border(top_left, title, top_right)];
    for line in lines {
        let mut spans = vec![Span::raw(format!("{side} "))];
        let mut room = width;
        for span in line.spans {
            let content: String = span.content.chars().take(room).collect();
            room -= content.chars().count();
            spans.push(Span::styled(content, span.style.patch(line.style)));
        }
        spans.push(format!("{}{side}", " ".repeat(room + 1)).into());
        text.push(spans.into());
    }
    text.push(border(bottom_left, keys, bottom_right));
    text.into()
}
