// SPDX-License-Identifier: GPL-2.0

//! Hotplug states: callbacks that fail, registered twice, rolled back.

use crate::tests::smpboot::rollback;
use crate::tests::test_modules::{HOLES, holes, misuse};
use anyhow::{Result, ensure};
use host::Vm;
use host::errors::refused;
use host::verdict::Leaves;
use nix::errno::Errno;
use suite_macros::vm_test;

/// A startup that fails during the rollback of an offline leaves the CPU between two states, with a
/// warning, as in C.
#[vm_test(leaves = Leaves::Used, long)]
fn startup_fails_in_a_rollback(vm: &Vm) -> Result<()> {
    vm.expect_splat("WARNING");
    holes::load(vm, 8)?;
    let cpu = |file: &str| -> Result<i32> {
        Ok(vm.read(&format!("/sys/devices/system/cpu/cpu1/{file}"))?.parse()?)
    };
    let top = cpu("hotplug/state")?;
    vm.cpu(1).fail_at(rollback::smpboot_state(vm)?)?;
    assert_eq!(refused(vm.cpu(1).offline())?, Errno::EAGAIN);
    HOLES.logged(vm, "teardown of CPU 1", 1)?;
    HOLES.logged(vm, "startup of CPU 1: Err(EIO)", 1)?;
    let (online, state, target) = (cpu("online")?, cpu("hotplug/state")?, cpu("hotplug/target")?);
    ensure!(
        online == 1 && state < target && target == top,
        "CPU 1: online {online}, state {state} of {top}, target {target}"
    );
    // From there it can be taken offline and brought online.
    vm.cycle(1, 1)?;
    assert_eq!(cpu("hotplug/state")?, top);
    HOLES.unload(vm)
}

/// A state whose startup fails on a CPU is rolled back; at registration, callbacks run for online
/// CPUs only on request.
#[vm_test]
fn states_that_fail(vm: &Vm) -> Result<()> {
    misuse::checks(vm, &["cpuhp_counts", "cpuhp_no_invoke", "cpuhp_failing_startup", "cpuhp_twice"])
}
