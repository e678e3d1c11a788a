// SPDX-License-Identifier: GPL-2.0

//! VMs for tests: booted when one is needed, passed on while they are clean.

use crate::test::Test;
use anyhow::Result;
use cli::{Options, note};
use host::verdict::{self, Fault, Leaves};
use host::{Config, Machine, Vm};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub struct Pool {
    machine: Machine,
    shelf: Mutex<Shelf>,
}

#[derive(Default)]
struct Shelf {
    idle: Vec<Vm>,
    /// Tests still to come, by what they want.
    planned: BTreeMap<Config, usize>,
}

/// How a test ended.
pub enum Ending {
    Passed,
    Failed {
        faults: Vec<Fault>,
        vm: Box<Vm>,
    },
    /// Not the test's fault.
    NoVm(anyhow::Error),
}

impl Pool {
    pub fn new<'a>(machine: Machine, tests: impl Iterator<Item = &'a Test>) -> Pool {
        let mut planned = BTreeMap::new();
        for test in tests {
            *planned.entry(test.config.clone()).or_default() += 1;
        }
        Pool { machine, shelf: Mutex::new(Shelf { idle: Vec::new(), planned }) }
    }

    /// A pool of VMs with other modules.
    pub fn for_modules<'a>(
        &self,
        options: &Options,
        modules: Vec<PathBuf>,
        tests: impl Iterator<Item = &'a Test>,
    ) -> Result<Pool> {
        Ok(Pool::new(self.machine.with_initramfs(options.initramfs(modules)?), tests))
    }

    pub fn run(&self, test: &Test) -> Ending {
        self.run_as(test, &test.run)
    }

    /// Does something else in the test's VM, with its limits.
    pub fn run_as(&self, test: &Test, run: &dyn Fn(&Vm) -> Result<()>) -> Ending {
        let vm = match self.take(&test.config) {
            Ok(vm) => vm,
            Err(e) => return Ending::NoVm(e),
        };
        let mut faults = test.judge(&vm, run);
        if faults.is_empty() {
            match self.give_back(vm, test) {
                None => return Ending::Passed,
                Some((vm, late)) => {
                    faults = late;
                    return Ending::Failed { faults, vm: Box::new(vm) };
                }
            }
        }
        vm.kill();
        Ending::Failed { faults, vm: Box::new(vm) }
    }

    fn take(&self, config: &Config) -> Result<Vm> {
        let mut shelf = self.shelf();
        if let Some(planned) = shelf.planned.get_mut(config) {
            *planned = planned.saturating_sub(1);
        }
        if let Some(i) = shelf.idle.iter().position(|vm| vm.config() == config) {
            return Ok(shelf.idle.swap_remove(i));
        }
        drop(shelf);
        let vm = Vm::boot(&self.machine, config)?;
        note!("vm-test: booted {config} in {:.1} s", vm.boot_time().as_secs_f64());
        check_boot(&vm)?;
        Ok(vm)
    }

    /// On the shelf if another test will want it, else it powers off; what goes wrong with that is
    /// this test's fault.
    fn give_back(&self, vm: Vm, test: &Test) -> Option<(Vm, Vec<Fault>)> {
        if test.leaves == Leaves::Ruins {
            vm.kill();
            return None;
        }
        if test.leaves == Leaves::Clean {
            let mut shelf = self.shelf();
            let wanted = shelf.planned.get(vm.config()).copied().unwrap_or_default();
            let waiting = shelf.idle.iter().filter(|idle| idle.config() == vm.config()).count();
            if wanted > waiting {
                shelf.idle.push(vm);
                return None;
            }
        }
        let mut faults: Vec<Fault> = verdict::late_leaks(&vm).into_iter().collect();
        let from = vm.console_len();
        if let Err(e) = vm.shut_down() {
            faults.push(Fault::Unclean(format!("a guest that does not power off: {e:#}")));
        }
        faults.extend(verdict::console_splats(&vm, from..usize::MAX).into_iter().map(Fault::from));
        (!faults.is_empty()).then_some((vm, faults))
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A kernel that warned before anything of ours was loaded proves nothing later.
fn check_boot(vm: &Vm) -> Result<()> {
    match verdict::console_splats(vm, 0..usize::MAX).first() {
        Some(splat) => {
            anyhow::bail!("the kernel's own boot has a splat ({}): {}", splat.kind(), splat.line)
        }
        None => Ok(()),
    }
}
