// SPDX-License-Identifier: GPL-2.0

//! Modules and taint of the guest's kernel.

use super::calls::{insmod, rmmod};
use crate::Vm;
use anyhow::Result;

impl Vm {
    /// Loads a module of the initramfs.
    pub fn insmod(&self, module: &str, params: &str) -> Result<()> {
        self.call(insmod(module, params)).map(drop)
    }

    /// Unloads a module.
    pub fn rmmod(&self, module: &str) -> Result<()> {
        self.call(rmmod(module)).map(drop)
    }

    /// Names of the loaded modules.
    pub fn modules(&self) -> Result<Vec<String>> {
        let table = self.read("/proc/modules")?;
        Ok(parse_modules(&table).map(String::from).collect())
    }

    /// The kernel's taint bits.
    pub fn taint(&self) -> Result<u64> {
        Ok(self.read("/proc/sys/kernel/tainted")?.parse()?)
    }
}

/// Names in the text of `/proc/modules`.
pub fn parse_modules(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter_map(|line| line.split(' ').next())
}
