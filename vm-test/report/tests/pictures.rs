// SPDX-License-Identifier: GPL-2.0

//! Draws the pictures that `scripts/browser` opens: of a recorded run, and of a large generated
//! run.

mod recording;

use demo_format::Nanos;
use demo_format::events::{Cpu, Event};
use demo_format::format::Kind;
use recording::recording;
use report::ftrace::Trace;
use report::run::{About, Action};
use report::{Recording, Run, View, html};
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
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
    fs::create_dir_all(&directory)?;
    let recorded = Recording { about, ..recording() }.run()?;
    for (name, run) in [("recorded", recorded), ("large", made_up(20_000)?)] {
        let page = html::page(&View::new(run));
        let data = html::data_of(&page)?;
        for word in ["sched_switch", "cpu1 offline", "unpark"] {
            assert!(data.contains(word), "{name}: {word}");
        }
        fs::write(directory.join(name).with_extension("html"), page)?;
    }
    Ok(())
}

/// Generates a run of four CPUs with a wake about every 100 µs and offline/online cycles.
fn made_up(events: u64) -> anyhow::Result<Run> {
    const CPUS: u64 = 4;
    let mut seed = 88_172_645_463_325_252u64;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let mut trace = String::new();
    let mut run = Run {
        about: About {
            title: format!("{events} generated events"),
            cpus: CPUS as u32,
            ..About::default()
        },
        ..Run::default()
    };
    for id in 0..CPUS {
        let mut cpu = Cpu::new(id as u32);
        let mut time = id * 20_000;
        let mut number = 0;
        let mut add = |time: u64, kind, cpu: &mut Cpu| {
            cpu.events.push(Event { time: time as Nanos, number, kind });
            number += 1;
        };
        add(time, Kind::Create, &mut cpu);
        add(time + 30_000, Kind::Setup, &mut cpu);
        for round in 0..events / CPUS / 2 {
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
            if id > 0 && round % 500 == id * 100 {
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
