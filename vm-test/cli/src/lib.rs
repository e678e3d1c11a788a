// SPDX-License-Identifier: GPL-2.0

//! What the programs share: options, output, the terminal, progress, exit statuses.

// They panic where output.rs does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod exit;
mod options;
pub mod output;
pub mod progress;
pub mod terminal;

pub use options::Options;

use anyhow::Result;
use std::process::ExitCode;

/// The rest of `main`: an error is the harness's own.
pub fn exit_code(run: impl FnOnce() -> Result<ExitCode>) -> ExitCode {
    terminal::handle_signals().and_then(|()| run()).unwrap_or_else(|e| {
        terminal::restore();
        note!("vm-test: {e:#}");
        ExitCode::from(exit::HARNESS_FAILED)
    })
}
