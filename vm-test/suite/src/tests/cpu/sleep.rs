// SPDX-License-Identifier: GPL-2.0

//! Sleeping in a callback while its CPU goes offline.

use crate::tests::test_modules::{MISUSE, misuse};
use anyhow::{Context, Result};
use host::errors::refused;
use host::guest::calls::offline;
use host::verdict::Leaves;
use host::{Config, Vm};
use nix::errno::Errno;
use std::time::Duration;
use suite_macros::vm_test;

/// With threadirqs, a CPU goes offline while a callback is in Context::sleep; it cannot while one
/// is in fsleep.
#[vm_test(machine = Config::smp(4).word("threadirqs"), leaves = Leaves::Broken)]
fn with_forced_threads(vm: &Vm) -> Result<()> {
    // Interrupts are forced into threads: the one for timers parks before those of a module.
    assert_eq!(vm.tasks(|comm| comm == "ktimers/1")?.len(), 1);
    MISUSE.load(vm)?;
    misuse::check(vm, "sleep")?;
    for cpu in [1, 2] {
        vm.cycle(cpu, 1)?;
    }
    misuse::check(vm, "end")?;

    // With PREEMPT_RT the agent's own timers would stop on that CPU, too.
    vm.set_affinity(0, &[0])?;
    misuse::check(vm, "fsleep")?;
    let offline = vm.spawn(offline(1))?;
    // If the sleep of 2 s ended, the CPU would be offline by then.
    assert_eq!(refused(offline.wait(Duration::from_secs(5)))?, Errno::ETIME);
    let sleeper = vm.tasks(|comm| comm == "mis_sleep/1")?;
    let state = vm.status(*sleeper.first().context("no thread")?, "State")?;
    assert!(state.starts_with('D'), "{state}");
    Ok(())
}
