// SPDX-License-Identifier: GPL-2.0

//! Child processes: the agent's own, and orphans.
//!
//! The kernel gives orphans to init's first thread. Another thread starts those children of the
//! agent that outlive a call, so that the first thread can reap all of its own.

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use std::process::{Child, Command};
use std::sync::LazyLock;
use std::sync::mpsc::{self, Sender};
use std::{io, thread};

/// A command, and the channel for its child.
type Order = (Command, Sender<io::Result<Child>>);

/// Starts a child that [`reap_orphans`] leaves alone.
pub fn spawn(command: Command) -> io::Result<Child> {
    static STARTER: LazyLock<Sender<Order>> = LazyLock::new(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        // The thread must not end: its children would become the first thread's.
        thread::spawn(move || {
            for (mut command, answer) in orders {
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let (answer, child) = mpsc::channel();
    STARTER.send((command, answer)).map_err(io::Error::other)?;
    child.recv().map_err(io::Error::other)?
}

/// Reaps orphans. Only the first thread may call this, while it waits for no child.
pub fn reap_orphans() {
    let flags = WaitPidFlag::WNOHANG | WaitPidFlag::__WNOTHREAD;
    while waitpid(None, Some(flags)).is_ok_and(|status| status != WaitStatus::StillAlive) {}
}
