// SPDX-License-Identifier: GPL-2.0

//! The run for <https://ui.perfetto.dev>: in its own format ([`trace`]), or as JSON in Chrome's
//! trace event format ([`json`]), which other tools read, too.
//!
//! Both have these tracks:
//!
//! | in the trace | meaning |
//! |---|---|
//! | group `host` | the actions of the host, as slices; more than one track if they overlap |
//! | group `cpuN` | a CPU, with these tracks: |
//! | `power` | slices: online, going offline, offline, coming online |
//! | `thread` | slices: created, active, parked |
//! | `callbacks` | instants: create, setup, park, unpark, cleanup |
//! | `wakes` | a slice for each wake, until the run that answers it, with a flow to that run |
//! | `runs` | a slice for each time on CPU, from switch to switch; in it, a `callback` of length 0 for each run |
//! | `sched` | instants: the kernel's `sched_*` events of this thread, with their text |
//! | `cpuhp` | slices, nested: the kernel's hotplug steps, with step, target and result |
//! | `latency` | a counter: latency of the last wake, in microseconds |
//!
//! Times count from when the module was loaded. Earlier times would be negative, which some readers
//! do not accept: then all times are moved.

mod json;
mod kernel;
mod native;
mod protobuf;

pub use json::json;
pub use native::trace;

use crate::view::{CpuView, View, state_name};
use demo_format::Nanos;
use demo_format::format::Kind;
use serde_json::{Map, Value, json as value};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Returns the time that is added to all times.
fn shift(view: &View) -> Nanos {
    view.begin.min(0).saturating_neg()
}

fn micros(time: Nanos) -> f64 {
    time as f64 / 1000.0
}

/// The tracks of the host or of a CPU.
struct Group {
    /// `None`: the host.
    cpu: Option<u32>,
    tracks: Vec<Track>,
    /// Times and values of the counter.
    latency: Vec<(Nanos, f64)>,
}

impl Group {
    fn name(&self) -> String {
        self.cpu.map_or("host".to_owned(), |cpu| format!("cpu{cpu}"))
    }
}

/// The events of a track, in order: slices nest.
struct Track {
    name: &'static str,
    events: Vec<Event>,
}

struct Event {
    phase: Phase,
    time: Nanos,
    name: String,
    args: Map<String, Value>,
    /// Flows that begin or end with this begin of a slice.
    flows: Vec<(FlowEnd, u64)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Begin,
    End,
    Instant,
}

#[derive(Clone, Copy, PartialEq)]
enum FlowEnd {
    From,
    To,
}

struct Slice {
    begin: Nanos,
    end: Nanos,
    name: String,
    args: Map<String, Value>,
    flows: Vec<(FlowEnd, u64)>,
}

impl Slice {
    fn new(name: &str, (begin, end): (Nanos, Nanos), args: Value) -> Self {
        Self { begin, end: end.max(begin), name: name.to_owned(), args: map(args), flows: vec![] }
    }
}

fn map(args: Value) -> Map<String, Value> {
    match args {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

impl Track {
    fn instants<'a>(
        name: &'static str,
        events: impl Iterator<Item = (&'a str, Nanos, Value)>,
    ) -> Self {
        let events = events.map(|(name, time, args)| Event {
            phase: Phase::Instant,
            time,
            name: name.to_owned(),
            args: map(args),
            flows: vec![],
        });
        Self { name, events: events.collect() }
    }

    /// Makes each slice lie inside of another one, or beside it.
    fn slices(name: &'static str, slices: impl IntoIterator<Item = Slice>) -> Self {
        let mut slices: Vec<Slice> = slices.into_iter().collect();
        slices.sort_by_key(|slice| (slice.begin, Reverse(slice.end)));
        let (mut events, mut open): (Vec<Event>, Vec<Event>) = (vec![], vec![]);
        for Slice { begin, end, name, args, flows } in slices {
            while open.last().is_some_and(|outer| outer.time <= begin) {
                events.extend(open.pop());
            }
            let end = end.min(open.last().map_or(Nanos::MAX, |outer| outer.time));
            let event = |phase, time, flows| Event {
                phase,
                time,
                name: name.clone(),
                // Speedscope pairs a begin and an end only if their arguments are equal.
                args: args.clone(),
                flows,
            };
            events.push(event(Phase::Begin, begin, flows));
            open.push(event(Phase::End, end, vec![]));
        }
        events.extend(open.into_iter().rev());
        Self { name, events }
    }
}

fn groups(view: &View) -> Vec<Group> {
    let mut flows = 0;
    let cpus = view.cpus.iter().map(|cpu| Group::cpu(cpu, &mut flows));
    [Group::host(view)].into_iter().chain(cpus).collect()
}

impl Group {
    fn host(view: &View) -> Self {
        let mut tracks: Vec<Vec<Slice>> = vec![];
        for action in &view.run.actions {
            let end = action.end.unwrap_or(view.end);
            let commands = action.commands.join("\n");
            let args = value!({ "finished": action.end.is_some(), "commands": commands });
            let slice = Slice::new(&action.label, (action.begin, end), args);
            match tracks
                .iter_mut()
                .find(|track| track.last().is_none_or(|last| last.end <= slice.begin))
            {
                Some(track) => track.push(slice),
                None => tracks.push(vec![slice]),
            }
        }
        let tracks = tracks.into_iter().map(|slices| Track::slices("actions", slices)).collect();
        Self { cpu: None, tracks, latency: vec![] }
    }

    fn cpu(cpu: &CpuView, flows: &mut u64) -> Self {
        let power = cpu.power.iter();
        let power =
            power.map(|span| Slice::new(span.what.name(), (span.begin, span.end), value!({})));
        let states = cpu.states.iter();
        let states = states
            .map(|span| Slice::new(state_name(span.what), (span.begin, span.end), value!({})));
        let callbacks = cpu
            .events
            .iter()
            .filter(|event| !matches!(event.kind, Kind::Wake | Kind::Run))
            .map(|event| (event.kind.name(), event.time, value!({ "number": event.number })));

        let mut answers: BTreeMap<usize, Slice> = BTreeMap::new();
        for (index, event) in
            cpu.events.iter().enumerate().filter(|(_, event)| event.kind == Kind::Run)
        {
            let args = value!({ "number": event.number });
            answers.insert(index, Slice::new("callback", (event.time, event.time), args));
        }
        let (mut wakes, mut latency) = (vec![], vec![]);
        for join in &cpu.joins {
            let (wake, answer) = (cpu.events[join.wake], cpu.events[join.run]);
            let span = (wake.time.min(answer.time), answer.time);
            let args = value!({ "number": wake.number, "answered_by": answer.number });
            let mut slice = Slice::new("wake", span, args);
            *flows += 1;
            slice.flows.push((FlowEnd::From, *flows));
            wakes.push(slice);
            if let Some(answer) = answers.get_mut(&join.run) {
                answer.flows.push((FlowEnd::To, *flows));
            }
            if join.first && !join.pending {
                latency.push((answer.time, micros(span.1 - span.0)));
            }
        }
        let running = cpu.running.iter().map(|span| {
            Slice::new("run", (span.begin, span.end), value!({ "left_as": span.what }))
        });
        let sched = cpu.sched.iter().map(|event| {
            let args = value!({ "text": event.text, "on": event.on, "by": event.by });
            (event.name.as_str(), event.time, args)
        });
        let steps = cpu.steps.iter().map(|step| {
            let args = value!({ "step": step.number, "target": step.target, "ret": step.ret });
            Slice::new(&step.function, (step.begin, step.end), args)
        });
        let tracks = vec![
            Track::slices("power", power),
            Track::slices("thread", states),
            Track::instants("callbacks", callbacks),
            Track::slices("wakes", wakes),
            Track::slices("runs", running.chain(answers.into_values())),
            Track::instants("sched", sched),
            Track::slices("cpuhp", steps),
        ];
        Self { cpu: Some(cpu.id), tracks, latency }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Action, Run};
    use demo_format::events::{self, Cpu};

    /// A CPU with two wakes that one run answers, and an action from before the module was loaded.
    pub(super) fn run() -> Run {
        let kinds = [Kind::Create, Kind::Setup, Kind::Wake, Kind::Wake, Kind::Run, Kind::Park];
        let events = kinds
            .into_iter()
            .enumerate()
            .map(|(n, kind)| events::Event { time: n as Nanos * 1500, number: n as u64, kind })
            .collect();
        Run {
            cpus: vec![Cpu { events, ..Cpu::new(2) }],
            actions: vec![Action { label: "\"load\"\n".into(), begin: -4000, ..Action::default() }],
            ..Run::default()
        }
    }

    #[test]
    fn slices_nest() {
        let action = |label: &str, begin, end| Action {
            label: label.into(),
            begin,
            end: Some(end),
            ..Action::default()
        };
        let mut run = run();
        run.actions =
            vec![action("a", 0, 10), action("b", 5, 15), action("c", 10, 10), action("d", 10, 12)];
        let groups = groups(&View::new(run));
        assert_eq!(groups[0].tracks.len(), 2);
        for track in groups.iter().flat_map(|group| &group.tracks) {
            let mut open: Vec<&Event> = vec![];
            for event in &track.events {
                match event.phase {
                    Phase::Begin => open.push(event),
                    Phase::End => {
                        let begin = open.pop().unwrap();
                        assert!(begin.time <= event.time, "{}", event.name);
                        assert_eq!((&begin.name, &begin.args), (&event.name, &event.args));
                    }
                    Phase::Instant => {}
                }
            }
            assert!(open.is_empty(), "{}", track.name);
        }
    }
}
