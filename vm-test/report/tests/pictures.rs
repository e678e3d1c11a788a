// SPDX-License-Identifier: GPL-2.0

//! Draws the pictures that `scripts/browser` opens: of a recorded run, of generated runs that are
//! long or have many CPUs, of a run that failed, and of benchmarks.

mod recording;

use demo_format::Nanos;
use demo_format::events::{Cpu, Event};
use demo_format::format::Kind;
use recording::recording;
use report::bench::{self, Bench, Conditions, Figure, Key};
use report::ftrace::Trace;
use report::run::{About, Action, Fault};
use report::{Recording, Run, View, conformance, html};
use std::fs;
use std::path::Path;

#[test]
fn pictures_of_all_sizes_are_drawn() -> anyhow::Result<()> {
    let about = About {
        title: "Two CPUs are taken offline and brought online".into(),
        release: "7.3.4+deb13-cloud-amd64".into(),
        arch: "amd64".into(),
        cpus: 3,
        accelerator: "TCG, single-threaded".into(),
        date: "recorded for the tests".into(),
    };
    let recorded = Recording { about, ..recording() }.run()?;
    let runs = [
        ("recorded", recorded.clone()),
        ("large", made_up(4, 20_000)?),
        ("many", made_up(32, 32_000)?),
    ];
    for (name, run) in runs {
        let page = html::page(&View::new(run));
        let data = html::data_of(&page)?;
        for word in ["sched_switch", "cpu1 offline", "unpark"] {
            assert!(data.contains(word), "{name}: {word}");
        }
        write(name, &page)?;
    }

    // A run whose CPU 1 parks its thread too late.
    let mut failed = recorded;
    let events = failed.cpus.iter_mut().flat_map(|cpu| cpu.events.iter_mut());
    events.filter(|event| event.kind == Kind::Park).for_each(|event| event.time += 50_000_000);
    let violations = conformance::violations(&View::new(failed.clone()));
    failed.faults.extend(violations.into_iter().map(Fault::from));
    failed.faults.push(Fault { text: "rmmod: timed out after 30 s".into(), at: None });
    write("failed", &html::page(&View::new(failed)))?;

    write("bench", &bench::page(&measured()))
}

fn write(name: &str, page: &str) -> anyhow::Result<()> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
    fs::create_dir_all(&directory)?;
    Ok(fs::write(directory.join(name).with_extension("html"), page)?)
}

/// Makes up a figure of each kind that the benchmarks have.
fn measured() -> Bench {
    let mut figures = vec![];
    let mut add = |figure: &str, names: &[&str], arg, other_cpu, count, cpus| {
        for (n, name) in names.iter().enumerate() {
            let median = 6000.0 * [1.0, 1.004, 1.9, 0.42, 3.1][n % 5];
            let key =
                Key { figure: figure.into(), name: (*name).into(), arg, other_cpu, count, cpus };
            let medians = vec![median, median + 12.0, median + 30.0];
            figures.push(Figure { key, medians, minimum: median - 9.0, rounds: 100 });
        }
    };
    const TWINS: [&str; 2] = ["c", "rust"];
    const ALL: [&str; 5] = ["c", "rust", "wq", "rust_workqueue", "kthread_worker"];
    for (arg, other_cpu) in [(0, false), (1, false), (0, true), (1, true)] {
        add("latency", &ALL, arg, other_cpu, 0, 4);
        add("waker", &ALL, arg, other_cpu, 0, 4);
        add("pending", &TWINS, arg, other_cpu, 0, 4);
    }
    for count in [1, 16, 256] {
        add("burst", &ALL, 0, false, count, 4);
        add("crowd", &ALL, 0, false, count, 4);
    }
    add("turns", &TWINS, 0, false, 1000, 4);
    for registrations in [1, 8, 64] {
        add("hotplug", &["many_c", "many_rust"], registrations, true, 0, 4);
    }
    for cpus in [1, 4, 16, 64] {
        add("register", &["many_c", "many_rust"], 1, false, 0, cpus);
    }
    add("memory", &TWINS, 1, false, 0, 4);
    add("call", &["nothing", "record"], 0, false, 1000, 4);
    for part in 0..3 {
        add("size", &TWINS, part, false, 0, 0);
    }
    let conditions = Conditions {
        release: "7.3.4+deb13-cloud-amd64".into(),
        qemu_version: "10.0".into(),
        flags: "-icount shift=0,sleep=off".into(),
        command_line: "console=ttyS0 quiet".into(),
        boots: 3,
        ..Conditions::default()
    };
    Bench { conditions, figures }
}

/// Generates a run with a wake of each CPU about every 100 µs, and offline/online cycles.
fn made_up(cpus: u64, events: u64) -> anyhow::Result<Run> {
    let mut seed = 88_172_645_463_325_252u64;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    // CPUs that are toggled.
    let apart = cpus / 4;
    let mut trace = String::new();
    let mut run = Run {
        about: About {
            title: format!("{events} generated events"),
            cpus: cpus as u32,
            ..About::default()
        },
        ..Run::default()
    };
    for id in 0..cpus {
        let mut cpu = Cpu::new(id as u32);
        let mut time = id * 20_000;
        let mut number = 0;
        let mut add = |time: u64, kind, cpu: &mut Cpu| {
            cpu.events.push(Event { time: time as Nanos, number, kind });
            number += 1;
        };
        add(time, Kind::Create, &mut cpu);
        add(time + 30_000, Kind::Setup, &mut cpu);
        for round in 0..events / cpus / 2 {
            time += 80_000 + random(40_000);
            let latency = 4000 + random(3000) + if random(100) == 0 { random(300_000) } else { 0 };
            add(time, Kind::Wake, &mut cpu);
            add(time + latency, Kind::Run, &mut cpu);
            cpu.latencies.record(latency);
            let mut line = |time: u64, text: &str| {
                let (seconds, micros) = (time / 1_000_000_000, time / 1000 % 1_000_000);
                trace += &format!(
                    "            made-1       [{id:03}] ..... {seconds}.{micros:06}: {text}\n"
                );
            };
            line(
                time + 1000,
                &format!("sched_waking: comm=rust_demo/{id} pid=7 prio=120 target_cpu=001"),
            );
            line(
                time + latency - 1000,
                &format!(
                    "sched_switch: prev_comm=a prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=rust_demo/{id} next_pid=7 next_prio=120"
                ),
            );
            time += latency + 3000;
            line(
                time,
                &format!(
                    "sched_switch: prev_comm=rust_demo/{id} prev_pid=0 prev_prio=120 prev_state=S ==> next_comm=a next_pid=7 next_prio=120"
                ),
            );
            if id > 0 && id % apart == 1 % apart && round % 500 == id * 400 / cpus {
                for (kind, label, value) in
                    [(Kind::Park, "offline", 0), (Kind::Unpark, "online", 1)]
                {
                    run.actions.push(Action {
                        label: format!("cpu{id} {label}"),
                        commands: vec![format!(
                            "echo {value} > /sys/devices/system/cpu/cpu{id}/online"
                        )],
                        begin: time as Nanos,
                        end: Some(time as Nanos + 9_000_000),
                    });
                    add(time + 4_000_000, kind, &mut cpu);
                    time += 15_000_000;
                }
            }
        }
        run.cpus.push(cpu);
    }
    run.actions.sort_by_key(|action| action.begin);
    run.trace = Trace::parse(trace.as_bytes())?;
    Ok(run)
}
