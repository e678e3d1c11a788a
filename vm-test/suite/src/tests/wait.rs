// SPDX-License-Identifier: GPL-2.0

//! Wait queues.

use super::test_modules::{HOLES, holes};
use anyhow::Result;
use host::Vm;
use suite_macros::vm_test;

/// A soft timer may notify a wait queue.
#[vm_test(long)]
fn notified_by_a_timer(vm: &Vm) -> Result<()> {
    holes::load(vm, 9)?;
    HOLES.logged(vm, "notified", 1)?;
    HOLES.unload(vm)
}
