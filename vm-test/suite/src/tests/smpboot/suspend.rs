// SPDX-License-Identifier: GPL-2.0

//! Suspend to RAM: all CPUs but one go offline, and online again at the resume.

use super::rollback::runs_again;
use anyhow::{Result, ensure};
use demo_module::{Counts, Demo};
use host::guest::DEFAULT_LIMIT;
use host::machine::kernel::{ACPI_SLEEP, PM_DEBUG, Symbol};
use host::{Config, Vm};
use serde_json::Value as Json;
use suite_macros::vm_test;
use wire::Call;

/// Suspend to RAM parks the threads of all CPUs but the last one; after the resume they continue.
#[vm_test(machine = Config::smp(4).suspends(), long)]
fn to_ram(vm: &Vm) -> Result<()> {
    threads_follow(vm, suspend_to_ram)
}

/// A suspend that ends when only one CPU is online parks the threads of all others; then they
/// continue.
#[vm_test(needs = REHEARSAL)]
fn rehearsed(vm: &Vm) -> Result<()> {
    threads_follow(vm, rehearse)
}

/// Options of a kernel that can end a suspend half-way.
const REHEARSAL: &[Symbol] = &[PM_DEBUG, ACPI_SLEEP];

/// The function that suspends this VM, if it can be suspended.
pub fn way(vm: &Vm) -> Option<fn(&Vm) -> Result<()>> {
    if vm.config().suspends {
        return Some(suspend_to_ram);
    }
    vm.built_with().lacks(REHEARSAL).is_none().then_some(rehearse)
}

/// Suspends the VM, and wakes it.
fn suspend_to_ram(vm: &Vm) -> Result<()> {
    let from = vm.console_len();
    let id = vm.post(Call::Suspend);
    vm.wait_line(from, "QEMU: SUSPEND")?;
    vm.qmp("system_wakeup", Json::Null)?;
    let answer = vm.wait_answer(id, "resume", vm.limits().call.max(DEFAULT_LIMIT))?;
    ensure!(answer.is_ok(), "suspend: {answer:?}");
    Ok(())
}

/// Suspends without the platform's part, from which a VM may not resume (`Kernel::suspends`).
fn rehearse(vm: &Vm) -> Result<()> {
    vm.write("/sys/module/suspend/parameters/pm_test_delay", "0")?;
    vm.write("/sys/power/pm_test", "processors")?;
    let suspended = vm.call(Call::Suspend);
    vm.write("/sys/power/pm_test", "none")?;
    suspended.map(drop)
}

fn threads_follow(vm: &Vm, suspend: fn(&Vm) -> Result<()>) -> Result<()> {
    let demo = Demo::load(vm)?;
    let mut wanted = demo.all_counts()?;
    suspend(vm)?;
    for (cpu, counts) in &mut wanted {
        let slept = u64::from(*cpu != 0);
        *counts = Counts { park: slept, unpark: slept, ..*counts };
    }
    demo.settles_at(&wanted)?;
    for cpu in vm.cpus("online")? {
        runs_again(&demo, cpu)?;
    }
    assert_eq!(vm.cpus("online")?, vm.cpus("possible")?);
    demo.unload()
}
