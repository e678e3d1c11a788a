// SPDX-License-Identifier: GPL-2.0

//! Runs the modules in a VM with a stock kernel: to be shown, to be played with, to be tested.

mod accel;
mod arch;
mod console;
mod guest;
mod hang;
mod initramfs;
mod judge;
mod link;
mod panics;
mod pool;
mod process;
mod qemu;
mod setup;
mod splat;
mod suite;
mod tests;
mod threads;
mod trouble;
mod vm;

use clap::Parser;
use clap::Subcommand;
use setup::Options;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "Runs the modules in a VM with a stock kernel")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the tests; exit status 1: a test failed, 2: the harness failed, 3: nothing ran
    Test {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        arguments: libtest_mimic::Arguments,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Test { options, arguments } => suite::run(&options, arguments),
    };
    result.unwrap_or_else(|e| {
        eprintln!("vm-test: {e:#}");
        ExitCode::from(suite::HARNESS_FAILED)
    })
}
