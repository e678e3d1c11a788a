// SPDX-License-Identifier: GPL-2.0

//! Common parts of the programs: options, output, terminal, progress, VMs for tests, exit statuses.

// They panic on a closed pipe; output.rs does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod exit;
pub mod frames;
mod gdb;
mod options;
pub mod output;
pub mod pool;
pub mod progress;
pub mod terminal;

pub use options::Options;

use anyhow::Result;
use std::process::ExitCode;

/// Whether `V=1` asks for all output.
pub fn is_verbose() -> bool {
    std::env::var("V").is_ok_and(|v| !v.is_empty() && v != "0")
}

/// Runs a program, and reports its error as one of the harness.
pub fn exit_code(run: impl FnOnce() -> Result<ExitCode>) -> ExitCode {
    terminal::handle_signals().and_then(|()| run()).unwrap_or_else(|e| {
        terminal::restore();
        note!("vm-test: {e:#}");
        ExitCode::from(exit::HARNESS_FAILED)
    })
}
