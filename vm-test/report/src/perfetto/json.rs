// SPDX-License-Identifier: GPL-2.0

//! The run in Chrome's trace event format (JSON).
//!
//! A group is a process, a track is one of its threads. Slices are pairs of a begin and an end, not
//! single events with a duration. A begin plus a duration in binary fractions of a microsecond
//! would not always equal the begin of the next slice.
//!
//! Times are microseconds with three decimals. `otherData` has the time of the module's load.

use super::{Event, FlowEnd, Group, Phase, groups, micros, shift};
use crate::view::View;
use demo_format::Nanos;
use serde_json::{Value, json as value};

/// Returns the text of the file.
pub fn json(view: &View) -> String {
    let mut out = Out { events: vec![], shift: shift(view) };
    for group in groups(view) {
        out.group(&group);
    }
    let about = &view.run.about;
    let trace = value!({
        "displayTimeUnit": "ns",
        "otherData": {
            "title": about.title,
            "release": about.release,
            "arch": about.arch,
            "cpus": about.cpus.to_string(),
            "accelerator": about.accelerator,
            "date": about.date,
            "module_loaded_at_us": micros(out.shift),
            "clock_error_ns": view.run.clock_error,
        },
        "traceEvents": out.events,
    });
    trace.to_string()
}

struct Out {
    events: Vec<Value>,
    shift: Nanos,
}

/// Process and thread.
type Place = (u32, usize);

impl Out {
    fn event(&mut self, phase: &str, (pid, tid): Place, name: &str, time: Nanos, more: Value) {
        let mut event = value!({
            "ph": phase,
            "pid": pid,
            "tid": tid,
            "name": name,
            "ts": micros(time.saturating_add(self.shift)),
        });
        if let (Value::Object(event), Value::Object(more)) = (&mut event, more) {
            event.extend(more);
        }
        self.events.push(event);
    }

    fn meta(&mut self, place: Place, name: &str, args: Value) {
        self.event("M", place, name, -self.shift, value!({ "args": args }));
    }

    fn group(&mut self, group: &Group) {
        // Some readers give processes 0 and 1 a special meaning.
        let (pid, order) = group.cpu.map_or((1, 0), |cpu| (100 + cpu, cpu + 1));
        self.meta((pid, 0), "process_name", value!({ "name": group.name() }));
        self.meta((pid, 0), "process_sort_index", value!({ "sort_index": order }));
        for (tid, track) in (1..).zip(&group.tracks) {
            self.meta((pid, tid), "thread_name", value!({ "name": track.name }));
            self.meta((pid, tid), "thread_sort_index", value!({ "sort_index": tid }));
        }
        for (tid, track) in (1..).zip(&group.tracks) {
            track.events.iter().for_each(|event| self.track_event((pid, tid), event));
        }
        for (time, us) in &group.latency {
            self.event("C", (pid, 0), "latency", *time, value!({ "args": { "us": us } }));
        }
    }

    fn track_event(&mut self, place: Place, event: &Event) {
        let args = &event.args;
        let (phase, more) = match event.phase {
            Phase::Begin => ("B", value!({ "args": args })),
            Phase::End => ("E", value!({ "args": args })),
            Phase::Instant => ("i", value!({ "s": "t", "args": args })),
        };
        self.event(phase, place, &event.name, event.time, more);
        for (end, id) in &event.flows {
            let phase = if *end == FlowEnd::From { "s" } else { "f" };
            // Bound to the innermost open slice.
            let more = value!({ "cat": "wake", "id": id, "bp": "e" });
            self.event(phase, place, "wake", event.time, more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perfetto::tests::run;
    use crate::run::Run;
    use std::collections::HashMap;

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
        assert_eq!((&action["ph"], action["ts"].as_f64()), (&value!("B"), Some(0.0)));
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
    fn a_begin_and_its_end_have_the_same_arguments() {
        let mut open: HashMap<String, Vec<Value>> = HashMap::new();
        for event in events(&run()) {
            let track = open.entry(format!("{} {}", event["pid"], event["tid"])).or_default();
            let pair = value!([event["name"], event["args"]]);
            match event["ph"].as_str().unwrap() {
                "B" => track.push(pair),
                "E" => assert_eq!(track.pop(), Some(pair)),
                _ => {}
            }
        }
        assert!(open.values().all(Vec::is_empty));
    }

    #[test]
    fn an_empty_run_has_a_trace() {
        assert!(events(&Run::default()).iter().all(|event| event["ph"] == "M"));
    }
}
