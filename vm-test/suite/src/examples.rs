// SPDX-License-Identifier: GPL-2.0

//! Runs the examples of the documentation, all in one VM with one CPU and in one with more.

use crate::test::Test;
use anyhow::{Context, Result, ensure};
use cli::Options;
use cli::pool::{Ending, Pool};
use host::errors::Refused;
use host::{Config, Vm};
use snippets::examples::{self, Example, Kind, MODULE};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

const FAILURES_ARE_REPORTED: &str = "example::failures_are_reported";

const RUNS: [Test; 2] = [
    Test::new("example::1_cpu", "the assertions of the examples hold with 1 CPU", |_| Ok(()))
        .machine(Config::smp(1)),
    Test::new("example::4_cpus", "the assertions of the examples hold with 4 CPUs", |_| Ok(())),
];

pub struct Examples {
    /// The examples. The module numbers them from 1.
    all: Vec<Example>,
    source: PathBuf,
    options: Options,
    /// The selected example, if only one is selected.
    alone: Option<usize>,
    /// Whether a documented example that can run is selected. The pool would keep a VM for a run
    /// that never starts.
    documented: bool,
    /// Whether the examples that must fail are selected.
    failing: bool,
    pool: OnceLock<Result<Pool, String>>,
    runs: [OnceLock<Run>; RUNS.len()],
    /// Whether a test has reported the errors that name no example.
    reported: AtomicBool,
}

/// Outcomes of the examples in one VM.
#[derive(Default)]
struct Run {
    outcomes: Vec<Outcome>,
    /// The report of the VM's other faults.
    broken: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Outcome {
    #[default]
    NotRun,
    /// It began, and logged this.
    Begun(String),
    Passed,
    Failed(String),
}

impl Examples {
    /// Finds the examples. `source` is the checkout.
    pub fn new(source: &Path, options: &Options) -> Result<Examples> {
        Ok(Examples {
            all: examples::all(source)?,
            source: source.canonicalize()?,
            options: options.clone(),
            alone: None,
            documented: true,
            failing: true,
            pool: OnceLock::new(),
            runs: Default::default(),
            reported: AtomicBool::new(false),
        })
    }

    /// Names of the tests.
    pub fn names(&self) -> Vec<String> {
        let documented = self.all.iter().filter(|example| !example.fails).map(test_name);
        documented.chain([FAILURES_ARE_REPORTED.into()]).collect()
    }

    /// Selects the examples to run. Call it before the first test.
    pub fn select(&mut self, is_wanted: impl Fn(&str) -> bool) {
        let wanted =
            |(_, example): &(usize, &Example)| !example.fails && is_wanted(&test_name(example));
        self.failing = is_wanted(FAILURES_ARE_REPORTED);
        let mut wanted = self.all.iter().enumerate().filter(wanted);
        self.documented = wanted.clone().any(|(_, example)| example.kind != Kind::NoRun);
        self.alone = match (wanted.next(), wanted.next()) {
            (Some((only, _)), None) => Some(only),
            _ => None,
        };
    }

    /// Runs the test of this name. `usual` has the properties that all VMs share.
    pub fn test(&self, name: &str, usual: &Pool) -> Result<()> {
        let pool = self.pool.get_or_init(|| self.build(usual).map_err(|e| format!("{e:#}")));
        let pool =
            pool.as_ref().map_err(|errors| anyhow::anyhow!("{}", self.about(name, errors)))?;
        if name == FAILURES_ARE_REPORTED {
            return self.failures_are_reported(pool);
        }
        let number = self.all.iter().position(|example| test_name(example) == name);
        let number = number.with_context(|| format!("no example has a test {name}"))?;
        if self.all[number].kind == Kind::NoRun {
            return Ok(());
        }
        for (test, run) in RUNS.iter().zip(&self.runs) {
            let run = run.get_or_init(|| self.run(pool, test, &[self.alone]));
            run.verdict(number).with_context(|| test.machine.to_string())?;
        }
        Ok(())
    }

    fn build(&self, usual: &Pool) -> Result<Pool> {
        let modules = self.options.modules.as_ref().context("no modules")?;
        let builds = modules.parent().context("the modules' directory has no parent")?;
        let directory = builds.join("examples").join(modules.file_name().unwrap_or_default());
        let files = examples::build(&self.all, &self.source, &self.options.kernel, &directory)?;
        let documented = RUNS.iter().filter(|_| self.documented);
        let failing = RUNS.iter().skip(1).filter(|_| self.failing);
        usual.for_modules(&self.options, files, documented.chain(failing))
    }

    /// The compiler's messages, for the tests of the examples that they name. If they name none,
    /// the first test gets them.
    fn about<'a>(&self, name: &str, errors: &'a str) -> &'a str {
        let is_named = |example: &&Example| errors.contains(&format!("{}.rs", example.module()));
        let mut named = self.all.iter().filter(is_named).peekable();
        let reports = match named.peek() {
            None => !self.reported.swap(true, Relaxed),
            Some(_) => named.any(|example| test_name(example) == name),
        };
        if reports { errors } else { "not built: another example's test has the compiler's errors" }
    }

    /// Runs these examples, each alone; `None`: all that must pass.
    fn run(&self, pool: &Pool, test: &Test, which: &[Option<usize>]) -> Run {
        let outcomes = RefCell::new(vec![Outcome::NotRun; self.all.len()]);
        let from = RefCell::new(0);
        let ending = pool.run(test, &|vm| {
            *from.borrow_mut() = vm.console_len();
            let mut outcomes = outcomes.borrow_mut();
            which.iter().try_for_each(|only| self.run_in(vm, *only, &mut outcomes))
        });
        let mut outcomes = outcomes.into_inner();
        let broken = match ending {
            Ending::Passed => None,
            Ending::NoVm(e) => Some(format!("harness error: {e:#}")),
            Ending::Failed { report, vm, .. } => {
                self.read(&vm.console(from.into_inner()..usize::MAX), &mut outcomes);
                Some(report)
            }
        };
        Run { outcomes, broken }
    }

    fn run_in(&self, vm: &Vm, only: Option<usize>, outcomes: &mut [Outcome]) -> Result<()> {
        let is_function = |n: usize| self.all[n].kind == Kind::Function;
        if only.is_none_or(is_function) {
            self.functions(vm, only, outcomes)?;
        }
        for (n, example) in self.all.iter().enumerate() {
            if example.kind == Kind::Module && only.is_none_or(|only| only == n) {
                outcomes[n] = Outcome::Begun(String::new());
                outcomes[n] = load_and_unload(vm, &example.module())?;
            }
        }
        Ok(())
    }

    fn functions(&self, vm: &Vm, only: Option<usize>, outcomes: &mut [Outcome]) -> Result<()> {
        // The module has numbers only for examples that are functions.
        let is_function = |example: &&Example| example.kind == Kind::Function;
        let number = |n| self.all[..=n].iter().filter(is_function).count();
        vm.insmod(MODULE, &format!("only={}", only.map_or(0, number)))?;
        vm.rmmod(MODULE)?;
        vm.kmsg()?;
        let lines: Vec<_> = vm.records().iter().map(|record| record.text.clone()).collect();
        self.read(&lines, outcomes);
        Ok(())
    }

    /// Reads the module's log lines. Final outcomes do not change.
    fn read(&self, lines: &[String], outcomes: &mut [Outcome]) {
        let mut present = None;
        for line in lines {
            let Some((_, text)) = line.split_once(&format!("{MODULE}: ")) else { continue };
            let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
            let (name, why) = rest.split_once(": ").unwrap_or((rest, ""));
            let number = self.all.iter().position(|example| example.name == name);
            if word == "run" {
                present = number;
            }
            let Some(outcome) = present.and_then(|n| outcomes.get_mut(n)) else { continue };
            let is_this = number.is_some() && number == present;
            match (word, &mut *outcome) {
                (_, Outcome::Passed | Outcome::Failed(_)) => {}
                ("ok", _) if is_this => *outcome = Outcome::Passed,
                ("failed", Outcome::Begun(log)) if is_this => {
                    *outcome = Outcome::Failed(format!("{log}{why}"));
                }
                ("run", Outcome::NotRun) if is_this => *outcome = Outcome::Begun(String::new()),
                ("line", Outcome::Begun(log)) => *log += &format!("{text}\n"),
                _ => {}
            }
        }
    }

    /// Checks that each example that must fail does so with its reason, and that the last one,
    /// which must not fail, passes after them.
    fn failures_are_reported(&self, pool: &Pool) -> Result<()> {
        const REASONS: [Option<&str>; 5] = [
            Some("line 8: assertion failed: smpboot::hotplug::online_cpus().count() > 100_000"),
            Some(
                "line 15: assertion failed: smpboot::hotplug::cpus_of(&cpus).count() == 2: 1 != 2",
            ),
            Some("line 30: assertion failed: cx.should_stop()"),
            Some("it returned EINVAL"),
            None,
        ];
        let failing: Vec<_> = (0..self.all.len()).filter(|n| self.all[*n].fails).collect();
        ensure!(
            failing.len() == REASONS.len(),
            "{} examples must fail, expected {}",
            failing.len(),
            REASONS.len()
        );
        let which: Vec<_> = failing.iter().copied().map(Some).collect();
        let run = self.run(pool, &RUNS[1], &which);
        for (n, reason) in failing.into_iter().zip(REASONS) {
            let name = &self.all[n].name;
            match (run.verdict(n), reason) {
                (Ok(()), None) => {}
                (Err(e), Some(reason)) if format!("{e:#}").contains(reason) => {}
                (verdict, reason) => anyhow::bail!("{name}: {verdict:?}, expected {reason:?}"),
            }
        }
        Ok(())
    }
}

impl Run {
    fn verdict(&self, number: usize) -> Result<()> {
        let broken = self.broken.as_deref();
        match (&self.outcomes[number], broken) {
            (Outcome::Passed, None) => Ok(()),
            // Another example has caused it.
            (Outcome::Passed, Some(_)) if self.outcomes.iter().any(Outcome::is_bad) => Ok(()),
            (Outcome::Passed, Some(broken)) => anyhow::bail!("all examples passed, but:\n{broken}"),
            (Outcome::Failed(why), _) => anyhow::bail!("{}", why.trim_end()),
            (Outcome::Begun(text), broken) => {
                anyhow::bail!("the example did not end: {text}\n{}", broken.unwrap_or_default())
            }
            (Outcome::NotRun, broken) => {
                anyhow::bail!("the example did not run\n{}", broken.unwrap_or_default())
            }
        }
    }
}

impl Outcome {
    fn is_bad(&self) -> bool {
        matches!(self, Outcome::Begun(_) | Outcome::Failed(_))
    }
}

fn test_name(example: &Example) -> String {
    format!("example::{}", example.name)
}

fn load_and_unload(vm: &Vm, module: &str) -> Result<Outcome> {
    let done = vm.insmod(module, "").and_then(|()| vm.rmmod(module));
    match done {
        Ok(()) => Ok(Outcome::Passed),
        Err(e) => Ok(Outcome::Failed(e.downcast::<Refused>()?.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn examples() -> Examples {
        let source = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        Examples::new(source, &Options::default()).unwrap()
    }

    #[test]
    fn what_the_module_says_is_read_from_log_and_console() {
        let examples = examples();
        let names: Vec<_> = examples.all.iter().map(|example| example.name.as_str()).collect();
        let lines = [
            format!("{MODULE}: run {}", names[0]),
            format!("{MODULE}: ok {}", names[0]),
            format!("[    1.000000] {MODULE}: run {}", names[1]),
            format!("[    1.000000] {MODULE}: line 5: assertion failed: x"),
            format!("[    1.000000] {MODULE}: failed {}: 1 assertions", names[1]),
            format!("{MODULE}: run {}", names[2]),
        ];
        let mut outcomes = vec![Outcome::NotRun; names.len()];
        examples.read(&lines, &mut outcomes);
        assert_eq!(outcomes[0], Outcome::Passed);
        assert_eq!(
            outcomes[1],
            Outcome::Failed("line 5: assertion failed: x\n1 assertions".into())
        );
        assert_eq!(outcomes[2], Outcome::Begun(String::new()));
        assert_eq!(outcomes[3], Outcome::NotRun);

        let run = Run { outcomes, broken: Some("splat".into()) };
        run.verdict(0).unwrap();
        for n in 1..4 {
            run.verdict(n).unwrap_err();
        }
    }

    #[test]
    fn only_one_that_is_wanted_runs_alone() {
        let mut examples = examples();
        let name = test_name(&examples.all[3]);
        examples.select(|test| test == name);
        assert_eq!(examples.alone, Some(3));
        assert!(examples.documented && !examples.failing);
        examples.select(|test| test == FAILURES_ARE_REPORTED);
        assert!(!examples.documented && examples.failing);
        examples.select(|_| true);
        assert_eq!(examples.alone, None);
    }
}
