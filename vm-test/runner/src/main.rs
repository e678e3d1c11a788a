// SPDX-License-Identifier: GPL-2.0

//! Runs the modules in a VM with a stock kernel: to be shown, to be played with, to be tested.

// What only tests use.
#![cfg_attr(not(feature = "suite"), allow(dead_code))]
// They panic where output.rs does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod accel;
mod arch;
#[cfg(feature = "suite")]
mod bench;
mod clock;
mod console;
mod demo;
#[cfg(feature = "suite")]
mod examples;
mod exit;
mod files;
mod guest;
mod hang;
mod initramfs;
mod judge;
mod kernel;
mod leaks;
mod link;
#[cfg(feature = "suite")]
mod model;
mod output;
mod panics;
#[cfg(feature = "suite")]
mod pool;
mod process;
mod qemu;
mod recorder;
mod screen;
mod setup;
mod shell;
mod splat;
#[cfg(feature = "suite")]
mod suite;
mod terminal;
#[cfg(feature = "suite")]
mod tests;
mod threads;
#[cfg(feature = "suite")]
mod torture;
mod tracedat;
mod trouble;
mod ui;
mod vm;

use anyhow::Result;
use clap::{Parser, Subcommand};
use output::note;
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
    #[cfg(feature = "suite")]
    /// Everything at once, for long
    Torture {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        how: torture::How,
    },
    #[cfg(feature = "suite")]
    /// Count the instructions that things cost
    Bench {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        how: bench::How,
    },
    #[cfg(feature = "suite")]
    /// Run the tests; exit status 1: a test failed, 2: the harness failed, 3: nothing ran
    Test {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        arguments: libtest_mimic::Arguments,
    },
}

fn main() -> ExitCode {
    run(Cli::parse().command).unwrap_or_else(|e| {
        terminal::restore();
        note!("vm-test: {e:#}");
        ExitCode::from(exit::HARNESS_FAILED)
    })
}

fn run(command: Command) -> Result<ExitCode> {
    terminal::handle_signals()?;
    match command {
        Command::Demo { options, how } => demo::run(&options, &how),
        Command::Shell { options } => shell::run(&options),
        #[cfg(feature = "suite")]
        Command::Torture { options, how } => torture::run(&options, &how),
        #[cfg(feature = "suite")]
        Command::Bench { options, how } => bench::run(&options, &how),
        #[cfg(feature = "suite")]
        Command::Test { options, arguments } => suite::run(&options, arguments),
    }
}
