// SPDX-License-Identifier: GPL-2.0

//! Writes `sample.html` and `sample.json` into a folder: `sample FOLDER [EVENTS]`.
//!
//! Without a number of events: a recording of a real run, the one of the tests. With one: a run that is made up, to see
//! how many events the pictures bear.

use report::ftrace::Trace;
use report::model::{About, Action, Cpu, Event, Kind, Nanos, Run};
use report::{Recording, html, perfetto};
use std::path::PathBuf;
use std::{env, fs};

fn main() -> anyhow::Result<()> {
    let mut args = env::args().skip(1);
    let (Some(folder), events) = (args.next(), args.next()) else {
        anyhow::bail!("usage: sample FOLDER [EVENTS]");
    };
    let run = match events {
        Some(events) => made_up(events.parse()?)?,
        None => recorded()?,
    };
    let folder = PathBuf::from(folder);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("sample.html"), html::page(&run))?;
    fs::write(folder.join("sample.json"), perfetto::json(&run))?;
    Ok(())
}

fn recorded() -> anyhow::Result<Run> {
    let mut recording = Recording {
        about: About {
            title: "Two CPUs go, and come back".into(),
            release: "7.3.4+deb13-cloud-amd64".into(),
            arch: "amd64".into(),
            cpus: 3,
            accelerator: "TCG, single-threaded".into(),
            date: "recorded for the tests".into(),
        },
        events_binary: include_bytes!("../tests/recording/events_binary").to_vec(),
        trace: Some(include_bytes!("../tests/recording/trace").to_vec()),
        summary: include_str!("../tests/recording/summary").into(),
        ..Recording::default()
    };
    recording.latency_hist.insert(0, include_str!("../tests/recording/cpu0_latency_hist").into());
    recording.latency_hist.insert(1, include_str!("../tests/recording/cpu1_latency_hist").into());
    recording.latency_hist.insert(2, include_str!("../tests/recording/cpu2_latency_hist").into());
    recording.run()
}

/// Four CPUs that are woken every 100 µs or so, and go off and on.
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
            title: format!("{events} events, made up"),
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
                for (kind, label) in [(Kind::Park, "offline"), (Kind::Unpark, "online")] {
                    run.actions.push(Action {
                        label: format!("cpu{id} {label}"),
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
