// SPDX-License-Identifier: GPL-2.0

//! The debug kernel's checkers: each must speak when it has reason to
//! (vm-test/modules/rust_smpboot_faulty.rs), or their silence proves nothing.

use crate::test::Test;
use anyhow::{Result, bail, ensure};
use host::guest::DEFAULT_LIMIT;
use host::guest::calls::write;
use host::machine::kernel::{ATOMIC_SLEEP, KASAN, KCSAN, KMEMLEAK, LOCKDEP, OBJECTS};
use host::verdict::{Fault, Judge, LEAK, Leaves};
use host::{Config, Vm};

const MODULE: &str = "rust_smpboot_faulty";
const DO: &str = "/sys/kernel/debug/rust_smpboot_faulty/do";

pub const TESTS: &[Test] = &[
    Test::new(
        "checkers::use_after_free",
        "KASAN tells that freed memory is read, and that another byte than ours is written",
        use_after_free,
    )
    .needs(&[KASAN])
    .leaves(Leaves::Used),
    Test::new(
        "checkers::leak",
        "kmemleak tells memory that nobody refers to; unannounced, that fails a test",
        leak,
    )
    .needs(&[KMEMLEAK])
    .leaves(Leaves::Broken),
    Test::new(
        "checkers::timer_freed",
        "debugobjects tells that a timer is freed that still runs",
        timer_freed,
    )
    .needs(&[OBJECTS])
    .leaves(Leaves::Used),
    Test::new(
        "checkers::sleep_in_atomic",
        "a mutex that is locked below a spinlock is told",
        sleep_in_atomic,
    )
    .needs(&[ATOMIC_SLEEP, LOCKDEP])
    .leaves(Leaves::Used),
    Test::new(
        "checkers::lock_inversion",
        "lockdep tells two mutexes that are locked in either order",
        lock_inversion,
    )
    .needs(&[LOCKDEP])
    .leaves(Leaves::Used),
    Test::new(
        "checkers::hotplug_inversion",
        "lockdep tells that the hotplug lock is taken below a mutex of a hotplug callback",
        hotplug_inversion,
    )
    .needs(&[LOCKDEP])
    .leaves(Leaves::Used),
    Test::new(
        "checkers::data_race",
        "KCSAN tells that two CPUs write to one word without a lock",
        data_race,
    )
    .needs(&[KCSAN])
    .on(Config::smp(2).multi(true))
    .leaves(Leaves::Used),
];

/// Each of the kinds must be told.
fn told(vm: &Vm, faults: &[&str], kinds: &[&'static str]) -> Result<()> {
    for kind in kinds {
        vm.expect_splat(kind);
    }
    vm.insmod(MODULE, "")?;
    for fault in faults {
        vm.write(DO, fault)?;
    }
    vm.rmmod(MODULE)
}

/// The log has a line with this, once.
fn once(vm: &Vm, part: &str) -> Result<()> {
    vm.kmsg()?;
    let records = vm.records();
    let lines = records.iter().filter(|record| record.text.contains(part)).count();
    assert_eq!(lines, 1, "{part}");
    Ok(())
}

fn use_after_free(vm: &Vm) -> Result<()> {
    told(vm, &["use_after_free", "out_of_bounds"], &["KASAN"])?;
    once(vm, "BUG: KASAN: slab-use-after-free in ")?;
    once(vm, "BUG: KASAN: slab-out-of-bounds in ")
}

fn timer_freed(vm: &Vm) -> Result<()> {
    told(vm, &["timer_freed"], &["ODEBUG", "WARNING"])?;
    once(vm, "ODEBUG: free active")
}

fn sleep_in_atomic(vm: &Vm) -> Result<()> {
    told(vm, &["sleep_in_atomic"], &["sleep in atomic", "lockdep"])
}

fn lock_inversion(vm: &Vm) -> Result<()> {
    told(vm, &["lock_inversion"], &["lockdep"])?;
    once(vm, "possible circular locking dependency")
}

fn hotplug_inversion(vm: &Vm) -> Result<()> {
    told(vm, &["hotplug_inversion"], &["lockdep"])?;
    once(vm, "possible circular locking dependency")?;
    vm.kmsg()?;
    let records = vm.records();
    assert!(records.iter().any(|record| record.text.contains("cpu_hotplug_lock")));
    Ok(())
}

fn leak(vm: &Vm) -> Result<()> {
    // Of one kmemleak may see none: anything that looks like a pointer to it counts as one.
    let leaking = |vm: &Vm| told(vm, &["leak"; 20], &[]);
    let mut judge = Judge::default();
    assert_eq!(judge.run(vm, "probe", Leaves::Clean, leaking), []);
    let Some(Fault::Leak(told_late)) = judge.late_leaks(vm) else { bail!("no leak is told") };
    ensure!(told_late.contains("during probe: "), "{told_late}");
    // What was told is not told again, but of the others more may be seen now.
    for leak in judge.leaks(vm)? {
        ensure!(leak.of == "probe" && !told_late.contains(leak.object()), "{leak}");
    }
    let announced = |vm: &Vm| told(vm, &["leak"; 20], &[LEAK]);
    assert_eq!(judge.run(vm, "probe", Leaves::Clean, announced), []);
    Ok(())
}

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
