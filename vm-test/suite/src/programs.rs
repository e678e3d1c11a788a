// SPDX-License-Identifier: GPL-2.0

//! Programs that the suite starts in its checkout, with their output in a log of `build/log`.

use anyhow::{Context, Error, Result, anyhow, ensure};
use cli::{is_verbose, progress};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Number of lines of a log that are shown after a failure.
const TAIL: usize = 20;

/// The checkout in which this program was built; its modules are under test.
pub fn checkout() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package)
}

/// A program that ends with the suite, even if the suite is killed.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).arg(program).stdin(Stdio::null());
    command
}

/// A file of `build/log`.
pub struct Log(pub PathBuf);

impl Log {
    pub fn new(name: &str) -> Log {
        let name = name.replace("::", "-");
        Log(checkout().join("build/log").join(format!("{name}.log")))
    }

    /// Runs the program with its output in the log, and waits for its end.
    pub fn run(&self, command: &mut Command) -> Result<Output> {
        let file = self.create()?;
        self.wait(command.stdout(file.try_clone()?).stderr(file))
    }

    /// Runs the program with its standard error in the log, and returns its standard output.
    pub fn answer(&self, command: &mut Command) -> Result<Output> {
        let file = self.create()?;
        self.wait(command.stdout(Stdio::piped()).stderr(file))
    }

    /// Runs the program and shows `what` until it ends. Fails if the program fails.
    pub fn step(&self, what: &str, command: &mut Command) -> Result<()> {
        let shown = progress::spin(what.into());
        let output = self.run(command)?;
        drop(shown);
        ensure!(output.status.success(), self.failure(what));
        Ok(())
    }

    /// The error for a program that failed.
    pub fn failure(&self, what: &str) -> Error {
        let text = fs::read(&self.0).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
        anyhow!("{what}: failed\n{tail}\nThe log is {}", self.0.display())
    }

    fn create(&self) -> Result<File> {
        let created = self.0.parent().map_or(Ok(()), fs::create_dir_all);
        let created = created.and_then(|()| File::create(&self.0));
        created.with_context(|| format!("cannot write {}", self.0.display()))
    }

    fn wait(&self, command: &mut Command) -> Result<Output> {
        let child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let _shown = is_verbose().then(|| self.follow(&child)).transpose()?;
        Ok(child.wait_with_output()?)
    }

    /// Shows the log on standard error until the child has ended.
    fn follow(&self, child: &Child) -> Result<Followed> {
        let mut tail = Command::new("tail");
        tail.args(["-f", "-n", "+1", "-s", "0.1", &format!("--pid={}", child.id())]);
        Ok(Followed(tail.arg(&self.0).stdout(std::io::stderr()).spawn()?))
    }
}

struct Followed(Child);

impl Drop for Followed {
    fn drop(&mut self) {
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut shell = command("sh");
        shell.args(["-c", script]);
        shell
    }

    #[test]
    fn a_failed_step_shows_the_end_of_its_log() {
        let file = std::env::temp_dir().join(format!("vm-test-log-{}", std::process::id()));
        let log = Log(file.clone());
        let error = log.step("Counting", &mut shell("seq 30; echo last >&2; exit 3")).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with("Counting: failed\n12\n13\n"), "{error}");
        assert!(error.ends_with(&format!("\nlast\nThe log is {}", file.display())), "{error}");
        log.step("Counting", &mut shell("echo new")).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new\n");
        fs::remove_file(file).unwrap();
    }

    #[test]
    fn an_answer_is_not_in_the_log() {
        let file = std::env::temp_dir().join(format!("vm-test-answer-{}", std::process::id()));
        let log = Log(file.clone());
        let output = log.answer(&mut shell("echo fault; echo talk >&2; exit 1")).unwrap();
        assert_eq!(output.stdout, b"fault\n");
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(fs::read_to_string(&file).unwrap(), "talk\n");
        fs::remove_file(file).unwrap();
    }
}
