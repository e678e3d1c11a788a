// SPDX-License-Identifier: GPL-2.0

//! `suite bugs` and `suite simulate`: plant each bug of `vm-test/bugs` in a copy of the modules.
//! The simulations and tests that its patch names must find it.

use crate::programs::{Log, checkout, command};
use crate::test::{self, Run, Test};
use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use cli::exit::TEST_FAILED;
use cli::pool::{Ending, Pool};
use cli::{Options, note, progress, say};
use host::{Machine, files};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
pub struct BugsArgs {
    /// Names of patches; default: all
    names: Vec<String>,
}

/// Sources of the modules.
const SOURCES: [&str; 6] =
    ["Kbuild", "rust_smpboot_demo.rs", "demo", "rust", "samples", "percpu_workqueue"];
const DEMO: &str = "rust_smpboot_demo.ko";

/// Enough for each bug: a simulation ends at the first fault.
const SCHEDULES: &str = "schedules=400000";

/// Part of the names of equivalent tests: if a patch names several, one of them must find the bug.
const MODEL: &str = "model::";

/// Plants the bugs, simulates, and runs the tests; without options only simulates.
pub fn run(options: Option<&Options>, args: &BugsArgs) -> Result<ExitCode> {
    let mut bugs = match args.names.is_empty() {
        true => all()?,
        false => args.names.iter().map(|name| Bug::read(name)).collect::<Result<_>>()?,
    };
    if options.is_none() {
        let is_simulated = |bug: &Bug| !bug.simulated_by.is_empty();
        match bugs.iter().find(|bug| !is_simulated(bug)) {
            Some(bug) if !args.names.is_empty() => bail!("{} names no simulation", bug.name),
            _ => bugs.retain(is_simulated),
        }
    }
    let vms = options.map(|options| Vms::new(options, &bugs)).transpose()?;
    let mut missed = 0;
    for bug in &bugs {
        bug.plant()?;
        missed += bug.simulate()?;
        if let Some(vms) = &vms {
            missed += vms.test(bug)?;
        }
    }
    if missed > 0 {
        note!("vm-test: {missed} times a planted bug was not caught");
        return Ok(ExitCode::from(TEST_FAILED));
    }
    say!("all {} planted bugs were caught", bugs.len());
    Ok(ExitCode::SUCCESS)
}

fn patches() -> PathBuf {
    checkout().join("vm-test/bugs")
}

fn all() -> Result<Vec<Bug>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(patches())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    names.iter().map(|name| Bug::read(name)).collect()
}

struct Bug {
    name: String,
    /// Modules with the bug, beside the demo.
    modules: Vec<String>,
    simulated_by: Vec<String>,
    caught_by: Vec<&'static Test>,
}

impl Bug {
    fn read(name: &str) -> Result<Bug> {
        let name = name.strip_suffix(".patch").unwrap_or(name);
        let file = patches().join(format!("{name}.patch"));
        let text =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        Bug::parse(name, &text).with_context(|| file.display().to_string())
    }

    /// Reads the lines before the patch itself.
    fn parse(name: &str, text: &str) -> Result<Bug> {
        let field = |name: &str| -> Vec<String> {
            let head = text.lines().take_while(|line| !line.starts_with("--- "));
            let mut words = head.filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            words.next().unwrap_or_default().split_whitespace().map(String::from).collect()
        };
        let named = |name: &String| {
            let in_vm = |test: &&Test| matches!(test.run, Run::Vm(_)) && test.name() == name;
            let test = test::all().into_iter().find(in_vm);
            test.with_context(|| format!("there is no test {name} in a VM"))
        };
        let bug = Bug {
            name: name.into(),
            modules: field("In"),
            simulated_by: field("Simulated by"),
            caught_by: field("Caught by").iter().map(named).collect::<Result<_>>()?,
        };
        let found = !bug.simulated_by.is_empty() || !bug.caught_by.is_empty();
        ensure!(found, "the patch names neither a simulation nor a test");
        Ok(bug)
    }

    fn patch(&self) -> PathBuf {
        patches().join(format!("{}.patch", self.name))
    }

    fn directory(&self) -> PathBuf {
        checkout().join("build/bugs").join(&self.name)
    }

    fn log(&self, what: &str) -> Log {
        Log::new(&format!("{what}-{}", self.name))
    }

    /// Copies the sources of the modules, and patches the copy.
    fn plant(&self) -> Result<()> {
        let directory = self.directory();
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        fs::create_dir_all(directory.join("out"))?;
        let copy_and_patch = "patch=$1 copy=$2; shift 2
            cp -r \"$@\" \"$copy\"
            cd \"$copy\"
            exec busybox patch -p1 -i \"$patch\"";
        let mut shell = command("sh");
        shell.args(["-euc", copy_and_patch, "sh"]).arg(self.patch()).arg(&directory).args(SOURCES);
        let what = format!("Planting {}", self.name);
        self.log("bug").step(&what, shell.current_dir(checkout()))
    }

    /// Simulates with the bug. Returns the number of simulations that do not find it.
    fn simulate(&self) -> Result<u32> {
        let mut missed = 0;
        if self.simulated_by.is_empty() {
            return Ok(missed);
        }
        let target = checkout().join("build/bugs/cargo");
        let mut cargo = command("cargo");
        cargo.args(["build", "--locked"]).current_dir(checkout().join("verify/sim"));
        // Each bug needs a build of its own: a quick build saves more than a quick run.
        cargo.env("CARGO_TARGET_DIR", &target).env("CARGO_PROFILE_DEV_OPT_LEVEL", "0");
        cargo.env("SIM_SOURCE", self.directory());
        let what = format!("Building the simulation of {}", self.name);
        self.log("bug").step(&what, &mut cargo)?;

        let schedules = checkout().join("build/sim");
        fs::create_dir_all(&schedules)?;
        let to = [OsStr::new("to="), schedules.as_os_str()].join(OsStr::new(""));
        for name in &self.simulated_by {
            let log = Log::new(&format!("simulated-{}-{name}", self.name));
            let shown = progress::spin(format!("Simulating {} ({name})", self.name));
            let mut sim = command(target.join("debug/sim"));
            let output = log.answer(sim.args(["test", SCHEDULES, name]).arg(&to))?;
            drop(shown);
            let faults = String::from_utf8_lossy(&output.stdout);
            match output.status.code() {
                Some(0) => missed += self.not_caught(name, &log.0),
                Some(1) => self.caught(name, faults.lines().map(String::from)),
                _ => return Err(log.failure(&format!("The simulation {name}"))),
            }
        }
        Ok(missed)
    }

    /// Builds the modules with the bug. Returns their files.
    fn build(&self, kernel: &Path) -> Result<Vec<PathBuf>> {
        let directory = self.directory();
        let out = directory.join("out");
        let modules = || self.modules.iter().map(String::as_str).chain([DEMO]);
        let mut make = command("make");
        make.args(snippets::kbuild(kernel)?).args(modules());
        make.arg(format!("M={}", directory.display())).arg(format!("MO={}", out.display()));
        self.log("bug").step(&format!("Building {}", self.name), &mut make)?;
        Ok(modules().map(|module| out.join(module)).collect())
    }

    fn caught(&self, by: &str, why: impl Iterator<Item = String>) {
        say!("caught: {} by {by}", self.name);
        for text in why.collect::<BTreeSet<_>>() {
            say!("  {}", text.replace('\n', " ").chars().take(160).collect::<String>());
        }
    }

    fn not_caught(&self, by: &str, log: &Path) -> u32 {
        note!("NOT CAUGHT: {} by {by} ({})", self.name, log.display());
        1
    }
}

/// Runs tests in VMs with planted bugs.
struct Vms<'a> {
    options: &'a Options,
    machine: Machine,
}

impl Vms<'_> {
    /// Fails unless the tests that the bugs name pass without any of them.
    fn new<'a>(options: &'a Options, bugs: &[Bug]) -> Result<Vms<'a>> {
        let machine = options.machine()?;
        let mut tests: Vec<_> = bugs.iter().flat_map(|bug| bug.caught_by.iter().copied()).collect();
        tests.sort_by_key(|test| test.name());
        tests.dedup_by_key(|test| test.name());
        let pool = Pool::new(machine.clone(), tests.iter().copied());
        for test in &tests {
            match run_in(&pool, test) {
                Ending::Passed => {}
                Ending::NoVm(e) => return Err(e),
                Ending::Failed { report, .. } => {
                    bail!("{} fails without a planted bug:\n{report}", test.name())
                }
            }
        }
        if !tests.is_empty() {
            say!("without a planted bug: {} tests passed", tests.len());
        }
        Ok(Vms { options, machine })
    }

    /// Runs the tests that must find the bug. Returns the number of those that do not.
    fn test(&self, bug: &Bug) -> Result<u32> {
        let (model, others): (Vec<_>, Vec<_>) =
            bug.caught_by.iter().partition(|test| test.name().contains(MODEL));
        if bug.caught_by.is_empty() {
            return Ok(0);
        }
        let modules = self.options.initramfs(bug.build(&self.options.kernel)?)?;
        let mut machine = self.machine.with_initramfs(modules);
        machine.report = Some(bug.directory());
        let pool = Pool::new(machine, bug.caught_by.iter().copied());
        let mut missed = 0;
        for test in others {
            if let Err(log) = catch(&pool, bug, test)? {
                missed += bug.not_caught(test.name(), &log.0);
            }
        }
        let mut last = None;
        for test in model {
            match catch(&pool, bug, test)? {
                Ok(()) => return Ok(missed),
                Err(log) => last = Some((test.name(), log)),
            }
        }
        if let Some((test, log)) = last {
            missed += bug.not_caught(test, &log.0);
        }
        Ok(missed)
    }
}

fn run_in(pool: &Pool, test: &Test) -> Ending {
    match test.run {
        Run::Vm(run) => pool.run(test, &run),
        Run::Program(_) => Ending::NoVm(anyhow!("{} needs no VM of this program", test.name())),
    }
}

/// Returns the log of a test that does not find the bug.
fn catch(pool: &Pool, bug: &Bug, test: &Test) -> Result<Result<(), Log>> {
    let log = Log::new(&format!("caught-{}-{}", bug.name, test.name()));
    match run_in(pool, test) {
        Ending::Passed => {
            files::write(&log.0, "passed\n")?;
            Ok(Err(log))
        }
        Ending::NoVm(e) => Err(e.context(format!("{} did not run", test.name()))),
        Ending::Failed { faults, report, vm } => {
            files::write(&log.0, report + &vm.console_log())?;
            bug.caught(test.name(), faults.iter().map(ToString::to_string));
            Ok(Ok(()))
        }
    }
}

#[cfg(test)]
mod tests_of_bugs {
    use super::*;

    #[test]
    fn every_test_that_a_planted_bug_names_exists() {
        let bugs = all().unwrap();
        assert!(bugs.len() > 50, "there are {} bugs", bugs.len());
    }

    #[test]
    fn a_patch_names_tests_that_exist() {
        let parse =
            |head: &str| Bug::parse("x", &format!("Text.\n{head}\n\n--- a/x\nCaught by: y"));
        let bug = parse("Simulated by: threads::wakes queue::flushes").unwrap();
        assert_eq!(bug.simulated_by, ["threads::wakes", "queue::flushes"]);
        assert!(bug.caught_by.is_empty());
        let name = test::all().iter().find(|t| matches!(t.run, Run::Vm(_))).unwrap().name();
        let bug = parse(&format!("In: samples/x.ko\nCaught by: {name}")).unwrap();
        assert_eq!(bug.caught_by[0].name(), name);
        assert_eq!(bug.modules, ["samples/x.ko"]);
        for (head, error) in [
            (format!("Caught by: {name}_"), format!("there is no test {name}_ in a VM")),
            ("In: x.ko".into(), "the patch names neither a simulation nor a test".into()),
        ] {
            assert_eq!(parse(&head).err().unwrap().to_string(), error);
        }
    }
}
