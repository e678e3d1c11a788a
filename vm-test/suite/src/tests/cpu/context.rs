// SPDX-License-Identifier: GPL-2.0

//! Callbacks that would wait for CPU hotplug are refused.

use crate::tests::test_modules::{HOLES, MISUSE, holes, misuse};
use anyhow::Result;
use host::{Config, Vm};
use suite_macros::vm_test;

/// Registering in a hotplug callback of another subsystem fails with EDEADLK, even before any
/// callback of the module has run.
#[vm_test(
    machine = Config::smp(4).word("cpufreq.default_governor=performance"),
    needs = &["CPU_FREQ"],
    long,
)]
fn registered_in_a_foreign_callback(vm: &Vm) -> Result<()> {
    holes::load(vm, 7)?;
    vm.cycle(1, 1)?;
    for what in ["threads", "state"] {
        let text = format!("{what} registered in a foreign callback: Err(EDEADLK)");
        HOLES.logged(vm, &text, 1)?;
    }
    HOLES.unload(vm)
}

/// In each callback, taking the hotplug lock and registering threads or a state fail with EDEADLK.
#[vm_test]
fn callbacks_that_wait_for_hotplug(vm: &Vm) -> Result<()> {
    MISUSE.load(vm)?;
    misuse::check(vm, "callbacks")?;
    for cpu in vm.hotpluggable()? {
        vm.cycle(cpu, 1)?;
    }
    misuse::check(vm, "end")?;
    MISUSE.unload(vm)
}
