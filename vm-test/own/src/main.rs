// SPDX-License-Identifier: GPL-2.0

//! `own test`: the tests of any other module, in the format of `cargo test`.
//!
//! Each script `tests/*.sh` of the module's directory is a test, and is judged as those of the
//! suite are.

// They panic on a closed pipe; output.rs does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod junit;
mod script;

use anyhow::Result;
use clap::{Parser, Subcommand};
use cli::exit::{HARNESS_FAILED, NOTHING_RAN, TEST_FAILED};
use cli::frames::Frames;
use cli::output::Funnel;
use cli::pool::{Case, Ending, Pool};
use cli::{Options, note, say};
use junit::Report;
use libtest_mimic::{Arguments, ColorSetting, Failed, Trial};
use script::Script;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

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
        /// The module's directory, with tests/*.sh
        #[arg(long, value_name = "DIR")]
        folder: PathBuf,
        /// Boot a VM for each test
        #[arg(long)]
        fresh: bool,
        #[command(flatten)]
        arguments: Arguments,
    },
}

fn main() -> ExitCode {
    let Command::Test { options, folder, fresh, arguments } = Cli::parse().command;
    cli::exit_code(|| run(options, &folder, fresh, arguments))
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

fn run(mut options: Options, folder: &Path, fresh: bool, mut arguments: Arguments) -> Result<ExitCode> {
    let tests = folder.join("tests");
    options.tests = tests.is_dir().then(|| tests.clone());
    let machine = options.machine()?;
    let config = options.config(&machine)?;
    let files = options.modules()?;
    let modules: Vec<String> = files.iter().map(|file| name_of(file)).collect();
    let mut scripts = Script::all(&tests, &config, fresh)?;
    if scripts.is_empty() {
        scripts.push(Script::load(modules.clone(), &config));
    }
    if arguments.list {
        scripts.iter().for_each(|script| say!("{}", script.name()));
        return Ok(ExitCode::SUCCESS);
    }
    say!("{}", machine.banner());
    let wanted = |script: &&Script| is_wanted(&arguments, script.name());
    let suite = Arc::new(Suite {
        repeat: format!("make test {}", options.make_vars),
        report: Report::new(&machine),
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
    arguments.test_threads.get_or_insert(1);
    let funnel = Funnel::new()?;
    arguments.color.get_or_insert(match console::colors_enabled() {
        true => ColorSetting::Always,
        false => ColorSetting::Never,
    });
    arguments.logfile = Some(funnel.path().display().to_string());
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    funnel.finish();
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
            Ending::Failed { report, .. } => {
                Err(format!("{}to repeat: {} T={name}\n", self.frames.explain(&report), self.repeat))
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

/// The kernel's name for a module.
fn name_of(module: &Path) -> String {
    module.file_stem().unwrap_or_default().to_string_lossy().replace('-', "_")
}

/// Whether libtest-mimic will run the test.
fn is_wanted(arguments: &Arguments, name: &str) -> bool {
    let matches = |filter: &str| match arguments.exact {
        true => name == filter,
        false => name.contains(filter),
    };
    arguments.filter.as_deref().is_none_or(matches) && !arguments.skip.iter().any(|skip| matches(skip))
}
