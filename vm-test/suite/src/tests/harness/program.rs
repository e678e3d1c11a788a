// SPDX-License-Identifier: GPL-2.0

//! The program `run` as a user starts it: its output, its exit status, stops and interrupts.

use anyhow::{Context, Result, bail, ensure};
use cli::{Options, exit};
use host::machine::kernel::SYSRQ;
use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{iter, thread};
use suite_macros::program_test;

/// Limit in seconds of runs that are stopped; each is stopped for longer.
const LIMIT: u64 = 30;

const STOP: Duration = Duration::from_secs(LIMIT + 5);

/// The program, with the options for the same kernel and modules.
pub struct Program {
    arguments: Vec<OsString>,
    /// The directory for pictures.
    pub report: Option<PathBuf>,
}

impl Program {
    pub fn new(options: &Options) -> Program {
        Program { arguments: options.repeated(), report: options.report().map(Into::into) }
    }

    pub fn command(&self, what: &str, more: &[&str]) -> Result<Command> {
        self.named("run", what, more)
    }

    /// The same for another program.
    pub fn named(&self, name: &str, what: &str, more: &[&str]) -> Result<Command> {
        // Cargo builds it beside this one.
        let mut command = Command::new(std::env::current_exe()?.with_file_name(name));
        command.arg(what).args(&self.arguments).args(more);
        for name in ["NO_COLOR", "RUST_SMPBOOT_ASCII"] {
            command.env_remove(name);
        }
        // A process group of its own can be stopped as a job.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        Ok(command)
    }

    /// The same as a line for a shell.
    pub fn command_line(&self, what: &str, more: &[&str]) -> Result<String> {
        let command = self.command(what, more)?;
        let words = iter::once(command.get_program()).chain(command.get_args());
        let quoted =
            words.map(|word| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''")));
        Ok(quoted.collect::<Vec<_>>().join(" "))
    }

    /// Runs a script in the guest.
    fn script(&self, script: impl AsRef<[u8]>) -> Result<Output> {
        let mut child = self.command("shell", &[])?.stdin(Stdio::piped()).spawn()?;
        child.stdin.take().context("no stdin")?.write_all(script.as_ref())?;
        Ok(child.wait_with_output()?)
    }

    /// Starts the demo, and waits until its VM has booted. A thread reads the rest of its output.
    fn booted_demo(&self, more: &[&str]) -> Result<Child> {
        let mut child = self.command("demo", more)?.stderr(Stdio::null()).spawn()?;
        let mut out = BufReader::new(child.stdout.take().context("no stdout")?);
        let mut line = String::new();
        while !line.contains("insmod") {
            line.clear();
            ensure!(out.read_line(&mut line)? > 0, "the demo ended: {:?}", child.wait()?);
        }
        thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        Ok(child)
    }
}

pub fn text(output: &Output) -> String {
    let Output { status, stdout, stderr } = output;
    let (stdout, stderr) = (String::from_utf8_lossy(stdout), String::from_utf8_lossy(stderr));
    format!("{status}\nstdout:\n{stdout}\nstderr:\n{stderr}")
}

pub fn ends(output: &Output, status: u8, parts: &[&str]) -> Result<()> {
    let text = text(output);
    ensure!(output.status.code() == Some(status.into()), "the status is not {status}: {text}");
    for part in parts {
        ensure!(text.contains(part), "the output lacks \"{part}\": {text}");
    }
    ensure!(!text.contains("panicked"), "the runner panicked: {text}");
    Ok(())
}

/// Processes whose parent is this process.
fn children(parent: u32) -> Result<Vec<i32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        // Processes may exit during the loop.
        let Ok(stat) = fs::read_to_string(path.join("stat")) else { continue };
        let after_name = stat.rsplit(") ").next().unwrap_or_default();
        if after_name.split(' ').nth(1) == Some(&parent.to_string()) {
            found.extend(stat.split(' ').next().and_then(|pid| pid.parse::<i32>().ok()));
        }
    }
    Ok(found)
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        ensure!(start.elapsed() < Duration::from_secs(60), "timed out: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// When the reader of its output ends, the demo and its VM end by SIGPIPE, without a message.
#[program_test]
fn ends_quietly_when_its_reader_does(program: &Program) -> Result<()> {
    let mut child = program.command("demo", &["--pace", "0"])?.spawn()?;
    let mut out = BufReader::new(child.stdout.take().context("no stdout")?);
    for _ in 0..3 {
        out.read_line(&mut String::new())?;
    }
    let qemu = children(child.id())?;
    ensure!(qemu.len() == 1, "the VM's processes: {qemu:?}");
    drop(out);
    let output = child.wait_with_output()?;
    let status = exit::by_signal(Signal::SIGPIPE) as u8;
    ends(&output, status, &[])?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(!errors.contains("vm-test:"), "the demo printed a message: {errors}");
    wait_for("QEMU's end", || Ok(have_exited(&qemu).then_some(())))
}

fn have_exited(pids: &[i32]) -> bool {
    pids.iter().all(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    })
}

/// An output that cannot be written is reported, with an exit status of its own.
#[program_test]
fn reports_a_full_standard_output(program: &Program) -> Result<()> {
    let full = File::options().write(true).open("/dev/full")?;
    let output = program.command("demo", &[])?.stdout(full).output()?;
    ends(&output, exit::OUTPUT_FAILED, &["vm-test: standard output: No space left on device"])
}

/// The demo runs with a standard error that cannot be written.
#[program_test(long)]
fn needs_no_standard_error(program: &Program) -> Result<()> {
    let full = File::options().write(true).open("/dev/full")?;
    let output = program.command("demo", &["--pace", "0"])?.stderr(full).output()?;
    ends(&output, 0, &["ok"])
}

/// A report directory that cannot be written is refused before anything else.
#[program_test]
fn refuses_an_unwritable_report_directory(program: &Program) -> Result<()> {
    let output = program.command("demo", &["--report", "/proc/none"])?.output()?;
    ends(
        &output,
        exit::HARNESS_FAILED,
        &["cannot write to /proc/none, the directory for reports"],
    )?;
    ensure!(output.stdout.is_empty(), "the demo began: {}", text(&output));
    Ok(())
}

/// A number of CPUs out of range is refused with the range.
#[program_test]
fn checks_the_number_of_cpus(program: &Program) -> Result<()> {
    for cpus in ["0", "4096"] {
        let output = program.command("demo", &["--cpus", cpus])?.output()?;
        ends(&output, exit::HARNESS_FAILED, &[&format!("CPUS={cpus}: expected 1 to ")])?;
    }
    Ok(())
}

/// The exit status is that of the script, which can be in any encoding.
#[program_test(long)]
fn ends_with_the_status_of_the_script(program: &Program) -> Result<()> {
    // The comment is not in UTF-8.
    ends(&program.script(b"echo out # \xfc\nexit 7")?, 7, &["out"])
}

/// The last output of a script is printed, too.
#[program_test]
fn prints_all_output_of_the_script(program: &Program) -> Result<()> {
    // Less than the kernel buffers for a terminal: the script ends before it is sent.
    ends(&program.script("seq -s ' ' 900")?, 0, &[" 898 899 900"])
}

/// A script that powers off the guest ends the program with a status of its own.
#[program_test]
fn ends_when_the_script_powers_off(program: &Program) -> Result<()> {
    let script = "echo out; poweroff; sleep 1000";
    ends(
        &program.script(script)?,
        exit::GUEST_ENDED,
        &["out", "the guest powered off before the script"],
    )
}

/// A script that reboots the guest ends the program with a status of its own.
#[program_test(long)]
fn ends_when_the_script_reboots(program: &Program) -> Result<()> {
    ends(
        &program.script("reboot; sleep 1000")?,
        exit::GUEST_ENDED,
        &["the guest rebooted before"],
    )?;
    ends(&program.script("reboot -f")?, exit::GUEST_ENDED, &["the guest rebooted before"])
}

/// A script that halts the guest ends the program with a status of its own.
#[program_test]
fn ends_when_the_script_halts(program: &Program) -> Result<()> {
    ends(&program.script("halt; sleep 1000")?, exit::GUEST_ENDED, &["the guest halted before"])
}

/// A panic of the kernel ends the program as a failed test, with the panic in the message.
#[program_test(needs = &[SYSRQ], long)]
fn ends_when_the_script_panics(program: &Program) -> Result<()> {
    let output = program.script("echo c > /proc/sysrq-trigger; sleep 1000")?;
    ends(&output, exit::TEST_FAILED, &["kernel log (panic): Kernel panic", "sysrq triggered crash"])
}

/// QEMU killed by a signal ends the program as a failed harness, and the signal is named.
#[program_test]
fn ends_when_qemu_is_killed(program: &Program) -> Result<()> {
    let mut child = program.command("shell", &[])?.stdin(Stdio::piped()).spawn()?;
    child.stdin.take().context("no stdin")?.write_all(b"echo begun; sleep 1000")?;
    let mut out = BufReader::new(child.stdout.take().context("no stdout")?);
    let mut line = String::new();
    while !line.starts_with("begun") {
        line.clear();
        ensure!(out.read_line(&mut line)? > 0, "the script did not begin: {:?}", child.wait()?);
    }
    for qemu in children(child.id())? {
        kill(Pid::from_raw(qemu), Signal::SIGKILL)?;
    }
    ends(&child.wait_with_output()?, exit::HARNESS_FAILED, &["SIGKILL"])
}

/// A splat fails a script that exits with 0; text that user space prints is no splat.
#[program_test]
fn fails_after_a_splat_in_a_script(program: &Program) -> Result<()> {
    // Only lines of the kernel itself count.
    let innocent = "echo 'BUG: KASAN: printed'; echo 'BUG: KASAN: written' > /dev/kmsg; exit 0";
    ends(&program.script(innocent)?, 0, &["printed"])?;
    let output = program.script("insmod rust_smpboot_demo.ko verbose=maybe; echo after; exit 0")?;
    let splat = "splat in the guest's kernel log (unexpected warning): ";
    ends(&output, exit::TEST_FAILED, &["after", splat, "invalid for parameter"])
}

/// Time limits exclude the time during which the program or QEMU is stopped.
///
/// Stops the runner, then QEMU, by each signal that stops.
#[program_test(long)]
fn counts_no_time_of_a_stop(program: &Program) -> Result<()> {
    for (stop, of_qemu) in
        [(Signal::SIGSTOP, false), (Signal::SIGTSTP, false), (Signal::SIGSTOP, true)]
    {
        let mut child = program.booted_demo(&["--pace", "0.5", "--limit", &LIMIT.to_string()])?;
        let pid = match of_qemu {
            true => Pid::from_raw(*children(child.id())?.first().context("no QEMU")?),
            false => Pid::from_raw(child.id() as i32),
        };
        kill(pid, stop)?;
        thread::sleep(STOP);
        kill(pid, Signal::SIGCONT)?;
        let status = child.wait()?;
        ensure!(status.success(), "after {stop} (QEMU: {of_qemu}): {status}");
    }
    Ok(())
}

/// Time limits exclude the pauses of the demo.
#[program_test(long)]
fn counts_no_time_of_the_pace(program: &Program) -> Result<()> {
    let arguments = ["--pace", "4", "--limit", &LIMIT.to_string()];
    let start = Instant::now();
    let output = program.command("demo", &arguments)?.output()?;
    ends(&output, 0, &["ok"])?;
    let took = start.elapsed();
    ensure!(took > Duration::from_secs(LIMIT + 10), "the demo took {took:?}, less than the pauses");
    Ok(())
}

/// The two ends of a new terminal, and its path. Unlike those of openpty(3), the ends are closed in
/// programs that other tests start: such a program would keep the terminal open.
pub struct Pty {
    pub master: File,
    pub slave: File,
    pub path: PathBuf,
}

impl Pty {
    pub fn open(rows: u16, columns: u16) -> Result<Pty> {
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let path = PathBuf::from(ptsname_r(&master)?);
        let flags = OFlag::O_NOCTTY.bits();
        let slave = File::options().read(true).write(true).custom_flags(flags).open(&path)?;
        resize(&path, rows, columns)?;
        Ok(Pty { master: OwnedFd::from(master).into(), slave, path })
    }
}

/// Sets the size of a terminal.
pub fn resize(terminal: &Path, rows: u16, columns: u16) -> Result<()> {
    let (rows, columns) = (rows.to_string(), columns.to_string());
    let arguments = ["rows", &rows, "cols", &columns];
    let status = Command::new("stty").arg("-F").arg(terminal).args(arguments).status()?;
    ensure!(status.success(), "stty: {status}");
    Ok(())
}

/// The output of a program to its terminal.
pub struct Terminal {
    pieces: mpsc::Receiver<Vec<u8>>,
    seen: Vec<u8>,
    all: Vec<u8>,
}

impl Terminal {
    pub fn read(mut master: File) -> Terminal {
        let (sender, pieces) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // An error: no process has the terminal open any more.
            while let Ok(n @ 1..) = master.read(&mut buffer) {
                if sender.send(buffer[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        Terminal { pieces, seen: Vec::new(), all: Vec::new() }
    }

    /// Waits until the program has written this since the last call.
    pub fn wait(&mut self, text: &[u8]) -> Result<()> {
        loop {
            if let Some(at) = self.seen.windows(text.len()).position(|part| part == text) {
                self.seen.drain(..at + text.len());
                return Ok(());
            }
            match self.pieces.recv_timeout(Duration::from_secs(120)) {
                Ok(piece) => {
                    self.seen.extend(&piece);
                    self.all.extend(&piece);
                }
                Err(_) => bail!(
                    "the program did not write {:?}, but {}",
                    String::from_utf8_lossy(text),
                    String::from_utf8_lossy(&self.all)
                ),
            }
        }
    }

    pub fn rest(mut self) -> Vec<u8> {
        self.pieces.iter().for_each(|piece| self.all.extend(piece));
        self.all
    }
}

/// With one CPU the demo runs all actions except offline and online, and names the missing CPU.
#[program_test(long)]
fn shows_what_one_cpu_can(program: &Program) -> Result<()> {
    let output = program.command("demo", &["--cpus", "1", "--pace", "0"])?.output()?;
    ends(&output, 0, &["no second CPU to take offline", "ok"])
}
