// SPDX-License-Identifier: GPL-2.0

//! `rust_cpuhp`: a ladder of steps per CPU, and the way back when one of them fails.

use crate::test::Test;
use anyhow::Result;
use host::Vm;
use host::errors::refused;
use host::guest::calls::{insmod, rmmod, write};
use nix::errno::Errno;
use std::time::Duration;
use wire::{Call, TaskEnd, Until};

pub const TESTS: &[Test] = &[
    Test::new(
        "cpuhp::walks_up_and_down",
        "a write to target takes the steps in order, each once, and waits until it is there",
        walks_up_and_down,
    ),
    Test::new(
        "cpuhp::rolls_back",
        "each step that fails, up or down, is undone to where the walk began, and the write fails",
        rolls_back,
    ),
    Test::new(
        "cpuhp::offline_goes_down_and_online_climbs_back",
        "a CPU that goes offline takes back its steps; back online, it climbs to its target again",
        offline_goes_down_and_online_climbs_back,
    ),
    Test::new(
        "cpuhp::resume_fails",
        "a step that fails after an online leaves the CPU at 0, and the next write goes up again",
        resume_fails,
    ),
    Test::new(
        "cpuhp::asked_while_it_climbs",
        "who asks a CPU that is on its way to its old target is heard next",
        asked_while_it_climbs,
    ),
    Test::new(
        "cpuhp::offline_in_the_middle",
        "a CPU that goes offline in the middle of a walk says so to who waits, and goes down",
        offline_in_the_middle,
    ),
    Test::new(
        "cpuhp::busy_with_hotplug",
        "callers that walk and fail while CPUs go off and on get their answers; no step is lost",
        busy_with_hotplug,
    ),
    Test::new(
        "cpuhp::malformed_input",
        "what is no step is refused, and changes nothing",
        malformed_input,
    ),
];

const MODULE: &str = "rust_cpuhp";
const FOLDER: &str = "/sys/kernel/debug/rust_cpuhp";
const TOP: u32 = 3;

fn file(cpu: u32, name: &str) -> String {
    format!("{FOLDER}/cpu{cpu}/{name}")
}

fn go(vm: &Vm, cpu: u32, target: u32) -> Result<()> {
    vm.write(&file(cpu, "target"), target.to_string())
}

/// All that is to be seen of the ladders, compared with the CPUs' states.
fn are_at(vm: &Vm, states: &[u32]) -> Result<()> {
    for (cpu, state) in (0..).zip(states) {
        assert_eq!(vm.read(&file(cpu, "state"))?, state.to_string(), "CPU {cpu}");
    }
    let taken = |step| states.iter().filter(|state| **state >= step).count();
    let steps = format!("1 buffer {}\n2 pattern {}\n3 total {}", taken(1), taken(2), taken(3));
    assert_eq!(vm.read(&format!("{FOLDER}/steps"))?, steps);
    let total: u32 = (1..).zip(states).filter(|(_, s)| **s == TOP).map(|(n, _)| 1024 * n).sum();
    assert_eq!(vm.read(&format!("{FOLDER}/total"))?, total.to_string());
    Ok(())
}

/// The log without its time stamps, from line `from` on.
fn log(vm: &Vm, from: usize) -> Result<Vec<String>> {
    let log = vm.read(&format!("{FOLDER}/log"))?;
    let stamped = |line: &str| line.trim_start().split_once(' ').map(|(_, rest)| rest.to_string());
    Ok(log.lines().skip(from).filter_map(stamped).collect())
}

fn walks_up_and_down(vm: &Vm) -> Result<()> {
    // Right after insmod, for the threads of CPUs that are online must be up then.
    for _ in 0..10 {
        vm.batch(vec![insmod(MODULE, ""), write(&file(3, "target"), "3"), rmmod(MODULE)])?;
    }

    vm.insmod(MODULE, "")?;
    are_at(vm, &[0, 0, 0, 0])?;
    go(vm, 1, 3)?;
    are_at(vm, &[0, 3, 0, 0])?;
    go(vm, 1, 1)?;
    go(vm, 1, 1)?;
    go(vm, 2, 2)?;
    are_at(vm, &[0, 1, 2, 0])?;
    go(vm, 1, 0)?;
    let wanted = [
        "cpu1 up 1",
        "cpu1 up 2",
        "cpu1 up 3",
        "cpu1 down 3",
        "cpu1 down 2",
        "cpu2 up 1",
        "cpu2 up 2",
        "cpu1 down 1",
    ];
    assert_eq!(log(vm, 0)?, wanted);
    vm.rmmod(MODULE)
}

fn rolls_back(vm: &Vm) -> Result<()> {
    vm.insmod(MODULE, "")?;
    let mut seen = 0;
    for (from, target) in [(0, TOP), (TOP, 0)] {
        go(vm, 1, from)?;
        for step in 1..=TOP {
            seen = log(vm, 0)?.len();
            vm.write(&file(1, "fail"), step.to_string())?;
            assert_eq!(refused(go(vm, 1, target))?, Errno::EAGAIN);
            are_at(vm, &[0, from, 0, 0])?;
            assert_eq!(vm.read(&file(1, "target"))?, from.to_string());
            assert_eq!(vm.read(&file(1, "fail"))?, "0");

            let (mut there, mut back) = (Vec::new(), Vec::new());
            if from < target {
                there.extend((1..step).map(|n| format!("cpu1 up {n}")));
                there.push(format!("cpu1 up {step} EAGAIN"));
                back.extend((1..step).rev().map(|n| format!("cpu1 down {n}")));
            } else {
                there.extend((step + 1..=TOP).rev().map(|n| format!("cpu1 down {n}")));
                there.push(format!("cpu1 down {step} EAGAIN"));
                back.extend((step + 1..=TOP).map(|n| format!("cpu1 up {n}")));
            }
            there.extend(back);
            assert_eq!(log(vm, seen)?, there, "step {step}");
        }
        go(vm, 1, target)?;
    }
    assert!(seen > 0);
    vm.rmmod(MODULE)
}

fn offline_goes_down_and_online_climbs_back(vm: &Vm) -> Result<()> {
    vm.insmod(MODULE, "")?;
    for (cpu, target) in [(0, 3), (1, 3), (2, 2), (3, 0)] {
        go(vm, cpu, target)?;
    }
    for cpu in 1..4 {
        vm.cpu(cpu).offline()?;
        assert_eq!(refused(go(vm, cpu, 1))?, Errno::ENODEV);
    }
    are_at(vm, &[3, 0, 0, 0])?;
    for cpu in 1..4 {
        vm.cpu(cpu).online()?;
    }
    for (cpu, target) in [(1, 3), (2, 2)] {
        vm.wait_for(&file(cpu, "state"), Until::Is(target.to_string()))?;
    }
    are_at(vm, &[3, 3, 2, 0])?;
    for cpu in 1..4 {
        vm.cycle(cpu, 50)?;
    }
    for (cpu, target) in [(1, 3), (2, 2)] {
        vm.wait_for(&file(cpu, "state"), Until::Is(target.to_string()))?;
    }
    are_at(vm, &[3, 3, 2, 0])?;
    // With a CPU offline, and the others up.
    vm.cpu(2).offline()?;
    vm.rmmod(MODULE)?;
    assert!(vm.tasks(|name| name.starts_with("rust_cpuhp/"))?.is_empty());
    vm.cpu(2).online()
}

fn resume_fails(vm: &Vm) -> Result<()> {
    vm.insmod(MODULE, "")?;
    go(vm, 3, 3)?;
    vm.cpu(3).offline()?;
    vm.write(&file(3, "fail"), "2")?;
    vm.cpu(3).online()?;
    vm.wait_for(&file(3, "fail"), Until::Is("0".into()))?;
    vm.wait_for(&file(3, "state"), Until::Is("0".into()))?;
    go(vm, 3, 3)?;
    are_at(vm, &[0, 0, 0, 3])?;
    vm.rmmod(MODULE)
}

const STEP_US: &str = "/sys/kernel/debug/rust_cpuhp/step_us";

fn asked_while_it_climbs(vm: &Vm) -> Result<()> {
    vm.insmod(MODULE, "")?;
    go(vm, 3, 3)?;
    vm.cpu(3).offline()?;
    vm.write(STEP_US, "200000")?;
    vm.cpu(3).online()?;
    vm.wait_for(&file(3, "state"), Until::AtLeast(1))?;
    go(vm, 3, 1)?;
    are_at(vm, &[0, 0, 0, 1])?;
    let wanted = ["up 1", "up 2", "up 3", "down 3", "down 2"].map(|step| format!("cpu3 {step}"));
    assert_eq!(log(vm, 6)?, wanted);
    vm.rmmod(MODULE)
}

fn offline_in_the_middle(vm: &Vm) -> Result<()> {
    vm.insmod(MODULE, "")?;
    go(vm, 2, 1)?;
    vm.write(STEP_US, "500000")?;
    let waits = vm.spawn(write(&file(2, "target"), "3"))?;
    vm.wait_for(&file(2, "state"), Until::AtLeast(2))?;
    let queues = vm.spawn(write(&file(2, "target"), "0"))?;
    vm.cpu(2).offline()?;
    are_at(vm, &[0, 0, 0, 0])?;
    for caller in [waits, queues] {
        let end = caller.wait(Duration::from_secs(10))?;
        assert_eq!(end, TaskEnd::Answered(Box::new(Err(Errno::ENODEV as i32))));
    }
    vm.cpu(2).online()?;
    vm.wait_for(&file(2, "state"), Until::Is("1".into()))?;
    vm.rmmod(MODULE)
}

fn busy_with_hotplug(vm: &Vm) -> Result<()> {
    vm.insmod(MODULE, "")?;
    let walker = |cpu: u32| {
        let go_all = "for t in 3 1 2 0; do echo $t >$0/target; done";
        let script =
            format!("while :; do for f in 0 1 2 3; do echo $f >$0/fail; {go_all}; done; done");
        let folder = format!("{FOLDER}/cpu{cpu}");
        let argv = ["/bin/busybox", "sh", "-c", &format!("exec 2>/dev/null; {script}"), &folder];
        Call::Run { argv: argv.map(String::from).to_vec(), limit_ms: 8_000 }
    };
    let walkers = (0..8).map(|n| vm.spawn(walker(n % 4))).collect::<Result<Vec<_>>>()?;
    for _ in 0..4 {
        for cpu in vm.hotpluggable()? {
            vm.cycle(cpu, 3)?;
        }
    }
    for walker in walkers {
        // They are killed at their limit, when they have their answers.
        walker.wait(Duration::from_secs(30))?;
    }
    for cpu in 0..4 {
        vm.write(&file(cpu, "fail"), "0")?;
        go(vm, cpu, 0)?;
    }
    are_at(vm, &[0, 0, 0, 0])?;
    for cpu in 0..4 {
        go(vm, cpu, TOP)?;
    }
    are_at(vm, &[3, 3, 3, 3])?;
    vm.rmmod(MODULE)
}

fn malformed_input(vm: &Vm) -> Result<()> {
    vm.insmod(MODULE, "")?;
    go(vm, 1, 2)?;
    for name in ["target", "fail"] {
        for (input, errno) in [
            ("4", Errno::ERANGE),
            ("-1", Errno::EINVAL),
            ("", Errno::EINVAL),
            ("up", Errno::EINVAL),
            ("99999999999999999999", Errno::ERANGE),
        ] {
            assert_eq!(refused(vm.write(&file(1, name), input))?, errno, "{input:?} to {name}");
        }
    }
    are_at(vm, &[0, 2, 0, 0])?;
    assert_eq!(vm.read(&file(1, "fail"))?, "0");
    vm.rmmod(MODULE)
}
