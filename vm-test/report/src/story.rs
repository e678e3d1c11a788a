// SPDX-License-Identifier: GPL-2.0

//! A run in words: its actions, each with the figures of this run.

use crate::run::Action;
use crate::view::{CpuView, Power, Span, View};
use demo_format::Nanos;
use demo_format::events::Event;
use demo_format::format::Kind;
use demo_format::histogram::time;
use demo_format::latency::Join;
use serde::Serialize;
use std::fmt::Write;

/// A part of the run: the view to show and its figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Card<'a> {
    /// `3`, or `3.1` for the first action inside of the third.
    pub number: String,
    pub action: &'a Action,
    /// The CPU, if the action is about a single one.
    pub cpu: Option<u32>,
    pub begin: Nanos,
    pub end: Nanos,
    pub caption: String,
}

/// The view that a picture opens with: the first CPU that is taken offline and brought online.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Opening {
    pub cpu: u32,
    pub begin: Nanos,
    pub end: Nanos,
    #[serde(skip)]
    pub caption: String,
}

/// Returns the actions of the host, without the one that only aligns the clocks.
pub fn cards(view: &View) -> Vec<Card<'_>> {
    let mut cards: Vec<Card<'_>> = vec![];
    let (mut number, mut inner, mut until) = (0, 0, Nanos::MIN);
    for action in view.run.actions.iter().filter(|action| !action.aligns_clocks()) {
        let (begin, end) = (action.begin, action.end.unwrap_or(view.end));
        let inside = number > 0 && end <= until;
        if inside {
            inner += 1;
        } else {
            (number, inner, until) = (number + 1, 0, end);
        }
        let number = if inside { format!("{number}.{inner}") } else { number.to_string() };
        let (cpu, caption) = told(view, begin, end);
        cards.push(Card { number, action, cpu, begin, end, caption });
    }
    cards
}

/// Returns the opening view; `None` if no CPU was taken offline.
pub fn opening(view: &View) -> Option<Opening> {
    let cycles = view.cpus.iter().flat_map(Cycle::all);
    let cycle = cycles.min_by_key(|cycle| cycle.going.begin)?;
    let run = cycle.kept.map(|(_, run)| run);
    let online = cycle.online().map_or(cycle.offline.end, |online| online.end);
    let end = run.map_or(online, |run| run.max(online));
    let caption = cycle.caption();
    Some(Opening { cpu: cycle.cpu.id, begin: cycle.going.begin, end, caption })
}

/// Returns the CPU that all events of the module in this time are of.
fn only_cpu(view: &View, begin: Nanos, end: Nanos) -> Option<&CpuView> {
    let mut cpus = view.cpus.iter().filter(|cpu| during(cpu, begin, end).next().is_some());
    cpus.next().filter(|_| cpus.next().is_none())
}

fn during(cpu: &CpuView, begin: Nanos, end: Nanos) -> impl Iterator<Item = &Event> {
    let from = cpu.events.partition_point(|event| event.time < begin);
    cpu.events[from..].iter().take_while(move |event| event.time <= end)
}

fn took(from: Nanos, to: Nanos) -> String {
    time(to.saturating_sub(from).unsigned_abs())
}

/// A CPU that is taken offline and brought online, and what its thread did.
struct Cycle<'a> {
    cpu: &'a CpuView,
    going: &'a Span<Power>,
    offline: &'a Span<Power>,
    /// The time of `park`.
    park: Option<Nanos>,
    unpark: Option<Nanos>,
    /// The times of the first wake that stayed pending, and of the run that answered it.
    kept: Option<(Nanos, Nanos)>,
}

impl<'a> Cycle<'a> {
    fn all(cpu: &'a CpuView) -> impl Iterator<Item = Self> {
        cpu.power.windows(2).filter_map(|pair| {
            let [going, offline] = pair else { return None };
            (going.what == Power::GoingOffline && offline.what == Power::Offline)
                .then(|| Self::new(cpu, going, offline))
        })
    }

    fn new(cpu: &'a CpuView, going: &'a Span<Power>, offline: &'a Span<Power>) -> Self {
        let first = |kind, from| {
            let events = cpu.events.iter().filter(|event| event.kind == kind);
            events.map(|event| event.time).find(|time| *time >= from)
        };
        let park = first(Kind::Park, going.begin).filter(|park| *park <= offline.end);
        let unpark = park.and_then(|_| first(Kind::Unpark, offline.begin));
        let times = |join: &Join| (cpu.events[join.wake].time, cpu.events[join.run].time);
        let mut joins = cpu.joins.iter().filter(|join| join.first && join.pending).map(times);
        let kept = joins.find(|(wake, run)| {
            park.is_some_and(|park| park <= *wake) && unpark.is_some_and(|unpark| unpark <= *run)
        });
        // A wake after the unpark belongs to a later cycle.
        let kept = kept.filter(|(wake, _)| unpark.is_some_and(|unpark| *wake <= unpark));
        Self { cpu, going, offline, park, unpark, kept }
    }

    fn online(&self) -> Option<&'a Span<Power>> {
        let next = self.cpu.power.iter().find(|span| span.begin == self.offline.end);
        next.filter(|span| span.what == Power::ComingOnline)
    }

    fn goes_offline(&self) -> String {
        let mut text = format!(
            "CPU {} took {} to go offline",
            self.cpu.id,
            took(self.going.begin, self.offline.begin)
        );
        if let Some(park) = self.park {
            let _ = write!(text, "; its thread was parked {} in", took(self.going.begin, park));
            let mut steps = self.cpu.steps.iter().filter(|step| step.is_smpboot());
            if let Some(step) = steps.find(|step| step.begin <= park && park <= step.end) {
                let _ = write!(text, ", by {}()", step.function);
            }
        }
        text + "."
    }

    fn comes_online(&self) -> String {
        let Some(online) = self.online() else { return String::new() };
        let mut text =
            format!("CPU {} took {} to come online", self.cpu.id, took(online.begin, online.end));
        if let Some(unpark) = self.unpark {
            let _ = write!(text, "; its thread was unparked {} in", took(online.begin, unpark));
        }
        text + "."
    }

    fn kept(&self) -> Option<String> {
        let ((wake, run), unpark) = (self.kept?, self.unpark?);
        let state = if wake >= self.offline.begin { "offline" } else { "going offline" };
        Some(format!(
            "It was woken while {state}, and ran {} later: {} after its unpark.",
            took(wake, run),
            took(unpark, run)
        ))
    }

    fn caption(&self) -> String {
        let rest = self.kept().unwrap_or_else(|| self.comes_online());
        format!("{} {rest}", self.goes_offline()).trim_end().to_owned()
    }
}

/// Returns the CPU that an action is about, if it is a single one, and the figures of the action.
fn told(view: &View, begin: Nanos, end: Nanos) -> (Option<u32>, String) {
    let within = |time: Nanos| begin <= time && time <= end;
    let cycles = view.cpus.iter().flat_map(Cycle::all);
    let mut cycles = cycles.filter_map(|cycle| {
        let (offline, online) = (within(cycle.going.begin), within(cycle.offline.end));
        (offline || online).then_some((cycle, offline, online))
    });
    match (cycles.next(), cycles.next()) {
        (Some((cycle, true, false)), None) => return (Some(cycle.cpu.id), cycle.goes_offline()),
        (Some((cycle, false, true)), None) => {
            let text = [Some(cycle.comes_online()), cycle.kept()].into_iter().flatten();
            return (Some(cycle.cpu.id), text.collect::<Vec<_>>().join(" "));
        }
        _ => {}
    }
    let cpu = only_cpu(view, begin, end);
    let kept = cpu.and_then(|cpu| stays_pending(cpu, begin, end));
    (cpu.map(|cpu| cpu.id), kept.unwrap_or_else(|| counted(view, begin, end)))
}

/// Returns for how long the wakes of an action stayed pending.
fn stays_pending(cpu: &CpuView, begin: Nanos, end: Nanos) -> Option<String> {
    let join = cpu.joins.iter().find(|join| {
        let wake = cpu.events[join.wake].time;
        join.pending && begin <= wake && wake <= end && cpu.events[join.run].time > end
    })?;
    let [wake, run] = [join.wake, join.run].map(|index| cpu.events[index].time);
    Some(format!("The wake stayed pending for {}, until the thread ran again.", took(wake, run)))
}

/// Counts the events of an action.
fn counted(view: &View, begin: Nanos, end: Nanos) -> String {
    let mut counts = vec![0u64; Kind::ALL.len()];
    let mut slowest = None;
    for cpu in &view.cpus {
        for event in during(cpu, begin, end) {
            let place = Kind::ALL.iter().position(|kind| *kind == event.kind);
            counts[place.unwrap_or_default()] += 1;
        }
        let counted = cpu.joins.iter().filter(|join| join.first && !join.pending);
        let times = counted.map(|join| (cpu.events[join.wake].time, cpu.events[join.run].time));
        let took = times.filter(|(wake, _)| begin <= *wake && *wake <= end).map(|(a, b)| b - a);
        slowest = slowest.max(took.max());
    }
    let mut text = format!("In {}", took(begin, end));
    let counts = Kind::ALL.iter().zip(counts).filter(|(_, count)| *count > 0);
    for (n, (kind, count)) in counts.enumerate() {
        let _ = write!(text, "{} {count} {}", if n == 0 { ":" } else { "," }, kind.name());
    }
    if let Some(slowest) = slowest {
        let _ = write!(text, "; longest from wake to run: {}", took(0, slowest));
    }
    text + "."
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Run;
    use demo_format::events::Cpu;
    use expect_test::expect;

    fn action(label: &str, commands: &[&str], begin: Nanos, end: Nanos) -> Action {
        let commands = commands.iter().map(|command| command.to_string()).collect();
        Action { label: label.into(), commands, begin, end: Some(end) }
    }

    /// A run without a trace: CPU 1 is taken offline, woken, and brought online.
    fn run() -> Run {
        const TOGGLE: [&str; 2] = [
            "echo 0 > /sys/devices/system/cpu/cpu1/online",
            "echo 1 > /sys/devices/system/cpu/cpu1/online",
        ];
        let events = [
            (1_000, Kind::Create),
            (2_000, Kind::Setup),
            (10_000, Kind::Wake),
            (96_000, Kind::Run),
            (106_100_000, Kind::Park),
            (120_000_000, Kind::Wake),
            (131_500_000, Kind::Unpark),
            (131_600_000, Kind::Run),
        ];
        let events = events.into_iter().zip(0..);
        let events = events.map(|((time, kind), number)| Event { time, number, kind }).collect();
        Run {
            cpus: vec![Cpu { events, ..Cpu::new(1) }],
            actions: vec![
                action("Load the module", &["insmod x.ko"], 0, 5_000),
                action("Wake it", &["echo 1 > wake"], 9_000, 98_000),
                action("sync cpu1", &[], 9_500, 97_000),
                action("Take it offline", &TOGGLE[..1], 100_000_000, 113_700_000),
                action("Wake it again", &["echo 1 > wake"], 119_000_000, 121_000_000),
                action("Bring it online", &TOGGLE[1..], 130_000_000, 132_000_000),
            ],
            ..Run::default()
        }
    }

    #[test]
    fn cards_have_the_figures_of_the_run() {
        let view = View::new(run());
        let mut text = String::new();
        for Card { number, cpu, caption, .. } in cards(&view) {
            let _ = writeln!(text, "{number} {cpu:?} {caption}");
        }
        expect![[r#"
            1 Some(1) In 5.00 µs: 1 create, 1 setup.
            2 Some(1) In 89.0 µs: 1 wake, 1 run; longest from wake to run: 86.0 µs.
            3 Some(1) CPU 1 took 13.7 ms to go offline; its thread was parked 6.10 ms in.
            4 Some(1) The wake stayed pending for 11.6 ms, until the thread ran again.
            5 Some(1) CPU 1 took 2.00 ms to come online; its thread was unparked 1.50 ms in. It was woken while offline, and ran 11.6 ms later: 100 µs after its unpark.
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn actions_inside_of_another_are_numbered_below_it() {
        let mut run = run();
        run.actions = vec![
            action("a", &[], 0, 10),
            action("b", &[], 2, 4),
            action("c", &[], 5, 10),
            action("d", &[], 11, 12),
        ];
        let numbers: Vec<_> = cards(&View::new(run)).into_iter().map(|card| card.number).collect();
        assert_eq!(numbers, ["1", "1.1", "1.2", "2"]);
    }

    #[test]
    fn the_picture_opens_with_the_first_cpu_offline() {
        let opening = opening(&View::new(run())).unwrap();
        assert_eq!((opening.cpu, opening.begin, opening.end), (1, 100_000_000, 132_000_000));
        assert_eq!(
            opening.caption,
            "CPU 1 took 13.7 ms to go offline; its thread was parked 6.10 ms in. \
             It was woken while offline, and ran 11.6 ms later: 100 µs after its unpark."
        );
    }

    #[test]
    fn a_run_that_ends_offline_has_an_opening() {
        let mut run = run();
        run.actions.truncate(4);
        run.cpus[0].events.truncate(5);
        run.actions.push(action("The end", &[], 118_000_000, 119_000_000));
        let opening = opening(&View::new(run)).unwrap();
        assert_eq!((opening.begin, opening.end), (100_000_000, 119_000_000));
        let caption = "CPU 1 took 13.7 ms to go offline; its thread was parked 6.10 ms in.";
        assert_eq!(opening.caption, caption);
    }

    #[test]
    fn a_run_without_an_offline_cpu_has_no_opening() {
        let mut run = run();
        run.actions.truncate(2);
        assert_eq!(opening(&View::new(run)), None);
        assert_eq!(opening(&View::new(Run::default())), None);
        assert_eq!(cards(&View::new(Run::default())), []);
    }
}
