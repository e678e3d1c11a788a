// SPDX-License-Identifier: GPL-2.0

//! The tests. The directories mirror the code under test: `rust/kernel/`, the demo, the samples,
//! the work queue, and the harness itself.

mod cpu;
mod debugfs;
mod demo;
pub mod harness;
mod module_scope;
mod percpu;
mod percpu_workqueue;
pub mod samples;
mod security;
pub mod smpboot;
mod test_modules;
mod third_party;
mod wait;
