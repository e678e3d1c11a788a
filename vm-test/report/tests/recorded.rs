// SPDX-License-Identifier: GPL-2.0

//! Tests on a recording of a real run: a VM with three CPUs under TCG, two of which were taken
//! offline and brought online.

mod recording;

use demo_format::events::{Cpu, Event};
use demo_format::format::{Kind, State};
use recording::recording;
use report::ftrace::{Trace, What};
use report::view::{CpuView, Power};
use report::{Recording, Run, View, conformance, html, perfetto};

fn run() -> Run {
    recording().run().unwrap()
}

fn count(cpu: &CpuView, kind: Kind) -> usize {
    cpu.events.iter().filter(|event| event.kind == kind).count()
}

#[test]
fn the_whole_recording_is_parsed() {
    let run = run();
    assert_eq!(run.trace.lost, 0);
    assert!(run.actions.iter().all(|action| action.end.is_some()));
    let labels: Vec<&str> = run.actions.iter().map(|action| action.label.as_str()).collect();
    assert_eq!(
        labels,
        [
            "load",
            "sync cpu0",
            "period",
            "cpu1 offline",
            "wake 0-2",
            "cpu2 offline",
            "cpu1 online",
            "cpu2 online",
            "period"
        ]
    );
    // A span on CPU is not much longer.
    assert!(run.clock_error < 50_000, "{}", run.clock_error);
}

#[test]
fn the_module_and_the_trace_agree() {
    let view = View::new(run());
    let run = &view.run;
    for cpu in &view.cpus {
        let power: Vec<Power> = cpu.power.iter().map(|span| span.what).collect();
        let seen: Vec<Option<State>> = cpu.states.iter().map(|span| span.what).collect();
        if cpu.id == 0 {
            assert_eq!(power, [Power::Online]);
            assert_eq!(seen, [State::Created, State::Active].map(Some));
            continue;
        }
        assert_eq!(
            power,
            [
                Power::Online,
                Power::GoingOffline,
                Power::Offline,
                Power::ComingOnline,
                Power::Online
            ]
        );
        let states = [State::Created, State::Active, State::Parked, State::Active];
        assert_eq!(seen, states.map(Some));

        // The thread parks inside of the kernel's step that parks threads, before the CPU is
        // offline.
        for (kind, step) in
            [(Kind::Park, "smpboot_park_threads"), (Kind::Unpark, "smpboot_unpark_threads")]
        {
            let event = cpu.events.iter().find(|event| event.kind == kind).unwrap();
            let step = cpu.steps.iter().find(|s| s.function == step).unwrap();
            let margin = run.clock_error + 1000;
            assert!(
                (step.begin - margin..step.end + margin).contains(&event.time),
                "{event:?} {step:?}"
            );
            assert_eq!(step.ret, Some(0));
        }
        // No thread runs on an offline CPU.
        let offline = cpu.power.iter().find(|span| span.what == Power::Offline).unwrap();
        let margin = run.clock_error + 1000;
        assert!(!cpu.events.iter().any(|event| {
            event.kind == Kind::Run
                && event.time > offline.begin + margin
                && event.time < offline.end - margin
        }));
        assert!(
            !cpu.running.iter().any(|span| span.begin > offline.begin && span.begin < offline.end)
        );
    }
}

#[test]
fn the_module_and_the_counters_agree() {
    let view = View::new(run());
    let run = &view.run;
    let column =
        |name: &str| run.counters.columns.iter().position(|column| column == name).unwrap();
    for (cpu, row) in view.cpus.iter().zip(&run.counters.rows) {
        for (kind, name) in [
            (Kind::Wake, "wake"),
            (Kind::Run, "run"),
            (Kind::Park, "park"),
            (Kind::Unpark, "unpark"),
        ] {
            assert_eq!(row[column(name)], count(cpu, kind).to_string(), "cpu{} {name}", cpu.id);
        }
        let runs = cpu.joins.iter().filter(|join| join.first).count() as u64;
        let latencies = run.cpus.iter().find(|c| c.id == cpu.id).unwrap().latencies.total();
        assert_eq!(runs, latencies, "cpu{}", cpu.id);
    }
}

#[test]
fn the_pictures_have_all_events() {
    let view = View::new(run());
    let page = html::page(&view);
    assert!(html::data_of(&page).unwrap().contains("smpboot_park_threads"));
    let trace: serde_json::Value = serde_json::from_str(&perfetto::json(&view)).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    for (name, count) in [("park", 2), ("unpark", 2), ("setup", 3), ("smpboot_park_threads", 2)] {
        let found = events.iter().filter(|event| event["name"] == name && event["ph"] != "E");
        assert_eq!(found.count(), count, "{name}");
    }
}

#[test]
fn an_incomplete_recording_is_refused() {
    let whole = recording();
    let trace = whole.trace.clone().unwrap();
    // In the middle of a line.
    let cut = trace.len() - 30;
    let error =
        Recording { trace: Some(trace[..cut].to_vec()), ..whole.clone() }.run().unwrap_err();
    assert!(format!("{error:#}").starts_with("trace: line "), "{error:#}");

    let events = whole.events_binary[..whole.events_binary.len() - 1].to_vec();
    assert!(Recording { events_binary: events, ..whole }.run().is_err());
    assert!(Trace::parse(&trace[40..]).is_err());
}

#[test]
fn the_run_conforms_and_a_run_with_a_moved_event_does_not() {
    let good = run();
    assert_eq!(conformance::violations(&View::new(good.clone())), []);

    let moved = |kind: Kind, by: i64| {
        let mut run = good.clone();
        let events = run.cpus.iter_mut().flat_map(|cpu| cpu.events.iter_mut());
        events.filter(|event| event.kind == kind).for_each(|event| event.time += by);
        conformance::violations(&View::new(run))
    };
    for (kind, by, what) in [
        (Kind::Park, 50_000_000, "outside of smpboot_park_threads()"),
        (Kind::Park, -50_000_000, "outside of smpboot_park_threads()"),
        (Kind::Unpark, -50_000_000, "no smpboot_unpark_threads() before it"),
        (Kind::Run, 1_000_000, "the thread was not on the CPU"),
    ] {
        let violations = moved(kind, by);
        assert!(violations.iter().any(|v| v.what == what), "{kind:?} {by}: {violations:?}");
    }
}

/// Returns the faults of the run after a change to cpu1 or to the trace.
fn faults_of(change: impl FnOnce(&mut Cpu, &mut Trace)) -> Vec<String> {
    let mut run = run();
    let cpu = run.cpus.iter_mut().find(|cpu| cpu.id == 1).unwrap();
    change(cpu, &mut run.trace);
    conformance::violations(&View::new(run)).into_iter().map(|violation| violation.what).collect()
}

fn time_of(cpu: &Cpu, kind: Kind) -> i64 {
    cpu.events.iter().find(|event| event.kind == kind).unwrap().time
}

#[test]
fn events_that_the_trace_contradicts_are_violations() {
    let has = |faults: Vec<String>, what: &str| {
        assert!(faults.iter().any(|fault| fault.starts_with(what)), "{what}: {faults:?}");
    };
    // Events that are missing in pairs leave a legal life cycle.
    let no_park = |cpu: &mut Cpu, _: &mut Trace| {
        cpu.events.retain(|event| !matches!(event.kind, Kind::Park | Kind::Unpark));
    };
    has(faults_of(no_park), "no park during smpboot_park_threads()");

    let stray = |cpu: &mut Cpu, trace: &mut Trace| {
        let (setup, park) = (time_of(cpu, Kind::Setup), time_of(cpu, Kind::Park));
        let middle = (setup + park) / 2;
        let to_it = |what: &What| matches!(what, What::Switch { to, .. } if to == "rust_demo/1");
        let mut events = trace.events.iter_mut();
        events.find(|event| event.time > middle && to_it(&event.what)).unwrap().cpu = 0;
    };
    has(faults_of(stray), "then the thread was on CPU 0");

    // Between park and unpark the CPU was offline for most of the time.
    for kind in [Kind::Create, Kind::Setup, Kind::Run, Kind::CleanupOnline] {
        let offline = |cpu: &mut Cpu, _: &mut Trace| {
            let time = (time_of(cpu, Kind::Park) + time_of(cpu, Kind::Unpark)) / 2;
            let number = cpu.events.len() as u64;
            cpu.events.push(Event { time, number, kind });
        };
        let what = match kind {
            Kind::Create => "outside of smpboot_create_threads()",
            _ => "the CPU was offline",
        };
        has(faults_of(offline), what);
    }
    let online = |cpu: &mut Cpu, _: &mut Trace| {
        let last = *cpu.events.last().unwrap();
        cpu.events.push(Event { number: last.number + 1, kind: Kind::CleanupOffline, ..last });
    };
    has(faults_of(online), "the CPU was online");
}
