// SPDX-License-Identifier: GPL-2.0

//! C functions of the kernel, in Rust.
//!
//! `// C:` names the file and the function that the lines below implement, `//:` quotes a line of
//! it. `sim quotes` finds each quote in a kernel's source, in this order.

pub mod cpu;
pub mod kthread;
pub mod sched;
pub mod smpboot;
pub mod wait;
