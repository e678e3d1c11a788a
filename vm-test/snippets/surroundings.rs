// SPDX-License-Identifier: GPL-2.0

//! The abstraction as a crate, in the module of `module.rs`, for the snippets of `compile-fail/` and the examples of the
//! documentation: it is read once, not by each of them.

#[path = "../../debugfs.rs"]
pub mod debugfs;
#[path = "../../smpboot.rs"]
pub mod smpboot;

use kernel::prelude::*;
use smpboot::{
    ModuleScope,
    ScopedModule, //
};
