// SPDX-License-Identifier: GPL-2.0

//! The abstraction as a crate, for the snippets of `compile-fail/` and the examples of the
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

struct Surroundings;

impl ScopedModule for Surroundings {
    fn init(
        _module: &'static ThisModule,
        _scope: &'static ModuleScope,
    ) -> impl PinInit<Self, Error> {
        Ok(Self)
    }
}

scoped_module! {
    type: Surroundings,
    name: "snippets",
    authors: ["The rust_smpboot developers"],
    description: "The module that the abstraction is part of here",
    license: "GPL",
}
