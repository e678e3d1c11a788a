// SPDX-License-Identifier: GPL-2.0

//! The user's terminal. It is restored when the program ends, and while it is stopped.

use crate::exit;
use anyhow::Result;
use console::Term;
use host::vm;
use nix::sys::signal::{self, SaFlags, SigAction, SigHandler, SigSet, Signal};
use nix::sys::termios::{self, FlushArg, LocalFlags, SetArg, Termios};
use nix::unistd::{getpgrp, tcgetpgrp};
use signal_hook::iterator::Signals;
use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{io, thread};

/// Changes that this program has made.
struct Changed {
    /// The settings before [`raw`] or [`screen`].
    before: Option<(Termios, Keys)>,
    /// Whether [`screen`] took all of the terminal.
    screen: bool,
    /// Whether the program is being stopped: the terminal is the shell's.
    stopping: bool,
    /// The program was stopped and continued since [`take_resumed`].
    resumed: bool,
}

/// The keys that the program gets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    All,
    /// All but those for signals: Ctrl-C, Ctrl-Z.
    NoSignals,
}

static CHANGED: Mutex<Changed> =
    Mutex::new(Changed { before: None, screen: false, stopping: false, resumed: false });

/// Takes the alternate screen, hides the cursor, and reports clicks and the wheel.
const TAKE: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[?1000h\x1b[?1006h";
const GIVE_BACK: &[u8] = b"\x1b[?1006l\x1b[?1000l\x1b[0m\x1b[?25h\x1b[?1049l";

fn changed() -> MutexGuard<'static, Changed> {
    CHANGED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes control sequences, as far as possible.
fn control(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

impl Changed {
    fn undo(&self) {
        if self.screen {
            control(GIVE_BACK);
        }
        if let Some((before, _)) = &self.before {
            let _ = termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, before);
        }
    }

    fn redo(&self) {
        if let Some((before, keys)) = &self.before {
            let mut raw = before.clone();
            termios::cfmakeraw(&mut raw);
            raw.local_flags.set(LocalFlags::ISIG, *keys == Keys::NoSignals);
            let _ = termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &raw);
        }
        if self.screen {
            control(TAKE);
        }
    }

    fn take_keys(&mut self, keys: Keys) -> Result<()> {
        self.before = Some((termios::tcgetattr(io::stdin())?, keys));
        self.redo();
        Ok(())
    }
}

/// Whether the user's terminal may be unable to redraw.
pub fn is_dumb() -> bool {
    is_dumb_type(std::env::var_os("TERM").as_deref())
}

fn is_dumb_type(term: Option<&OsStr>) -> bool {
    term.is_none_or(|term| term.is_empty() || term == "dumb")
}

/// Makes the first `path` in the text a link, where standard output is a terminal.
pub fn linked(text: &str, path: &Path) -> String {
    match Term::stdout().is_term() && !is_dumb() {
        true => link(text, path),
        false => text.to_owned(),
    }
}

/// OSC 8: terminals that do not know it show the text.
fn link(text: &str, path: &Path) -> String {
    let path = path.display().to_string();
    text.replacen(&path, &format!("\x1b]8;;file://{path}\x1b\\{path}\x1b]8;;\x1b\\"), 1)
}

/// Passes on every key of the terminal on standard input, Ctrl-C too, until [`restore`].
pub fn raw() -> Result<()> {
    changed().take_keys(Keys::All)
}

/// Takes all of the terminal, with the mouse and every key that stands for no signal, until
/// [`restore`]. The program draws by [`draw`]. Keys that were pressed before are not for it.
pub fn screen() -> Result<()> {
    let mut changed = changed();
    changed.screen = true;
    changed.take_keys(Keys::NoSignals)?;
    Ok(termios::tcflush(io::stdin(), FlushArg::TCIFLUSH)?)
}

/// Writes to the screen of [`screen`]; returns whether it could: not while the terminal is another
/// program's.
pub fn draw(bytes: &[u8]) -> io::Result<bool> {
    let changed = changed();
    if !changed.screen || changed.stopping || !is_foreground() {
        return Ok(false);
    }
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map(|()| true)
}

/// Restores the terminal.
pub fn restore() {
    let mut changed = changed();
    changed.undo();
    changed.before = None;
    changed.screen = false;
}

/// Whether the program was stopped and continued since the last call.
pub fn take_resumed() -> bool {
    std::mem::take(&mut changed().resumed)
}

/// Whether the program may draw: a background job leaves its terminal to the shell.
pub fn is_foreground() -> bool {
    // A terminal of another session has no jobs of this one.
    tcgetpgrp(io::stdout()).map_or(true, |foreground| foreground == getpgrp())
}

type Act = Box<dyn FnOnce() + Send>;

static BEFORE_END: Mutex<Option<Act>> = Mutex::new(None);

/// Runs this at the first signal that would end the program. The next signal ends it.
pub fn before_end(act: impl FnOnce() + Send + 'static) {
    *BEFORE_END.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(act));
}

/// Handles the signals that end, stop and continue the program, in a thread of its own.
pub fn handle_signals() -> Result<()> {
    const ENDING: [Signal; 4] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];
    let handled = ENDING.iter().chain(&[Signal::SIGTSTP, Signal::SIGCONT]);
    let mut signals = Signals::new(handled.map(|signal| *signal as i32))?;
    thread::spawn(move || {
        for number in signals.forever() {
            match Signal::try_from(number) {
                Ok(Signal::SIGTSTP) => stop(),
                Ok(Signal::SIGCONT) => continued(),
                Ok(signal) => {
                    let act = BEFORE_END.lock().unwrap_or_else(PoisonError::into_inner).take();
                    match act {
                        Some(act) => act(),
                        // QEMU exits with this process.
                        None => {
                            restore();
                            std::process::exit(exit::by_signal(signal));
                        }
                    }
                }
                Err(_) => {}
            }
        }
    });
    Ok(())
}

/// Ctrl-Z: stops the VMs by QEMU's command, which also stops their clocks, then this process.
fn stop() {
    {
        let mut changed = changed();
        changed.undo();
        changed.stopping = true;
    }
    vm::qmp_to_all("stop");
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default action runs no code of this process.
    if let Ok(ours) = unsafe { signal::sigaction(Signal::SIGTSTP, &default) } {
        let _ = signal::raise(Signal::SIGTSTP);
        // SAFETY: the handler that was installed before.
        let _ = unsafe { signal::sigaction(Signal::SIGTSTP, &ours) };
    }
    vm::qmp_to_all("cont");
    continued();
}

fn continued() {
    let mut changed = changed();
    changed.resumed = true;
    if is_foreground() {
        changed.stopping = false;
        changed.redo();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_of_an_unknown_type_is_dumb() {
        assert!([None, Some("".as_ref()), Some("dumb".as_ref())].into_iter().all(is_dumb_type));
        assert!(!is_dumb_type(Some("xterm".as_ref())));
    }

    #[test]
    fn only_the_path_becomes_a_link() {
        assert_eq!(
            link("/r/demo.html  open\n/r/demo.json", Path::new("/r/demo.html")),
            "\x1b]8;;file:///r/demo.html\x1b\\/r/demo.html\x1b]8;;\x1b\\  open\n/r/demo.json"
        );
    }
}
