// SPDX-License-Identifier: GPL-2.0

//! The kernel's fault injection by count, for one task.

use crate::files::errno;
use nix::errno::Errno;
use std::fs::File;
use std::os::unix::fs::FileExt;

pub struct FailNth(File);

impl FailNth {
    /// Pid 0 is the thread that uses the result.
    pub fn of(pid: i32) -> nix::Result<FailNth> {
        let path = match pid {
            0 => "/proc/thread-self/fail-nth".into(),
            pid => format!("/proc/{pid}/fail-nth"),
        };
        let file = File::options().read(true).write(true).open(path);
        file.map(FailNth).map_err(errno)
    }

    pub fn set(&mut self, n: u32) -> nix::Result<()> {
        self.0.write_at(n.to_string().as_bytes(), 0).map(drop).map_err(errno)
    }

    pub fn left(&self) -> nix::Result<u32> {
        let mut text = [0; 16];
        let n = self.0.read_at(&mut text, 0).map_err(errno)?;
        let text = std::str::from_utf8(&text[..n]).map_err(|_| Errno::EILSEQ)?;
        text.trim().parse().map_err(|_| Errno::EILSEQ)
    }
}
