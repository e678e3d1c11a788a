// SPDX-License-Identifier: GPL-2.0

//! A shell in the guest, in the midst of a session.

use super::SIGNALED;
use crate::shell::{ESCAPE, vars};
use anyhow::Result;
use cli::{output, say, terminal};
use console::Term;
use live::{Session, Terminal};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;

/// Time between two looks whether the shell has ended, in ms.
const LOOK: u16 = 50;

/// Passes on keys until the shell ends. `busy`: there are actions that the session runs before.
pub fn run(session: &Session, busy: bool) -> Result<()> {
    if busy {
        say!("The guest first finishes the actions before this one.");
    }
    say!("`exit` or Ctrl-D ends the shell; Ctrl-] ends the guest, if it does not respond.\n");
    let (rows, columns) = Term::stdout().size();
    let output = Box::new(output::write);
    let mut shell = session.shell(Terminal { rows, columns, vars: vars(), output })?;
    terminal::raw()?;
    let mut buffer = [0; 256];
    while !shell.has_ended() {
        if SIGNALED.load(Relaxed) {
            session.kill();
            break;
        }
        let stdin = io::stdin();
        let mut wanted = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        if !matches!(poll(&mut wanted, PollTimeout::from(LOOK)), Ok(1..)) {
            continue;
        }
        match nix::unistd::read(stdin.as_fd(), &mut buffer) {
            // The terminal was closed.
            Ok(0) | Err(Errno::EIO) => {
                session.kill();
                break;
            }
            Ok(n) if buffer[..n].contains(&ESCAPE) => session.kill(),
            Ok(n) => shell.input().write_all(&buffer[..n])?,
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}
