// SPDX-License-Identifier: GPL-2.0

//! `rust_cpuhp`: steps up and down per CPU, and the rollback of a step that fails.

use super::Sample;
use anyhow::Result;
use host::Vm;
use host::errors::refused;
use host::guest::calls::{insmod, rmmod, write};
use nix::errno::Errno;
use std::time::Duration;
use suite_macros::vm_test;
use wire::Call;

const MODULE: &str = "rust_cpuhp";
const TOP: u64 = 3;

fn set_target(sample: &Sample, cpu: u32, target: u64) -> Result<()> {
    sample.write(&format!("cpu{cpu}/target"), target)
}

/// Waits until the CPU is in that state.
fn wait_for_state(sample: &Sample, cpu: u32, state: u64) -> Result<()> {
    sample.until(&format!("cpu{cpu}/state"), state)
}

fn are_at(sample: &Sample, states: [u64; 4]) -> Result<()> {
    assert_eq!(sample.numbers(["cpu0/state", "cpu1/state", "cpu2/state", "cpu3/state"])?, states);
    Ok(())
}

/// Number of steps that a CPU has taken since it had taken `before`.
fn steps_since(sample: &Sample, cpu: u32, before: u64) -> Result<u64> {
    Ok(sample.number(&format!("cpu{cpu}/steps"))? - before)
}

/// A write to target takes the steps in order, each once, and returns after the last.
#[vm_test]
fn walks_up_and_down(vm: &Vm) -> Result<()> {
    // Directly after insmod: the threads of online CPUs must be up then.
    for _ in 0..10 {
        let target = write("/sys/kernel/debug/rust_cpuhp/cpu3/target", "3");
        vm.batch(vec![insmod(MODULE, ""), target, rmmod(MODULE)])?;
    }

    let sample = Sample::load(vm, MODULE)?;
    are_at(&sample, [0, 0, 0, 0])?;
    for (cpu, target, states, steps) in [
        (1, 3, [0, 3, 0, 0], 3),
        (1, 1, [0, 1, 0, 0], 3),
        (1, 1, [0, 1, 0, 0], 3),
        (2, 2, [0, 1, 2, 0], 2),
        (1, 2, [0, 2, 2, 0], 4),
        (1, 0, [0, 0, 2, 0], 4),
    ] {
        set_target(&sample, cpu, target)?;
        are_at(&sample, states)?;
        assert_eq!(steps_since(&sample, cpu, 0)?, steps);
    }
    // Slow steps show each state.
    sample.write("step_us", 200_000)?;
    for (target, states) in [(TOP, [1, 2, 3]), (0, [2, 1, 0])] {
        let walk = vm.spawn(sample.writing("cpu1/target", target))?;
        for state in states {
            wait_for_state(&sample, 1, state)?;
        }
        walk.wait(Duration::from_secs(10))?;
    }
    sample.unload()
}

/// A step that fails, up or down, is rolled back to the start of the walk, and the write fails.
#[vm_test]
fn rolls_back(vm: &Vm) -> Result<()> {
    let sample = Sample::load(vm, MODULE)?;
    for (from, target) in [(0, TOP), (TOP, 0)] {
        set_target(&sample, 1, from)?;
        for step in 1..=TOP {
            let before = sample.number("cpu1/steps")?;
            sample.write("cpu1/fail", step)?;
            assert_eq!(refused(set_target(&sample, 1, target))?, Errno::EAGAIN);
            are_at(&sample, [0, from, 0, 0])?;
            assert_eq!(sample.numbers(["cpu1/target", "cpu1/fail"])?, [from, 0]);
            // Steps up and their rollback, or steps down and their rollback.
            let steps = if from < target { step - 1 } else { TOP - step };
            assert_eq!(steps_since(&sample, 1, before)?, steps, "step {step}");
        }
        set_target(&sample, 1, target)?;
    }
    sample.unload()
}

/// A CPU that goes offline takes back its steps; back online, it walks to its target again.
#[vm_test]
fn offline_goes_down_and_online_climbs_back(vm: &Vm) -> Result<()> {
    let sample = Sample::load(vm, MODULE)?;
    let targets = [3, 3, 2, 0];
    let all_climb =
        || (0..).zip(targets).try_for_each(|(cpu, state)| wait_for_state(&sample, cpu, state));
    for (cpu, target) in (0..).zip(targets) {
        set_target(&sample, cpu, target)?;
    }
    sample.round(|cpus| {
        for cpu in cpus {
            assert_eq!(refused(set_target(&sample, *cpu, 1))?, Errno::ENODEV);
        }
        are_at(&sample, [3, 0, 0, 0])
    })?;
    all_climb()?;
    for cpu in vm.removable()? {
        vm.cycle(cpu, 50)?;
    }
    all_climb()?;
    // Unloads with one CPU offline, and the others at a target.
    vm.cpu(2).offline()?;
    sample.unload()?;
    vm.cpu(2).online()
}

/// A step that fails after an online leaves the CPU at 0, and the next write walks up again.
#[vm_test]
fn resume_fails(vm: &Vm) -> Result<()> {
    let sample = Sample::load(vm, MODULE)?;
    set_target(&sample, 3, 3)?;
    vm.cpu(3).offline()?;
    sample.write("cpu3/fail", 2)?;
    vm.cpu(3).online()?;
    sample.until("cpu3/fail", 0)?;
    wait_for_state(&sample, 3, 0)?;
    set_target(&sample, 3, 3)?;
    are_at(&sample, [0, 0, 0, 3])?;
    sample.unload()
}

/// A request during the walk to the old target is served next.
#[vm_test]
fn asked_while_it_climbs(vm: &Vm) -> Result<()> {
    let sample = Sample::load(vm, MODULE)?;
    set_target(&sample, 3, 3)?;
    vm.cpu(3).offline()?;
    sample.write("step_us", 200_000)?;
    vm.cpu(3).online()?;
    sample.at_least("cpu3/state", 1)?;
    set_target(&sample, 3, 1)?;
    are_at(&sample, [0, 0, 0, 1])?;
    // The walk to the old target precedes that.
    assert_eq!(steps_since(&sample, 3, 3)?, 3);
    sample.unload()
}

/// A caller gets ENODEV when its CPU goes offline during the walk, which ends at 0.
#[vm_test]
fn offline_in_the_middle(vm: &Vm) -> Result<()> {
    let sample = Sample::load(vm, MODULE)?;
    set_target(&sample, 2, TOP)?;
    // Two steps take longer than an offline takes to reach the state that parks the thread.
    sample.write("step_us", (500_000 * vm.built_with().slowness()).min(1_000_000))?;
    let waits = vm.spawn(sample.writing("cpu2/target", 0))?;
    wait_for_state(&sample, 2, 2)?;
    let queues = vm.spawn(sample.writing("cpu2/target", 1))?;
    vm.cpu(2).offline()?;
    are_at(&sample, [0, 0, 0, 0])?;
    for caller in [waits, queues] {
        assert_eq!(refused(caller.answer(Duration::from_secs(10)))?, Errno::ENODEV);
    }
    vm.cpu(2).online()?;
    wait_for_state(&sample, 2, TOP)?;
    sample.unload()
}

/// Callers get their answers while steps fail and CPUs go offline and online; no step is lost.
#[vm_test]
fn busy_with_hotplug(vm: &Vm) -> Result<()> {
    let sample = Sample::load(vm, MODULE)?;
    let walker = |cpu: u32| {
        let go_all = "for t in 3 1 2 0; do echo $t >$0/target; done";
        let script =
            format!("while :; do for f in 0 1 2 3; do echo $f >$0/fail; {go_all}; done; done");
        let files = sample.path(&format!("cpu{cpu}"));
        let argv = ["/bin/busybox", "sh", "-c", &format!("exec 2>/dev/null; {script}"), &files];
        Call::Run { argv: argv.map(String::from).to_vec(), limit_ms: 8_000 }
    };
    let walkers = (0..8).map(|n| vm.spawn(walker(n % 4))).collect::<Result<Vec<_>>>()?;
    for _ in 0..4 {
        for cpu in vm.hotpluggable()? {
            vm.cycle(cpu, 3)?;
        }
    }
    for walker in walkers {
        // Walkers are killed at their limit, after the answer to their last write.
        walker.wait(Duration::from_secs(30))?;
    }
    for (target, states) in [(0, [0; 4]), (TOP, [3; 4])] {
        for cpu in 0..4 {
            sample.write(&format!("cpu{cpu}/fail"), 0)?;
            set_target(&sample, cpu, target)?;
        }
        are_at(&sample, states)?;
    }
    sample.unload()
}

/// An invalid step is refused and changes nothing.
#[vm_test]
fn malformed_input(vm: &Vm) -> Result<()> {
    let sample = Sample::load(vm, MODULE)?;
    set_target(&sample, 1, 2)?;
    for file in ["cpu1/target", "cpu1/fail"] {
        sample.refuses(
            &[
                (file, "4", Errno::ERANGE),
                (file, "-1", Errno::EINVAL),
                (file, "", Errno::EINVAL),
                (file, "up", Errno::EINVAL),
                (file, "99999999999999999999", Errno::ERANGE),
            ],
            &["cpu1/target", "cpu1/fail", "cpu1/state"],
        )?;
    }
    sample.unload()
}
