// SPDX-License-Identifier: GPL-2.0

//! Shows the modules in a VM with a stock kernel, or opens a shell there.

// They panic on a closed pipe; output.rs does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod demo;
mod play;
mod shell;

use clap::{Parser, Subcommand};
use cli::Options;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "Runs the modules in a VM with a stock kernel")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show how threads follow their CPUs, and check each step
    Demo {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        args: demo::DemoArgs,
    },
    /// Take CPUs offline and online by hand, and watch their threads
    Play {
        #[command(flatten)]
        options: Options,
    },
    /// Open a shell in the VM, on this terminal
    Shell {
        #[command(flatten)]
        options: Options,
    },
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    cli::exit_code(|| match command {
        Command::Demo { options, args } => demo::run(&options, &args),
        Command::Play { options } => play::run(&options, play::Mode::Free),
        Command::Shell { options } => shell::run(&options),
    })
}
