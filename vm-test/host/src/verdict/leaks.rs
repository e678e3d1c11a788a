// SPDX-License-Identifier: GPL-2.0

//! Finds memory leaks with kmemleak, and the test that each belongs to.
//!
//! kmemleak omits objects that are younger than 5 s or changed since the previous scan, and a scan
//! takes seconds. So each test ends with one scan, which may report a leak of an earlier test on
//! the same VM; the report has the time of the allocation. [`History::scan_all`] waits until every
//! object is old enough: before the VM ends, and after a test that leaks on purpose.

use crate::guest::calls::{read, write};
use crate::machine::kernel::KMEMLEAK;
use crate::{Vm, clock};
use anyhow::{Context, Result, ensure};
use std::fmt::{self, Display, Formatter};
use std::time::Duration;
use wire::{Call, Value};

const FILE: &str = "/sys/kernel/debug/kmemleak";

/// kmemleak does not report younger objects (`MSECS_MIN_AGE`), and does not announce when one is
/// old enough.
const MIN_AGE: Duration = Duration::from_millis(5100);

/// Tests that ran on a VM, in order, to attribute leaks to.
#[derive(Debug, Default)]
pub(super) struct History(Vec<Started>);

#[derive(Debug)]
struct Started {
    /// In jiffies.
    at: u64,
    test: String,
    may_leak: bool,
}

/// Memory that nothing refers to.
#[derive(Debug, PartialEq, Eq)]
pub struct Leak {
    /// The test during which it was allocated.
    pub of: String,
    /// kmemleak's report.
    pub report: String,
}

impl Leak {
    /// Its address and size.
    pub fn object(&self) -> &str {
        self.report.lines().next().unwrap_or_default()
    }
}

impl Display for Leak {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "during {}: {}", self.of, self.report)
    }
}

/// Whether kmemleak's file exists and accepts commands, which lockdown forbids.
fn is_available(vm: &Vm) -> bool {
    let locked = vm.config().word.is_some_and(|word| word.starts_with("lockdown="));
    vm.built_with().has(KMEMLEAK) && !locked && vm.has("debugfs")
}

impl History {
    /// Attributes later leaks to this test.
    pub fn start(&mut self, vm: &Vm, test: &str) -> Result<()> {
        if is_available(vm) {
            let jiffies = jiffies(&vm.read("/proc/timer_list")?)?;
            self.0.push(Started { at: jiffies, test: test.into(), may_leak: false });
        }
        Ok(())
    }

    /// Ignores leaks of the present test.
    pub fn allow_leaks(&mut self) {
        if let Some(test) = self.0.last_mut() {
            test.may_leak = true;
        }
    }

    /// Scans, and returns the leaks that are old enough and were not returned before.
    pub fn scan(&self, vm: &Vm) -> Result<Vec<Leak>> {
        if !is_available(vm) {
            return Ok(Vec::new());
        }
        let mut values = vm.batch(vec![write(FILE, "scan"), read(FILE), write(FILE, "clear")])?;
        let Value::Bytes(report) = values.swap_remove(1) else {
            unreachable!("a read gives bytes")
        };
        let report = String::from_utf8_lossy(&report);
        ensure!(report.is_empty() || report.starts_with(BEGINNING), "kmemleak: {report}");
        split(&report, &self.0)
    }

    /// Waits until every leak is old enough to be returned.
    pub fn scan_all(&self, vm: &Vm) -> Result<Vec<Leak>> {
        let start = clock::now();
        let mut leaks = self.scan(vm)?;
        if is_available(vm) {
            let rest = MIN_AGE.saturating_sub(clock::now() - start);
            vm.call(Call::Pause { us: rest.as_micros() as u64 })?;
        }
        leaks.append(&mut self.scan(vm)?);
        Ok(leaks)
    }
}

const BEGINNING: &str = "unreferenced object";

fn split(report: &str, tests: &[Started]) -> Result<Vec<Leak>> {
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
        let during = tests.iter().rev().find(|test| test.at <= allocated);
        if during.is_some_and(|test| test.may_leak) {
            return Ok(None);
        }
        let of = during.map_or("the boot", |test| &test.test).into();
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
        let started = |at, test: &str, may_leak| Started { at, test: test.into(), may_leak };
        let a = started(4294892296, "a::a", false);
        assert_eq!(split(REPORT, &[started(4294892296, "may", true)]).unwrap(), []);
        let tests = [a, started(4294940001, "b::b", false)];
        let leaks = split(REPORT, &tests).unwrap();
        assert_eq!(leaks.len(), 2);
        assert!(leaks[0].report.ends_with("[rust_smpboot_faulty]") && leaks[0].of == "a::a");
        assert!(leaks[1].report.contains("(size 16)") && leaks[1].of == "b::b");
        assert_eq!(split(REPORT, &[]).unwrap()[0].of, "the boot");
        assert_eq!(split("", &tests).unwrap(), []);
        assert!(split("unreferenced object 0x1 (size 8):\n", &tests).is_err());
    }

    #[test]
    fn the_list_of_timers_has_the_time_in_jiffies() {
        let list = "Timer List Version: v0.10\nnow at 1 nsecs\n\ncpu: 0\n\njiffies: 4294895980\n";
        assert_eq!(jiffies(list).unwrap(), 4294895980);
        assert!(jiffies("").is_err());
    }
}
