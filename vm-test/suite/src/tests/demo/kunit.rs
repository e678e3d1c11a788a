// SPDX-License-Identifier: GPL-2.0

//! The KUnit suites of code that needs no threads.

use anyhow::{Result, ensure};
use cli::note;
use demo_module::MODULE;
use host::Vm;
use host::machine::kernel::KUNIT;
use suite_macros::vm_test;

const DIRECTORY: &str = "/sys/kernel/debug/kunit";

const SUITES: &[&str] = &["rust_smpboot_events", "rust_smpboot_files", "rust_smpboot_latency"];

/// The KUnit suites of the module pass in the kernel.
#[vm_test(needs = &[KUNIT])]
fn suites_pass(vm: &Vm) -> Result<()> {
    vm.insmod(MODULE, "")?;
    for suite in SUITES {
        vm.write(&format!("{DIRECTORY}/{suite}/run"), "1")?;
        let results = vm.read(&format!("{DIRECTORY}/{suite}/results"))?;
        let passed = passed(suite, &results)?;
        note!("vm-test: {suite}: {passed} passed");
    }
    vm.rmmod(MODULE)
}

/// Returns the number of passed tests from a suite's KTAP: its plan, one line for each of its
/// tests, and one for the suite. Other lines are errors.
fn passed(suite: &str, ktap: &str) -> Result<usize> {
    let mut planned = None;
    let mut passed = 0;
    let mut whole = false;
    for line in ktap.lines() {
        let is_of_suite = !line.starts_with("    ") || line.trim().starts_with("1..");
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["ok", number, name] if is_of_suite => {
                ensure!(*number == "1" && *name == suite, "unexpected suite: {line}");
                whole = true;
            }
            ["ok", number, _] => {
                passed += 1;
                ensure!(number.parse() == Ok(passed), "out of order: {line}\n{ktap}");
            }
            ["not", "ok", ..] | ["ok", ..] => anyhow::bail!("{line}\n{ktap}"),
            [plan] if plan.starts_with("1..") && line.starts_with("    ") => {
                planned = plan[3..].parse().ok();
            }
            _ => {}
        }
    }
    ensure!(whole && planned == Some(passed) && passed > 0, "not complete:\n{ktap}");
    Ok(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KTAP: &str = "KTAP version 1

1..1
    KTAP version 1
    # Subtest: rust_smpboot_latency
    # module: rust_smpboot_demo
    1..2
    ok 1 one
    ok 2 two
# rust_smpboot_latency: pass:2 fail:0 skip:0 total:2
# Totals: pass:2 fail:0 skip:0 total:2
ok 1 rust_smpboot_latency
";

    #[test]
    fn each_test_counts() {
        assert_eq!(passed("rust_smpboot_latency", KTAP).unwrap(), 2);
    }

    #[test]
    fn what_failed_or_is_missing_is_an_error() {
        for (from, to) in [
            ("    ok 2", "    not ok 2"),
            ("    ok 2 two\n", ""),
            ("ok 2 two", "ok 2 two # SKIP"),
            ("1..2", "1..3"),
            ("ok 1 rust_smpboot_latency", ""),
            ("ok 1 rust_smpboot_latency", "ok 1 another"),
        ] {
            assert!(passed("rust_smpboot_latency", &KTAP.replace(from, to)).is_err(), "{from}");
        }
    }
}
