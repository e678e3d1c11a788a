// SPDX-License-Identifier: GPL-2.0

//! Per-CPU values.

use super::test_modules::misuse;
use anyhow::Result;
use host::Vm;
use suite_macros::vm_test;

/// When the value of one CPU cannot be made, those of the others are dropped.
#[vm_test]
fn values_that_cannot_be_made(vm: &Vm) -> Result<()> {
    misuse::checks(vm, &["percpu"])
}
