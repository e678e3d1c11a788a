// SPDX-License-Identifier: GPL-2.0

//! A test: its claim, its machine, and its function.

use crate::tests::harness::program::Program;
use anyhow::Result;
use cli::pool::Case;
use host::machine::kernel::Symbol;
use host::verdict::Leaves;
use host::{Config, Vm};
use linkme::distributed_slice;
use std::cmp::Reverse;

/// All tests; `#[vm_test]` and `#[program_test]` add them.
#[distributed_slice]
pub static TESTS: [Test];

pub struct Test {
    path: &'static str,
    /// A sentence that is true if the test passes.
    pub claim: &'static str,
    pub machine: Config,
    pub leaves: Leaves,
    pub long: bool,
    pub times: u32,
    pub third_party: Option<&'static str>,
    pub needs: &'static [Symbol],
    pub run: Run,
}

#[derive(Clone, Copy)]
pub enum Run {
    /// Uses a VM of the pool.
    Vm(fn(&Vm) -> Result<()>),
    /// Starts the program `run`, which boots VMs of its own.
    Program(fn(&Program) -> Result<()>),
}

/// [`Test::times`] of a long test.
const LONG: u32 = 20;

impl Test {
    /// A test in a VM. `path` is the path of the function.
    pub const fn new(path: &'static str, claim: &'static str, run: fn(&Vm) -> Result<()>) -> Test {
        Test::with(path, claim, Run::Vm(run))
    }

    pub const fn of_program(
        path: &'static str,
        claim: &'static str,
        run: fn(&Program) -> Result<()>,
    ) -> Test {
        Test::with(path, claim, Run::Program(run))
    }

    const fn with(path: &'static str, claim: &'static str, run: Run) -> Test {
        Test {
            path,
            claim,
            machine: Config::smp(4),
            leaves: Leaves::Clean,
            long: false,
            times: 1,
            third_party: None,
            needs: &[],
            run,
        }
    }

    /// Sets the VM of the test. Default: 4 CPUs.
    pub const fn machine(mut self, machine: Config) -> Test {
        self.machine = machine;
        self
    }

    /// Sets the state in which the test leaves the VM. Default: clean.
    pub const fn leaves(mut self, leaves: Leaves) -> Test {
        self.leaves = leaves;
        self
    }

    /// Runs the test only on request.
    pub const fn long(mut self) -> Test {
        self.long = true;
        self.times(LONG)
    }

    /// Multiplies the usual time limit.
    pub const fn times(mut self, times: u32) -> Test {
        self.times = times;
        self
    }

    /// Names the third-party file of `--files` that the test runs.
    pub const fn third_party(mut self, path: &'static str) -> Test {
        self.third_party = Some(path);
        self.times(LONG)
    }

    /// Sets the options that the kernel must be built with.
    pub const fn needs(mut self, symbols: &'static [Symbol]) -> Test {
        self.needs = symbols;
        self
    }

    /// The path of the function below `tests`.
    pub fn name(&self) -> &'static str {
        self.path.strip_prefix("suite::tests::").unwrap_or(self.path)
    }
}

impl Case for Test {
    fn name(&self) -> &str {
        self.name()
    }

    fn machine(&self) -> &Config {
        &self.machine
    }

    fn leaves(&self) -> Leaves {
        self.leaves
    }

    fn times(&self) -> u32 {
        self.times
    }
}

/// Returns all tests in the order in which they run: first those that may take long or use up
/// their VM, so that none of them runs alone at the end.
pub fn all() -> Vec<&'static Test> {
    let mut tests: Vec<&Test> = TESTS.iter().collect();
    tests.sort_by_key(|test| (Reverse(test.times), test.leaves == Leaves::Clean, test.name()));
    tests
}
