// SPDX-License-Identifier: GPL-2.0

//! The guest's kernel log.

use crate::Vm;
use anyhow::Result;
use wire::{Call, Kmsg, Value};

impl Vm {
    /// What came since the last time.
    pub fn kmsg(&self) -> Result<Kmsg> {
        let log = expect!(self.call(Call::Kmsg)?, Value::Kmsg(log) => log)?;
        self.records.borrow_mut().extend(log.records.iter().cloned());
        if log.lost {
            self.lost_records.set(true);
        }
        Ok(log)
    }

    /// Writes a line to it.
    pub fn mark(&self, text: &str) -> Result<()> {
        self.log(6, text)
    }

    /// At a level of the caller's choice. (Without the newline the kernel would hold the record
    /// back, to let the next one continue it.)
    pub fn log(&self, level: u8, text: &str) -> Result<()> {
        self.write("/dev/kmsg", format!("<{level}>{text}\n"))
    }

    /// The test provokes warnings that contain this; without any, it has failed.
    pub fn expect_warning(&self, part: &'static str) {
        self.expected.borrow_mut().push(part);
    }

    /// The test provokes a splat of this kind, as the table calls it, or a leak; without it, it has
    /// failed. Only for tests that leave the VM to nobody.
    pub fn expect_splat(&self, kind: &'static str) {
        self.expected_splats.borrow_mut().push(kind);
    }

    pub fn expects_splat(&self, kind: &str) -> bool {
        self.expected_splats.borrow().contains(&kind)
    }
}
