// SPDX-License-Identifier: GPL-2.0

//! `run shell`: the guest's console on this terminal, with a shell.

use anyhow::{Context, Result, bail};
use cli::frames::Frames;
use cli::{Options, exit, note, output, progress, say, terminal};
use console::Term;
use host::Vm;
use host::errors::NoAnswer;
use host::kernel_log::splat::{Scanner, Splat};
use host::vm::{HALTED, Limits};
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use wire::{Answer, Call, Exit, Value};

/// Ctrl-], as in telnet, for a guest that does not respond.
pub const ESCAPE: u8 = 0x1d;

/// Variables about this terminal for the guest's programs.
const VARS: [&str; 3] = ["TERM", "NO_COLOR", "RUST_SMPBOOT_ASCII"];

/// Last lines of a kernel. Then it stops the CPUs, and may warn about a program that uses one.
const LAST_LINES: [&str; 3] = ["reboot: Power down", "reboot: Restarting system", HALTED];

pub fn run(options: &Options) -> Result<ExitCode> {
    let mut machine = options.machine()?;
    say!("{}", machine.banner());
    if !io::stdin().is_terminal() {
        machine.wait_for_debugger();
    }
    let vm = progress::boot(&machine, &options.config(&machine)?)?;
    let script = match io::stdin().is_terminal() {
        true => None,
        false => {
            // In any encoding.
            let mut script = Vec::new();
            io::stdin().read_to_end(&mut script).context("standard input")?;
            Some(script)
        }
    };
    if script.is_none() {
        say!("`poweroff` or Ctrl-D ends the session; Ctrl-] if the guest does not respond.\n");
    }

    // Late lines of the boot are no part of the session.
    let from = vm.console_len();
    vm.mark("vm-test: shell")?;
    vm.wait_mark(from, "vm-test: shell")?;
    vm.kmsg()?;
    vm.clear_records();
    let from = vm.console_len();

    let is_script = script.is_some();
    let answer = session(&vm, machine.arch.console(), script);
    terminal::restore();
    output::write(b"\n");
    let splats = splats(&vm, from);
    let frames = Frames::new(&options.modules()?, machine.arch.tools());
    for splat in &splats {
        let line = frames.explain(&splat.line);
        note!("vm-test: splat in the guest's kernel log ({}): {line}", splat.kind());
    }
    if !splats.is_empty() {
        let lines = vm.console(from..usize::MAX);
        lines.iter().filter_map(|line| frames.in_modules(line)).for_each(|line| note!("{line}"));
    }
    let ended = vm.ended();
    let status = match (answer?, ended) {
        (Ok(Ok(Value::Program { status, .. })), _) => {
            vm.shut_down()?;
            shell_status(status)
        }
        (Ok(other), _) => bail!("the guest cannot start a shell: {other:?}"),
        // The splats are the reason: the guest reboots after a panic.
        (Err(NoAnswer::Exited { .. }), _) if !splats.is_empty() => exit::TEST_FAILED,
        (Err(NoAnswer::Exited { .. }), Some(how)) if is_script => {
            note!("vm-test: the guest {how} before the script ended");
            exit::GUEST_ENDED
        }
        // `poweroff` ends the session.
        (Err(NoAnswer::Exited { .. }), Some(how)) => {
            note!("vm-test: the guest {how}");
            0
        }
        (Err(trouble), _) => return Err(trouble.into()),
    };
    Ok(ExitCode::from(if splats.is_empty() { status } else { exit::TEST_FAILED }))
}

fn session(vm: &Vm, console: &str, script: Option<Vec<u8>>) -> Result<Result<Answer, NoAnswer>> {
    vm.ends_when_suspended();
    vm.echo_console(Box::new(output::write));
    if script.is_none() {
        // The user sees that nothing happens, and has Ctrl-].
        vm.set_limits(Limits { silence: Duration::MAX / 2, ..vm.limits() });
        terminal::raw()?;
        let (input, killer) = (vm.console_input()?, vm.killer());
        thread::spawn(move || type_all(input, killer));
    }

    let (rows, columns) = Term::stdout().size();
    let vars = vars();
    let tty = format!("/dev/{console}");
    Ok(vm.try_call(Call::Shell { tty, rows, columns, vars, script }))
}

/// The environment of the guest's shell.
pub fn vars() -> Vec<(String, String)> {
    let mut vars: BTreeMap<String, String> = [("TERM".into(), "vt100".into())].into();
    vars.extend(VARS.iter().filter_map(|name| Some((name.to_string(), std::env::var(name).ok()?))));
    vars.into_iter().collect()
}

/// The splats since this line of the console. Only the kernel's own lines count, not a script's.
fn splats(vm: &Vm, from: usize) -> Vec<Splat> {
    let mut scanner = Scanner::default();
    if vm.is_running() && vm.kmsg().is_ok() {
        vm.records().iter().filter(|record| !record.user).for_each(|r| scanner.record(r));
    } else {
        let lines = vm.console(from..usize::MAX);
        let lines_of_session =
            lines.iter().take_while(|line| !LAST_LINES.iter().any(|last| line.contains(last)));
        lines_of_session.filter(|line| line.starts_with('[')).for_each(|line| scanner.line(line));
    }
    scanner.finish()
}

/// The status as a shell reports it.
fn shell_status(status: Exit) -> u8 {
    match status {
        Exit::Code(code) => code as u8,
        Exit::Signal(signal) => 128 + signal as u8,
    }
}

fn type_all(mut guest: UnixStream, kill: impl Fn()) {
    let mut buffer = [0; 256];
    loop {
        match io::stdin().read(&mut buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return kill(), // the terminal was closed
            Ok(n) if buffer[..n].contains(&ESCAPE) => kill(),
            Ok(n) => {
                if guest.write_all(&buffer[..n]).is_err() {
                    return;
                }
            }
        }
    }
}
