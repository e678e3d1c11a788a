// SPDX-License-Identifier: GPL-2.0

//! The run for <https://ui.perfetto.dev>, or any other reader of Chrome's trace event format
//! (JSON).
//!
//! | in the trace | meaning |
//! |---|---|
//! | process `host` | the actions of the host, as slices; more than one track if they overlap |
//! | process `cpuN` | a CPU, with these threads: |
//! | `power` | slices: online, going offline, offline, coming online |
//! | `thread` | slices: created, active, parked |
//! | `callbacks` | instants: create, setup, park, unpark, cleanup |
//! | `wakes` | a slice for each wake, until the run that answers it, with a flow to that run |
//! | `runs` | a slice for each time on CPU, from switch to switch; in it, a `callback` of length 0 for each run |
//! | `sched` | instants: the kernel's `sched_*` events of this thread, with their text |
//! | `cpuhp` | slices, nested: the kernel's hotplug steps, with step, target and result |
//! | `latency` | a counter: latency of the last wake, in microseconds |
//!
//! Slices are pairs of a begin and an end, not single events with a duration. A begin plus a
//! duration in binary fractions of a microsecond would not always equal the begin of the next
//! slice.
//!
//! Times are microseconds since the module was loaded, with three decimals. Earlier times would be
//! negative, which some readers of this format do not accept: then all times are moved. `otherData`
//! has the shift.

use crate::view::{CpuView, View, state_name};
use demo_format::Nanos;
use demo_format::format::Kind;
use serde_json::{Map, Value, json};
use std::cmp::Reverse;
use std::collections::BTreeMap;

const POWER: u32 = 1;
const STATES: u32 = 2;
const CALLBACKS: u32 = 3;
const WAKES: u32 = 4;
const RUNS: u32 = 5;
const SCHED: u32 = 6;
const CPUHP: u32 = 7;

const TRACKS: [(u32, &str); 7] = [
    (POWER, "power"),
    (STATES, "thread"),
    (CALLBACKS, "callbacks"),
    (WAKES, "wakes"),
    (RUNS, "runs"),
    (SCHED, "sched"),
    (CPUHP, "cpuhp"),
];

const HOST: u32 = 1;

/// Returns the process number of a CPU. Some readers give 0 and 1 a special meaning.
fn process(cpu: u32) -> u32 {
    100 + cpu
}

/// Returns the text of the file.
pub fn json(view: &View) -> String {
    let run = &view.run;
    let shift = view.begin.min(0).saturating_neg();
    let mut out = Out { events: vec![], shift };

    out.name(HOST, "host", 0);
    let mut tracks: Vec<Vec<Slice>> = vec![];
    for action in &run.actions {
        let end = action.end.unwrap_or(view.end);
        let slice = Slice::new(
            &action.label,
            (action.begin, end),
            json!({ "finished": action.end.is_some() }),
        );
        match tracks
            .iter_mut()
            .find(|track| track.last().is_none_or(|last| last.end <= slice.begin))
        {
            Some(track) => track.push(slice),
            None => tracks.push(vec![slice]),
        }
    }
    for (tid, slices) in (1..).zip(tracks) {
        out.thread(HOST, tid, "actions");
        out.slices((HOST, tid), slices);
    }
    let mut flows = 0;
    for cpu in &view.cpus {
        out.cpu(cpu, &mut flows);
    }

    let about = &run.about;
    let trace = json!({
        "displayTimeUnit": "ns",
        "otherData": {
            "title": about.title,
            "release": about.release,
            "arch": about.arch,
            "cpus": about.cpus.to_string(),
            "accelerator": about.accelerator,
            "date": about.date,
            "module_loaded_at_us": micros(shift),
            "clock_error_ns": run.clock_error,
        },
        "traceEvents": out.events,
    });
    trace.to_string()
}

struct Slice {
    begin: Nanos,
    end: Nanos,
    name: String,
    args: Value,
    /// Flows that begin (`s`) or end (`f`) here.
    flows: Vec<(&'static str, u64)>,
}

impl Slice {
    fn new(name: &str, (begin, end): (Nanos, Nanos), args: Value) -> Self {
        Self { begin, end: end.max(begin), name: name.to_owned(), args, flows: vec![] }
    }
}

struct Out {
    events: Vec<Value>,
    shift: Nanos,
}

fn micros(time: Nanos) -> f64 {
    time as f64 / 1000.0
}

/// Process and thread.
type Track = (u32, u32);

impl Out {
    fn event(&mut self, phase: &str, (pid, tid): Track, name: &str, time: Nanos, more: Value) {
        let mut event = Map::new();
        event.insert("ph".into(), phase.into());
        event.insert("pid".into(), pid.into());
        event.insert("tid".into(), tid.into());
        event.insert("name".into(), name.into());
        event.insert("ts".into(), micros(time.saturating_add(self.shift)).into());
        if let Value::Object(more) = more {
            event.extend(more);
        }
        self.events.push(event.into());
    }

    fn meta(&mut self, track: Track, name: &str, args: Value) {
        self.event("M", track, name, -self.shift, json!({ "args": args }));
    }

    fn name(&mut self, pid: u32, name: &str, order: u32) {
        self.meta((pid, 0), "process_name", json!({ "name": name }));
        self.meta((pid, 0), "process_sort_index", json!({ "sort_index": order }));
    }

    fn thread(&mut self, pid: u32, tid: u32, name: &str) {
        self.meta((pid, tid), "thread_name", json!({ "name": name }));
        self.meta((pid, tid), "thread_sort_index", json!({ "sort_index": tid }));
    }

    /// Writes the slices of a track, each inside of another one or beside it.
    fn slices(&mut self, track: Track, mut slices: Vec<Slice>) {
        slices.sort_by_key(|slice| (slice.begin, Reverse(slice.end)));
        let mut open: Vec<(Nanos, String)> = vec![];
        for slice in slices {
            while open.last().is_some_and(|(end, _)| *end <= slice.begin) {
                self.end(track, open.pop());
            }
            self.event("B", track, &slice.name, slice.begin, json!({ "args": slice.args }));
            for (phase, id) in slice.flows {
                // Bound to the innermost open slice.
                let more = json!({ "cat": "wake", "id": id, "bp": "e" });
                self.event(phase, track, "wake", slice.begin, more);
            }
            let outer = open.last().map_or(Nanos::MAX, |(end, _)| *end);
            open.push((slice.end.min(outer), slice.name));
        }
        while !open.is_empty() {
            self.end(track, open.pop());
        }
    }

    fn end(&mut self, track: Track, slice: Option<(Nanos, String)>) {
        if let Some((time, name)) = slice {
            self.event("E", track, &name, time, Value::Null);
        }
    }

    fn instant(&mut self, track: Track, name: &str, time: Nanos, args: Value) {
        self.event("i", track, name, time, json!({ "s": "t", "args": args }));
    }

    fn cpu(&mut self, cpu: &CpuView, flows: &mut u64) {
        let pid = process(cpu.id);
        self.name(pid, &format!("cpu{}", cpu.id), cpu.id + 1);
        for (tid, name) in TRACKS {
            self.thread(pid, tid, name);
        }

        let power = cpu.power.iter();
        let power =
            power.map(|span| Slice::new(span.what.name(), (span.begin, span.end), json!({})));
        self.slices((pid, POWER), power.collect());
        let states = cpu.states.iter();
        let states =
            states.map(|span| Slice::new(state_name(span.what), (span.begin, span.end), json!({})));
        self.slices((pid, STATES), states.collect());
        for event in cpu.events.iter().filter(|event| !matches!(event.kind, Kind::Wake | Kind::Run))
        {
            let args = json!({ "number": event.number });
            self.instant((pid, CALLBACKS), event.kind.name(), event.time, args);
        }

        let mut answers: BTreeMap<usize, Slice> = BTreeMap::new();
        for (index, event) in
            cpu.events.iter().enumerate().filter(|(_, event)| event.kind == Kind::Run)
        {
            let args = json!({ "number": event.number });
            answers.insert(index, Slice::new("callback", (event.time, event.time), args));
        }
        let mut wakes = vec![];
        for join in &cpu.joins {
            let (wake, answer) = (cpu.events[join.wake], cpu.events[join.run]);
            let span = (wake.time.min(answer.time), answer.time);
            let args = json!({ "number": wake.number, "answered_by": answer.number });
            let mut slice = Slice::new("wake", span, args);
            *flows += 1;
            slice.flows.push(("s", *flows));
            wakes.push(slice);
            if let Some(answer) = answers.get_mut(&join.run) {
                answer.flows.push(("f", *flows));
            }
            if join.first && !join.pending {
                let args = json!({ "args": { "us": micros(span.1 - span.0) } });
                self.event("C", (pid, 0), "latency", answer.time, args);
            }
        }
        self.slices((pid, WAKES), wakes);
        let running = cpu.running.iter();
        let running = running
            .map(|span| Slice::new("run", (span.begin, span.end), json!({ "left_as": span.what })));
        self.slices((pid, RUNS), running.chain(answers.into_values()).collect());

        for event in &cpu.sched {
            let args = json!({ "text": event.text, "on": event.on, "by": event.by });
            self.instant((pid, SCHED), &event.name, event.time, args);
        }
        let steps = cpu.steps.iter().map(|step| {
            let args = json!({ "step": step.number, "target": step.target, "ret": step.ret });
            Slice::new(&step.function, (step.begin, step.end), args)
        });
        self.slices((pid, CPUHP), steps.collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Action, Run};
    use demo_format::events::{Cpu, Event};
    use std::collections::HashMap;

    fn run() -> Run {
        let kinds = [Kind::Create, Kind::Setup, Kind::Wake, Kind::Wake, Kind::Run, Kind::Park];
        let events = kinds
            .into_iter()
            .enumerate()
            .map(|(n, kind)| Event { time: n as Nanos * 1500, number: n as u64, kind })
            .collect();
        Run {
            cpus: vec![Cpu { events, ..Cpu::new(2) }],
            actions: vec![Action { label: "\"load\"\n".into(), begin: -4000, ..Action::default() }],
            ..Run::default()
        }
    }

    fn events(run: &Run) -> Vec<Value> {
        let trace: Value = serde_json::from_str(&json(&View::new(run.clone()))).unwrap();
        trace["traceEvents"].as_array().unwrap().clone()
    }

    #[test]
    fn every_event_has_the_required_fields() {
        for event in events(&run()) {
            let phase = event["ph"].as_str().unwrap();
            assert!(
                event["pid"].is_u64() && event["tid"].is_u64() && event["name"].is_string(),
                "{event}"
            );
            assert!(event["ts"].as_f64().unwrap() >= 0.0, "{event}");
            match phase {
                "B" | "E" => {}
                "i" => assert_eq!(event["s"], "t"),
                "s" | "f" => assert!(event["id"].is_u64() && event["cat"].is_string(), "{event}"),
                "C" => assert!(event["args"]["us"].is_f64(), "{event}"),
                "M" => assert!(event["args"].is_object(), "{event}"),
                _ => panic!("{event}"),
            }
        }
    }

    #[test]
    fn times_are_moved_so_that_none_is_negative() {
        let events = events(&run());
        let action = events.iter().find(|e| e["name"] == "\"load\"\n").unwrap();
        assert_eq!((&action["ph"], action["ts"].as_f64()), (&json!("B"), Some(0.0)));
        let park = events.iter().find(|e| e["name"] == "park").unwrap();
        assert_eq!(park["ts"], 11.5);
        assert_eq!(park["pid"], 102);
    }

    #[test]
    fn flows_lead_from_slice_to_slice() {
        let events = events(&run());
        let mut ends: HashMap<u64, Vec<&Value>> = HashMap::new();
        for event in events.iter().filter(|e| e["ph"] == "s" || e["ph"] == "f") {
            ends.entry(event["id"].as_u64().unwrap()).or_default().push(event);
        }
        assert_eq!(ends.len(), 2);
        for flow in ends.values() {
            assert_eq!(flow.iter().map(|e| e["ph"].as_str().unwrap()).collect::<String>(), "sf");
            for end in flow {
                // It follows the begin of the slice that it is bound to, or another flow of that
                // slice.
                let place = events.iter().position(|event| event == *end).unwrap();
                let slice = events[..place].iter().rfind(|event| event["ph"] == "B").unwrap();
                assert_eq!((&slice["tid"], &slice["ts"]), (&end["tid"], &end["ts"]), "{end}");
            }
        }
        let counters: Vec<_> = events.iter().filter(|e| e["ph"] == "C").collect();
        assert_eq!(counters.len(), 1);
        assert_eq!(counters[0]["args"]["us"], 3.0);
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
        let mut open: HashMap<String, Vec<f64>> = HashMap::new();
        for event in events(&run) {
            let track = open.entry(format!("{} {}", event["pid"], event["tid"])).or_default();
            match event["ph"].as_str().unwrap() {
                "B" => track.push(event["ts"].as_f64().unwrap()),
                "E" => assert!(track.pop().unwrap() <= event["ts"].as_f64().unwrap(), "{event}"),
                _ => {}
            }
        }
        assert!(open.values().all(Vec::is_empty));
        let tracks = events(&run).iter().filter(|e| e["args"]["name"] == "actions").count();
        assert_eq!(tracks, 2);
    }

    #[test]
    fn an_empty_run_has_a_trace() {
        assert!(events(&Run::default()).iter().all(|event| event["ph"] == "M"));
    }
}
