// SPDX-License-Identifier: GPL-2.0

//! Runs the modules in a VM with a stock kernel: to be shown, to be played with, to be tested.

mod accel;
mod arch;
mod bench;
mod console;
mod demo;
mod exit;
mod guest;
mod hang;
mod initramfs;
mod judge;
mod link;
mod model;
mod panics;
mod pool;
mod process;
mod qemu;
mod recorder;
mod screen;
mod setup;
mod shell;
mod splat;
mod suite;
mod tests;
mod threads;
mod torture;
mod tracedat;
mod trouble;
mod ui;
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
    /// Show the threads follow their CPUs, and check all that is seen
    Demo {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        how: demo::How,
    },
    /// A shell in the VM, on this terminal
    Shell {
        #[command(flatten)]
        options: Options,
    },
    /// Everything at once, for long
    Torture {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        how: torture::How,
    },
    /// Count the instructions that things cost
    Bench {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        how: bench::How,
    },
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
        Command::Demo { options, how } => demo::run(&options, &how),
        Command::Shell { options } => shell::run(&options),
        Command::Torture { options, how } => torture::run(&options, &how),
        Command::Bench { options, how } => bench::run(&options, &how),
        Command::Test { options, arguments } => suite::run(&options, arguments),
    };
    result.unwrap_or_else(|e| {
        eprintln!("vm-test: {e:#}");
        ExitCode::from(exit::HARNESS_FAILED)
    })
}
