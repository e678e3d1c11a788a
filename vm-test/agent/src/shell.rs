// SPDX-License-Identifier: GPL-2.0

//! A shell for a person, on a terminal of the guest.

use crate::files::errno;
use nix::errno::Errno;
use nix::sys::wait::WaitStatus;
use nix::sys::wait::wait;
use std::fs::File;
use std::process::Command;

const BUSYBOX: &str = "/bin/busybox";

pub fn run(tty: &str, rows: u16, columns: u16, term: &str) -> nix::Result<()> {
    let applets = Command::new(BUSYBOX).args(["--install", "-s", "/bin"]).status();
    applets.map_err(errno)?;
    let tty = File::options().read(true).write(true).open(tty).map_err(errno)?;
    let other = || tty.try_clone().map_err(errno);
    let size = [rows.to_string(), columns.to_string()];
    Command::new(BUSYBOX)
        .args(["stty", "sane", "rows", &size[0], "cols", &size[1]])
        .stdin(other()?)
        .status()
        .map_err(errno)?;

    // A session of its own with the terminal as its controlling one: without it no job control.
    let shell = Command::new(BUSYBOX)
        .args(["setsid", "-c", BUSYBOX, "sh", "-l"])
        .env_clear()
        .envs([("PATH", "/bin:/sbin"), ("HOME", "/"), ("TERM", term), ("ENV", "/etc/profile")])
        .stdin(other()?)
        .stdout(other()?)
        .stderr(other()?)
        .spawn()
        .map_err(errno)?;
    // Whatever the shell leaves behind becomes init's child: reap it all.
    loop {
        match wait() {
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _))
                if pid.as_raw() as u32 == shell.id() =>
            {
                return Ok(());
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}
