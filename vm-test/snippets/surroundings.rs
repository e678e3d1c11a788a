// SPDX-License-Identifier: GPL-2.0

//! The library, and the work queue on top of it, as a crate, in the module of `module.rs`, for the snippets of
//! `compile-fail/` and the examples of the documentation: it is read once, not by each of them.

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
