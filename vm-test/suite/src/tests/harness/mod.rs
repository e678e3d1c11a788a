// SPDX-License-Identifier: GPL-2.0

//! The harness itself: the runner of VMs, the programs, the checkers of the debug kernel.

mod checkers;
mod own;
mod play;
pub mod program;
mod runner;
mod terminal_picture;
mod tour;
