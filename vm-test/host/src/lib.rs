// SPDX-License-Identifier: GPL-2.0

//! Boots kernels in VMs, does things in their guests, and judges what happened.
//!
//! - [`machine`]: which kernel on which hardware, and QEMU's command line for that
//! - [`Vm`]: one machine from its boot to its end; [`guest`]: its files, CPUs, modules, tasks, log
//! - [`verdict`]: whether what was done there was good
//! - [`accel`]: finds out whether KVM works
//!
//! Nothing here prints: [`Event`] is what a user interface can show of the progress.

#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod accel;
pub mod clock;
pub mod errors;
mod event;
pub mod files;
pub mod guest;
pub mod kernel_log;
pub mod machine;
pub mod verdict;
pub mod vm;

pub use event::{Event, Observer};
pub use machine::{Config, Machine};
pub use vm::Vm;
