// SPDX-License-Identifier: GPL-2.0

//! The sample rust_ksoftirqd: what interrupts raise is run, wherever their CPU went.

use super::samples::{Class, class, logged};
use crate::test::Test;
use anyhow::{Context, Result, ensure};
use host::Vm;
use host::errors::refused;
use host::guest::calls::rmmod;
use nix::errno::Errno;
use wire::{Call, Until};

const MODULE: &str = "rust_ksoftirqd";
const FOLDER: &str = "/sys/kernel/debug/rust_ksoftirqd";
const VECTORS: [&str; 3] = ["hi", "timer", "tasklet"];

pub const TESTS: &[Test] = &[
    Test::new(
        "ksoftirqd::vectors_run",
        "each vector that interrupts raise is run as often as it was raised, on each CPU",
        vectors_run,
    ),
    Test::new(
        "ksoftirqd::timers_stop_when_idle",
        "no CPU gets an interrupt before any is to raise vectors, nor after the last has",
        timers_stop_when_idle,
    ),
    Test::new(
        "ksoftirqd::nothing_is_lost_while_cpus_go",
        "what is pending on a CPU that goes is taken over, and run",
        nothing_is_lost_while_cpus_go,
    ),
    Test::new(
        "ksoftirqd::rmmod_runs_what_is_left",
        "rmmod, while interrupts raise and a CPU is offline, loses nothing",
        rmmod_runs_what_is_left,
    ),
    Test::new(
        "ksoftirqd::bad_input_is_refused",
        "what is no number raises nothing; a period that is too short fails insmod",
        bad_input_is_refused,
    ),
];

fn raise(vm: &Vm, count: u64) -> Result<()> {
    vm.write(&format!("{FOLDER}/raise"), count.to_string())
}

/// So many raised, and as many run, for each vector.
fn all_run(vm: &Vm, count: u64) -> Result<()> {
    for vector in VECTORS {
        for file in ["raised", "run"] {
            vm.wait_for(&format!("{FOLDER}/{vector}/{file}"), Until::Is(count.to_string()))?;
        }
    }
    Ok(())
}

/// A CPU's line in the summary.
#[derive(Debug)]
struct Line {
    on: bool,
    interrupts: u64,
    runs: u64,
    pending: u64,
    taken_over: u64,
}

fn line(vm: &Vm, cpu: u32) -> Result<Line> {
    let summary = vm.read(&format!("{FOLDER}/summary"))?;
    let line = summary.lines().nth(1 + cpu as usize).context("no such CPU")?;
    let words: Vec<_> = line.split_whitespace().collect();
    let [number, place, interrupts, runs, pending, taken_over] = words[..] else {
        anyhow::bail!("summary: {line}");
    };
    ensure!(number.parse() == Ok(cpu), "summary: {line}");
    Ok(Line {
        on: place == "on",
        interrupts: interrupts.parse()?,
        runs: runs.parse()?,
        pending: pending.parse()?,
        taken_over: taken_over.parse()?,
    })
}

fn vectors_run(vm: &Vm) -> Result<()> {
    vm.insmod(MODULE, "")?;
    raise(vm, 1000)?;
    all_run(vm, 1000)?;
    for cpu in vm.cpus("online")? {
        let line = line(vm, cpu)?;
        assert!(line.on && line.interrupts > 0 && line.runs > 0 && line.pending == 0, "{line:?}");
        assert_eq!(class(vm, &format!("rust_softi/{cpu}"))?, Class { fifo: 0, nice: 0 });
    }
    raise(vm, 1)?;
    all_run(vm, 1001)?;
    vm.rmmod(MODULE)
}

fn timers_stop_when_idle(vm: &Vm) -> Result<()> {
    let cpus = vm.cpus("online")?;
    let interrupts = || -> Result<u64> {
        let lines = cpus.iter().map(|cpu| line(vm, *cpu));
        lines.map(|line| Ok(line?.interrupts)).sum()
    };
    // Of a period of 1 ms.
    let hundred_periods = Call::Pause { us: 100_000 };
    vm.insmod(MODULE, "")?;
    vm.call(hundred_periods.clone())?;
    assert_eq!(interrupts()?, 0, "timers run though nothing was raised");

    raise(vm, 100)?;
    all_run(vm, 100)?;
    let raised = interrupts()?;
    vm.call(hundred_periods)?;
    let idle = interrupts()? - raised;
    // Each timer finds that nothing is left, once.
    assert!(
        idle <= cpus.len() as u64,
        "{idle} interrupts in 100 periods after the last was raised"
    );
    raise(vm, 100)?;
    all_run(vm, 200)?;
    vm.rmmod(MODULE)
}

fn nothing_is_lost_while_cpus_go(vm: &Vm) -> Result<()> {
    let cpus = vm.removable()?;
    vm.insmod(MODULE, "period_us=200")?;
    let (mut raised, mut taken_over) = (0, 0);
    // Each CPU goes while it is busy; something is pending then sooner or later.
    for _ in 0..30 {
        raise(vm, 1000)?;
        raised += 1000;
        for cpu in &cpus {
            vm.cpu(*cpu).offline()?;
            let line = line(vm, *cpu)?;
            assert!(!line.on && line.pending == 0, "{line:?}");
            taken_over += line.taken_over;
        }
        for cpu in &cpus {
            vm.cpu(*cpu).online()?;
        }
        all_run(vm, raised)?;
        if taken_over > 0 {
            break;
        }
    }
    assert!(taken_over > 0, "nothing was ever pending on a CPU that went");
    for cpu in &cpus {
        let before = line(vm, *cpu)?.interrupts;
        let are_back = |line: &Line| line.on && line.interrupts > before;
        // The other CPUs may be done before its thread has started the timer.
        for _ in 0..30 {
            raise(vm, 1000)?;
            raised += 1000;
            all_run(vm, raised)?;
            if are_back(&line(vm, *cpu)?) {
                break;
            }
        }
        let line = line(vm, *cpu)?;
        assert!(are_back(&line), "its interrupts are not back: {line:?}");
    }
    vm.rmmod(MODULE)
}

fn rmmod_runs_what_is_left(vm: &Vm) -> Result<()> {
    let cpu = *vm.hotpluggable()?.last().context("no CPU can go offline")?;
    for round in 0..10 {
        vm.insmod(MODULE, "period_us=200")?;
        raise(vm, 1_000_000)?;
        if round % 2 == 1 {
            vm.cpu(cpu).offline()?;
        }
        vm.wait_for(&format!("{FOLDER}/hi/run"), Until::AtLeast(1))?;
        vm.batch(vec![rmmod(MODULE)])?;
        if round % 2 == 1 {
            vm.cpu(cpu).online()?;
        }
    }
    // "rust_ksoftirqd: hi: 123 raised, 123 run"
    for vector in VECTORS {
        let ends = logged(vm, &format!("rust_ksoftirqd: {vector}: "), 10)?;
        for end in ends {
            let numbers: Vec<&str> =
                end.split([' ', ',']).filter(|w| w.parse::<u64>().is_ok()).collect();
            let [raised, run] = numbers[..] else { anyhow::bail!("in the log: {end}") };
            assert_eq!(raised, run, "{end}");
            assert_ne!(raised, "0");
        }
    }
    Ok(())
}

fn bad_input_is_refused(vm: &Vm) -> Result<()> {
    assert_eq!(refused(vm.insmod(MODULE, "period_us=99"))?, Errno::EINVAL);
    vm.insmod(MODULE, "period_us=100")?;
    for (input, errno) in [
        ("", Errno::EINVAL),
        ("x", Errno::EINVAL),
        ("-1", Errno::EINVAL),
        ("1 2", Errno::EINVAL),
        ("99999999999", Errno::ERANGE),
    ] {
        assert_eq!(refused(vm.write(&format!("{FOLDER}/raise"), input))?, errno, "{input}");
    }
    all_run(vm, 0)?;
    vm.rmmod(MODULE)
}
