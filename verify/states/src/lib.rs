// SPDX-License-Identifier: GPL-2.0

//! The protocol of `rust/kernel/smpboot` as a state machine that is searched exhaustively, with the
//! parts of `kernel/smpboot.c`, `kernel/kthread.c` and CPU hotplug that it relies on.
//!
//! The actors are:
//!
//! - the task that registers, uses, and drops or leaks;
//! - the scope, which closes at any moment;
//! - CPU hotplug of CPU 1;
//! - a waker through `Threads`, under RCU, and a waker through the registration;
//! - the threads.
//!
//! Memory is sequentially consistent here: `verify/litmus` has the barriers.

pub mod bugs;
pub mod model;
pub mod state;
