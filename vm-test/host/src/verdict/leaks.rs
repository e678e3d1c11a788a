// SPDX-License-Identifier: GPL-2.0

//! What kmemleak has to say about the tests.
//!
//! It does not report what is younger than 5 s, nor what changed since the scan before, and a scan takes seconds. So
//! there is one at the end of each test, which may report what an earlier test on the VM leaked (the report tells
//! when that was allocated), and before the VM goes, or a test that is to leak has ended, all is scanned when old enough.

use crate::guest::calls::{read, write};
use crate::machine::kernel::KMEMLEAK;
use crate::{Vm, clock};
use anyhow::{Context, Result, ensure};
use std::fmt::{self, Display, Formatter};
use std::time::Duration;
use wire::{Call, Value};

const FILE: &str = "/sys/kernel/debug/kmemleak";

/// What is younger it does not report (`MSECS_MIN_AGE`); nothing tells when an object gets old.
const MIN_AGE: Duration = Duration::from_millis(5100);

/// A test on a VM.
#[derive(Debug)]
pub struct Begun {
    /// When, in jiffies.
    at: u64,
    test: String,
    may_leak: bool,
}

/// Memory that nobody refers to.
#[derive(Debug, PartialEq, Eq)]
pub struct Leak {
    /// The test during which it was allocated.
    pub of: String,
    pub report: String,
}

impl Leak {
    /// Where, and how large.
    pub fn object(&self) -> &str {
        self.report.lines().next().unwrap_or_default()
    }
}

impl Display for Leak {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "during {}: {}", self.of, self.report)
    }
}

/// Under lockdown nobody may tell kmemleak anything; without debugfs nobody can.
fn can_ask(vm: &Vm) -> bool {
    let locked = vm.config().word.is_some_and(|word| word.starts_with("lockdown="));
    vm.built_with().has(KMEMLEAK) && !locked && vm.has("debugfs")
}

/// From now on it is this test that leaks.
pub fn begin(vm: &Vm, test: &str) -> Result<()> {
    if can_ask(vm) {
        let jiffies = jiffies(&vm.read("/proc/timer_list")?)?;
        vm.begun.borrow_mut().push(Begun { at: jiffies, test: test.into(), may_leak: false });
    }
    Ok(())
}

impl Vm {
    /// The present test leaks on purpose. (That it is told cannot be asked for: of one or two objects kmemleak
    /// may see none.)
    pub fn may_leak(&self) {
        if let Some(begun) = self.begun.borrow_mut().last_mut() {
            begun.may_leak = true;
        }
    }
}

/// Scans; finds what was scanned before and is old.
pub fn found_so_far(vm: &Vm) -> Result<Vec<Leak>> {
    if !can_ask(vm) {
        return Ok(Vec::new());
    }
    // What was told is not told again.
    let mut values = vm.batch(vec![write(FILE, "scan"), read(FILE), write(FILE, "clear")])?;
    let Value::Bytes(report) = values.swap_remove(1) else { unreachable!("a read gives bytes") };
    let report = String::from_utf8_lossy(&report);
    ensure!(report.is_empty() || report.starts_with(BEGINNING), "kmemleak says: {report}");
    split(&report, &vm.begun.borrow())
}

/// Waits until all there is can be reported.
pub fn found(vm: &Vm) -> Result<Vec<Leak>> {
    let young = clock::now();
    let mut leaks = found_so_far(vm)?;
    if can_ask(vm) {
        let rest = MIN_AGE.saturating_sub(clock::now() - young);
        vm.call(Call::Pause { us: rest.as_micros() as u64 })?;
    }
    leaks.append(&mut found_so_far(vm)?);
    Ok(leaks)
}

const BEGINNING: &str = "unreferenced object";

fn split(report: &str, begun: &[Begun]) -> Result<Vec<Leak>> {
    let mut reports: Vec<String> = Vec::new();
    for line in report.lines() {
        match reports.last_mut() {
            Some(report) if !line.starts_with(BEGINNING) => {
                report.push('\n');
                report.push_str(line);
            }
            _ => reports.push(line.into()),
        }
    }
    let leak = |report: String| {
        let allocated =
            report.lines().find_map(|line| line.split_once(", jiffies ")?.1.parse().ok());
        let allocated: u64 = allocated.with_context(|| format!("no jiffies in {report}"))?;
        let during = begun.iter().rev().find(|begun| begun.at <= allocated);
        if during.is_some_and(|begun| begun.may_leak) {
            return Ok(None);
        }
        let of = during.map_or("the boot", |begun| &begun.test).into();
        Ok(Some(Leak { of, report }))
    };
    reports.into_iter().filter_map(|report| leak(report).transpose()).collect()
}

/// The present time, from `/proc/timer_list`.
fn jiffies(timer_list: &str) -> Result<u64> {
    let line = timer_list.lines().find_map(|line| line.strip_prefix("jiffies: "));
    line.and_then(|jiffies| jiffies.trim().parse().ok()).context("no jiffies in /proc/timer_list")
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "unreferenced object 0xffff888005a1c000 (size 64):
  comm \"init\", pid 61, jiffies 4294940000
  hex dump (first 32 bytes):
    5a 5a 5a 5a 5a 5a 5a 5a 5a 5a 5a 5a 5a 5a 5a 5a  ZZZZZZZZZZZZZZZZ
  backtrace (crc 4bd0b6a2):
    leak+0x12/0x30 [rust_smpboot_faulty]
unreferenced object (percpu) 0x607fc0a01000 (size 16):
  comm \"insmod\", pid 62, jiffies 4294940001
  backtrace (crc 0):
    pcpu_alloc_noprof+0x5f1/0x9a0
";

    #[test]
    fn each_object_is_a_leak_of_the_test_in_which_it_was_allocated() {
        let begun = |at, test: &str, may_leak| Begun { at, test: test.into(), may_leak };
        let a = begun(4294892296, "a::a", false);
        assert_eq!(split(REPORT, &[begun(4294892296, "may", true)]).unwrap(), []);
        let begun = [a, begun(4294940001, "b::b", false)];
        let leaks = split(REPORT, &begun).unwrap();
        assert_eq!(leaks.len(), 2);
        assert!(leaks[0].report.ends_with("[rust_smpboot_faulty]") && leaks[0].of == "a::a");
        assert!(leaks[1].report.contains("(size 16)") && leaks[1].of == "b::b");
        assert_eq!(split(REPORT, &[]).unwrap()[0].of, "the boot");
        assert_eq!(split("", &begun).unwrap(), []);
        assert!(split("unreferenced object 0x1 (size 8):\n", &begun).is_err());
    }

    #[test]
    fn time_is_told_by_the_list_of_timers() {
        let list = "Timer List Version: v0.10\nnow at 1 nsecs\n\ncpu: 0\n\njiffies: 4294895980\n";
        assert_eq!(jiffies(list).unwrap(), 4294895980);
        assert!(jiffies("").is_err());
    }
}
