// SPDX-License-Identifier: GPL-2.0

//! VMs for tests: boots one when a test needs it, and reuses it while it is clean.

use crate::{Options, note};
use anyhow::{Result, bail};
use host::verdict::{self, Fault, Judge, Leaves};
use host::{Config, Machine, Vm};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A test, as far as its VM is concerned.
pub trait Case {
    /// Its name.
    fn name(&self) -> &str;
    /// The VM that it needs.
    fn machine(&self) -> &Config;
    /// The state in which it leaves the VM.
    fn leaves(&self) -> Leaves;
    /// Multiplies the usual time limit.
    fn times(&self) -> u32;
}

pub struct Pool {
    machine: Machine,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: Vec<(Vm, Judge)>,
    /// Number of remaining tests by configuration.
    planned: BTreeMap<Config, usize>,
}

/// Result of a test.
pub enum Ending {
    Passed,
    /// The VM has exited; its console is still readable.
    Failed {
        faults: Vec<Fault>,
        report: String,
        vm: Box<Vm>,
    },
    /// The VM could not be booted.
    NoVm(anyhow::Error),
}

impl Pool {
    pub fn new<'a, C: Case + 'a>(machine: Machine, tests: impl Iterator<Item = &'a C>) -> Pool {
        let mut planned = BTreeMap::new();
        for test in tests {
            *planned.entry(test.machine().clone()).or_default() += 1;
        }
        Pool { machine, state: Mutex::new(State { idle: Vec::new(), planned }) }
    }

    /// A pool of VMs with other modules.
    pub fn for_modules<'a, C: Case + 'a>(
        &self,
        options: &Options,
        modules: Vec<PathBuf>,
        tests: impl Iterator<Item = &'a C>,
    ) -> Result<Pool> {
        Ok(Pool::new(self.machine.with_initramfs(options.initramfs(modules)?), tests))
    }

    /// Runs `run` in the test's VM, within the test's limits.
    pub fn run(&self, test: &impl Case, run: &dyn Fn(&Vm) -> Result<()>) -> Ending {
        let (vm, mut judge) = match self.take(test.machine()) {
            Ok(taken) => taken,
            Err(e) => return Ending::NoVm(e),
        };
        let mut faults = judge.run(&vm, test.name(), test.leaves(), |vm| {
            vm.set_test_limit(Some(test.times()));
            run(vm)
        });
        if faults.is_empty() {
            if test.leaves() == Leaves::Clean && self.is_planned(vm.config()) {
                self.state().idle.push((vm, judge));
                return Ending::Passed;
            }
            faults = end(&vm, &judge, test);
        }
        vm.kill();
        match faults.is_empty() {
            true => Ending::Passed,
            false => {
                let report = judge.report(&vm, &faults);
                Ending::Failed { faults, report, vm: Box::new(vm) }
            }
        }
    }

    fn take(&self, config: &Config) -> Result<(Vm, Judge)> {
        let mut state = self.state();
        if let Some(planned) = state.planned.get_mut(config) {
            *planned = planned.saturating_sub(1);
        }
        if let Some(i) = state.idle.iter().position(|(vm, _)| vm.config() == config) {
            return Ok(state.idle.swap_remove(i));
        }
        drop(state);
        let vm = Vm::boot(&self.machine, config)?;
        note!("vm-test: booted {config} in {:.1} s", vm.boot_time().as_secs_f64());
        check_boot(&vm)?;
        Ok((vm, Judge::default()))
    }

    /// Whether a test needs one more VM of this configuration.
    fn is_planned(&self, config: &Config) -> bool {
        let state = self.state();
        let idle = state.idle.iter().filter(|(vm, _)| vm.config() == config).count();
        state.planned.get(config).is_some_and(|planned| *planned > idle)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Powers the VM off; errors are faults of its last test.
fn end(vm: &Vm, judge: &Judge, test: &impl Case) -> Vec<Fault> {
    if test.leaves() == Leaves::Broken {
        return Vec::new();
    }
    let mut faults: Vec<Fault> = judge.late_leaks(vm).into_iter().collect();
    let from = vm.console_len();
    if let Err(e) = vm.shut_down() {
        faults.push(Fault::Unclean(format!("the guest does not power off: {e:#}")));
    }
    faults.extend(verdict::console_splats(vm, from..usize::MAX).into_iter().map(Fault::from));
    faults
}

/// Fails if the kernel warned during its boot: later results would prove nothing.
fn check_boot(vm: &Vm) -> Result<()> {
    match verdict::console_splats(vm, 0..usize::MAX).first() {
        Some(splat) => bail!("splat during the boot ({}): {}", splat.kind(), splat.line),
        None => Ok(()),
    }
}
