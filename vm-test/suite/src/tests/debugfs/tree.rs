// SPDX-License-Identifier: GPL-2.0

//! Trees of files: opened before init succeeds, freed without a drop.

use crate::tests::test_modules::{HOLES, eventually, holes};
use anyhow::Result;
use host::Vm;
use host::errors::refused;
use host::guest::DEFAULT_LIMIT;
use host::guest::calls::insmod;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use suite_macros::vm_test;
use wire::{Access, Exit, TaskEnd};

/// No file can be opened before init has succeeded, so that none is open when a failing init frees
/// the module.
#[vm_test(long)]
fn opened_during_init(vm: &Vm) -> Result<()> {
    let loading = vm.spawn(insmod(HOLES.name, "mode=5"))?;
    let number = HOLES.file("_early/number");
    eventually(vm, "a file during init", || Ok(vm.exists(&number)?.then_some(())))?;
    for path in [number, holes::stream()] {
        assert_eq!(refused(vm.open(&path, Access::Read).map(drop))?, Errno::EAGAIN, "{path}");
    }
    assert_eq!(loading.kill(DEFAULT_LIMIT)?, TaskEnd::Died(Exit::Signal(Signal::SIGKILL as i32)));
    HOLES.nothing_left(vm)?;
    // The next load is not affected.
    holes::load(vm, 6)?;
    drop(vm.open(&holes::stream(), Access::Read)?);
    HOLES.unload(vm)
}

/// The files of a tree whose memory is freed without a drop keep working, and are removed with the
/// module.
#[vm_test(long)]
fn freed_without_a_drop(vm: &Vm) -> Result<()> {
    vm.may_leak();
    holes::load(vm, 11)?;
    for _ in 0..3 {
        assert_eq!(vm.read(&HOLES.file("/number"))?, "42");
    }
    HOLES.unload(vm)
}
