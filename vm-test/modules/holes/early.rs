// SPDX-License-Identifier: GPL-2.0

//! Files that exist before `init` fails, in `rust_smpboot_holes/` and `rust_smpboot_holes_early/`.
//!
//! `init` fails when the task that loads the module gets a signal.

use super::stream;
use crate::{
    debugfs::Tree,
    smpboot::ModuleScope,
    wait::WaitQueue, //
};
use kernel::{
    prelude::*,
    static_lock_class,
    sync::{
        atomic::Atomic,
        Arc, //
    }, //
};

pub(crate) fn begin(scope: &'static ModuleScope) -> Result {
    let _streams = stream::tree(scope, &stream::State::new()?)?;
    let _number = Tree::new(
        scope,
        c"rust_smpboot_holes_early",
        Atomic::<u64>::new(42),
        |number, dir| {
            dir.file::<Atomic<u64>>(c"number", number);
        },
    )?;
    let queue = Arc::pin_init(
        WaitQueue::new(c"hole_early", static_lock_class!()),
        GFP_KERNEL,
    )?;
    queue.wait_until(|| false)
}
