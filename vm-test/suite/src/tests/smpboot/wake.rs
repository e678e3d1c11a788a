// SPDX-License-Identifier: GPL-2.0

//! Wakes of threads that can run, that are parked, and that do not exist yet.

use anyhow::{Result, bail};
use demo_module::{Counts, Demo, WAKE, file};
use host::Vm;
use host::errors::refused;
use host::guest::calls::write;
use nix::errno::Errno;
use std::time::Duration;
use suite_macros::vm_test;
use wire::{Call, Until};

/// A wake runs that CPU's thread once, and no other.
#[vm_test]
fn one_wake_is_one_run(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let mut wanted = demo.all_counts()?;
    for cpu in vm.cpus("online")? {
        demo.wake(&cpu.to_string())?;
        wanted.insert(cpu, Counts { wake: 1, run: 1, ..Counts::SET_UP });
        demo.settles_at(&wanted)?;
    }
    demo.unload()
}

/// A list wakes exactly the CPUs in it.
#[vm_test]
fn list_wakes_these_cpus(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let mut wanted = demo.all_counts()?;
    for (list, cpus) in [
        ("0-1", [0, 1].as_slice()),
        ("1,3\n", &[1, 3]),
        ("0-3:1/2", &[0, 2]),
        (" 2 , 3 \n", &[2, 3]),
        ("0 1", &[0, 1]),
        ("all", &[0, 1, 2, 3]),
        ("N", &[3]),
        ("1\x000-3", &[1]), // a string ends at the NUL
        ("", &[]),
        ("\n", &[]),
    ] {
        demo.wake(list)?;
        for cpu in cpus {
            let counts = wanted.get_mut(cpu).unwrap();
            counts.wake += 1;
            counts.run += 1;
        }
        demo.settles_at(&wanted).map_err(|e| e.context(format!("after {list:?}")))?;
    }
    demo.unload()
}

/// 200 wakes, each after the run of the one before, are 200 runs.
#[vm_test]
fn no_wake_is_lost(vm: &Vm) -> Result<()> {
    const TIMES: u64 = 200;
    let demo = Demo::load(vm)?;
    let cpu = *vm.cpus("online")?.last().unwrap();
    let answered = |n: u64| Call::WaitFor {
        path: file(cpu, "run"),
        until: Until::Is(n.to_string()),
        limit_ms: 5000,
    };
    let pairs = (1..=TIMES).flat_map(|n| [write(WAKE, cpu.to_string()), answered(n)]);
    vm.batch(pairs.collect())?;
    assert_eq!(demo.counts(cpu)?, Counts { wake: TIMES, run: TIMES, ..Counts::SET_UP });
    demo.unload()
}

/// Wakes in a burst may share runs, but the last one is followed by a run.
#[vm_test]
fn burst_runs_at_least_once(vm: &Vm) -> Result<()> {
    const TIMES: u32 = 500;
    let demo = Demo::load(vm)?;
    vm.repeat(TIMES, vec![write(WAKE, "all")], Duration::from_secs(20))?;
    for cpu in vm.cpus("online")? {
        // A thread that sleeps after the last wake has no pending wake.
        vm.wait_for(&file(cpu, "state"), Until::Is("sleeping".into()))?;
        let counts = demo.counts(cpu)?;
        assert_eq!(counts.wake, u64::from(TIMES));
        assert!((1..=counts.wake).contains(&counts.run), "{counts:?}");
        let before = counts.run;
        demo.wake(&cpu.to_string())?;
        demo.wait_for([(cpu, "run", before + 1)].into_iter())?;
        assert_eq!(demo.counts(cpu)?.run, before + 1);
    }
    demo.unload()
}

/// Wakes of an offline CPU stay pending, and cause one run when it is online again.
#[vm_test]
fn offline_cpu_runs_when_back(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let mut wanted = demo.all_counts()?;
    let cpu = *vm.hotpluggable()?.last().unwrap();
    vm.cpu(cpu).offline()?;
    for _ in 0..3 {
        demo.wake(&cpu.to_string())?;
    }
    wanted.insert(cpu, Counts { wake: 3, park: 1, ..Counts::SET_UP });
    demo.settles_at(&wanted)?;
    assert_eq!(demo.state(cpu)?, "parked");

    vm.cpu(cpu).online()?;
    wanted.insert(cpu, Counts { wake: 3, run: 1, park: 1, unpark: 1, ..Counts::SET_UP });
    demo.settles_at(&wanted)?;
    demo.unload()
}

/// A wake of a CPU without a thread stays pending until the CPU comes online.
#[vm_test]
fn cpu_without_thread_runs_at_first_online(vm: &Vm) -> Result<()> {
    let down = vm.hotpluggable()?;
    let [.., first, second] = down.as_slice() else { bail!("too few CPUs: {down:?}") };
    for cpu in [first, second] {
        vm.cpu(*cpu).offline()?;
    }
    let demo = Demo::load(vm)?;
    let mut wanted = demo.all_counts()?;
    demo.wake(&format!("{first},{second}"))?;
    for cpu in [first, second] {
        wanted.insert(*cpu, Counts { wake: 1, ..Counts::default() });
        assert_eq!(demo.state(*cpu)?, "none");
    }
    demo.settles_at(&wanted)?;

    vm.cpu(*first).online()?;
    wanted.insert(*first, Counts { wake: 1, run: 1, ..Counts::SET_UP });
    demo.settles_at(&wanted)?;
    // The unload discards the other wake.
    demo.unload()?;
    vm.cpu(*second).online()
}

/// A list with one CPU out of range is refused as a whole, with ERANGE.
#[vm_test]
fn out_of_range_wakes_nobody(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let wanted = demo.all_counts()?;
    for list in ["4096", "0,4096", "0-4096", "1-3,99999"] {
        assert_eq!(refused(demo.wake(list))?, Errno::ERANGE, "{list}");
        demo.settles_at(&wanted)?;
    }
    demo.unload()
}
