// SPDX-License-Identifier: GPL-2.0

//! The library and the work queue as a crate, in the module of `module.rs`. The snippets of
//! `compile-fail/` and the examples of the documentation use it, so that the compiler reads it only
//! once.

#[path = "../../rust/kernel/library.rs"]
pub mod library;
#[path = "../../percpu_workqueue/mod.rs"]
pub mod percpu_workqueue;

use kernel::prelude::*;
pub use library::{
    debugfs,
    smpboot,
    wait, //
};
use smpboot::{
    ModuleScope,
    ScopedModule, //
};
