// SPDX-License-Identifier: GPL-2.0

//! Modules of the guest's kernel.

use super::calls::{insmod, rmmod};
use crate::Vm;
use anyhow::Result;

impl Vm {
    pub fn insmod(&self, module: &str, params: &str) -> Result<()> {
        self.call(insmod(module, params)).map(drop)
    }

    pub fn rmmod(&self, module: &str) -> Result<()> {
        self.call(rmmod(module)).map(drop)
    }

    /// Names of all modules that are loaded.
    pub fn modules(&self) -> Result<Vec<String>> {
        let table = self.read("/proc/modules")?;
        Ok(table.lines().filter_map(|line| line.split(' ').next()).map(String::from).collect())
    }

    pub fn taint(&self) -> Result<u64> {
        Ok(self.read("/proc/sys/kernel/tainted")?.parse()?)
    }
}
