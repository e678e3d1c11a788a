// SPDX-License-Identifier: GPL-2.0

//! `vm-test shell`: the guest's console on this terminal, with a shell.

use crate::judge;
use crate::qemu::Config;
use crate::setup::Options;
use crate::setup::Setup;
use crate::trouble::Trouble;
use crate::ui;
use crate::vm::Vm;
use anyhow::Result;
use anyhow::bail;
use console::Term;
use nix::sys::termios;
use nix::sys::termios::SetArg;
use nix::sys::termios::Termios;
use protocol::Call;
use protocol::Exit;
use protocol::Value;
use std::io;
use std::io::IsTerminal;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;

/// Ctrl-] as in telnet: for a guest that does not listen any more.
const ESCAPE: u8 = 0x1d;

pub fn run(options: &Options) -> Result<ExitCode> {
    let setup = Setup::new(options)?;
    println!("{}", setup.banner());
    let vm = ui::boot(&setup, &Config::smp(options.cpus))?;
    let script = match io::stdin().is_terminal() {
        true => None,
        false => Some(io::read_to_string(io::stdin())?.into_bytes()),
    };
    if script.is_none() {
        println!("`poweroff` or Ctrl-D leaves; Ctrl-] if the guest does not listen any more.\n");
    }

    // What is late of the boot's log is no part of the session.
    let from = vm.console_len();
    vm.mark("vm-test: shell")?;
    vm.link.borrow_mut().wait_line(from, "vm-test: shell")?;
    let result = session(&vm, setup.arch.console(), script);
    Terminal::restore();
    println!();
    result
}

fn session(vm: &Vm, console: &str, script: Option<Vec<u8>>) -> Result<ExitCode> {
    let mut link = vm.link.borrow_mut();
    // As long as one likes, and as quiet.
    link.limits.silence = Duration::from_secs(365 * 24 * 3600);
    link.echo = Some(Box::new(|bytes| {
        let mut out = io::stdout().lock();
        // If the terminal is gone, so is the user.
        let _ = out.write_all(bytes).and_then(|()| out.flush());
    }));
    if script.is_none() {
        Terminal::raw()?;
        let (input, killer) = (link.console_input()?, link.killer());
        thread::spawn(move || type_all(input, killer));
    }

    let (rows, columns) = Term::stdout().size();
    let term = std::env::var("TERM").unwrap_or_else(|_| "vt100".into());
    let tty = format!("/dev/{console}");
    let answer = link.call(Call::Shell { tty, rows, columns, term, script });
    let running = link.is_running();
    drop(link);
    match answer {
        Ok(Ok(Value::Program { status, .. })) => vm.shut_down().map(|()| exit_code(status)),
        Ok(other) => bail!("no shell: {other:?}"),
        // `poweroff`: that was asked for, if not by the runner.
        Err(Trouble::Died { .. })
            if !running && judge::console_splats(vm, 0..usize::MAX).is_empty() =>
        {
            Ok(ExitCode::SUCCESS)
        }
        Err(trouble) => Err(trouble.into()),
    }
}

/// As a shell would report it.
fn exit_code(status: Exit) -> ExitCode {
    match status {
        Exit::Code(code) => ExitCode::from(code as u8),
        Exit::Signal(signal) => ExitCode::from(128 + signal as u8),
    }
}

fn type_all(mut guest: UnixStream, kill: impl Fn()) {
    let mut buffer = [0; 256];
    loop {
        match io::stdin().read(&mut buffer) {
            Ok(0) | Err(_) => return kill(), // the terminal is gone
            Ok(n) if buffer[..n].contains(&ESCAPE) => kill(),
            Ok(n) => {
                if guest.write_all(&buffer[..n]).is_err() {
                    return;
                }
            }
        }
    }
}

/// The terminal of the user, who wants it back as it was, whatever happens.
struct Terminal;

static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

impl Terminal {
    /// Every key goes to the guest, Ctrl-C too.
    fn raw() -> Result<()> {
        let before = termios::tcgetattr(io::stdin())?;
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before.clone());
        ctrlc::set_handler(|| {
            Terminal::restore();
            std::process::exit(130);
        })?;
        let mut raw = before;
        termios::cfmakeraw(&mut raw);
        Ok(termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &raw)?)
    }

    fn restore() {
        if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, &before);
        }
    }
}
