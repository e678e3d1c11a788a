// SPDX-License-Identifier: GPL-2.0

//! What happens when there is no memory, at each place where there could be none.
//!
//! What allocates: the task that registers or that onlines the CPU, and kthreadd, which makes the
//! threads for either. Of what smpboot.c and kthread.c call nothing is on the list of what
//! fail_function may fail (`ALLOW_ERROR_INJECTION`), so allocations are all there is to fail.

use super::rollback::runs_again;
use anyhow::{Context, Result, ensure};
use cli::note;
use demo_module::{Demo, MODULE};
use host::Vm;
use host::errors::refused;
use host::guest::calls::{insmod, online};
use host::machine::kernel::FAILSLAB;
use host::verdict::NO_MEMORY;
use nix::errno::Errno;
use suite_macros::vm_test;
use wire::Call;

const FAILSLAB_DIR: &str = "/sys/kernel/debug/failslab";

/// Whose allocations fail.
pub const CALLER: i32 = 0;
const KTHREADD: i32 = 2;

/// fork(2) says EAGAIN, too; a signature that could not be verified is a bad one.
const REFUSALS: &[Errno] = &[Errno::ENOMEM, Errno::EAGAIN, Errno::EKEYREJECTED];

/// Each allocation of loading the demo can fail: an errno or no effect, no leak, and the next
/// attempt works.
#[vm_test(long, needs = &[FAILSLAB])]
fn insmod_fails_at_each_allocation(vm: &Vm) -> Result<()> {
    insmod_fails(vm, CALLER, 50)
}

/// Each allocation of making the demo's threads can fail: ENOMEM, the other threads are stopped,
/// and the next attempt works.
#[vm_test(times = 4, needs = &[FAILSLAB])]
fn no_thread_can_be_made(vm: &Vm) -> Result<()> {
    insmod_fails(vm, KTHREADD, 10)
}

/// Each allocation of bringing a CPU online and making its thread can fail: it stays offline or
/// comes online, and the next attempt works.
#[vm_test(needs = &[FAILSLAB])]
fn online_fails_at_each_allocation(vm: &Vm) -> Result<()> {
    online_fails(vm, CALLER, 2)
}

/// Each allocation of kthreadd for the thread of a CPU that comes online can fail: the CPU stays
/// offline, and the next attempt works.
#[vm_test(needs = &[FAILSLAB])]
fn no_thread_for_the_cpu(vm: &Vm) -> Result<()> {
    online_fails(vm, KTHREADD, 5)
}

/// Fails the task's first allocation during the call, the second, ... until it makes no more.
/// After each, `check` hears how the call ended, and restores what was before it. How often the
/// call failed.
pub fn fail_each(
    vm: &Vm,
    pid: i32,
    call: impl Fn() -> Call,
    mut check: impl FnMut(Result<(), Errno>) -> Result<()>,
) -> Result<u32> {
    // Allocations that may sleep, too; without a trace for each.
    vm.write(&format!("{FAILSLAB_DIR}/ignore-gfp-wait"), "N")?;
    vm.write(&format!("{FAILSLAB_DIR}/verbose"), "0")?;
    let (mut failures, mut survived) = (0, 0);
    for nth in 1.. {
        ensure!(nth < 2000, "there is no end of it");
        let attempt = || format!("allocation {nth}");
        let (injected, result) = vm.fail_nth(pid, nth, call())?;
        let result = match result {
            Ok(()) => Ok(()),
            Err(e) => Err(refused::<()>(Err(e)).with_context(attempt)?),
        };
        if let Err(errno) = result {
            ensure!(injected && REFUSALS.contains(&errno), "{}: {errno:?}", attempt());
        }
        check(result).with_context(attempt)?;
        match (injected, result) {
            (false, _) => break,
            (true, Err(_)) => failures += 1,
            (true, Ok(())) => survived += 1,
        }
    }
    vm.write(&format!("{FAILSLAB_DIR}/ignore-gfp-wait"), "Y")?;
    note!("vm-test: {failures} allocations failed the call, {survived} did not");
    Ok(failures)
}

fn insmod_fails(vm: &Vm, pid: i32, least: u32) -> Result<()> {
    vm.expect_splat(NO_MEMORY);
    let failures = fail_each(
        vm,
        pid,
        || insmod(MODULE, ""),
        |result| {
            if result.is_ok() {
                // Some files of debugfs may be missing, by design.
                return vm.rmmod(MODULE);
            }
            let demo = Demo::load(vm)?;
            demo.wake("0")?;
            demo.unload()
        },
    )?;
    ensure!(failures >= least, "only {failures} allocations failed");
    Ok(())
}

fn online_fails(vm: &Vm, pid: i32, least: u32) -> Result<()> {
    if pid == KTHREADD {
        vm.expect_splat(NO_MEMORY);
    }
    let cpu = *vm.removable()?.last().unwrap();
    // Loaded while the CPU is off, the module has no thread for it.
    let load = || {
        vm.cpu(cpu).offline()?;
        Demo::load(vm)
    };
    load()?;
    let failures = fail_each(
        vm,
        pid,
        || online(cpu),
        |result| {
            let demo = Demo::attach(vm)?;
            assert_eq!(vm.cpu(cpu).is_online()?, result.is_ok());
            vm.cpu(cpu).online()?;
            runs_again(&demo, cpu)?;
            let counts = demo.counts(cpu)?;
            assert_eq!((counts.create, counts.setup), (1, 1));
            demo.unload()?;
            load().map(drop)
        },
    )?;
    ensure!(failures >= least, "only {failures} allocations failed");
    vm.cpu(cpu).online()?;
    vm.rmmod(MODULE)
}
