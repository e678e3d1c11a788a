// SPDX-License-Identifier: GPL-2.0

//! The library, for a module outside of the kernel's tree. At the root of its crate:
//!
//! ```ignore
//! #[path = "PATH/rust/kernel/library.rs"]
//! mod library;
//!
//! use library::{debugfs, smpboot};
//! ```
//!
//! The macros look for `smpboot` there. Its `Kbuild` includes `PATH/rust/smpboot.mk`.

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
pub(crate) mod seam;
pub mod smpboot;
pub mod wait;

use crate::smpboot as _; // The root of the crate needs `use library::smpboot;`.
