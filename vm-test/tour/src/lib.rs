// SPDX-License-Identifier: GPL-2.0

//! What a user can do to the CPUs and to the threads of the demo module, and how it is explained.
//!
//! The terminal view, the web view, `make demo` and the guest's `tour` have the same [`Action`]s,
//! commands and sentences from here. This crate reads and writes no files.

mod action;
mod explain;
mod observation;

pub use action::{Action, Target};
pub use explain::explain;
pub use observation::{Observation, Thread};
