// SPDX-License-Identifier: GPL-2.0

//! Was it good?
//!
//! A test has passed when its own checks held, and the kernel log since its beginning has no splat,
//! and the kernel has no new taint, and nothing has leaked, and all is as it was: CPUs, modules.
//! What cannot be found out counts as bad.

pub mod autopsy;
pub mod leaks;
mod panics;

use crate::Vm;
use crate::kernel_log::splat::{Scanner, Splat};
use crate::vm::TAIL;
use anyhow::Result;
use leaks::Leak;
use std::fmt::{self, Display, Formatter};
use std::ops::Range;

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

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The test's own word.
    Failed(String),
    Splat {
        kind: &'static str,
        line: String,
        /// Of the report that this one is the head of.
        lines: usize,
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
            Fault::Splat { kind, line, lines: 1 } => {
                write!(f, "in the kernel log ({kind}): {line}")
            }
            Fault::Splat { kind, line, lines } => {
                write!(f, "in the kernel log ({kind}): {line} (with {} more lines)", lines - 1)
            }
            Fault::Taint(what) => write!(f, "the kernel got tainted: {what}"),
            Fault::Leak(what) => write!(f, "leaked: {what}"),
            Fault::Unclean(what) => write!(f, "left behind: {what}"),
            Fault::Unknown(what) => write!(f, "cannot tell: {what}"),
        }
    }
}

/// Does what `run` does, and returns everything that speaks against it.
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
    // What is asked of a guest that hangs is no fault of it.
    let mut console_to = usize::MAX;
    let ok = failed.is_none();
    let mut faults: Vec<Fault> = failed.into_iter().collect();
    if vm.trouble().is_some_and(|trouble| trouble.is_hang()) {
        console_to = vm.console_len();
        if let Err(e) = autopsy::autopsy(vm, name) {
            faults.push(Fault::Unknown(format!("where the guest hangs: {e:#}")));
        }
    }
    let mut leaked = false;
    if ok && vm.is_running() {
        let told = if vm.expects_splat(LEAK) { leaks::found(vm) } else { leaks::found_so_far(vm) };
        leaked = told.as_ref().is_ok_and(|leaks| !leaks.is_empty());
        if !(leaked && vm.expects_splat(LEAK)) {
            faults.extend(leak(told));
        }
    }
    let mut complete = false;
    if vm.is_running() {
        match end(vm, name, console_from) {
            Ok(()) => complete = true,
            Err(e) => faults.push(Fault::Unknown(format!("the log's end: {e:#}"))),
        }
    } else if ok {
        faults.push(Fault::Unknown("the VM is gone".into()));
    }
    let found = splats(vm, console_from..console_to, complete);
    faults.extend(unexpected(vm, found, leaked));
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
    autopsy::begin(vm, name);
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
    Ok(vm.connection.borrow_mut().wait_line(console_from, &marker)?)
}

/// Those of the records, in which a warning has a level. A guest that died has told the console more.
fn splats(vm: &Vm, console: Range<usize>, complete: bool) -> Vec<Splat> {
    let mut scanner = Scanner::default();
    vm.records.borrow().iter().for_each(|record| scanner.record(record));
    let mut found = scanner.finish();
    if !complete {
        found.extend(console_splats(vm, console));
    }
    once(found)
}

/// Each once, whichever way it came.
fn once(splats: Vec<Splat>) -> Vec<Splat> {
    let mut once: Vec<Splat> = Vec::new();
    for splat in splats {
        if !once.iter().any(|known| (known.kind(), &known.line) == (splat.kind(), &splat.line)) {
            once.push(splat);
        }
    }
    once
}

/// Of these splats, what the test does not provoke, and what it should have provoked.
fn unexpected(vm: &Vm, mut found: Vec<Splat>, leaked: bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    let expected = vm.expected.borrow();
    let mut missing = expected.clone();
    found.retain(|splat| {
        let mut parts = expected.iter();
        let part = parts.find(|part| splat.is_unexpected() && splat.line.contains(**part));
        missing.retain(|missing| part.is_none_or(|part| part != missing));
        part.is_none()
    });
    // The list of leaks says more.
    found.retain(|splat| !splat.is(LEAK));

    let kinds = vm.expected_splats.borrow();
    for kind in kinds.iter() {
        let seen = if *kind == LEAK { leaked } else { found.iter().any(|s| s.is(kind)) };
        if !seen {
            faults.push(Fault::Failed(format!("no splat in the kernel log ({kind})")));
        }
    }
    found.retain(|splat| !kinds.iter().any(|kind| splat.is(kind)));
    faults.extend(found.into_iter().map(Fault::from));

    for part in missing {
        faults.push(Fault::Failed(format!("no warning in the kernel log has \"{part}\"")));
    }
    faults
}

impl From<Splat> for Fault {
    fn from(splat: Splat) -> Fault {
        Fault::Splat { kind: splat.kind(), line: splat.line, lines: splat.lines }
    }
}

/// What a failure shows: the faults, the end of the log, and where the rest is.
pub fn report(vm: &Vm, faults: &[Fault]) -> String {
    let faults = faults.iter().map(|fault| format!("- {fault}"));
    let mut text = faults.collect::<Vec<_>>().join("\n") + "\n";
    text += &format!("the last {TAIL} lines of the log:\n{}", vm.console_tail());
    if let Some(path) = &vm.autopsy.borrow().path {
        text += &format!("registers and backtraces of the guest that hangs: {}\n", path.display());
    }
    text
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

/// The kind of an allocation that failed, among those of splats.
pub const NO_MEMORY: &str = "no memory";

/// As far as the console, which has no levels, tells.
pub fn console_splats(vm: &Vm, lines: Range<usize>) -> Vec<Splat> {
    let lines = vm.console(lines);
    let mut scanner = Scanner::default();
    for (i, line) in lines.iter().enumerate() {
        // Where a CPU takes over the console from another, it begins the line again.
        let again = |later: &String| later != line && later.starts_with(line.as_str());
        if !lines[i + 1..].iter().take(5).any(again) {
            scanner.line(line);
        }
    }
    once(scanner.finish())
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
