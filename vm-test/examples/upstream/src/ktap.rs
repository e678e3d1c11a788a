// SPDX-License-Identifier: GPL-2.0

//! The results of a KUnit suite, as in `/sys/kernel/debug/kunit/SUITE/results`.

/// The tests of one suite.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Results {
    /// Names of the tests that passed.
    pub passed: Vec<String>,
    /// Names of the tests that were skipped.
    pub skipped: Vec<String>,
    /// The line of each test that failed, after the lines that explain it.
    pub failed: Vec<String>,
    /// The number of tests that the suite announced.
    pub planned: usize,
}

impl Results {
    /// Parses the file. The tests of a suite are indented once; parameters of a test further.
    pub fn parse(text: &str) -> Results {
        let mut results = Results::default();
        let mut notes = Vec::new();
        for line in text.lines() {
            let Some(line) = line.strip_prefix("    ") else { continue };
            if let Some(plan) = line.strip_prefix("1..") {
                results.planned = plan.trim().parse().unwrap_or_default();
            } else if let Some(test) = line.strip_prefix("ok ") {
                let (name, skipped) = name(test);
                if skipped { &mut results.skipped } else { &mut results.passed }.push(name.into());
                notes.clear();
            } else if line.starts_with("not ok ") {
                notes.push(line);
                results.failed.push(notes.join("\n"));
                notes.clear();
            } else if !line.starts_with("KTAP ") && !line.starts_with("# Subtest") {
                notes.push(line);
            }
        }
        results
    }

    /// Number of tests with a result.
    pub fn count(&self) -> usize {
        self.passed.len() + self.skipped.len() + self.failed.len()
    }
}

/// The name in `NUMBER NAME [# SKIP REASON]`.
fn name(test: &str) -> (&str, bool) {
    let (name, comment) = test.split_once(" # ").unwrap_or((test, ""));
    let name = name.split_once(' ').map_or(name, |(_, name)| name);
    (name, comment.starts_with("SKIP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
KTAP version 1

    KTAP version 1
    # Subtest: rust_smpboot
    # module: kernel
    1..4
    ok 1 cpu_lists
    # b: ASSERTION FAILED at rust/kernel/smpboot/tests.rs:7
    Expected 1 == 2 to be true, but is false
    not ok 2 b
    ok 3 c # SKIP no CPU to spare
        ok 1 a parameter
# rust_smpboot: pass:1 fail:1 skip:1 total:3
not ok 1 rust_smpboot
";

    #[test]
    fn tests_are_sorted_by_result() {
        let results = Results::parse(TEXT);
        assert_eq!(results.passed, ["cpu_lists"]);
        assert_eq!(results.skipped, ["c"]);
        assert_eq!(results.failed.len(), 1);
        assert!(results.failed[0].contains("Expected 1 == 2"), "{}", results.failed[0]);
        assert!(results.failed[0].ends_with("not ok 2 b"), "{}", results.failed[0]);
    }

    #[test]
    fn a_suite_that_stopped_has_fewer_results_than_planned() {
        let results = Results::parse(TEXT);
        assert_eq!((results.planned, results.count()), (4, 3));
    }
}
