// SPDX-License-Identifier: GPL-2.0

//! An offline or online that fails half-way and is rolled back, at every step where it can fail.

use anyhow::{Context, Result};
use demo_module::{Counts, Demo};
use host::Vm;
use host::errors::refused;
use nix::errno::Errno;
use suite_macros::vm_test;

/// The state in which the core parks and unparks the threads.
const SMPBOOT: &str = "smpboot/threads:online";

/// The hotplug states, by name and number.
pub fn states(vm: &Vm) -> Result<Vec<(String, i32)>> {
    let states = vm.read("/sys/devices/system/cpu/hotplug/states")?;
    let state = |line: &str| {
        let (number, name) = line.split_once(':')?;
        Some((name.trim().into(), number.trim().parse().ok()?))
    };
    Ok(states.lines().filter_map(state).collect())
}

pub fn smpboot_state(vm: &Vm) -> Result<i32> {
    let states = states(vm)?;
    let state = states.iter().find(|(name, _)| name == SMPBOOT);
    Ok(state.with_context(|| format!("no {SMPBOOT} in {states:?}"))?.1)
}

/// An offline that fails parks and unparks the thread only if it reached the thread's state, and
/// the CPU continues to work.
#[vm_test]
fn offline_fails_at_each_state(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let smpboot = smpboot_state(vm)?;
    let cpu = *vm.hotpluggable()?.last().unwrap();
    let mut wanted = demo.all_counts()?;
    let mut failed = 0;
    for (_, state) in states(vm)? {
        if vm.cpu(cpu).fail_at(state).is_err() {
            continue; // the kernel does not let this state fail
        }
        let before = wanted[&cpu];
        let parked = match vm.cpu(cpu).offline() {
            Ok(()) => {
                vm.cpu(cpu).fail_at(-1)?; // without a teardown it would fail the online instead
                vm.cpu(cpu).online()?;
                true
            }
            Err(e) => {
                assert_eq!(refused::<()>(Err(e))?, Errno::EAGAIN, "state {state}");
                failed += 1;
                state < smpboot
            }
        };
        assert!(vm.cpu(cpu).is_online()?, "state {state}");
        let more = u64::from(parked);
        let counts = Counts { park: before.park + more, unpark: before.unpark + more, ..before };
        wanted.insert(cpu, counts);
        demo.settles_at(&wanted).with_context(|| format!("offline failed in state {state}"))?;
        runs_again(&demo, cpu)?;
        wanted.insert(cpu, Counts { wake: before.wake + 1, run: before.run + 1, ..counts });
    }
    assert!(failed >= 5, "only {failed} states could fail");
    demo.unload()
}

/// An online that fails leaves the thread parked, and the next one works.
///
/// When the core unparks a thread and parks it again at once, the thread may notice neither.
#[vm_test]
fn online_fails_at_each_state(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let smpboot = smpboot_state(vm)?;
    let cpu = *vm.hotpluggable()?.last().unwrap();
    let mut failed = 0;
    for (_, state) in states(vm)? {
        vm.cpu(cpu).offline()?;
        let before = demo.counts(cpu)?;
        if vm.cpu(cpu).fail_at(state).is_ok() {
            if let Err(e) = vm.cpu(cpu).online() {
                assert_eq!(refused::<()>(Err(e))?, Errno::EAGAIN, "state {state}");
                assert!(!vm.cpu(cpu).is_online()?, "state {state}");
                assert_eq!(demo.state(cpu)?, "parked", "state {state}");
                let after = demo.counts(cpu)?;
                let noticed = after.unpark - before.unpark;
                assert!(noticed <= u64::from(state > smpboot), "state {state}: {after:?}");
                let (park, unpark) = (before.park + noticed, before.unpark + noticed);
                assert_eq!(after, Counts { park, unpark, ..before }, "state {state}");
                failed += 1;
            }
            vm.cpu(cpu).fail_at(-1)?;
        }
        vm.cpu(cpu).online()?;
        runs_again(&demo, cpu)?;
    }
    assert!(failed >= 15, "only {failed} states could fail");
    demo.unload()
}

/// A first online that fails leaves at most one thread, never set up twice.
#[vm_test]
fn first_online_fails_at_each_state(vm: &Vm) -> Result<()> {
    let smpboot = smpboot_state(vm)?;
    let cpu = *vm.hotpluggable()?.last().unwrap();
    let mut failed = 0;
    for (_, state) in states(vm)? {
        vm.cpu(cpu).offline()?;
        // Loaded now, the module has no thread for this CPU.
        let demo = Demo::load(vm)?;
        if vm.cpu(cpu).fail_at(state).is_ok() {
            if let Err(e) = vm.cpu(cpu).online() {
                assert_eq!(refused::<()>(Err(e))?, Errno::EAGAIN, "state {state}");
                let counts = demo.counts(cpu)?;
                assert!(counts.create <= 1 && counts.setup <= counts.create, "{state}: {counts:?}");
                assert!(state > smpboot || counts.setup == 0, "{state}: {counts:?}");
                assert_eq!(demo.pid(cpu)? != 0, counts.create == 1, "{state}: {counts:?}");
                failed += 1;
            }
            vm.cpu(cpu).fail_at(-1)?;
        }
        vm.cpu(cpu).online()?;
        runs_again(&demo, cpu)?;
        let counts = demo.counts(cpu)?;
        assert_eq!((counts.create, counts.setup), (1, 1), "state {state}");
        demo.unload()?;
    }
    assert!(failed >= 15, "only {failed} states could fail");
    Ok(())
}

/// Checks that the thread of the CPU runs for a wake.
pub fn runs_again(demo: &Demo<'_>, cpu: u32) -> Result<()> {
    let before = demo.counts(cpu)?.run;
    demo.wake(&cpu.to_string())?;
    demo.wait_for([(cpu, "run", before + 1)].into_iter())
}
