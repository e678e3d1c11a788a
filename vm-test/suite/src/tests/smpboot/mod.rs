// SPDX-License-Identifier: GPL-2.0

//! The threads of `rust/kernel/smpboot`, as the demo module and rust_smpboot_misuse show them.

mod hotplug;
pub mod memory;
mod misuse;
mod registration;
pub mod rollback;
pub mod suspend;
mod unload;
mod wake;
