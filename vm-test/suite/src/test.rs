// SPDX-License-Identifier: GPL-2.0

//! A test: what it proves, the machine that it wants, and what it does there.

use anyhow::Result;
use host::machine::kernel::Symbol;
use host::verdict::Leaves;
use host::{Config, Vm};

pub struct Test {
    pub name: &'static str,
    /// One line: what is known when it has passed.
    pub proves: &'static str,
    pub config: Config,
    pub leaves: Leaves,
    /// Only runs when it is asked for.
    pub long: bool,
    /// How many times the usual limit it has.
    pub times: u32,
    /// What it runs of `--files`, which are other people's.
    pub third_party: Option<&'static str>,
    /// What the kernel must have been built with.
    pub needs: &'static [Symbol],
    pub run: fn(&Vm) -> Result<()>,
}

/// As `Test::times`.
const LONG: u32 = 20;

impl Test {
    pub const fn new(name: &'static str, proves: &'static str, run: fn(&Vm) -> Result<()>) -> Test {
        Test {
            name,
            proves,
            config: Config::smp(4),
            leaves: Leaves::Clean,
            long: false,
            times: 1,
            third_party: None,
            needs: &[],
            run,
        }
    }

    pub const fn on(mut self, config: Config) -> Test {
        self.config = config;
        self
    }

    pub const fn leaves(mut self, leaves: Leaves) -> Test {
        self.leaves = leaves;
        self
    }

    pub const fn long(mut self) -> Test {
        self.long = true;
        self.takes(LONG)
    }

    pub const fn takes(mut self, times: u32) -> Test {
        self.times = times;
        self
    }

    pub const fn third_party(mut self, path: &'static str) -> Test {
        self.third_party = Some(path);
        self.takes(LONG)
    }

    pub const fn needs(mut self, symbols: &'static [Symbol]) -> Test {
        self.needs = symbols;
        self
    }
}
