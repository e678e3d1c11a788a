// SPDX-License-Identifier: GPL-2.0

//! The program `own`, which judges the scripts of other modules' directories: each verdict.

use super::program::{Program, ends, text};
use anyhow::{Context, Result, ensure};
use cli::exit;
use host::machine::kernel::{KMEMLEAK, SYSRQ};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output};
use suite_macros::program_test;

/// A module's directory with scripts, until this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, scripts: &[(&str, &[u8])]) -> Result<Folder> {
        let folder = std::env::temp_dir().join(format!("own-{}-{name}", std::process::id()));
        fs::create_dir_all(folder.join("tests"))?;
        for (name, script) in scripts {
            fs::write(folder.join("tests").join(format!("{name}.sh")), script)?;
        }
        Ok(Folder(folder))
    }

    fn command(&self, program: &Program, more: &[&str]) -> Result<Command> {
        let mut command = program.named("own", "test", more)?;
        command.arg("--report").arg(&self.0);
        let tests = self.0.join("tests");
        if tests.is_dir() {
            command.arg("--tests").arg(tests);
        }
        Ok(command)
    }

    fn judged(&self, program: &Program, more: &[&str]) -> Result<Output> {
        Ok(self.command(program, more)?.output()?)
    }

    /// The XML for CI.
    fn xml(&self) -> Result<String> {
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "xml") {
                return Ok(fs::read_to_string(path)?);
            }
        }
        Err(anyhow::anyhow!("no XML in {}", self.0.display()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The part of the output about a test that failed.
fn about<'a>(output: &'a str, test: &str) -> Result<&'a str> {
    let start = output.split_once(&format!("---- {test} ----")).context("no such failure")?.1;
    Ok(start.split_once("to repeat:").map_or(start, |(part, _)| part))
}

/// Scripts that leave the guest as it was pass: without `set -e`, in no encoding, with a warning or
/// a taint that they announce. The next one finds no program, mount or file of theirs. Files of
/// editors are no tests.
#[program_test]
fn scripts_pass(program: &Program) -> Result<()> {
    let folder = Folder::new(
        "pass",
        &[
            (
                "a_leaves",
                b"dmesg -n 1\n\
                  mkdir /tmp/here; mount -t tmpfs mine /tmp/here\n\
                  setsid sleep 1234 &\n\
                  dd if=/dev/zero of=/tmp/full bs=1M 2>/dev/null || :\n",
            ),
            (
                "b_finds_nothing",
                b"[ \"$(ls /tmp)\" = output ]\n\
                  if grep ^mine /proc/mounts; then exit 1; fi\n\
                  if cat /proc/[0-9]*/cmdline | grep '123[4]'; then exit 1; fi\n",
            ),
            ("latin1", b"echo na\xefve\n"),
            ("modprobe", b"modprobe rust_smpboot_demo period_us=1000\nrmmod rust_smpboot_demo\n"),
            ("insmod", b"insmod rust_smpboot_demo.ko\nrmmod rust_smpboot_demo\n"),
            ("warning", b"# expect-warning: out of cheese\necho '<4>out of cheese' >/dev/kmsg\n"),
            ("zsplat", b"# expect-splat: WARNING\necho '<4>WARNING: at a/b.c:1' >/dev/kmsg\n"),
        ],
    )?;
    symlink("user@host.1:2", folder.0.join("tests/.#latin1.sh"))?;
    let output = folder.judged(program, &[])?;
    ends(&output, 0, &["test latin1          ... ok", "7 passed; 0 failed"])?;
    ensure!(text(&output).matches("booted").count() == 1, "more than one VM: {}", text(&output));
    let xml = folder.xml()?;
    ensure!(xml.contains(r#"tests="7" failures="0""#), "{xml}");
    let output = folder.judged(program, &["--fresh", "modprobe"])?;
    ends(&output, 0, &["1 passed"])
}

/// Each script that fails or leaves something behind fails, with its reason, and the next test gets
/// a VM of its own.
#[program_test(needs = &[SYSRQ])]
fn scripts_fail(program: &Program) -> Result<()> {
    let folder = Folder::new(
        "fail",
        &[
            ("command", b"echo before\nfalse\necho after\n"),
            (
                "left",
                b"# expect-warning: out of cheese\n\
                  insmod rust_smpboot_demo.ko\n\
                  echo 0 >/sys/devices/system/cpu/cpu1/online\n\
                  echo '<4>WARNING: at a/b.c:1' >/dev/kmsg\n\
                  echo 512 >/proc/sys/kernel/tainted\n\
                  mount --bind /etc/profile /proc/modules\n",
            ),
            // More than a message to the host may have.
            ("output", b"dd if=/dev/zero bs=1M count=80\necho last\nfalse\n"),
            ("panic", b"echo c >/proc/sysrq-trigger\n"),
            ("unset", b"echo $nothing\n"),
        ],
    )?;
    let output = folder.judged(program, &[])?;
    ends(&output, exit::TEST_FAILED, &["0 passed; 5 failed"])?;
    let printed = text(&output);
    for (test, reason) in [
        ("command", "exit status 1; the end of its output:\n  before\n"),
        ("left", "only CPUs [0, 2, 3] are online"),
        ("left", "not as before the test: modules [\"rust_smpboot_demo\"]"),
        ("output", "last\n"),
        ("panic", "Kernel panic - not syncing: sysrq triggered crash"),
        ("left", "no warning in the kernel log contains \"out of cheese\""),
        ("left", "splat in the kernel log (WARNING): WARNING: at a/b.c:1"),
        ("left", "the kernel is tainted: new bits 0x200"),
        ("unset", "nothing: parameter not set"),
    ] {
        let about = about(&printed, test)?;
        ensure!(about.contains(reason), "{test} lacks \"{reason}\": {about}");
    }
    let xml = folder.xml()?;
    ensure!(xml.contains(r#"tests="5" failures="5""#), "{xml}");
    Ok(())
}

/// A script that does not end is killed at its limit, and its output is shown, with the commands if
/// V=1. The VM survives.
#[program_test]
fn scripts_that_do_not_end_are_killed(program: &Program) -> Result<()> {
    let folder = Folder::new("hang", &[("hang", b"echo here\nwhile :; do sleep 1; done\n")])?;
    let mut command = folder.command(program, &["--limit", "10"])?;
    let output = command.env("V", "1").output()?;
    ends(&output, exit::TEST_FAILED, &["timed out after 8 s", "\n  + echo here\n  here\n"])
}

/// A directory without scripts has one test, which `scripts/tests/own` runs.
#[program_test]
fn a_directory_without_scripts_has_one_test(program: &Program) -> Result<()> {
    let folder = Folder::new("none", &[])?;
    fs::remove_dir(folder.0.join("tests"))?;
    ends(&folder.judged(program, &["--list"])?, 0, &["load\n"])
}

/// A remark that the judge does not understand, and a name that `T=` cannot have, are errors of the
/// harness, before the VM boots.
#[program_test]
fn remarks_are_checked(program: &Program) -> Result<()> {
    let folder = Folder::new("remark", &[("soon", b"# limit: soon\n")])?;
    let output = folder.judged(program, &[])?;
    ends(&output, exit::HARNESS_FAILED, &["soon.sh", "`# limit: soon`: not a number of seconds"])?;
    let output = Folder::new("name", &[("a b", b"true\n")])?.judged(program, &[])?;
    ends(&output, exit::HARNESS_FAILED, &["a b.sh: a test's name has only letters"])
}

/// On the debug kernel a leak fails the script.
#[program_test(needs = &[KMEMLEAK])]
fn leaks_fail(program: &Program) -> Result<()> {
    // Many: memory that looks like a pointer to an object hides its leak.
    let script = b"insmod rust_smpboot_faulty.ko\n\
                   for i in $(seq 20); do echo leak >/sys/kernel/debug/rust_smpboot_faulty/do; done\n\
                   rmmod rust_smpboot_faulty\n";
    let folder = Folder::new("leak", &[("leak", script)])?;
    ends(&folder.judged(program, &[])?, exit::TEST_FAILED, &["- leaked: "])
}
