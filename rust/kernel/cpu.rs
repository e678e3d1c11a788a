// SPDX-License-Identifier: GPL-2.0

//! CPU hotplug.

mod context;
pub mod cpuhp;
pub mod hotplug;
mod idle;
mod list;
mod masks;
mod sleep;
pub(super) mod slot;

pub use context::Context;
