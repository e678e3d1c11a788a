// SPDX-License-Identifier: GPL-2.0

//! The test modules of vm-test/modules, and waits that several tests use.

use super::samples::logged;
use anyhow::{Result, bail, ensure};
use host::guest::DEFAULT_LIMIT;
use host::{Vm, clock};
use std::time::Duration;

/// A module, and the names of its threads, hotplug states and files.
pub struct TestModule {
    pub name: &'static str,
    /// The beginning of its threads' names.
    threads: &'static str,
    /// A part of its hotplug states' names.
    states: &'static str,
}

pub const HOLES: TestModule =
    TestModule { name: "rust_smpboot_holes", threads: "hole_", states: "hole" };

pub const MISUSE: TestModule =
    TestModule { name: "rust_smpboot_misuse", threads: "mis_", states: "misuse" };

impl TestModule {
    pub fn load(&self, vm: &Vm) -> Result<()> {
        vm.insmod(self.name, "")
    }

    /// Unloads the module; checks that no thread, state or file of it is left.
    pub fn unload(&self, vm: &Vm) -> Result<()> {
        vm.rmmod(self.name)?;
        self.nothing_left(vm)
    }

    pub fn nothing_left(&self, vm: &Vm) -> Result<()> {
        assert_eq!(vm.tasks(|comm| comm.starts_with(self.threads))?, [0; 0]);
        let states = vm.read("/sys/devices/system/cpu/hotplug/states")?;
        assert!(!states.contains(self.states), "{states}");
        let files = vm.list("/sys/kernel/debug")?;
        assert!(!files.iter().any(|name| name.starts_with(self.name)), "{files:?}");
        // Callbacks that are still registered would run freed code here.
        vm.cycle(1, 1)
    }

    /// A file of its debugfs directory; `suffix` begins with `/`, or with the rest of the
    /// directory's name.
    pub fn file(&self, suffix: &str) -> String {
        format!("/sys/kernel/debug/{}{suffix}", self.name)
    }

    /// Waits for this many log lines of the module that begin with `text`.
    pub fn logged(&self, vm: &Vm, text: &str, times: usize) -> Result<()> {
        logged(vm, &format!("{}: {text}", self.name), times).map(drop)
    }
}

pub mod holes {
    use super::*;

    /// Loads the module in a mode; the module's docs list them.
    pub fn load(vm: &Vm, mode: u32) -> Result<()> {
        vm.insmod(HOLES.name, &format!("mode={mode}"))
    }

    pub fn stream() -> String {
        HOLES.file("/stream")
    }
}

pub mod misuse {
    use super::*;
    use host::guest::calls::write;

    /// Runs one check of the module, which must succeed.
    pub fn check(vm: &Vm, name: &str) -> Result<()> {
        const LIMIT: Duration = Duration::from_secs(40);
        vm.spawn(write(&MISUSE.file("/do"), name))?.answer(LIMIT)?;
        let results = vm.read(&MISUSE.file("/results"))?;
        let name = name.split(' ').next().unwrap_or_default();
        let last = results.lines().last().unwrap_or_default();
        ensure!(last == format!("{name}: ok"), "{last}");
        Ok(())
    }

    /// Runs these checks between loading and unloading the module.
    pub fn checks(vm: &Vm, names: &[&str]) -> Result<()> {
        MISUSE.load(vm)?;
        names.iter().try_for_each(|name| check(vm, name))?;
        MISUSE.unload(vm)
    }
}

/// Repeats `look` until it finds something; `what` names that in the error.
pub fn eventually<T>(
    vm: &Vm,
    what: &str,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let (start, limit) = (clock::now(), vm.limit(DEFAULT_LIMIT));
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if clock::now() - start > limit {
            bail!("timed out after {:.1} s: {what}", limit.as_secs_f64());
        }
    }
}
