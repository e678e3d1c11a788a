// SPDX-License-Identifier: GPL-2.0

//! The abstraction as a crate, in the module of `module.rs`, for the snippets of `compile-fail/` and the examples of the
//! documentation: it is read once, not by each of them.

#[path = "../../rust/kernel/library.rs"]
pub mod library;

use kernel::prelude::*;
pub use library::{
    debugfs,
    smpboot, //
};
use smpboot::{
    ModuleScope,
    ScopedModule, //
};
