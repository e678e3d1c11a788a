// SPDX-License-Identifier: GPL-2.0

//! Tests the modules in VMs, tortures them there, and counts the instructions that they execute.

// They panic where output.rs does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod bugs;
mod examples;
mod matrix;
mod model;
mod programs;
mod suite;
mod test;
mod tests;
mod thirdparty;
mod torture;

use clap::{Parser, Subcommand};
use cli::Options;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "Tests the modules in VMs with a stock kernel")]
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
        /// Where to write the numbers of tests, as JSON
        #[arg(long, value_name = "FILE")]
        results: Option<PathBuf>,
        #[command(flatten)]
        arguments: libtest_mimic::Arguments,
    },
    /// Run third-party tests while our modules are busy
    Thirdparty {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        args: thirdparty::ThirdpartyArgs,
        #[command(flatten)]
        arguments: libtest_mimic::Arguments,
    },
    /// Plant bugs in copies of the modules: tests and simulations must find each
    Bugs {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        args: bugs::BugsArgs,
    },
    /// Plant bugs for the simulations only; needs neither a kernel nor a VM
    Simulate {
        #[command(flatten)]
        args: bugs::BugsArgs,
    },
    /// Run the tests on each kernel; outside of the root file system
    Matrix {
        #[command(flatten)]
        args: matrix::MatrixArgs,
    },
    /// Run random operations on all CPUs at once
    Torture {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        args: torture::TortureArgs,
    },
    /// Count the instructions of wakes, runs and registrations
    Bench {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        args: bench::BenchArgs,
    },
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    cli::exit_code(|| match command {
        Command::Test { options, results, arguments } => {
            suite::run(&options, arguments, results.as_deref())
        }
        Command::Thirdparty { options, args, arguments } => {
            thirdparty::run(options, &args, arguments)
        }
        Command::Bugs { options, args } => bugs::run(Some(&options), &args),
        Command::Simulate { args } => bugs::run(None, &args),
        Command::Matrix { args } => matrix::run(&args),
        Command::Torture { options, args } => torture::run(&options, &args),
        Command::Bench { options, args } => bench::run(&options, &args),
    })
}
