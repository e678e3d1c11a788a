// SPDX-License-Identifier: GPL-2.0

//! Per-CPU values.

use super::test_modules::misuse;
use anyhow::Result;
use host::Vm;
use suite_macros::vm_test;

/// If the value of one CPU fails to initialize, those of the others are dropped.
#[vm_test]
fn values_that_cannot_be_made(vm: &Vm) -> Result<()> {
    misuse::checks(vm, &["percpu"])
}
