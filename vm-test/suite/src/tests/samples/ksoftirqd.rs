// SPDX-License-Identifier: GPL-2.0

//! `rust_ksoftirqd`: vectors that interrupts raise are run, with CPUs that go offline and online.

use super::{Class, Sample, class, logged};
use anyhow::{Context, Result, bail};
use host::Vm;
use host::guest::calls::rmmod;
use nix::errno::Errno;
use suite_macros::vm_test;
use wire::Call;

const MODULE: &str = "rust_ksoftirqd";
const VECTORS: [&str; 3] = ["hi", "timer", "tasklet"];

/// Waits until each vector was raised and run this number of times.
fn all_run(sample: &Sample, count: u64) -> Result<()> {
    for vector in VECTORS {
        sample.until(&format!("{vector}/raised"), count)?;
        sample.until(&format!("{vector}/run"), count)?;
    }
    Ok(())
}

fn of_cpu(sample: &Sample, file: &str, cpu: u32) -> Result<u64> {
    sample.number(&format!("cpu{cpu}/{file}"))
}

fn sum(sample: &Sample, file: &str) -> Result<u64> {
    sample.vm.cpus("possible")?.into_iter().map(|cpu| of_cpu(sample, file, cpu)).sum()
}

/// Each vector is run as often as interrupts raised it, on each CPU.
#[vm_test]
fn vectors_run(vm: &Vm) -> Result<()> {
    let sample = Sample::load(vm, MODULE)?;
    sample.write("raise", 1000)?;
    all_run(&sample, 1000)?;
    for cpu in vm.cpus("online")? {
        for file in ["interrupts", "run"] {
            assert!(of_cpu(&sample, file, cpu)? > 0, "CPU {cpu}: no {file}");
        }
        assert_eq!(class(vm, &format!("rust_softi/{cpu}"))?, Class { fifo: 0, nice: 0 });
    }
    assert_eq!([sum(&sample, "run")?, sum(&sample, "taken_over")?], [3000, 0]);
    sample.write("raise", 1)?;
    all_run(&sample, 1001)?;
    sample.unload()
}

/// CPUs have timer interrupts only while vectors remain to be raised.
#[vm_test]
fn timers_stop_when_idle(vm: &Vm) -> Result<()> {
    let sample = Sample::load(vm, MODULE)?;
    // The period is 1 ms.
    let hundred_periods = Call::Pause { us: 100_000 };
    vm.call(hundred_periods.clone())?;
    assert_eq!(sum(&sample, "interrupts")?, 0, "timers fire though no vector is to be raised");

    sample.write("raise", 100)?;
    all_run(&sample, 100)?;
    let raised = sum(&sample, "interrupts")?;
    vm.call(hundred_periods)?;
    let idle = sum(&sample, "interrupts")? - raised;
    // Each timer fires once more, and finds no vector to raise.
    assert!(
        idle <= vm.cpus("online")?.len() as u64,
        "{idle} interrupts in 100 periods after the last was raised"
    );
    sample.write("raise", 100)?;
    all_run(&sample, 200)?;
    sample.unload()
}

/// Another CPU takes over and runs the vectors that are pending on a CPU that goes offline.
#[vm_test]
fn nothing_is_lost_while_cpus_go(vm: &Vm) -> Result<()> {
    let sample = Sample::load(vm, MODULE)?;
    sample.write("period_us", 100)?;
    let mut raised = 0;
    let mut raise = || {
        raised += 1000;
        sample.write("raise", 1000).map(|()| raised)
    };
    // Each CPU goes offline while it is busy; in some round a vector is pending then.
    for _ in 0..30 {
        let raised = raise()?;
        sample.round(|_| all_run(&sample, raised))?;
        if sum(&sample, "taken_over")? > 0 {
            break;
        }
    }
    assert!(sum(&sample, "taken_over")? > 0, "no vector was pending on a CPU that went offline");
    for cpu in vm.removable()? {
        let before = of_cpu(&sample, "interrupts", cpu)?;
        // The other CPUs may raise all before this CPU's thread has set the timer.
        for _ in 0..30 {
            let raised = raise()?;
            all_run(&sample, raised)?;
            if of_cpu(&sample, "interrupts", cpu)? > before {
                break;
            }
        }
        let after = of_cpu(&sample, "interrupts", cpu)?;
        assert!(after > before, "CPU {cpu} has no interrupts after its online");
    }
    sample.unload()
}

/// rmmod loses no vector while interrupts raise them and a CPU is offline.
#[vm_test]
fn rmmod_runs_what_is_left(vm: &Vm) -> Result<()> {
    let cpu = *vm.hotpluggable()?.last().context("no CPU can go offline")?;
    for round in 0..10 {
        let sample = Sample::load(vm, MODULE)?;
        sample.write("period_us", 200)?;
        sample.write("raise", 1_000_000)?;
        if round % 2 == 1 {
            vm.cpu(cpu).offline()?;
        }
        sample.at_least("hi/run", 1)?;
        vm.batch(vec![rmmod(MODULE)])?;
        if round % 2 == 1 {
            vm.cpu(cpu).online()?;
        }
    }
    // "rust_ksoftirqd: hi: 123 raised, 123 run"
    for vector in VECTORS {
        for end in logged(vm, &format!("rust_ksoftirqd: {vector}: "), 10)? {
            let numbers: Vec<&str> =
                end.split([' ', ',']).filter(|w| w.parse::<u64>().is_ok()).collect();
            let [raised, run] = numbers[..] else { bail!("expected two numbers: {end}") };
            assert_eq!(raised, run, "{end}");
            assert_ne!(raised, "0");
        }
    }
    Ok(())
}

/// An invalid number raises nothing; a period that is too short is refused.
#[vm_test]
fn bad_input_is_refused(vm: &Vm) -> Result<()> {
    let sample = Sample::load(vm, MODULE)?;
    sample.refuses(
        &[
            ("period_us", "99", Errno::ERANGE),
            ("raise", "", Errno::EINVAL),
            ("raise", "x", Errno::EINVAL),
            ("raise", "-1", Errno::EINVAL),
            ("raise", "1 2", Errno::EINVAL),
            ("raise", "99999999999", Errno::ERANGE),
        ],
        &["period_us", "left"],
    )?;
    all_run(&sample, 0)?;
    sample.unload()
}
