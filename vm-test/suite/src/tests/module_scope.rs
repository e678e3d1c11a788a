// SPDX-License-Identifier: GPL-2.0

//! Registrations and files that are made, waited for or leaked when their module ends.

use super::smpboot::memory::{self, CALLER};
use super::test_modules::{HOLES, MISUSE, eventually, holes, misuse};
use anyhow::{Result, ensure};
use host::Vm;
use host::errors::refused;
use host::guest::DEFAULT_LIMIT;
use host::guest::calls::{rmmod, write};
use host::machine::kernel::FAILSLAB;
use host::verdict::NO_MEMORY;
use nix::errno::Errno;
use suite_macros::vm_test;
use wire::Until;

fn registered_at_the_end(vm: &Vm, mode: u32) -> Result<()> {
    vm.expect_warning("hole_last: registration was leaked");
    vm.may_leak();
    holes::load(vm, mode)?;
    HOLES.unload(vm)?;
    HOLES.logged(vm, "registered while the module ends: Err(ESHUTDOWN)", 1)?;
    HOLES.logged(vm, "registered afterwards: Err(ESHUTDOWN)", 1)?;
    // The scope drops it, as the registration has no owner.
    HOLES.logged(vm, "value dropped", 1)
}

/// Threads that are being registered when the module ends are refused with ESHUTDOWN and stopped,
/// and their value is dropped.
#[vm_test(long)]
fn threads_registered_at_the_end(vm: &Vm) -> Result<()> {
    registered_at_the_end(vm, 1)
}

/// Self-parking threads that are being registered when the module ends are refused with ESHUTDOWN
/// and stopped, and their value is dropped.
#[vm_test(long)]
fn self_parking_threads_registered_at_the_end(vm: &Vm) -> Result<()> {
    registered_at_the_end(vm, 2)
}

/// A hotplug state that is being registered when the module ends is refused with ESHUTDOWN and
/// removed, and its value is dropped.
#[vm_test(long)]
fn state_registered_at_the_end(vm: &Vm) -> Result<()> {
    registered_at_the_end(vm, 3)
}

/// A tree that is being filled when the module ends is removed afterwards.
#[vm_test(long)]
fn files_made_at_the_end(vm: &Vm) -> Result<()> {
    vm.expect_warning("hole_fill: registration was leaked");
    vm.may_leak();
    holes::load(vm, 4)?;
    eventually(vm, "a file before the module ends", || {
        Ok(vm.exists(&HOLES.file("_fill/before"))?.then_some(()))
    })?;
    HOLES.unload(vm)?;
    HOLES.logged(vm, "filled while the module ends: ", 1)
}

/// A task that waits for threads to be up, while a CPU waits to go offline, returns when the module
/// ends.
#[vm_test(long)]
fn waits_for_threads_at_the_end(vm: &Vm) -> Result<()> {
    vm.expect_warning("hole_up: registration was leaked");
    vm.expect_warning("hole_last: registration was leaked");
    vm.may_leak();
    holes::load(vm, 12)?;
    // The work item holds the hotplug lock for reading.
    eventually(vm, "a kworker inside of the module", || {
        let is_inside = |pid: &i32| {
            vm.read(&format!("/proc/{pid}/stack")).is_ok_and(|stack| stack.contains(HOLES.name))
        };
        let workers = vm.tasks(|comm| comm.starts_with("kworker/"))?;
        Ok(workers.iter().any(is_inside).then_some(()))
    })?;
    let offline = vm.spawn(write("/sys/devices/system/cpu/cpu1/online", "0"))?;
    let stack = format!("/proc/{}/stack", offline.pid);
    vm.wait_for(&stack, Until::Contains("_cpu_down".into()))?;
    vm.spawn(rmmod(HOLES.name))?.answer(DEFAULT_LIMIT)?;
    offline.answer(DEFAULT_LIMIT)?;
    vm.write("/sys/devices/system/cpu/cpu1/online", "1")?;
    HOLES.logged(vm, "waited while the module ends: Err(ESHUTDOWN)", 1)?;
    HOLES.nothing_left(vm)
}

/// Each allocation for the owner of a registration can fail: it returns ENOMEM without a deadlock,
/// and the next attempt works.
#[vm_test(needs = &[FAILSLAB], long)]
fn no_memory_for_owners(vm: &Vm) -> Result<()> {
    // A tree is made even without its directory.
    vm.expect_splat(NO_MEMORY);
    holes::load(vm, 10)?;
    for (file, least) in [("threads", 10), ("state", 5), ("tree", 5)] {
        let path = HOLES.file(&format!("/{file}"));
        let failures =
            memory::fail_each(vm, CALLER, || write(&path, "1"), |_| vm.write(&path, "1"))?;
        ensure!(failures >= least, "{file}: only {failures} allocations failed");
    }
    HOLES.unload(vm)
}

/// A registration that is dropped in a callback, even in one of its own, ends with the module.
#[vm_test]
fn dropped_in_a_callback(vm: &Vm) -> Result<()> {
    vm.expect_warning("registration dropped in a hotplug callback");
    vm.expect_warning("registration was leaked");
    vm.may_leak();
    MISUSE.load(vm)?;
    misuse::check(vm, "drop_in_callback")?;
    for name in ["mis_drop", "mis_count"] {
        assert_eq!(vm.tasks(|comm| comm.starts_with(name))?.len(), vm.cpus("online")?.len());
    }
    vm.cycle(2, 2)?;
    MISUSE.unload(vm)?;
    for name in ["mis_drop", "mis_count", "rust_smpboot/misuse:online"] {
        MISUSE.logged(vm, &format!("{name}: registration dropped in a hotplug callback"), 1)?;
        MISUSE.logged(vm, &format!("{name}: registration was leaked"), 1)?;
    }
    Ok(())
}

const LEAKS: [&str; 3] = ["mis_leak", "mis_leakp", "rust_smpboot/misuse:leaked"];

/// Leaked threads, states and files end with the module, even with a CPU offline.
#[vm_test]
fn leaked(vm: &Vm) -> Result<()> {
    vm.expect_warning("registration was leaked");
    vm.may_leak();
    for round in 1..=2 {
        MISUSE.load(vm)?;
        misuse::check(vm, "leak")?;
        assert_eq!(vm.read(&MISUSE.file("_leaked/number"))?, "7");
        assert!(!vm.tasks(|comm| comm.starts_with("mis_leak"))?.is_empty());
        vm.cpu(2).offline()?;
        if round == 2 {
            vm.cpu(2).online()?;
        }
        MISUSE.unload(vm)?;
        vm.cpu(2).online()?;
        for name in LEAKS {
            MISUSE.logged(vm, &format!("{name}: registration was leaked"), round)?;
        }
    }
    Ok(())
}

/// Everything that a failing init leaked is removed when insmod returns.
#[vm_test]
fn leaked_by_a_failing_init(vm: &Vm) -> Result<()> {
    vm.expect_warning("registration was leaked");
    vm.may_leak();
    assert_eq!(refused(vm.insmod(MISUSE.name, "leak_and_fail=1"))?, Errno::ECANCELED);
    MISUSE.nothing_left(vm)?;
    for name in LEAKS {
        MISUSE.logged(vm, &format!("{name}: registration was leaked"), 1)?;
    }
    misuse::checks(vm, &["register_twice"])
}
