// SPDX-License-Identifier: GPL-2.0

//! The duties of an init: mounts, signals, suspend, power off.

use crate::calls::Agent;
use crate::files::{self, errno};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::termios::tcdrain;
use std::convert::Infallible;
use std::fs::{self, File};
use std::io;
use wire::{Missing, Value};

const REQUIRED: &[(&str, &str)] =
    &[("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/tmp")];

/// File systems that a kernel may lack; `debugfs=off` also forbids the first.
const OPTIONAL: &[(&str, &str)] =
    &[("debugfs", "/sys/kernel/debug"), ("tracefs", "/sys/kernel/tracing")];

/// Returns the optional file systems that cannot be mounted.
pub fn mount_all() -> io::Result<Vec<Missing>> {
    for mount in REQUIRED {
        try_mount(mount).map_err(|missing| io::Error::other(missing.to_string()))?;
    }
    Ok(OPTIONAL.iter().filter_map(|mount| try_mount(mount).err()).collect())
}

fn try_mount((fstype, target): &(&str, &str)) -> Result<(), Missing> {
    // sysfs has the directory if the kernel has the file system.
    let directory = fs::create_dir_all(target).map_err(errno);
    let mounted = directory.and_then(|()| {
        mount(Some(*fstype), *target, Some(*fstype), MsFlags::empty(), None::<&str>)
    });
    mounted.map_err(|errno| Missing {
        fstype: fstype.to_string(),
        target: target.to_string(),
        errno: errno as i32,
    })
}

impl Agent {
    pub fn suspend(&mut self) -> nix::Result<Value> {
        files::write("/sys/power/state", b"mem").map(|_| Value::Unit)
    }
}

pub fn power_off() -> io::Result<()> {
    nix::unistd::sync();
    match reboot(RebootMode::RB_POWER_OFF)? {}
}

const HALT: Signal = Signal::SIGUSR1;
const POWER_OFF: Signal = Signal::SIGUSR2;
const REBOOT: Signal = Signal::SIGTERM;

/// Handles the signals of busybox's `halt`, `poweroff` and `reboot`.
pub fn handle_signals() -> io::Result<()> {
    let action = SigAction::new(SigHandler::Handler(end), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [HALT, POWER_OFF, REBOOT] {
        // SAFETY: the handler makes system calls only; opening that path does not allocate.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

extern "C" fn end(signal: i32) {
    let mode = match Signal::try_from(signal) {
        Ok(HALT) => RebootMode::RB_HALT_SYSTEM,
        Ok(REBOOT) => RebootMode::RB_AUTOBOOT,
        _ => RebootMode::RB_POWER_OFF,
    };
    // Wait for the console: the last output of the requesting program must not be lost.
    let _ = File::options().write(true).open("/dev/console").map(tcdrain);
    let _: nix::Result<Infallible> = reboot(mode);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_that_fails_is_named_with_its_errno() {
        // EPERM as an ordinary user, ENODEV as root: both are errors of this mount.
        let missing = try_mount(&("nosuchfs", "/tmp")).unwrap_err();
        let message = missing.to_string();
        assert!(message.contains("mount nosuchfs on /tmp: "), "{message}");
        assert!(message.contains("os error"), "{message}");
    }
}
