// SPDX-License-Identifier: GPL-2.0

//! The library, for a module outside of the kernel's tree. At the root of its crate:
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
//! Here `ext` is a directory below that of the module, with a copy of this repository or of its `rust/`.
//! The macros look for `smpboot` at the root of the crate. The module's `Kbuild` has a line
//! `include $(src)/ext/rust/smpboot.mk`.
//!
//! The library is compiled as a part of the module's crate, so it trusts the root of that crate:
//! that `kernel`, `pin_init` and `smpboot` are there what they are here, and that no macro has a
//! name that the library uses. A `macro_rules!` above `mod library;` hides the kernel crate's
//! macro of that name in the library, too. So put `mod library;` above all of them.

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

use crate::smpboot as _; // The root of the crate needs `use library::smpboot;`.
