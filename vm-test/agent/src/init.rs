// SPDX-License-Identifier: GPL-2.0

//! What an init has to do before and after everything else.

use crate::files;
use nix::mount::MsFlags;
use nix::mount::mount;
use nix::sys::reboot::RebootMode;
use nix::sys::reboot::reboot;
use std::fs;
use std::io;

const MOUNTS: &[(&str, &str)] = &[
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/tmp"),
    ("debugfs", "/sys/kernel/debug"),
    ("tracefs", "/sys/kernel/tracing"),
];

pub fn mount_all() -> io::Result<()> {
    for (fstype, target) in MOUNTS {
        fs::create_dir_all(target)?;
        mount(Some(*fstype), *target, Some(*fstype), MsFlags::empty(), None::<&str>)
            .map_err(|e| io::Error::other(format!("mount {target}: {e}")))?;
    }
    Ok(())
}

pub fn suspend() -> nix::Result<()> {
    files::write("/sys/power/state", b"mem").map(drop)
}

pub fn power_off() -> io::Result<()> {
    nix::unistd::sync();
    match reboot(RebootMode::RB_POWER_OFF)? {}
}
