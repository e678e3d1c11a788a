// SPDX-License-Identifier: GPL-2.0

//! Tests the modules in VMs, tortures them there, and counts what they cost.

// They panic where output.rs does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod examples;
mod model;
mod pool;
mod suite;
mod test;
mod tests;
mod torture;

use clap::{Parser, Subcommand};
use cli::Options;
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
        #[command(flatten)]
        arguments: libtest_mimic::Arguments,
    },
    /// Everything at once, for long
    Torture {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        args: torture::TortureArgs,
    },
    /// Count the instructions that things cost
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
        Command::Test { options, arguments } => suite::run(&options, arguments),
        Command::Torture { options, args } => torture::run(&options, &args),
        Command::Bench { options, args } => bench::run(&options, &args),
    })
}
