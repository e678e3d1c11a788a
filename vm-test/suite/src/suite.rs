// SPDX-License-Identifier: GPL-2.0

//! `suite test`: the suite, in the format of `cargo test`.

use crate::examples::Examples;
use crate::matrix::Results;
use crate::programs;
use crate::test::{self, Run, Test};
use crate::tests::harness::program::Program;
use anyhow::Result;
use cli::exit::{HARNESS_FAILED, NOTHING_RAN, TEST_FAILED};
use cli::pool::{Ending, Pool};
use cli::{Options, note, say};
use host::machine::Kernel;
use host::{Machine, Vm, files};
use libtest_mimic::{Arguments, Failed, Trial};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use trials::is_wanted;

/// Tests that take longer, boot included, are listed at the end.
const SLOW: Duration = Duration::from_secs(10);

/// Two VMs on two cores take the wall time of one.
const VMS: usize = 2;

pub fn run(options: &Options, arguments: Arguments, results: Option<&Path>) -> Result<ExitCode> {
    let mut tests = test::all();
    tests.retain(|test| test.third_party.is_some() == options.files.is_some());
    if options.modules.is_none() {
        tests.retain(|test| matches!(test.run, Run::Vm(_)));
    }
    let source = programs::checkout();
    // Trials that need no VM of the pool.
    let mut others = Vec::new();
    let mut examples = None;
    if let (Some(modules), None) = (&options.modules, &options.files) {
        others.extend(snippets::trials(source, modules)?);
        examples = Some(Examples::new(source, options)?);
    }
    if arguments.list {
        list(tests, &others);
        for name in examples.iter().flat_map(Examples::names) {
            say!("{name}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let machine = options.machine()?;
    say!("{}", machine.banner());
    tests.retain(|test| {
        let lacks = kernel_lacks(test, &machine.kernel)
            .or_else(|| files_lack(test, options.files.as_deref()));
        if let Some(why) = lacks.as_ref().filter(|_| is_wanted(&arguments, test.name(), test.long))
        {
            say!("skipped: {} ({why})", test.name());
        }
        lacks.is_none()
    });
    let wanted = tests.iter().copied().filter(|test| {
        matches!(test.run, Run::Vm(_)) && is_wanted(&arguments, test.name(), test.long)
    });
    if let Some(examples) = &mut examples {
        examples.select(|name| is_wanted(&arguments, name, false));
    }
    let release = machine.kernel.release.clone();
    let suite = Arc::new(Suite {
        repeat: repeat_command(options, &machine),
        report: machine.report.clone(),
        pool: Pool::new(machine, wanted),
        program: Program::new(options),
        examples,
        times: Mutex::default(),
        test_failed: AtomicBool::new(false),
        harness_failed: AtomicBool::new(false),
    });
    let trials = tests.into_iter().map(|test| {
        let suite = suite.clone();
        Trial::test(test.name(), move || suite.run(test)).with_ignored_flag(test.long)
    });
    for name in suite.examples.iter().flat_map(Examples::names) {
        let suite = suite.clone();
        others.push(Trial::test(name.clone(), move || suite.example(&name)));
    }
    let conclusion = trials::run(arguments, VMS, trials.chain(others).collect())?;
    suite.report_slowest();
    if let Some(file) = results {
        let (passed, failed) = (conclusion.num_passed, conclusion.num_failed);
        Results { release, passed, failed }.write(file)?;
    }

    // A failed test takes precedence over a harness error.
    Ok(ExitCode::from(if suite.test_failed.load(Relaxed) {
        TEST_FAILED
    } else if suite.harness_failed.load(Relaxed) {
        HARNESS_FAILED
    } else if conclusion.has_failed() {
        TEST_FAILED
    } else if conclusion.num_passed == 0 {
        note!("vm-test: no test for this kernel matches; --list shows all tests");
        NOTHING_RAN
    } else {
        0
    }))
}

struct Suite {
    pool: Pool,
    program: Program,
    examples: Option<Examples>,
    /// The command that repeats a test, without the test's name.
    repeat: String,
    report: Option<PathBuf>,
    times: Mutex<Vec<(Duration, &'static str)>>,
    test_failed: AtomicBool,
    harness_failed: AtomicBool,
}

impl Suite {
    fn run(&self, test: &Test) -> Result<(), Failed> {
        if let Some(path) = self.log_path(test) {
            let _ = fs::remove_file(path); // the log of an earlier run
        }
        let begun = Instant::now();
        let result = match test.run {
            Run::Vm(run) => self.in_vm(test, &run),
            Run::Program(run) => {
                run(&self.program).map_err(|e| self.failure(test, &format!("{e:#}"), None))
            }
        };
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.push((begun.elapsed(), test.name()));
        result.map_err(Failed::from)
    }

    fn in_vm(&self, test: &Test, run: &dyn Fn(&Vm) -> Result<()>) -> Result<(), String> {
        match self.pool.run(test, run) {
            Ending::Passed => Ok(()),
            Ending::Failed { report, vm, .. } => {
                Err(self.failure(test, &report, self.keep_log(test, &vm)))
            }
            Ending::NoVm(e) => {
                self.harness_failed.store(true, Relaxed);
                Err(format!("harness error: {e:#}"))
            }
        }
    }

    fn example(&self, name: &str) -> Result<(), Failed> {
        let Some(examples) = &self.examples else { return Ok(()) };
        examples.test(name, &self.pool).map_err(|e| {
            self.test_failed.store(true, Relaxed);
            format!("{e:#}\nto repeat: {} T={name}", self.repeat).into()
        })
    }

    /// Lists the slowest tests.
    fn report_slowest(&self) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.sort();
        times.retain(|(time, _)| *time >= SLOW);
        for (time, name) in times.iter().rev().take(10) {
            note!("vm-test: {name} took {:.1} s", time.as_secs_f64());
        }
    }

    fn failure(&self, test: &Test, report: &str, log: Option<PathBuf>) -> String {
        self.test_failed.store(true, Relaxed);
        let mut text = format!("purpose: {}\n{report}\n", test.claim);
        if let Some(path) = log {
            text += &format!("whole log: {}\n", path.display());
        }
        text + &format!("to repeat: {} T={}\n", self.repeat, test.name())
    }

    fn log_path(&self, test: &Test) -> Option<PathBuf> {
        let directory = self.report.as_ref()?;
        Some(directory.join(format!("{}.log", test.name().replace("::", "-"))))
    }

    fn keep_log(&self, test: &Test, vm: &Vm) -> Option<PathBuf> {
        let path = self.log_path(test)?;
        match files::write(&path, vm.console_log()) {
            Ok(()) => Some(path),
            Err(e) => {
                note!("vm-test: {e:#}");
                None
            }
        }
    }
}

fn repeat_command(options: &Options, machine: &Machine) -> String {
    let target = if options.files.is_some() { "test-thirdparty" } else { "test" };
    let mut command = format!("make {target}");
    if !options.make_vars.is_empty() {
        command.push(' ');
        command.push_str(&options.make_vars);
    } else if machine.arch.name() != "amd64" {
        command.push_str(" ARCH=");
        command.push_str(machine.arch.name());
    }
    command
}

/// Returns the first requirement of the test that this kernel does not meet.
fn kernel_lacks(test: &Test, kernel: &Kernel) -> Option<String> {
    if test.machine.suspends && !kernel.suspends() {
        return Some("the kernel cannot resume from suspend".into());
    }
    if test.machine.cpus > kernel.max_cpus {
        return Some(format!("the kernel supports {} CPUs", kernel.max_cpus));
    }
    let symbol = kernel.built_with.lacks(test.needs)?;
    Some(format!("the kernel is built without {symbol}"))
}

/// Returns a third-party program of the test that `--files` lacks.
fn files_lack(test: &Test, files: Option<&Path>) -> Option<String> {
    let path = test.third_party?;
    let exists = files.is_some_and(|files| files.join(path).exists());
    (!exists).then(|| format!("{path} is missing"))
}

fn list(mut tests: Vec<&Test>, others: &[Trial]) {
    tests.sort_by_key(|test| test.name());
    let width = tests.iter().map(|test| test.name().len()).max().unwrap_or_default();
    for test in tests {
        say!("{:width$}  {}", test.name(), test.claim);
    }
    for other in others {
        say!("{}", other.name());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_has_a_name_of_its_own_and_a_claim() {
        let tests = test::all();
        for (i, test) in tests.iter().enumerate() {
            assert!(test.name().contains("::") && !test.claim.is_empty(), "{}", test.name());
            assert!(tests[i + 1..].iter().all(|other| other.name() != test.name()));
        }
    }

    /// The checkout.
    const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

    /// Names of all tests, those of the snippets included.
    fn names() -> Vec<String> {
        let mut names: Vec<String> = test::all().iter().map(|test| test.name().into()).collect();
        let snippets = Path::new(SOURCE).join("vm-test/snippets/compile-fail");
        for entry in fs::read_dir(snippets).unwrap() {
            let file = entry.unwrap().path();
            let stem = file.file_stem().unwrap().to_string_lossy();
            names.push(format!("compile_fail::{stem}"));
        }
        names
    }

    /// Whether the library has a function of this path.
    fn is_of_the_library(path: &str) -> bool {
        let Some((module, function)) = path.rsplit_once("::") else { return false };
        let file = format!("{SOURCE}/rust/kernel/{}.rs", module.replace("::", "/"));
        fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("fn {function}(")))
    }

    #[test]
    fn every_test_that_a_document_names_exists() {
        let names = names();
        // Parts of names, to find a name that lacks its beginning.
        let families: Vec<&str> = names
            .iter()
            .filter_map(|n| n.rsplit_once("::"))
            .flat_map(|n| n.0.split("::"))
            .collect();
        let documents = fs::read_dir(format!("{SOURCE}/doc")).unwrap();
        let mut documents: Vec<PathBuf> = documents.map(|entry| entry.unwrap().path()).collect();
        documents.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
        documents
            .extend(["README.md", "vm-test/README.md"].map(|name| Path::new(SOURCE).join(name)));
        let mut seen = 0;
        for document in documents {
            let text = fs::read_to_string(&document).unwrap();
            // `family::name`, or `family::*`; a path in the library has the same form.
            for named in text.split('`').skip(1).step_by(2) {
                let first = named.split("::").next().filter(|first| *first != named);
                if first.is_none_or(|first| !families.contains(&first))
                    || named.contains(|c: char| c.is_uppercase() || "( \n".contains(c))
                    || is_of_the_library(named)
                {
                    continue;
                }
                seen += 1;
                let exists = match named.strip_suffix('*') {
                    Some(beginning) => names.iter().any(|name| name.starts_with(beginning)),
                    None => names.iter().any(|name| name == named),
                };
                assert!(exists, "{}: there is no test {named}", document.display());
            }
        }
        assert!(seen > 60, "only {seen} tests are named");
    }

    #[test]
    fn a_test_whose_files_are_not_there_is_left_out() {
        let lacks = |test: &Test| files_lack(test, Some(Path::new("/nonexistent")));
        for test in test::all() {
            assert_eq!(lacks(test).is_some(), test.third_party.is_some(), "{}", test.name());
        }
        let ltp = test::all().into_iter().find(|test| test.third_party == Some("ltp"));
        assert_eq!(ltp.and_then(lacks).unwrap(), "ltp is missing");
    }
}
