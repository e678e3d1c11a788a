// SPDX-License-Identifier: GPL-2.0

//! The debug kernel's checkers: each must report its bug of vm-test/modules/rust_smpboot_faulty.rs,
//! or silence of a checker would prove nothing.

use anyhow::{Result, bail, ensure};
use host::guest::DEFAULT_LIMIT;
use host::guest::calls::write;
use host::machine::kernel::{ATOMIC_SLEEP, KASAN, KCSAN, KMEMLEAK, LOCKDEP, OBJECTS};
use host::verdict::{Fault, Judge, LEAK, Leaves};
use host::{Config, Vm};
use suite_macros::vm_test;

const MODULE: &str = "rust_smpboot_faulty";
const DO: &str = "/sys/kernel/debug/rust_smpboot_faulty/do";

/// Runs the bugs, and announces the kinds of splats that must be reported.
fn reported(vm: &Vm, bugs: &[&str], kinds: &[&'static str]) -> Result<()> {
    for kind in kinds {
        vm.expect_splat(kind);
    }
    vm.insmod(MODULE, "")?;
    for bug in bugs {
        vm.write(DO, bug)?;
    }
    vm.rmmod(MODULE)
}

/// Checks that exactly one line of the log contains this.
fn once(vm: &Vm, part: &str) -> Result<()> {
    vm.kmsg()?;
    let records = vm.records();
    let lines = records.iter().filter(|record| record.text.contains(part)).count();
    assert_eq!(lines, 1, "{part}");
    Ok(())
}

/// KASAN reports a read of freed memory and a write out of bounds.
#[vm_test(needs = &[KASAN], leaves = Leaves::Used)]
fn use_after_free(vm: &Vm) -> Result<()> {
    reported(vm, &["use_after_free", "out_of_bounds"], &["KASAN"])?;
    once(vm, "BUG: KASAN: slab-use-after-free in ")?;
    once(vm, "BUG: KASAN: slab-out-of-bounds in ")
}

/// debugobjects reports that an active timer is freed.
#[vm_test(needs = &[OBJECTS], leaves = Leaves::Used)]
fn timer_freed(vm: &Vm) -> Result<()> {
    reported(vm, &["timer_freed"], &["ODEBUG", "WARNING"])?;
    once(vm, "ODEBUG: free active")
}

/// The kernel reports a mutex that is locked below a spinlock.
#[vm_test(needs = &[ATOMIC_SLEEP, LOCKDEP], leaves = Leaves::Used)]
fn sleep_in_atomic(vm: &Vm) -> Result<()> {
    reported(vm, &["sleep_in_atomic"], &["sleep in atomic", "lockdep"])
}

/// lockdep reports two mutexes that are locked in both orders.
#[vm_test(needs = &[LOCKDEP], leaves = Leaves::Used)]
fn lock_inversion(vm: &Vm) -> Result<()> {
    reported(vm, &["lock_inversion"], &["lockdep"])?;
    once(vm, "possible circular locking dependency")
}

/// lockdep reports that the hotplug lock is taken below a mutex of a hotplug callback.
#[vm_test(needs = &[LOCKDEP], leaves = Leaves::Used)]
fn hotplug_inversion(vm: &Vm) -> Result<()> {
    reported(vm, &["hotplug_inversion"], &["lockdep"])?;
    once(vm, "possible circular locking dependency")?;
    vm.kmsg()?;
    let records = vm.records();
    assert!(records.iter().any(|record| record.text.contains("cpu_hotplug_lock")));
    Ok(())
}

/// kmemleak reports memory without references; unless announced, that fails a test.
#[vm_test(needs = &[KMEMLEAK], leaves = Leaves::Broken)]
fn leak(vm: &Vm) -> Result<()> {
    // kmemleak may miss a single leak: memory that looks like a pointer to it counts as one.
    let leaking = |vm: &Vm| reported(vm, &["leak"; 20], &[]);
    let mut judge = Judge::default();
    assert_eq!(judge.run(vm, "probe", Leaves::Clean, leaking), []);
    let Some(Fault::Leak(late)) = judge.late_leaks(vm) else { bail!("no leak was reported") };
    ensure!(late.contains("during probe: "), "{late}");
    // A reported leak is not reported again; kmemleak may find more of the others now.
    for leak in judge.leaks(vm)? {
        ensure!(leak.of == "probe" && !late.contains(leak.object()), "{leak}");
    }
    let announced = |vm: &Vm| reported(vm, &["leak"; 20], &[LEAK]);
    assert_eq!(judge.run(vm, "probe", Leaves::Clean, announced), []);
    Ok(())
}

/// KCSAN reports that two CPUs write to one word without a lock.
#[vm_test(needs = &[KCSAN], machine = Config::smp(2).multi(true), leaves = Leaves::Used)]
fn data_race(vm: &Vm) -> Result<()> {
    vm.expect_splat("KCSAN");
    vm.insmod(MODULE, "")?;
    let write = || vm.spawn(write(DO, "data_race"));
    for task in [write()?, write()?] {
        task.wait(DEFAULT_LIMIT)?;
    }
    vm.kmsg()?;
    let records = vm.records();
    assert!(records.iter().any(|record| record.text.contains("data-race in __bitmap_")));
    drop(records);
    vm.rmmod(MODULE)
}
