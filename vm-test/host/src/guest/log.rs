// SPDX-License-Identifier: GPL-2.0

//! Lines written to the guest's kernel log. [`Vm::kmsg`] reads it.

use crate::Vm;
use anyhow::Result;

impl Vm {
    /// Writes a line at level 6 (info).
    pub fn mark(&self, text: &str) -> Result<()> {
        self.log(6, text)
    }

    /// Writes a line at this level.
    pub fn log(&self, level: u8, text: &str) -> Result<()> {
        // Without the newline the kernel would hold the record back, for the next one to continue
        // it.
        self.write("/dev/kmsg", format!("<{level}>{text}\n"))
    }
}
