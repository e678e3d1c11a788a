// SPDX-License-Identifier: GPL-2.0

//! `own test`: the tests of any other module, in the format of `cargo test`.
//!
//! Each script `*.sh` in the directory of `--tests` is a test, and is judged as those of the suite
//! are.

// They panic on a closed pipe; output.rs does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod junit;
mod script;

use anyhow::Result;
use clap::{Parser, Subcommand};
use cli::exit::{HARNESS_FAILED, NOTHING_RAN, TEST_FAILED};
use cli::frames::Frames;
use cli::pool::{Case, Ending, Pool};
use cli::{Options, note, say};
use host::kernel_log::without_stamp;
use host::verdict::Fault;
use junit::Report;
use libtest_mimic::{Arguments, Failed, Trial};
use script::Script;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;
use trials::is_wanted;

#[derive(Parser)]
#[command(about = "Runs the tests of any other module in VMs with a stock kernel")]
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
        /// Name of the modules, for JUnit
        #[arg(long, default_value = "own")]
        name: String,
        /// Boot a VM for each test
        #[arg(long)]
        fresh: bool,
        #[command(flatten)]
        arguments: Arguments,
    },
}

fn main() -> ExitCode {
    let Command::Test { options, name, fresh, arguments } = Cli::parse().command;
    cli::exit_code(|| run(&options, &name, fresh, arguments))
}

/// State that the tests share.
struct Suite {
    pool: Pool,
    scripts: Vec<Script>,
    /// The modules under test, by the kernel's names.
    modules: Vec<String>,
    frames: Frames,
    repeat: String,
    report: Report,
    harness_failed: AtomicBool,
}

fn run(options: &Options, name: &str, fresh: bool, arguments: Arguments) -> Result<ExitCode> {
    let mut machine = options.machine()?;
    machine.wait_for_debugger();
    let config = options.config(&machine)?;
    let files = options.modules()?;
    let modules: Vec<String> = files.iter().map(|file| name_of(file)).collect();
    let mut scripts = Script::all(options.tests.as_deref(), &config, fresh, cli::is_verbose())?;
    if scripts.is_empty() {
        scripts.push(Script::load(modules.clone(), &config));
    }
    if arguments.list {
        scripts.iter().for_each(|script| say!("{}", script.name()));
        return Ok(ExitCode::SUCCESS);
    }
    say!("{}", machine.banner());
    let wanted = |script: &&Script| is_wanted(&arguments, script.name(), false);
    let suite = Arc::new(Suite {
        repeat: format!("make test {}", options.make_vars),
        report: Report::new(name, &machine),
        frames: Frames::new(&files, machine.arch.tools()),
        pool: Pool::new(machine, scripts.iter().filter(wanted)),
        modules,
        scripts,
        harness_failed: AtomicBool::new(false),
    });
    let trials = (0..suite.scripts.len()).map(|i| {
        let shared = suite.clone();
        Trial::test(suite.scripts[i].name().to_string(), move || shared.run(&shared.scripts[i]))
    });
    // In order, in one VM.
    let conclusion = trials::run(arguments, 1, trials.collect())?;
    suite.report.write()?;
    Ok(ExitCode::from(if suite.harness_failed.load(Relaxed) {
        HARNESS_FAILED
    } else if conclusion.has_failed() {
        TEST_FAILED
    } else if conclusion.num_passed == 0 {
        note!("vm-test: no test matches; --list shows all tests");
        NOTHING_RAN
    } else {
        0
    }))
}

impl Suite {
    fn run(&self, script: &Script) -> Result<(), Failed> {
        let name = script.name();
        let begun = Instant::now();
        let result = match self.pool.run(script, &|vm| script.run(vm, &self.modules)) {
            Ending::Passed => Ok(()),
            Ending::Failed { faults, report, vm } => {
                let is_mine = |line: &str| self.frames.in_modules(line).is_some();
                let text = failure(name, &faults, &report, &vm.console(0..usize::MAX), is_mine);
                Err(format!("{}to repeat: {} T={name}\n", self.frames.explain(&text), self.repeat))
            }
            Ending::NoVm(e) => {
                self.harness_failed.store(true, Relaxed);
                Err(format!("harness error: {e:#}"))
            }
        };
        self.report.add(name, begun.elapsed(), &result);
        result.map_err(Failed::from)
    }
}

/// Number of lines of the log in a report.
const LINES: usize = 100;

/// Number of the module's lines of backtraces in a report.
const FRAMES: usize = 10;

/// The text for the user: the faults, the kernel's log of the test without registers, and the file
/// about a hang that the judge's report names, with its lines that are about the modules.
fn failure(
    name: &str,
    faults: &[Fault],
    report: &str,
    console: &[String],
    is_mine: impl Fn(&str) -> bool,
) -> String {
    let mut text = String::new();
    for fault in faults {
        text += &format!("- {fault}\n");
    }
    let begin = format!("vm-test: begin {name}");
    let start = console.iter().rposition(|line| line.ends_with(&begin)).map_or(0, |i| i + 1);
    let ends = [format!("vm-test: end {name}"), "the guest hangs; sysrq".into()];
    let lines =
        console[start..].iter().take_while(|line| !ends.iter().any(|end| line.contains(end)));
    let lines: Vec<&String> = lines.filter(|line| !is_register(without_stamp(line))).collect();
    if !lines.is_empty() {
        text += "the kernel's log, without registers:\n";
    }
    for line in lines.iter().take(LINES) {
        text += &format!("{line}\n");
    }
    if let Some(more) = lines.len().checked_sub(LINES + 1) {
        text += &format!("... and {} more lines\n", more + 1);
    }
    let hang = report.lines().find(|line| line.starts_with("registers and "));
    if let Some((line, file)) = hang.and_then(|line| Some((line, line.split_once(": ")?.1))) {
        let backtraces = fs::read_to_string(file).unwrap_or_default();
        let frames: Vec<&str> =
            backtraces.lines().filter(|line| is_mine(line)).take(FRAMES).collect();
        if !frames.is_empty() {
            text += &format!("where the module's code was running:\n{}\n", frames.join("\n"));
        }
        text += &format!("{line}\n");
    }
    text
}

/// Whether a line of an oops has registers or code only.
fn is_register(text: &str) -> bool {
    const STARTS: [&str; 13] = [
        "RSP: ", "RAX: ", "RDX: ", "RBP: ", "R10: ", "R13: ", "FS: ", "CS: ", "CR2: ", "DR0: ",
        "DR3: ", "PKRU: ", "Code: ",
    ];
    let arm = |part: &str| {
        text.starts_with('x')
            && text[1..].starts_with(|c: char| c.is_ascii_digit())
            && text.contains(part)
    };
    STARTS.iter().any(|start| text.starts_with(start)) || arm(": ")
}

/// The kernel's name for a module.
fn name_of(module: &Path) -> String {
    module.file_stem().unwrap_or_default().to_string_lossy().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_the_log_of_its_test() {
        let console = [
            "[    1.0] vm-test: begin a",
            "[    1.1] earlier",
            "[    2.0] vm-test: begin b",
            "[    2.1] Oops: here",
            "[    2.1] RAX: 0000000000000000 RBX: 0000000000000000",
            "[    2.1]  f+0x1/0x2 [mine]",
            "[    2.2] x29: ffff800080a3bd20 x28: 0000000000000000",
            "*** the guest hangs; sysrq l:",
            "[    2.3] all tasks",
        ];
        let text = failure(
            "b",
            &[Fault::Failed("it hung".into())],
            "- it hung\nthe last 40 lines of the log:\nregisters and backtraces of the hang: b.txt\n",
            &console.map(String::from),
            |line| line.contains("[mine]"),
        );
        assert_eq!(
            text,
            "- it hung\nthe kernel's log, without registers:\n[    2.1] Oops: here\n\
             [    2.1]  f+0x1/0x2 [mine]\nregisters and backtraces of the hang: b.txt\n"
        );
    }

    #[test]
    fn a_long_log_is_cut() {
        let console = vec![String::from("line"); LINES + 3];
        assert!(failure("a", &[], "", &console, |_| true).ends_with("... and 3 more lines\n"));
        assert!(!failure("a", &[], "", &console[..LINES], |_| true).contains("..."));
        assert_eq!(failure("a", &[], "", &[], |_| true), "");
    }
}
