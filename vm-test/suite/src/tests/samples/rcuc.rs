// SPDX-License-Identifier: GPL-2.0

//! `rust_rcuc`: work waits for its grace period, and no work is lost.

use super::{Class, Sample, class, logged};
use anyhow::{Context, Result};
use host::Vm;
use host::guest::calls::{read, rmmod};
use nix::errno::Errno;
use std::time::Duration;
use suite_macros::vm_test;
use wire::Call;

const MODULE: &str = "rust_rcuc";
/// A file: a read is an RCU reader, a write of a CPU list defers work on these CPUs.
const VERSION: &str = "version";

/// Checks that all deferred work is run, and that no reader saw a retired version.
fn all_run(sample: &Sample) -> Result<()> {
    sample.all_arrives("deferred", "run")?;
    assert_eq!(sample.number("violations")?, 0);
    Ok(())
}

fn run_and_moved(sample: &Sample, cpu: u32) -> Result<[u64; 2]> {
    sample.numbers(["run", "moved"].map(|name| format!("cpu{cpu}/{name}")))
}

/// The CPU's thread, of the lowest FIFO priority, runs work deferred on the CPU.
#[vm_test]
fn work_runs_on_its_cpu(vm: &Vm) -> Result<()> {
    let sample = Sample::load(vm, MODULE)?;
    for (n, cpu) in vm.cpus("online")?.into_iter().enumerate() {
        sample.write(VERSION, cpu)?;
        sample.until("run", n + 1)?;
        assert_eq!(run_and_moved(&sample, cpu)?, [1, 0]);
        assert_eq!(class(vm, &format!("rust_rcuc/{cpu}"))?, Class { fifo: 1, nice: 0 });
    }
    all_run(&sample)?;
    sample.unload()
}

/// No version is retired while a reader reads it, under 400 updates.
#[vm_test]
fn readers_keep_their_version(vm: &Vm) -> Result<()> {
    let sample = Sample::load(vm, MODULE)?;
    let calls = vec![read(&sample.path(VERSION))];
    let reads = Call::Repeat { times: 200, calls, limit_ms: 20_000 };
    let readers = [vm.spawn(reads.clone())?, vm.spawn(reads)?];
    let updates = vec![sample.writing(VERSION, "all"), Call::Pause { us: 2000 }];
    vm.repeat(100, updates, Duration::from_secs(20))?;
    for reader in readers {
        reader.wait(Duration::from_secs(20))?;
    }
    assert_eq!(sample.number("deferred")?, 400);
    all_run(&sample)?;
    sample.unload()
}

/// Work that is queued on a CPU when it goes offline runs elsewhere; so does new work for it.
#[vm_test]
fn parking_moves_the_queue(vm: &Vm) -> Result<()> {
    let sample = Sample::load(vm, MODULE)?;
    let cpu = *vm.hotpluggable()?.last().context("no CPU can go offline")?;
    // An offline waits for a grace period, too: only work queued after it is still in the queue.
    let (mut run, mut moved) = (0, 0);
    for _ in 0..20 {
        vm.cpu(cpu).online()?;
        let calls = vec![sample.writing(VERSION, cpu)];
        let load = vm.spawn(Call::Repeat { times: 200, calls, limit_ms: 10_000 })?;
        vm.cpu(cpu).offline()?;
        load.wait(Duration::from_secs(10))?;
        all_run(&sample)?;
        [run, moved] = run_and_moved(&sample, cpu)?;
        if moved > 0 {
            break;
        }
    }
    assert!(moved > 0, "no work was moved, {run} run");

    sample.write(VERSION, cpu)?;
    all_run(&sample)?;
    assert_eq!(run_and_moved(&sample, cpu)?, [run, moved]);

    vm.cpu(cpu).online()?;
    sample.write(VERSION, cpu)?;
    all_run(&sample)?;
    assert_eq!(run_and_moved(&sample, cpu)?, [run + 1, moved]);
    sample.unload()
}

/// All deferred work is run while CPUs go offline and come online under load.
#[vm_test]
fn nothing_is_lost_while_cpus_go(vm: &Vm) -> Result<()> {
    let sample = Sample::load(vm, MODULE)?;
    let calls = vec![sample.writing(VERSION, "all"), read(&sample.path(VERSION))];
    let limit = Duration::from_secs(30);
    let load = vm.spawn(Call::Repeat { times: 400, calls, limit_ms: vm.ms(limit) })?;
    for _ in 0..5 {
        sample.round(|_| Ok(()))?;
    }
    load.wait(limit)?;
    assert_eq!(sample.number("deferred")?, 1600);
    all_run(&sample)?;
    sample.unload()
}

/// rmmod returns when all work has run, with a CPU offline too.
#[vm_test]
fn rmmod_runs_what_is_left(vm: &Vm) -> Result<()> {
    let cpu = *vm.hotpluggable()?.last().context("no CPU can go offline")?;
    for round in 0..10 {
        let sample = Sample::load(vm, MODULE)?;
        if round % 2 == 1 {
            vm.cpu(cpu).offline()?;
        }
        let mut calls = vec![sample.writing(VERSION, "all"); 20];
        calls.push(rmmod(MODULE));
        vm.batch(calls)?;
        logged(vm, "rust_rcuc: 80 deferred, 80 run, 0 violations", round + 1)?;
        if round % 2 == 1 {
            vm.cpu(cpu).online()?;
        }
    }
    Ok(())
}

/// An invalid CPU list defers nothing.
#[vm_test]
fn bad_lists_are_refused(vm: &Vm) -> Result<()> {
    let sample = Sample::load(vm, MODULE)?;
    sample.refuses(
        &[
            (VERSION, "x", Errno::EINVAL),
            (VERSION, "3-1", Errno::EINVAL),
            (VERSION, "0-9999", Errno::ERANGE),
        ],
        &["deferred"],
    )?;
    assert_eq!(sample.number("deferred")?, 0);
    sample.unload()
}
