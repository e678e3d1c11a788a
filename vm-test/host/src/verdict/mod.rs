// SPDX-License-Identifier: GPL-2.0

//! Decides whether a test passed.
//!
//! A test has passed if, since its beginning:
//!
//! - its own checks held
//! - the kernel log has no splat that the test did not announce
//! - the kernel has no new taint
//! - no memory has leaked
//! - CPUs and modules are as before
//!
//! A result that cannot be determined is a [`Fault`], too.

mod autopsy;
mod leaks;
mod panics;

pub use leaks::Leak;

use crate::Vm;
use crate::kernel_log::splat::{Scanner, Splat};
use crate::vm::Announced;
use anyhow::{Result, ensure};
use autopsy::Autopsy;
use std::fmt::{self, Display, Formatter};
use std::ops::Range;
use std::path::Path;

/// Number of console lines in a report.
const TAIL: usize = 40;

/// The state of the VM after a test that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaves {
    /// The state before the test: another test can use the VM.
    Clean,
    /// Unfit for another test: more CPUs are online than before, or the kernel has reported a bug
    /// and may not report the next.
    Used,
    /// Broken on purpose, by a test of the harness. Only the test's own result counts.
    Broken,
}

/// A reason why a test did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The test's own error or panic.
    Failed(String),
    /// The kernel log has a splat that the test did not announce.
    Splat {
        /// Its name in the table of splats.
        kind: &'static str,
        /// The line that describes it best.
        line: String,
        /// Number of lines of the report.
        lines: usize,
    },
    /// The kernel has a new taint.
    Taint(String),
    /// Nothing refers to memory that was allocated.
    Leak(String),
    /// CPUs or modules differ from before.
    Unclean(String),
    /// One of the above could not be determined.
    Unknown(String),
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Failed(message) => f.write_str(message),
            Fault::Splat { kind, line, lines } => {
                write!(f, "splat in the kernel log ({kind}): {line}")?;
                if *lines > 1 { write!(f, " (+{} lines)", lines - 1) } else { Ok(()) }
            }
            Fault::Taint(what) => write!(f, "the kernel is tainted: {what}"),
            Fault::Leak(what) => write!(f, "leaked: {what}"),
            Fault::Unclean(what) => write!(f, "not as before the test: {what}"),
            Fault::Unknown(what) => write!(f, "cannot determine {what}"),
        }
    }
}

/// Judges the tests of one VM. Keeps the start time of each test, to attribute leaks that are found
/// during a later one.
#[derive(Debug, Default)]
pub struct Judge {
    history: leaks::History,
    /// Results of the last test, if the guest hung.
    autopsy: Option<Autopsy>,
}

impl Judge {
    /// Runs a test, and returns all faults: none if it passed.
    pub fn run(
        &mut self,
        vm: &Vm,
        name: &str,
        leaves: Leaves,
        test: impl FnOnce(&Vm) -> Result<()>,
    ) -> Vec<Fault> {
        let before = match State::read(vm).and_then(|state| self.begin(vm, name).map(|()| state)) {
            Ok(state) => state,
            Err(e) => return vec![Fault::Unknown(format!("the state before the test: {e:#}"))],
        };
        let console_from = vm.console_len();

        vm.set_test_limit(Some(1));
        let outcome = panics::catch(|| test(vm));
        vm.set_test_limit(None);

        let failed = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(e)) => Some(Fault::Failed(format!("{e:#}"))),
            Err(panic) => Some(Fault::Failed(panic)),
        };
        let announced = vm.take_announced();
        if announced.leaks {
            self.history.allow_leaks();
        }
        let passed = failed.is_none();
        let mut faults: Vec<Fault> = failed.into_iter().collect();
        if leaves == Leaves::Broken {
            return faults;
        }
        if vm.no_answer().is_some_and(|reason| reason.is_hang()) {
            let (autopsy, written) = autopsy::autopsy(vm, name);
            self.autopsy = Some(autopsy);
            faults.extend(written.err().map(|e| Fault::Unknown(format!("where it hangs: {e:#}"))));
        }
        let mut leaked = false;
        if passed && vm.is_running() {
            let expected = announced.has_splat(LEAK);
            let leaks = if expected { self.history.scan_all(vm) } else { self.history.scan(vm) };
            leaked = leaks.as_ref().is_ok_and(|leaks| !leaks.is_empty());
            if !(leaked && expected) {
                faults.extend(leak(leaks));
            }
        }
        let mut complete = false;
        if vm.is_running() {
            match end(vm, name, console_from) {
                Ok(()) => complete = true,
                Err(e) => faults.push(Fault::Unknown(format!("the end of the log: {e:#}"))),
            }
        } else if passed {
            faults.push(Fault::Unknown("the state after the test: QEMU has exited".into()));
        }
        faults.extend(unannounced(&announced, self.splats(vm, console_from, complete), leaked));
        if vm.is_running() {
            match State::read(vm) {
                Ok(mut after) => {
                    if !announced.splats.is_empty() {
                        after.taint &= !SPLAT_TAINT;
                    }
                    faults.extend(before.differences(&after, leaves, passed));
                }
                Err(e) => faults.push(Fault::Unknown(format!("the state after the test: {e:#}"))),
            }
        }
        faults
    }

    fn begin(&mut self, vm: &Vm, name: &str) -> Result<()> {
        vm.kmsg()?;
        vm.clear_records();
        vm.take_announced();
        self.autopsy = None;
        autopsy::remove_earlier(vm, name);
        self.history.start(vm, name)?;
        vm.mark(&format!("vm-test: begin {name}"))
    }

    /// Splats in the records, which have levels. Of a guest that died the console has more; output
    /// that the autopsy asked for is not judged.
    fn splats(&self, vm: &Vm, console_from: usize, complete: bool) -> Vec<Splat> {
        let mut scanner = Scanner::default();
        vm.records().iter().for_each(|record| scanner.record(record));
        let mut found = scanner.finish();
        if !complete {
            let to = self.autopsy.as_ref().map_or(usize::MAX, |autopsy| autopsy.console_to);
            found.extend(console_splats(vm, console_from..to));
        }
        once(found)
    }

    /// Text for the user: the faults, the end of the console, and the file of [`Judge::hang_file`].
    pub fn report(&self, vm: &Vm, faults: &[Fault]) -> String {
        let mut text = String::new();
        for fault in faults {
            text += &format!("- {fault}\n");
        }
        // Up to the hang, if there was one.
        let to = self.autopsy.as_ref().map_or(vm.console_len(), |autopsy| autopsy.console_to);
        text += &format!("the last {TAIL} lines of the log:\n");
        for line in vm.console(to.saturating_sub(TAIL)..to) {
            text += &format!("{line}\n");
        }
        if let Some(path) = self.hang_file() {
            text += &format!("registers and backtraces of the hang: {}\n", path.display());
        }
        text
    }

    /// The file with backtraces and registers, if the last test's guest hung.
    pub fn hang_file(&self) -> Option<&Path> {
        self.autopsy.as_ref()?.path.as_deref()
    }

    /// A fault if the tests on this VM have leaks that were not returned before. Waits until all
    /// are old enough.
    pub fn late_leaks(&self, vm: &Vm) -> Option<Fault> {
        leak(self.history.scan_all(vm))
    }

    /// The leaks of [`Judge::leaked`], one by one.
    pub fn leaks(&self, vm: &Vm) -> Result<Vec<Leak>> {
        self.history.scan_all(vm)
    }
}

/// Waits until records and console have all of the test's log.
fn end(vm: &Vm, name: &str, console_from: usize) -> Result<()> {
    let marker = format!("vm-test: end {name}");
    vm.mark(&marker)?;
    vm.kmsg()?;
    let complete = vm.records().iter().any(|record| record.text == marker);
    ensure!(complete, "the kernel log has no \"{marker}\"");
    ensure!(!vm.lost_records(), "the kernel overwrote a part of its log");
    vm.wait_mark(console_from, &marker)
}

/// Keeps one copy of splats that are both in the records and on the console.
fn once(splats: Vec<Splat>) -> Vec<Splat> {
    let mut once: Vec<Splat> = Vec::new();
    for splat in splats {
        if !once.iter().any(|known| (known.kind(), &known.line) == (splat.kind(), &splat.line)) {
            once.push(splat);
        }
    }
    once
}

/// Faults: splats that the test did not announce, and announced ones that are missing.
fn unannounced(announced: &Announced, mut found: Vec<Splat>, leaked: bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut missing = announced.warnings.clone();
    found.retain(|splat| {
        let mut parts = announced.warnings.iter();
        let part = parts.find(|part| splat.is_unexpected() && splat.line.contains(**part));
        missing.retain(|missing| part.is_none_or(|part| part != missing));
        part.is_none()
    });
    // The list of leaks has more details.
    found.retain(|splat| !splat.is(LEAK));

    for kind in &announced.splats {
        let seen = if *kind == LEAK { leaked } else { found.iter().any(|s| s.is(kind)) };
        if !seen {
            faults.push(Fault::Failed(format!("no splat in the kernel log ({kind})")));
        }
    }
    found.retain(|splat| !announced.splats.iter().any(|kind| splat.is(kind)));
    faults.extend(found.into_iter().map(Fault::from));

    for part in missing {
        faults.push(Fault::Failed(format!("no warning in the kernel log contains \"{part}\"")));
    }
    faults
}

impl From<Splat> for Fault {
    fn from(splat: Splat) -> Fault {
        Fault::Splat { kind: splat.kind(), line: splat.line, lines: splat.lines }
    }
}

fn leak(leaks: Result<Vec<Leak>>) -> Option<Fault> {
    match leaks {
        Ok(leaks) => {
            let first = leaks.first()?;
            Some(Fault::Leak(format!("{} objects; the first {first}", leaks.len())))
        }
        Err(e) => Some(Fault::Unknown(format!("leaks: {e:#}"))),
    }
}

/// The kind of splat that announces leaks.
pub const LEAK: &str = "kmemleak";

/// The kind of splat of an allocation that failed.
pub const NO_MEMORY: &str = "no memory";

/// Splats in these lines of the console, which have no level.
pub fn console_splats(vm: &Vm, lines: Range<usize>) -> Vec<Splat> {
    let lines = vm.console(lines);
    let mut scanner = Scanner::default();
    for (i, line) in lines.iter().enumerate() {
        // A CPU that takes over the console from another begins the line again.
        let again = |later: &String| later != line && later.starts_with(line.as_str());
        if !lines[i + 1..].iter().take(5).any(again) {
            scanner.line(line);
        }
    }
    once(scanner.finish())
}

/// State that a test must leave as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    online: Vec<u32>,
    modules: Vec<String>,
    taint: u64,
}

/// `B`, a bad page or a report of KASAN; `W`, a warning. Set by splats that a test announces.
const SPLAT_TAINT: u64 = (1 << 5) | (1 << 9);

/// `O`, an out-of-tree module was loaded; `E`, an unsigned one; `N`, a KUnit suite ran. Loading our
/// modules sets all three.
const EXPECTED_TAINT: u64 = (1 << 12) | (1 << 13) | (1 << 18);

impl State {
    fn read(vm: &Vm) -> Result<State> {
        Ok(State { online: vm.cpus("online")?, modules: vm.modules()?, taint: vm.taint()? })
    }

    /// `passed`: a test that failed half-way is not blamed for missing cleanup.
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
            faults.push(Fault::Taint(format!("new bits {taint:#x} {}", taint_names(taint))));
        }
        faults
    }
}

/// Names of the taint flags, in the order of the bits, as an oops of the kernel shows them.
const TAINTS: [&str; 20] = [
    "[P]=PROPRIETARY_MODULE",
    "[F]=FORCED_MODULE",
    "[S]=CPU_OUT_OF_SPEC",
    "[R]=FORCED_RMMOD",
    "[M]=MACHINE_CHECK",
    "[B]=BAD_PAGE",
    "[U]=USER",
    "[D]=DIE",
    "[A]=OVERRIDDEN_ACPI_TABLE",
    "[W]=WARN",
    "[C]=CRAP",
    "[I]=FIRMWARE_WORKAROUND",
    "[O]=OOT_MODULE",
    "[E]=UNSIGNED_MODULE",
    "[L]=SOFTLOCKUP",
    "[K]=LIVEPATCH",
    "[X]=AUX",
    "[T]=RANDSTRUCT",
    "[N]=TEST",
    "[J]=FWCTL",
];

fn taint_names(taint: u64) -> String {
    let set = TAINTS.iter().enumerate().filter(|(bit, _)| (taint >> bit) & 1 == 1);
    set.map(|(_, name)| *name).collect::<Vec<_>>().join(" ")
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
        assert_eq!(faults, [Fault::Taint("new bits 0x200 [W]=WARN".into())]);
    }
}
