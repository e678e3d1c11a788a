// SPDX-License-Identifier: GPL-2.0

//! `suite matrix`: runs the tests on each kernel, and builds README's module for it.
//!
//! The scripts make the modules and the guest of each kernel: this command starts them, outside of
//! the root file system.

use crate::programs::{Log, checkout, command};
use anyhow::{Context, Result, ensure};
use clap::Args;
use cli::exit::TEST_FAILED;
use cli::{note, say};
use host::files;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

#[derive(Args)]
pub struct MatrixArgs {
    /// Values of KERNEL_VERSION=; default: the newest of each series in the archive
    versions: Vec<String>,
}

/// `KERNEL=` and `ARCH=`
const KERNELS: [(&str, &str); 5] = [
    ("cloud", "amd64"),
    ("generic", "amd64"),
    ("rt", "amd64"),
    ("generic", "arm64"),
    ("cloud", "arm64"),
];

/// The same for the suites whose kernels have Rust for more architectures. Only the tests of
/// [`DEMO`] run: some of the tests' modules print an `u64`, which is an oops on armhf.
const FURTHER: [(&str, &str); 2] = [("generic", "armhf"), ("generic", "loong64")];

const DEMO: &str = "demo::";

/// The numbers that `suite test --results` writes.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Results {
    pub release: String,
    pub passed: u64,
    pub failed: u64,
}

impl Results {
    pub fn write(&self, file: &Path) -> Result<()> {
        files::write(file, serde_json::to_string(self)?)
    }

    fn read(file: &Path) -> Result<Results> {
        Ok(serde_json::from_str(&fs::read_to_string(file)?)?)
    }
}

pub fn run(args: &MatrixArgs) -> Result<ExitCode> {
    let versions = if args.versions.is_empty() { offered()? } else { args.versions.clone() };
    let suite = std::env::var("SUITE").unwrap_or_default();
    let further: &[_] = if ["", "trixie"].contains(&&*suite) { &[] } else { &FURTHER };
    let mut rows = Vec::new();
    for version in &versions {
        for &(kernel, arch) in KERNELS.iter().chain(further) {
            rows.push(Row::test(kernel, arch, version)?);
        }
    }
    say!("{:<8} {:<6} {:<28} {:<7} result", "kernel", "arch", "release", "module");
    for row in &rows {
        say!("{row}");
    }
    let failed = rows.iter().filter(|row| !row.is_good()).count();
    if failed == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    note!("vm-test: failed on {failed} of {} kernels; the logs are in build/log", rows.len());
    Ok(ExitCode::from(TEST_FAILED))
}

/// Returns the newest version of each series in the archive.
fn offered() -> Result<Vec<String>> {
    let mut list = command(checkout().join("scripts/kernel"));
    let output = list.arg("--list").stderr(std::io::stderr()).output()?;
    ensure!(output.status.success(), "scripts/kernel --list: {}", output.status);
    let text = String::from_utf8(output.stdout).context("scripts/kernel --list")?;
    let versions: Vec<_> = text.split_whitespace().map(String::from).collect();
    ensure!(!versions.is_empty(), "the archive has no kernel that can be built");
    Ok(versions)
}

/// Results of one kernel.
struct Row {
    kernel: &'static str,
    arch: &'static str,
    version: String,
    /// Whether the tests passed, and their numbers if they ran.
    passed: bool,
    results: Option<Results>,
    /// Whether README's module was built.
    module: bool,
}

impl Row {
    fn test(kernel: &'static str, arch: &'static str, version: &str) -> Result<Row> {
        let name = format!("{kernel}-{arch}-{version}");
        let results = checkout().join("build/matrix").join(format!("{name}.json"));
        let _ = fs::remove_file(&results); // the results of an earlier run
        let run = |what: &str, program: &mut Command| -> Result<bool> {
            let log = Log::new(&format!("matrix-{name}{what}"));
            note!("{kernel} {arch} {version}: {}", log.0.display());
            let program = program.env("KERNEL_VERSION", version);
            Ok(log.run(program.env("KERNEL", kernel).env("ARCH", arch))?.status.success())
        };
        let scripts = checkout().join("scripts");
        let filter = FURTHER.contains(&(kernel, arch)).then_some(DEMO);
        let mut tests = command(scripts.join("vm"));
        let passed = run("", tests.args(["test", "--results"]).arg(&results).args(filter))?;
        let module = run("-module", &mut command(scripts.join("tests/module")))?;
        let results = Results::read(&results).ok();
        Ok(Row { kernel, arch, version: version.into(), passed, results, module })
    }

    fn is_good(&self) -> bool {
        self.passed && self.module
    }
}

impl Display for Row {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Row { kernel, arch, version, results, .. } = self;
        let release = results.as_ref().map_or(version, |results| &results.release);
        let module = if self.module { "built" } else { "failed" };
        write!(f, "{kernel:<8} {arch:<6} {release:<28} {module:<7} ")?;
        match results {
            Some(Results { passed, failed, .. }) => write!(f, "{passed} passed; {failed} failed"),
            None => f.write_str("did not run"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(passed: bool, results: Option<Results>) -> Row {
        let version = "7.3.4".into();
        Row { kernel: "cloud", arch: "arm64", version, passed, results, module: true }
    }

    #[test]
    fn a_kernel_without_results_did_not_run() {
        let row = row(false, None);
        assert!(!row.is_good());
        assert_eq!(
            row.to_string(),
            "cloud    arm64  7.3.4                        built   did not run"
        );
    }

    #[test]
    fn results_are_read_as_they_are_written() {
        let file = std::env::temp_dir().join(format!("vm-test-matrix-{}", std::process::id()));
        let results = || Results { release: "7.3.4-cloud".into(), passed: 207, failed: 1 };
        results().write(&file).unwrap();
        assert_eq!(Results::read(&file).unwrap(), results());
        fs::remove_file(file).unwrap();
        // Results do not count if the exit status reports a failure.
        let row = row(false, Some(results()));
        assert!(!row.is_good());
        assert!(
            row.to_string().ends_with("7.3.4-cloud                  built   207 passed; 1 failed")
        );
    }
}
