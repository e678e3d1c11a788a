// SPDX-License-Identifier: GPL-2.0

//! Decodes the trace for Perfetto again, with the fields of its schema.

mod recording;

use flate2::read::GzDecoder;
use prost::Message;
use recording::recording;
use report::{View, perfetto};
use std::collections::{BTreeMap, HashMap};
use std::io::Read;

#[derive(Clone, PartialEq, Message)]
struct Trace {
    #[prost(message, repeated, tag = "1")]
    packet: Vec<Packet>,
}

#[derive(Clone, PartialEq, Message)]
struct Packet {
    #[prost(message, optional, tag = "1")]
    ftrace_events: Option<Bundle>,
    #[prost(message, optional, tag = "2")]
    process_tree: Option<ProcessTree>,
    #[prost(uint64, optional, tag = "8")]
    timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "10")]
    trusted_packet_sequence_id: Option<u32>,
    #[prost(message, optional, tag = "11")]
    track_event: Option<TrackEvent>,
    #[prost(message, optional, tag = "60")]
    track_descriptor: Option<TrackDescriptor>,
}

#[derive(Clone, PartialEq, Message)]
struct Bundle {
    #[prost(uint32, optional, tag = "1")]
    cpu: Option<u32>,
    #[prost(message, repeated, tag = "2")]
    event: Vec<FtraceEvent>,
}

#[derive(Clone, PartialEq, Message)]
struct FtraceEvent {
    #[prost(uint64, optional, tag = "1")]
    timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "2")]
    pid: Option<u32>,
    #[prost(message, optional, tag = "3")]
    print: Option<Print>,
    #[prost(message, optional, tag = "4")]
    sched_switch: Option<SchedSwitch>,
    #[prost(message, optional, tag = "17")]
    sched_wakeup: Option<SchedWakeup>,
    #[prost(message, optional, tag = "20")]
    sched_waking: Option<SchedWakeup>,
    #[prost(message, optional, tag = "114")]
    sched_wakeup_new: Option<SchedWakeup>,
    #[prost(message, optional, tag = "343")]
    cpuhp_exit: Option<Cpuhp>,
    #[prost(message, optional, tag = "344")]
    cpuhp_multi_enter: Option<Cpuhp>,
    #[prost(message, optional, tag = "345")]
    cpuhp_enter: Option<Cpuhp>,
    #[prost(message, optional, tag = "491")]
    sched_migrate_task: Option<SchedWakeup>,
}

#[derive(Clone, PartialEq, Message)]
struct Print {
    #[prost(string, optional, tag = "2")]
    buf: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct SchedSwitch {
    #[prost(string, optional, tag = "1")]
    prev_comm: Option<String>,
    #[prost(int32, optional, tag = "2")]
    prev_pid: Option<i32>,
    #[prost(int32, optional, tag = "3")]
    prev_prio: Option<i32>,
    #[prost(int64, optional, tag = "4")]
    prev_state: Option<i64>,
    #[prost(string, optional, tag = "5")]
    next_comm: Option<String>,
    #[prost(int32, optional, tag = "6")]
    next_pid: Option<i32>,
    #[prost(int32, optional, tag = "7")]
    next_prio: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct SchedWakeup {
    #[prost(string, optional, tag = "1")]
    comm: Option<String>,
    #[prost(int32, optional, tag = "2")]
    pid: Option<i32>,
    #[prost(int32, optional, tag = "3")]
    prio: Option<i32>,
    #[prost(int32, optional, tag = "5")]
    target_cpu: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct Cpuhp {
    #[prost(uint32, optional, tag = "1")]
    cpu: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct ProcessTree {
    #[prost(message, repeated, tag = "1")]
    processes: Vec<Process>,
}

#[derive(Clone, PartialEq, Message)]
struct Process {
    #[prost(int32, optional, tag = "1")]
    pid: Option<i32>,
    #[prost(string, repeated, tag = "3")]
    cmdline: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct TrackDescriptor {
    #[prost(uint64, optional, tag = "1")]
    uuid: Option<u64>,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
    #[prost(uint64, optional, tag = "5")]
    parent_uuid: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct TrackEvent {
    #[prost(message, repeated, tag = "4")]
    debug_annotations: Vec<DebugAnnotation>,
    #[prost(int32, optional, tag = "9")]
    r#type: Option<i32>,
    #[prost(uint64, optional, tag = "11")]
    track_uuid: Option<u64>,
    #[prost(string, optional, tag = "23")]
    name: Option<String>,
    #[prost(double, optional, tag = "44")]
    double_counter_value: Option<f64>,
    #[prost(fixed64, repeated, packed = "false", tag = "47")]
    flow_ids: Vec<u64>,
    #[prost(fixed64, repeated, packed = "false", tag = "48")]
    terminating_flow_ids: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct DebugAnnotation {
    #[prost(int64, optional, tag = "4")]
    int_value: Option<i64>,
    #[prost(string, optional, tag = "6")]
    string_value: Option<String>,
    #[prost(string, optional, tag = "10")]
    name: Option<String>,
}

const BEGIN: i32 = 1;
const END: i32 = 2;
const INSTANT: i32 = 3;
const COUNTER: i32 = 4;

fn view() -> View {
    View::new(recording().run().unwrap())
}

fn decoded(view: &View) -> Trace {
    let mut bytes = vec![];
    GzDecoder::new(&perfetto::trace(view)[..]).read_to_end(&mut bytes).unwrap();
    Trace::decode(&bytes[..]).unwrap()
}

impl Trace {
    /// The names of each track, from the outermost to its own, by number.
    fn tracks(&self) -> HashMap<u64, String> {
        let mut tracks = HashMap::new();
        for track in self.packet.iter().filter_map(|packet| packet.track_descriptor.as_ref()) {
            let name = track.name.clone().unwrap();
            // A parent is described before its children.
            let path = track.parent_uuid.map(|parent| format!("{}/{name}", tracks[&parent]));
            assert_eq!(tracks.insert(track.uuid.unwrap(), path.unwrap_or(name)), None);
        }
        tracks
    }

    fn events(&self) -> impl Iterator<Item = (u64, &TrackEvent)> {
        self.packet.iter().filter_map(|packet| {
            assert_eq!(packet.trusted_packet_sequence_id, Some(1));
            Some((packet.timestamp?, packet.track_event.as_ref()?))
        })
    }

    fn ftrace(&self) -> impl Iterator<Item = (u32, &FtraceEvent)> {
        self.packet.iter().filter_map(|packet| packet.ftrace_events.as_ref()).flat_map(|bundle| {
            assert!(bundle.event.is_sorted_by_key(|event| event.timestamp.unwrap()));
            bundle.event.iter().map(|event| (bundle.cpu.unwrap(), event))
        })
    }
}

#[test]
fn slices_have_names_and_nest_in_described_tracks() {
    let trace = decoded(&view());
    let tracks = trace.tracks();
    for name in ["power", "thread", "callbacks", "wakes", "runs", "sched", "cpuhp", "latency"] {
        let path = format!("rust_smpboot/cpu2/{name}");
        assert!(tracks.values().any(|track| *track == path), "{path}");
    }
    let mut open: HashMap<u64, Vec<u64>> = HashMap::new();
    let mut names: BTreeMap<String, u32> = BTreeMap::new();
    for (time, event) in trace.events() {
        let track = event.track_uuid.unwrap();
        let open = open.entry(track).or_default();
        match event.r#type.unwrap() {
            BEGIN => open.push(time),
            END => assert!(open.pop().unwrap() <= time, "{}", tracks[&track]),
            INSTANT => {}
            COUNTER => assert!(event.double_counter_value.unwrap() >= 0.0),
            other => panic!("{other}"),
        }
        assert_eq!(event.name.is_some(), [BEGIN, INSTANT].contains(&event.r#type.unwrap()));
        if let Some(name) = &event.name {
            *names.entry(format!("{}/{name}", tracks[&track])).or_default() += 1;
        }
    }
    assert!(open.values().all(Vec::is_empty));
    for name in [
        "host/actions/cpu1 offline",
        "cpu1/power/offline",
        "cpu1/thread/parked",
        "cpu1/callbacks/park",
        "cpu1/cpuhp/smpboot_park_threads",
    ] {
        assert_eq!(names.get(&format!("rust_smpboot/{name}")), Some(&1), "{name}: {names:?}");
    }
}

#[test]
fn each_flow_leads_from_a_wake_to_a_run() {
    let view = view();
    let trace = decoded(&view);
    let mut flows: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for (_, event) in trace.events() {
        let ids = event.flow_ids.iter().chain(&event.terminating_flow_ids);
        for id in ids {
            assert_eq!(event.r#type, Some(BEGIN));
            flows.entry(*id).or_default().push(event.name.as_deref().unwrap());
        }
    }
    assert_eq!(flows.len(), view.cpus.iter().map(|cpu| cpu.joins.len()).sum::<usize>());
    assert!(flows.values().all(|ends| *ends == ["wake", "callback"]), "{flows:?}");
}

#[test]
fn an_event_has_its_arguments() {
    let trace = decoded(&view());
    let (_, step) = trace
        .events()
        .find(|(_, event)| event.name.as_deref() == Some("smpboot_park_threads"))
        .unwrap();
    let args: Vec<_> =
        step.debug_annotations.iter().map(|a| (a.name.as_deref().unwrap(), a.int_value)).collect();
    assert_eq!(args, [("ret", Some(0)), ("step", Some(147)), ("target", Some(142))]);
}

#[test]
fn the_scheduler_has_its_own_tracks() {
    type Has = fn(&FtraceEvent) -> bool;

    let view = view();
    let trace = decoded(&view);
    let events: Vec<(u32, &FtraceEvent)> = trace.ftrace().collect();
    let count = |has: Has| events.iter().filter(|(_, event)| has(event)).count();
    let recorded =
        |name: &str| view.run.trace.events.iter().filter(|event| event.name == name).count();
    let counts: [(&str, Has); 9] = [
        ("sched_switch", |event| event.sched_switch.is_some()),
        ("sched_waking", |event| event.sched_waking.is_some()),
        ("sched_wakeup", |event| event.sched_wakeup.is_some()),
        ("sched_wakeup_new", |event| event.sched_wakeup_new.is_some()),
        ("sched_migrate_task", |event| event.sched_migrate_task.is_some()),
        ("cpuhp_enter", |event| event.cpuhp_enter.is_some()),
        ("cpuhp_multi_enter", |event| event.cpuhp_multi_enter.is_some()),
        ("cpuhp_exit", |event| event.cpuhp_exit.is_some()),
        ("tracing_mark_write", |event| event.print.is_some()),
    ];
    for (name, has) in counts {
        assert_eq!(count(has), recorded(name), "{name}");
    }
    assert!(recorded("sched_switch") > 100 && recorded("cpuhp_enter") > 100);

    // The thread of CPU 1 parks: `P` is the seventh of the states.
    let (cpu, parks) = events
        .iter()
        .find(|(_, event)| {
            event.sched_switch.as_ref().is_some_and(|switch| {
                switch.prev_comm.as_deref() == Some("rust_demo/1")
                    && switch.prev_state == Some(1 << 6)
            })
        })
        .unwrap();
    let switch = parks.sched_switch.as_ref().unwrap();
    assert_eq!((*cpu, switch.prev_pid, switch.prev_prio), (1, Some(117), Some(120)));
    assert_eq!(parks.pid, Some(117));
    // On the clock of our own tracks.
    let text = format!("prev_comm={}", switch.prev_comm.as_deref().unwrap());
    let same = view
        .run
        .trace
        .events
        .iter()
        .find(|event| event.text.starts_with(&text) && event.text.contains(" prev_state=P "));
    let shift = view.begin.min(0);
    assert_eq!(parks.timestamp, Some((same.unwrap().time - shift) as u64));

    let tree = trace.packet.iter().find_map(|packet| packet.process_tree.as_ref()).unwrap();
    let names: Vec<&str> = tree.processes.iter().map(|p| p.cmdline[0].as_str()).collect();
    assert_eq!(names, ["rust_demo/0", "rust_demo/1", "rust_demo/2"]);
    assert_eq!(tree.processes[1].pid, Some(117));
}
