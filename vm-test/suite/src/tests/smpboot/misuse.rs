// SPDX-License-Identifier: GPL-2.0

//! Safe code cannot break the threads: checks of vm-test/modules/rust_smpboot_misuse.rs.

use crate::tests::samples::{Class, class};
use crate::tests::test_modules::{MISUSE, misuse};
use anyhow::Result;
use host::Vm;
use suite_macros::vm_test;

/// A second registration, a registration whose value fails, and repeated registrations return an
/// errno or work.
#[vm_test]
fn registrations(vm: &Vm) -> Result<()> {
    let at_once = format!("at_once {}", 1000 / vm.built_with().slowness());
    misuse::checks(
        vm,
        &[
            "register_twice",
            "wake_without_threads",
            "failing_init",
            "local_dropped_once",
            &at_once,
            "register_twice",
        ],
    )
}

/// Threads that are stopped before their first run get no setup, no cleanup, and no drop.
#[vm_test]
fn threads_that_never_ran(vm: &Vm) -> Result<()> {
    misuse::checks(vm, &["never_ran 5"])
}

/// Wakes by other threads, by the threads themselves and by interrupts are harmless while threads
/// are registered and unregistered.
#[vm_test]
fn wakes_while_threads_go(vm: &Vm) -> Result<()> {
    misuse::checks(vm, &["storm 100"])
}

/// Threads with random results of should_run and random scheduling classes start and end like
/// others.
#[vm_test]
fn liars(vm: &Vm) -> Result<()> {
    misuse::checks(vm, &["liar 20"])
}

/// unpark is called even for threads that have no park.
#[vm_test]
fn unpark_without_park(vm: &Vm) -> Result<()> {
    MISUSE.load(vm)?;
    misuse::check(vm, "unpark")?;
    let cpus = vm.hotpluggable()?;
    for cpu in &cpus {
        vm.cycle(*cpu, 2)?;
    }
    misuse::check(vm, &format!("end {}", 2 * cpus.len()))?;
    MISUSE.unload(vm)
}

/// Threads have their declared scheduling class, even those of CPUs that come online later.
#[vm_test]
fn scheduling_classes(vm: &Vm) -> Result<()> {
    vm.cpu(2).offline()?;
    vm.cpu(3).offline()?;
    MISUSE.load(vm)?;
    misuse::check(vm, "policies")?;
    for cpu in [0, 1, 2, 3] {
        if cpu >= 2 {
            vm.cpu(cpu).online()?;
        }
        for round in 0..2 {
            for (name, wanted) in [
                ("mis_fifo", Class { fifo: 50, nice: 0 }),
                ("mis_low", Class { fifo: 1, nice: 0 }),
                ("mis_nice", Class { fifo: 0, nice: -7 }),
                ("mis_plain", Class { fifo: 0, nice: 0 }),
            ] {
                assert_eq!(class(vm, &format!("{name}/{cpu}"))?, wanted, "{name}/{cpu}");
            }
            if round == 0 && cpu > 0 {
                vm.cycle(cpu, 1)?;
            }
        }
    }
    misuse::check(vm, "end")?;
    MISUSE.unload(vm)
}
