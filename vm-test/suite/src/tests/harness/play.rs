// SPDX-License-Identifier: GPL-2.0

//! `run play` in a shell on a terminal: keys, the mouse, sizes, signals, and how it ends.

use super::program::{Program, Pty, ends, resize};
use super::terminal_picture;
use anyhow::{Context, Result, bail, ensure};
use cli::exit;
use host::machine::kernel::SYSRQ;
use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use suite_macros::program_test;

/// A shell on a terminal, and what the terminal shows.
struct Screen {
    shell: Child,
    keys: File,
    pieces: mpsc::Receiver<Vec<u8>>,
    shown: vt100::Parser,
    /// All that was written.
    all: Vec<u8>,
    /// Path of the terminal.
    path: PathBuf,
}

impl Screen {
    /// `vars`: variables for the program.
    fn new(rows: u16, columns: u16, vars: &[(&str, &str)]) -> Result<Screen> {
        let Pty { master: keys, slave, path } = Pty::open(rows, columns)?;
        let stdio = || Ok::<Stdio, std::io::Error>(slave.try_clone()?.into());
        // With the terminal as its own, the shell has jobs.
        let shell = Command::new("setsid")
            .args(["--ctty", "bash", "--norc", "--noprofile", "-i"])
            .env("TERM", "xterm-256color")
            .env("PS1", "ready> ")
            .env_remove("NO_COLOR")
            .env_remove("RUST_SMPBOOT_ASCII")
            .envs(vars.iter().copied())
            .stdin(stdio()?)
            .stdout(stdio()?)
            .stderr(stdio()?)
            .spawn()
            .context("setsid")?;
        drop(slave);
        let mut output = keys.try_clone()?;
        let (sender, pieces) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // An error: no process has the terminal open any more.
            while let Ok(n @ 1..) = output.read(&mut buffer) {
                if sender.send(buffer[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        let shown = vt100::Parser::new(rows, columns, 0);
        Ok(Screen { shell, keys, pieces, shown, all: Vec::new(), path })
    }

    /// Types a command of the program.
    fn start(&mut self, program: &Program, what: &str, more: &[&str]) -> Result<()> {
        self.wait("the shell", |screen| screen.contents().contains("ready> "))?;
        let line = program.command_line(what, more)?;
        self.press(&format!("{line}\r"))
    }

    /// Starts the view; its report is written to this directory.
    fn play(&mut self, program: &Program, report: &str) -> Result<()> {
        self.start(program, "play", &["--report", report])?;
        self.wait("the threads", |screen| {
            screen.contents().contains("4/4 CPUs online") && count(screen, "sleeping") == 4
        })
    }

    fn press(&mut self, keys: &str) -> Result<()> {
        Ok(self.keys.write_all(keys.as_bytes())?)
    }

    /// Waits until the terminal shows this.
    fn wait(&mut self, what: &str, wanted: impl Fn(&vt100::Screen) -> bool) -> Result<()> {
        while !wanted(self.shown.screen()) {
            match self.pieces.recv_timeout(Duration::from_secs(120)) {
                Ok(piece) => {
                    self.shown.process(&piece);
                    self.all.extend(piece);
                }
                Err(_) => bail!("not shown: {what}, but\n{}", self.shown.screen().contents()),
            }
        }
        Ok(())
    }

    fn waits_for(&mut self, text: &str) -> Result<()> {
        self.wait(text, |screen| screen.contents().contains(text))
    }

    /// Waits for more events.
    fn later(&mut self, more: u64) -> Result<()> {
        let now = events(self.shown.screen()).unwrap_or_default();
        self.wait("events", |screen| events(screen).is_some_and(|events| events >= now + more))
    }

    fn resize(&mut self, rows: u16, columns: u16) -> Result<()> {
        self.shown.set_size(rows, columns);
        resize(&self.path, rows, columns)
    }

    /// Waits for the shell's prompt, on a terminal that is as it was.
    fn is_the_shells(&mut self) -> Result<()> {
        self.wait("the prompt", |screen| {
            let contents = screen.contents();
            let last = contents.trim_end().lines().last().unwrap_or_default();
            last.starts_with("ready>") && !screen.alternate_screen() && !screen.hide_cursor()
        })?;
        let screen = self.shown.screen();
        let none = vt100::MouseProtocolMode::None;
        ensure!(screen.mouse_protocol_mode() == none, "the mouse is still reported");
        self.press("stty -a | tr ' ;' '\\n' | grep -c '^\\(icanon\\|echo\\|isig\\)$'\r")?;
        self.wait("settings of the terminal", |screen| {
            screen.contents().lines().any(|line| line.trim() == "3")
        })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

fn count(screen: &vt100::Screen, word: &str) -> usize {
    screen.contents().lines().filter(|line| line.contains(word)).count()
}

/// The number of events that the first row shows.
fn events(screen: &vt100::Screen) -> Option<u64> {
    let contents = screen.contents();
    let before = contents.lines().next()?.split(" events").next()?;
    before.rsplit(' ').next()?.replace(',', "").parse().ok()
}

/// Whether the CPU's first row has this word.
fn is(screen: &vt100::Screen, cpu: u32, word: &str) -> bool {
    let contents = screen.contents();
    let mut rows = contents.lines().map(|line| line.trim_start_matches(['▌', ' ']));
    rows.any(|row| row.starts_with(&format!("{cpu} {word}")))
}

/// In a session by hand each key has its effect, and the session is judged and reported.
#[program_test]
fn plays_by_hand(program: &Program) -> Result<()> {
    let report = std::env::temp_dir().join(format!("vm-test-play-{}", std::process::id()));
    let mut screen = Screen::new(24, 80, &[])?;
    screen.play(program, &report.to_string_lossy())?;
    ensure!(screen.shown.screen().alternate_screen(), "not on a screen of its own");

    screen.press("1")?;
    screen
        .wait("CPU 1 offline", |screen| is(screen, 1, "offline") && count(screen, "parked") > 0)?;
    screen.waits_for("~ # echo 0 > /sys/devices/system/cpu/cpu1/online")?;
    screen.press("w")?;
    screen.waits_for("wake pending")?;

    // A larger terminal has the latencies.
    screen.resize(40, 120)?;
    screen.wait("the wide view", |screen| {
        let last = screen.contents().lines().nth(39).unwrap_or_default().to_owned();
        last.starts_with("space on/off") && is(screen, 1, "offline")
    })?;

    // Ctrl-Z
    screen.press("\x1a")?;
    screen.waits_for("Stopped")?;
    screen.is_the_shells()?;
    screen.press("clear; fg\r")?;
    screen.wait("the view again", |screen| {
        screen.alternate_screen() && screen.hide_cursor() && is(screen, 1, "offline")
    })?;

    screen.press(" ")?;
    screen.wait("CPU 1 online", |screen| is(screen, 1, "online"))?;
    screen.waits_for("The same thread was unparked")?;
    screen.press("?")?;
    screen.waits_for("Keys")?;
    screen.press("\x1b")?;
    screen.wait("the lanes", |screen| !screen.contents().contains("Keys"))?;

    // A sample, which the end of the session unloads.
    screen.press("sj")?;
    screen.waits_for("~ # insmod rust_rcuc.ko")?;
    screen.press(" ")?;
    screen.waits_for("rust_rcuc shows: park moves a queue to another CPU.")?;
    screen.waits_for("loaded park moves")?;
    screen.press("\x1b")?;
    screen.wait("the lanes", |screen| !screen.contents().contains("Samples"))?;

    // A click on CPU 2.
    let contents = screen.shown.screen().contents();
    let row = contents.lines().position(|line| line.trim_start().starts_with("2 online"));
    let row = row.context("no CPU 2")? + 1;
    screen.press(&format!("\x1b[<0;40;{row}M\x1b[<0;40;{row}m"))?;
    screen.wait("CPU 2 offline", |screen| is(screen, 2, "offline"))?;

    screen.press("q")?;
    screen.waits_for("all lives conform.")?;
    screen.waits_for("play.html")?;
    screen.is_the_shells()?;
    let page = std::fs::read_to_string(report.join("play.html"))?;
    ensure!(page.contains("A session by hand"), "the report lacks its title");
    ensure!(page.contains("Unload rust_rcuc"), "the sample was not unloaded before the demo");
    Ok(std::fs::remove_dir_all(report)?)
}

/// Draws README's picture of the view: with timers, after an offline and online of CPU 1, and with
/// a pending wake of CPU 2. It is `play.svg` in the directory for reports.
#[program_test(long)]
fn draws_its_picture(program: &Program) -> Result<()> {
    let report = std::env::temp_dir().join(format!("vm-test-picture-{}", std::process::id()));
    let mut screen = Screen::new(26, 100, &[])?;
    screen.play(program, &report.to_string_lossy())?;
    screen.press("t")?;
    screen.later(100)?;
    for (keys, shown, cpu) in [("1", "offline", 1), ("w", "offline", 1), ("1", "online", 1)] {
        screen.press(keys)?;
        screen.wait(keys, |screen| is(screen, cpu, shown))?;
        screen.later(100)?;
    }
    screen.press("2")?;
    screen.wait("CPU 2 offline", |screen| is(screen, 2, "offline"))?;
    screen.later(50)?;
    screen.press("w")?;
    screen.waits_for("wake pending")?;
    screen.later(50)?;
    let picture = terminal_picture::svg(screen.shown.screen());
    ensure!(picture.contains("parked") && picture.contains("wake pending"), "{picture}");
    if let Some(directory) = &program.report {
        std::fs::create_dir_all(directory)?;
        std::fs::write(directory.join("play.svg"), picture)?;
    }
    screen.press("q")?;
    screen.waits_for("all lives conform.")?;
    screen.is_the_shells()?;
    Ok(std::fs::remove_dir_all(report)?)
}

/// Ctrl-C ends the view, and restores the terminal; the session is judged and reported.
#[program_test(long)]
fn ends_a_view_by_ctrl_c(program: &Program) -> Result<()> {
    let report = std::env::temp_dir().join(format!("vm-test-ctrl-c-{}", std::process::id()));
    let mut screen = Screen::new(24, 80, &[])?;
    screen.play(program, &report.to_string_lossy())?;
    screen.press("\x03")?;
    screen.waits_for("all lives conform.")?;
    screen.is_the_shells()?;
    ensure!(report.join("play.html").exists(), "no report");
    screen.press("clear; ! jobs | grep .\r")?;
    screen.is_the_shells()?;
    Ok(std::fs::remove_dir_all(report)?)
}

/// A guest that crashes ends the session in words, with a report that is marked as failed.
#[program_test(needs = &[SYSRQ], long)]
fn reports_a_crash(program: &Program) -> Result<()> {
    let report = std::env::temp_dir().join(format!("vm-test-crash-{}", std::process::id()));
    let mut screen = Screen::new(24, 80, &[])?;
    screen.play(program, &report.to_string_lossy())?;
    screen.press("$")?;
    screen.waits_for("/modules # ")?;
    screen.press("echo c >/proc/sysrq-trigger\r")?;
    screen.waits_for("The session has FAILED")?;
    screen.press("q")?;
    screen.waits_for("play.html")?;
    screen.is_the_shells()?;
    let page = std::fs::read_to_string(report.join("play.html"))?;
    ensure!(page.contains("FAILED: A session by hand"), "the report is not marked");
    Ok(std::fs::remove_dir_all(report)?)
}

/// The demo on a terminal is a tour that acts by itself, until a key takes over.
///
/// It fits into 24 rows and 80 columns, without colors and UTF-8. There are more CPUs than rows.
#[program_test(long)]
fn fits_a_small_terminal(program: &Program) -> Result<()> {
    let vars = [("NO_COLOR", "1"), ("RUST_SMPBOOT_ASCII", "1")];
    let mut screen = Screen::new(24, 80, &vars)?;
    screen.start(program, "demo", &["--cpus", "20", "--pace", "0.2"])?;
    screen.waits_for("Lesson 1 of 10")?;
    screen.waits_for("CPUs 0 to 9 of 20")?;
    // The first lesson takes CPU 1 offline and online without a key.
    screen.waits_for("Lesson 2 of 10")?;
    screen.press("k")?;
    screen.wait("the user's keys", |screen| count(screen, "space on/off") == 1)?;
    screen.press("\x1a")?;
    screen.waits_for("Stopped")?;
    screen.is_the_shells()?;
    screen.press("clear; fg\r")?;
    screen.wait("the view again", |screen| screen.alternate_screen() && screen.hide_cursor())?;
    screen.press("q")?;
    screen.waits_for("all lives conform.")?;
    screen.is_the_shells()?;
    let text = String::from_utf8_lossy(&screen.all);
    ensure!(text.is_ascii(), "not ASCII: {text}");
    ensure!(!text.contains("\x1b[38;") && !text.contains("\x1b[48;"), "colors: {text}");
    Ok(())
}

/// Without a terminal the program names the command to use instead.
#[program_test]
fn plays_on_a_terminal_only(program: &Program) -> Result<()> {
    let output = program.command("play", &[])?.output()?;
    ends(&output, exit::HARNESS_FAILED, &["`make demo` prints lines"])
}
