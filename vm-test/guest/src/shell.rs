// SPDX-License-Identifier: GPL-2.0

//! A shell on a terminal of the guest.

use crate::calls::Agent;
use crate::files::errno;
use nix::errno::Errno;
use nix::sys::termios::tcdrain;
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::Pid;
use std::env;
use std::fs::{self, File};
use std::process::Command;
use wire::{Exit, Value};

const BUSYBOX: &str = "/bin/busybox";

const SCRIPT: &str = "/tmp/script";

impl Agent {
    pub fn shell(
        &mut self,
        tty: String,
        rows: u16,
        columns: u16,
        vars: Vec<(String, String)>,
        script: Option<Vec<u8>>,
    ) -> nix::Result<Value> {
        let applets = Command::new(BUSYBOX).args(["--install", "-s", "/bin"]).status();
        applets.map_err(errno)?;
        let open = || File::options().read(true).write(true).open(&tty).map_err(errno);
        let terminal = open()?;
        let other = || terminal.try_clone().map_err(errno);
        let (rows, columns) = (rows.to_string(), columns.to_string());
        Command::new(BUSYBOX)
            .args(["stty", "sane", "rows", &rows, "cols", &columns])
            .stdin(other()?)
            .status()
            .map_err(errno)?;

        // For the shell; the agent uses no relative path. (An option of the command would need a
        // socket pair, and a kernel may lack networking.)
        env::set_current_dir("/modules").map_err(errno)?;

        let mut shell = Command::new(BUSYBOX);
        match script {
            // Job control needs a session with the terminal as its controlling one.
            None => shell.args(["setsid", "-c", BUSYBOX, "sh", "-l"]),
            // The end of such a session would discard output that is not sent yet.
            Some(script) => {
                fs::write(SCRIPT, script).map_err(errno)?;
                shell.args(["sh", SCRIPT])
            }
        };
        let shell = shell
            .env_clear()
            .envs([("PATH", "/bin"), ("HOME", "/")])
            .envs(vars)
            .stdin(other()?)
            .stdout(other()?)
            .stderr(other()?)
            .spawn()
            .map_err(errno)?;
        let pid = Pid::from_raw(shell.id() as i32);
        // Orphans of the shell become init's children: reap them all.
        let status = loop {
            match wait() {
                Ok(WaitStatus::Exited(who, code)) if who == pid => break Exit::Code(code),
                Ok(WaitStatus::Signaled(who, signal, _)) if who == pid => {
                    break Exit::Signal(signal as i32);
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(e) => return Err(e),
            }
        };
        // Waits until the output is sent, before the machine ends. The end of a session has hung up
        // `terminal`.
        tcdrain(open()?)?;
        Ok(Value::Program { status, output: Vec::new() })
    }
}
