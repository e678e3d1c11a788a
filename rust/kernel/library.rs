// SPDX-License-Identifier: GPL-2.0

//! The library, for an out-of-tree module. At the root of the module's crate, write:
//!
//! ```
//! #[path = "ext/rust/kernel/library.rs"]
//! mod library;
//!
//! use library::smpboot;
//! # use kernel::prelude::*;
//! # use smpboot::{ModuleScope, ScopedModule};
//! #
//! # struct Example;
//! #
//! # impl ScopedModule for Example {
//! #     fn init(_: &'static ThisModule, _: &'static ModuleScope) -> impl PinInit<Self, Error> {
//! #         Ok(Self)
//! #     }
//! # }
//! #
//! # scoped_module! { type: Example, name: "example", license: "GPL", }
//! ```
//!
//! Here `ext` is a directory below the module's, with a copy of this repository or of its `rust/`.
//! The macros look for `smpboot` at the root of the crate. The module's `Kbuild` needs the line
//! `include $(src)/ext/rust/smpboot.mk`.
//!
//! The library is compiled as a part of the module's crate, so it trusts the root of that crate in
//! two ways: `kernel`, `pin_init` and `smpboot` must name the same things there as here, and no
//! macro may have a name that the library uses. A `macro_rules!` above `mod library;` hides the
//! kernel crate's macro of that name in the library, too. So put `mod library;` above all macros.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    unused_macros,
    reason = "no module needs all of it"
)]

mod bindings;
pub mod cpu;
pub mod debugfs;
pub mod module_scope;
pub mod percpu;
pub mod rcu;
pub(crate) mod seam;
pub mod smpboot;
pub mod wait;

use crate::smpboot as _; // Needs `use library::smpboot;` at the root of the crate.
