// SPDX-License-Identifier: GPL-2.0

//! Failing allocations: each one that a call makes fails once.
//!
//! Two tasks allocate: the one that registers or brings the CPU online, and kthreadd, which creates
//! the threads for it. smpboot.c and kthread.c call no function that fail_function may fail
//! (`ALLOW_ERROR_INJECTION`), so only allocations can fail.

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

/// The pid of the task whose allocations fail.
pub const CALLER: i32 = 0;
const KTHREADD: i32 = 2;

/// Errors of a failed allocation. fork(2) may return EAGAIN; a signature that cannot be verified
/// counts as a bad one.
const REFUSALS: &[Errno] = &[Errno::ENOMEM, Errno::EAGAIN, Errno::EKEYREJECTED];

/// Each allocation of insmod can fail: insmod returns an errno or succeeds, leaks nothing, and the
/// next attempt works.
#[vm_test(long, needs = &[FAILSLAB])]
fn insmod_fails_at_each_allocation(vm: &Vm) -> Result<()> {
    insmod_fails(vm, CALLER, 50)
}

/// Each allocation for the demo's threads can fail: insmod returns ENOMEM, the other threads are
/// stopped, and the next attempt works.
#[vm_test(times = 4, needs = &[FAILSLAB])]
fn no_thread_can_be_made(vm: &Vm) -> Result<()> {
    insmod_fails(vm, KTHREADD, 10)
}

/// Each allocation during an online and for the CPU's thread can fail: the CPU stays offline or
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

/// Fails the task's first allocation during the call, then the second, until the call makes no
/// more. After each call, `check` gets the result, and restores the state before the call. Returns
/// how often the call failed.
pub fn fail_each(
    vm: &Vm,
    pid: i32,
    call: impl Fn() -> Call,
    mut check: impl FnMut(Result<(), Errno>) -> Result<()>,
) -> Result<u32> {
    // Lets allocations that may sleep fail, too, without a trace for each.
    vm.write(&format!("{FAILSLAB_DIR}/ignore-gfp-wait"), "N")?;
    vm.write(&format!("{FAILSLAB_DIR}/verbose"), "0")?;
    let (mut failures, mut survived) = (0, 0);
    for nth in 1.. {
        ensure!(nth < 2000, "{nth} allocations, and still more");
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
    note!("vm-test: {failures} failed allocations failed the call, {survived} did not");
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
                // Files of debugfs may be missing: its errors are ignored by design.
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
    // A module that is loaded while the CPU is offline has no thread for it.
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
