// SPDX-License-Identifier: GPL-2.0

//! Was it good?
//!
//! A test has passed when its own checks held, and the kernel log since its beginning has no splat,
//! and the kernel has no new taint, and nothing has leaked, and all is as it was: CPUs, modules.
//! What cannot be found out counts as bad.

use crate::console::Line;
use crate::console::without_stamp;
use crate::hang;
use crate::kernel::Symbol;
use crate::leaks;
use crate::leaks::Leak;
use crate::panics;
use crate::qemu::Config;
use crate::splat;
use crate::vm::Vm;
use anyhow::Result;
use std::fmt;
use std::fmt::Display;
use std::fmt::Formatter;

pub struct Test {
    pub name: &'static str,
    /// One line: what is known when it has passed.
    pub proves: &'static str,
    pub config: Config,
    pub leaves: Leaves,
    /// Only runs when it is asked for.
    pub long: bool,
    /// How many times the usual limit it has.
    pub times: u32,
    /// What it runs of `--files`, which are other people's.
    pub third_party: Option<&'static str>,
    /// What the kernel must have been built with.
    pub needs: &'static [Symbol],
    pub run: fn(&Vm) -> Result<()>,
}

/// As `Test::times`.
const LONG: u32 = 20;

/// What is left of the VM after a test that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaves {
    /// All as it was: the next test can have it.
    Clean,
    /// More CPUs are online than were, or the kernel has told a bug, and may be silent about the
    /// next: good, but not for the next one.
    Used,
    /// Nothing. Only for tests of the harness, which break it on purpose; nothing is judged but
    /// what they say themselves.
    Ruins,
}

impl Test {
    pub const fn new(name: &'static str, proves: &'static str, run: fn(&Vm) -> Result<()>) -> Test {
        Test {
            name,
            proves,
            config: Config::smp(4),
            leaves: Leaves::Clean,
            long: false,
            times: 1,
            third_party: None,
            needs: &[],
            run,
        }
    }

    pub const fn on(mut self, config: Config) -> Test {
        self.config = config;
        self
    }

    pub const fn leaves(mut self, leaves: Leaves) -> Test {
        self.leaves = leaves;
        self
    }

    pub const fn long(mut self) -> Test {
        self.long = true;
        self.takes(LONG)
    }

    pub const fn takes(mut self, times: u32) -> Test {
        self.times = times;
        self
    }

    pub const fn third_party(mut self, path: &'static str) -> Test {
        self.third_party = Some(path);
        self.takes(LONG)
    }

    pub const fn needs(mut self, symbols: &'static [Symbol]) -> Test {
        self.needs = symbols;
        self
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The test's own word.
    Failed(String),
    Splat {
        kind: &'static str,
        line: String,
    },
    Taint(String),
    /// Memory that nobody refers to any more.
    Leak(String),
    /// It left something behind.
    Unclean(String),
    /// It is not known whether all is well.
    Unknown(String),
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Failed(message) => f.write_str(message),
            Fault::Splat { kind, line } => write!(f, "in the kernel log ({kind}): {line}"),
            Fault::Taint(what) => write!(f, "the kernel got tainted: {what}"),
            Fault::Leak(what) => write!(f, "leaked: {what}"),
            Fault::Unclean(what) => write!(f, "left behind: {what}"),
            Fault::Unknown(what) => write!(f, "cannot tell: {what}"),
        }
    }
}

/// Runs the test, and returns everything that speaks against it.
pub fn run(vm: &Vm, test: &Test) -> Vec<Fault> {
    judge(vm, test.name, test.leaves, |vm| {
        vm.set_test_limit(Some(test.times));
        (test.run)(vm)
    })
}

pub fn judge(
    vm: &Vm,
    name: &str,
    leaves: Leaves,
    run: impl FnOnce(&Vm) -> Result<()>,
) -> Vec<Fault> {
    let before = match State::read(vm).and_then(|state| begin(vm, name).map(|()| state)) {
        Ok(state) => state,
        Err(e) => return vec![Fault::Unknown(format!("before the test: {e:#}"))],
    };
    let console_from = vm.console_len();

    vm.set_test_limit(Some(1));
    let outcome = panics::catch(|| run(vm));
    vm.set_test_limit(None);

    let failed = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(e)) => Some(Fault::Failed(format!("{e:#}"))),
        Err(panic) => Some(Fault::Failed(panic)),
    };
    if leaves == Leaves::Ruins {
        return failed.into_iter().collect();
    }
    if vm.trouble().is_some_and(|trouble| trouble.is_hang()) {
        hang::autopsy(&mut vm.link.borrow_mut());
    }
    let ok = failed.is_none();
    let mut faults: Vec<Fault> = failed.into_iter().collect();
    let mut leaked = false;
    if ok && vm.is_running() {
        let told = if vm.expects_splat(LEAK) { leaks::found(vm) } else { leaks::found_so_far(vm) };
        leaked = told.as_ref().is_ok_and(|leaks| !leaks.is_empty());
        if !(leaked && vm.expects_splat(LEAK)) {
            faults.extend(leak(told));
        }
    }
    if vm.is_running() {
        if let Err(e) = end(vm, name, console_from) {
            faults.push(Fault::Unknown(format!("the log's end: {e:#}")));
        }
    } else if ok {
        faults.push(Fault::Unknown("the VM is gone".into()));
    }
    splats(vm, console_from, leaked, &mut faults);
    if vm.is_running() {
        match State::read(vm) {
            Ok(mut after) => {
                if !vm.expected_splats.borrow().is_empty() {
                    after.taint &= !SPLAT_TAINT;
                }
                faults.extend(before.differences(&after, leaves, ok));
            }
            Err(e) => faults.push(Fault::Unknown(format!("after the test: {e:#}"))),
        }
    }
    faults
}

fn begin(vm: &Vm, name: &str) -> Result<()> {
    vm.kmsg()?;
    vm.records.borrow_mut().clear();
    vm.lost_records.set(false);
    vm.expected.borrow_mut().clear();
    vm.expected_splats.borrow_mut().clear();
    leaks::begin(vm, name)?;
    vm.mark(&format!("vm-test: begin {name}"))
}

/// Has all of the log in hand, from both ways that it takes.
fn end(vm: &Vm, name: &str, console_from: usize) -> Result<()> {
    let marker = format!("vm-test: end {name}");
    vm.mark(&marker)?;
    vm.kmsg()?;
    let complete = vm.records.borrow().iter().any(|record| record.text == marker);
    anyhow::ensure!(complete, "the kernel log has no \"{marker}\"");
    anyhow::ensure!(!vm.lost_records.get(), "the kernel has dropped some of its log");
    Ok(vm.link.borrow_mut().wait_line(console_from, &marker)?)
}

/// The console may have what the records miss (a guest that died), and the other way round (a
/// warning has no level there).
fn splats(vm: &Vm, console_from: usize, leaked: bool, faults: &mut Vec<Fault>) {
    let expected = vm.expected.borrow();
    let mut missing = expected.clone();
    let mut found = Vec::new();
    for record in vm.records.borrow().iter() {
        let Some(kind) = splat::in_record(record) else { continue };
        match expected.iter().find(|part| record.text.contains(**part)) {
            Some(found) if kind == splat::UNEXPECTED => missing.retain(|part| part != found),
            _ => add_splat(&mut found, kind, &record.text),
        }
    }
    console_splats(vm, console_from, &mut found);
    // What has leaked was told better, by the list of it.
    found.retain(|fault| !is_of(fault, LEAK));

    let kinds = vm.expected_splats.borrow();
    for kind in kinds.iter() {
        let seen = if *kind == LEAK { leaked } else { found.iter().any(|f| is_of(f, kind)) };
        if !seen {
            faults.push(Fault::Failed(format!("no splat in the kernel log ({kind})")));
        }
    }
    // A report has parts that alone would be splats, too.
    let part = |fault: &Fault| REPORT_PARTS.iter().any(|kind| is_of(fault, kind));
    let of_expected = |fault: &Fault| kinds.iter().any(|kind| is_of(fault, kind));
    found.retain(|fault| kinds.is_empty() || !(of_expected(fault) || part(fault)));
    faults.append(&mut found);

    for part in missing {
        faults.push(Fault::Failed(format!("no warning in the kernel log has \"{part}\"")));
    }
}

/// What the tests on this VM leaked that was not told before.
pub fn late_leaks(vm: &Vm) -> Option<Fault> {
    leak(leaks::found(vm))
}

fn leak(told: Result<Vec<Leak>>) -> Option<Fault> {
    match told {
        Ok(leaks) => {
            let first = leaks.first()?;
            Some(Fault::Leak(format!("{} objects; the first {first}", leaks.len())))
        }
        Err(e) => Some(Fault::Unknown(format!("leaks: {e:#}"))),
    }
}

/// The kind of a leak, among those of splats.
pub const LEAK: &str = "kmemleak";

/// Kinds of lines in a report that begins with a line of another kind.
const REPORT_PARTS: &[&str] = &["trace", splat::UNEXPECTED];

fn is_of(fault: &Fault, kind: &str) -> bool {
    matches!(fault, Fault::Splat { kind: of, .. } if *of == kind)
}

pub fn console_splats(vm: &Vm, from: usize, faults: &mut Vec<Fault>) {
    let lines = vm.console(from);
    for (i, line) in lines.iter().enumerate() {
        // Where a CPU takes over the console from another, it begins the line again.
        let again = |later: &Line| later.text != line.text && later.text.starts_with(&line.text);
        if lines[i + 1..].iter().take(5).any(again) {
            continue;
        }
        if let Some(kind) = splat::in_line(&line.text) {
            add_splat(faults, kind, without_stamp(&line.text));
        }
    }
}

/// Each once, whichever way it came.
fn add_splat(faults: &mut Vec<Fault>, kind: &'static str, line: &str) {
    let fault = Fault::Splat { kind, line: line.into() };
    if !faults.contains(&fault) {
        faults.push(fault);
    }
}

/// What a test has to leave as it found it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    online: Vec<u32>,
    modules: Vec<String>,
    taint: u64,
}

/// `B`, a bad page or a report of KASAN; `W`, a warning: what a splat that is expected leaves.
const SPLAT_TAINT: u64 = (1 << 5) | (1 << 9);

/// `O`, an out-of-tree module was loaded; `E`, an unsigned one; `N`, a KUnit suite ran. All is what is done here.
const EXPECTED_TAINT: u64 = (1 << 12) | (1 << 13) | (1 << 18);

impl State {
    fn read(vm: &Vm) -> Result<State> {
        Ok(State { online: vm.cpus("online")?, modules: vm.modules()?, taint: vm.taint()? })
    }

    /// `passed`: a test that failed half-way is not blamed for what it could not clean up.
    fn differences(&self, after: &State, leaves: Leaves, passed: bool) -> Vec<Fault> {
        let mut faults = Vec::new();
        let online = |cpu: &u32| after.online.contains(cpu);
        if passed && !self.online.iter().all(online) {
            faults.push(Fault::Unclean(format!("only CPUs {:?} are online", after.online)));
        }
        if passed && leaves == Leaves::Clean && self.online.len() < after.online.len() {
            faults.push(Fault::Unclean(format!("now CPUs {:?} are online", after.online)));
        }
        if passed && self.modules != after.modules {
            faults.push(Fault::Unclean(format!("modules {:?}", after.modules)));
        }
        let taint = after.taint & !self.taint & !EXPECTED_TAINT;
        if taint != 0 {
            faults.push(Fault::Taint(format!("new bits {taint:#x}")));
        }
        faults
    }
}

impl Vm {
    /// From now on, in multiples of what a test usually has.
    pub(crate) fn set_test_limit(&self, times: Option<u32>) {
        let mut link = self.link.borrow_mut();
        link.test_deadline = times.map(|times| link.now() + link.limits.test * times);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State { online: vec![0, 1], modules: vec![], taint: 0 }
    }

    #[test]
    fn nothing_changed_is_no_fault() {
        assert_eq!(state().differences(&state(), Leaves::Clean, true), []);
        let loaded = State { taint: EXPECTED_TAINT, ..state() };
        assert_eq!(state().differences(&loaded, Leaves::Clean, true), []);
    }

    #[test]
    fn each_thing_left_behind_is_a_fault() {
        let fewer = State { online: vec![0], ..state() };
        let loaded = State { modules: vec!["x".into()], ..state() };
        let warned = State { taint: 1 << 9, ..state() };
        for after in [fewer, loaded, warned] {
            assert_eq!(state().differences(&after, Leaves::Clean, true).len(), 1, "{after:?}");
        }
    }

    #[test]
    fn more_cpus_are_fine_if_said_so() {
        let more = State { online: vec![0, 1, 2], ..state() };
        assert_eq!(state().differences(&more, Leaves::Used, true), []);
        assert_eq!(state().differences(&more, Leaves::Clean, true).len(), 1);
    }

    #[test]
    fn a_taint_counts_after_a_failure_too() {
        let after = State { online: vec![0], modules: vec!["x".into()], taint: 1 << 9 };
        let faults = state().differences(&after, Leaves::Clean, false);
        assert!(matches!(faults.as_slice(), [Fault::Taint(_)]), "{faults:?}");
    }
}
