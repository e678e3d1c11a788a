// SPDX-License-Identifier: GPL-2.0

//! The sample rust_rcuc: work waits for its grace period, and none of it is lost.

use super::samples::{Class, class, logged};
use crate::test::Test;
use anyhow::{Context, Result, ensure};
use host::Vm;
use host::errors::refused;
use host::guest::calls::{read, rmmod, write};
use nix::errno::Errno;
use std::time::Duration;
use wire::{Call, Until};

const MODULE: &str = "rust_rcuc";
const DEFER: &str = "/sys/kernel/debug/rust_rcuc/defer";
const READ: &str = "/sys/kernel/debug/rust_rcuc/read";

pub const TESTS: &[Test] = &[
    Test::new(
        "rcuc::work_runs_on_its_cpu",
        "work deferred on a CPU is run by its thread, which is of the lowest FIFO priority",
        work_runs_on_its_cpu,
    ),
    Test::new(
        "rcuc::readers_keep_their_version",
        "no version is retired while a reader looks at it, under 400 updates",
        readers_keep_their_version,
    ),
    Test::new(
        "rcuc::parking_moves_the_queue",
        "work that is queued on a CPU when it goes offline runs elsewhere; so does new work for it",
        parking_moves_the_queue,
    ),
    Test::new(
        "rcuc::nothing_is_lost_while_cpus_go",
        "with CPUs going and coming under load, everything that was deferred is run",
        nothing_is_lost_while_cpus_go,
    ),
    Test::new(
        "rcuc::rmmod_runs_what_is_left",
        "rmmod returns when all work has run, with a CPU offline too",
        rmmod_runs_what_is_left,
    ),
    Test::new("rcuc::bad_lists_are_refused", "what is no CPU list defers nothing", bad_lists),
];

fn number(vm: &Vm, name: &str) -> Result<u64> {
    Ok(vm.read(&format!("/sys/kernel/debug/rust_rcuc/{name}"))?.parse()?)
}

/// Of the CPU's line in the summary: work run, work moved away.
fn run_and_moved(vm: &Vm, cpu: u32) -> Result<(u64, u64)> {
    let summary = vm.read("/sys/kernel/debug/rust_rcuc/summary")?;
    let line = summary.lines().nth(1 + cpu as usize).context("no such CPU")?;
    let words: Vec<_> = line.split_whitespace().collect();
    let [number, _status, _queued, run, moved] = words[..] else {
        anyhow::bail!("summary: {line}");
    };
    ensure!(number.parse() == Ok(cpu), "summary: {line}");
    Ok((run.parse()?, moved.parse()?))
}

/// All work that was deferred is run, and no reader was disturbed.
fn all_run(vm: &Vm) -> Result<()> {
    let deferred = number(vm, "deferred")?;
    vm.wait_for("/sys/kernel/debug/rust_rcuc/run", Until::AtLeast(deferred))?;
    assert_eq!(number(vm, "run")?, deferred);
    assert_eq!(number(vm, "violations")?, 0);
    Ok(())
}

fn work_runs_on_its_cpu(vm: &Vm) -> Result<()> {
    vm.insmod(MODULE, "")?;
    for (n, cpu) in vm.cpus("online")?.into_iter().enumerate() {
        vm.write(DEFER, cpu.to_string())?;
        vm.wait_for("/sys/kernel/debug/rust_rcuc/run", Until::Is((n + 1).to_string()))?;
        assert_eq!(run_and_moved(vm, cpu)?, (1, 0));
        assert_eq!(class(vm, &format!("rust_rcuc/{cpu}"))?, Class { fifo: 1, nice: 0 });
    }
    all_run(vm)?;
    vm.rmmod(MODULE)
}

fn readers_keep_their_version(vm: &Vm) -> Result<()> {
    vm.insmod(MODULE, "")?;
    let reads = Call::Repeat { times: 200, calls: vec![read(READ)], limit_ms: 20_000 };
    let readers = [vm.spawn(reads.clone())?, vm.spawn(reads)?];
    vm.repeat(100, vec![write(DEFER, "all"), Call::Pause { us: 2000 }], Duration::from_secs(20))?;
    for reader in readers {
        reader.wait(Duration::from_secs(20))?;
    }
    assert_eq!(number(vm, "deferred")?, 400);
    all_run(vm)?;
    vm.rmmod(MODULE)
}

fn parking_moves_the_queue(vm: &Vm) -> Result<()> {
    vm.insmod(MODULE, "")?;
    let cpu = *vm.hotpluggable()?.last().context("no CPU can go offline")?;
    // A CPU on its way down waits for a grace period, too: only what comes after is still there.
    let (mut run, mut moved) = (0, 0);
    for _ in 0..20 {
        vm.cpu(cpu).online()?;
        let calls = vec![write(DEFER, cpu.to_string())];
        let load = vm.spawn(Call::Repeat { times: 200, calls, limit_ms: 10_000 })?;
        vm.cpu(cpu).offline()?;
        load.wait(Duration::from_secs(10))?;
        all_run(vm)?;
        (run, moved) = run_and_moved(vm, cpu)?;
        if moved > 0 {
            break;
        }
    }
    assert!(moved > 0, "nothing was ever moved, {run} run");

    vm.write(DEFER, cpu.to_string())?;
    all_run(vm)?;
    assert_eq!(run_and_moved(vm, cpu)?, (run, moved));

    vm.cpu(cpu).online()?;
    vm.write(DEFER, cpu.to_string())?;
    all_run(vm)?;
    assert_eq!(run_and_moved(vm, cpu)?, (run + 1, moved));
    vm.rmmod(MODULE)
}

fn nothing_is_lost_while_cpus_go(vm: &Vm) -> Result<()> {
    vm.insmod(MODULE, "")?;
    let calls = vec![write(DEFER, "all"), read(READ)];
    let limit = Duration::from_secs(30);
    let load = vm.spawn(Call::Repeat { times: 400, calls, limit_ms: vm.ms(limit) })?;
    for _ in 0..5 {
        for cpu in vm.removable()? {
            vm.cpu(cpu).offline()?;
        }
        for cpu in vm.removable()? {
            vm.cpu(cpu).online()?;
        }
    }
    load.wait(limit)?;
    assert_eq!(number(vm, "deferred")?, 1600);
    all_run(vm)?;
    vm.rmmod(MODULE)
}

fn rmmod_runs_what_is_left(vm: &Vm) -> Result<()> {
    let cpu = *vm.hotpluggable()?.last().context("no CPU can go offline")?;
    for round in 0..10 {
        vm.insmod(MODULE, "")?;
        if round % 2 == 1 {
            vm.cpu(cpu).offline()?;
        }
        let mut calls = vec![write(DEFER, "all"); 20];
        calls.push(rmmod(MODULE));
        vm.batch(calls)?;
        logged(vm, "rust_rcuc: 80 deferred, 80 run, 0 violations", round + 1)?;
        if round % 2 == 1 {
            vm.cpu(cpu).online()?;
        }
    }
    Ok(())
}

fn bad_lists(vm: &Vm) -> Result<()> {
    vm.insmod(MODULE, "")?;
    for (list, errno) in [("x", Errno::EINVAL), ("3-1", Errno::EINVAL), ("0-9999", Errno::ERANGE)] {
        assert_eq!(refused(vm.write(DEFER, list))?, errno, "{list}");
    }
    assert_eq!(number(vm, "deferred")?, 0);
    vm.rmmod(MODULE)
}
