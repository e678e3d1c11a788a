// SPDX-License-Identifier: GPL-2.0

//! Calls about files.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use nix::unistd::gettid;
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::num::NonZero;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{slice, thread};
use wire::stopwatch::Stopwatch;
use wire::{Access, FIRST_HANDLE, Until, Value};

pub fn errno(error: io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

pub fn text(path: &str) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned())
}

/// Reads a file with a large buffer: some files of tracefs give only what one read(2) takes.
pub fn read(path: &str) -> nix::Result<Vec<u8>> {
    let mut data = Vec::with_capacity(1 << 16);
    File::open(path).and_then(|mut file| file.read_to_end(&mut data)).map_err(errno)?;
    Ok(data)
}

pub fn write(path: &str, data: &[u8]) -> nix::Result<u64> {
    let mut file = File::options().write(true).open(path).map_err(errno)?;
    file.write(data).map(|n| n as u64).map_err(errno)
}

/// Reads lines of `/proc/kallsyms`, whose 10 MB are too much for the port.
pub fn symbols(names: &[String]) -> nix::Result<Vec<u8>> {
    let names: HashSet<&[u8]> = names.iter().map(String::as_bytes).collect();
    let all = read("/proc/kallsyms")?;
    let wanted = |line: &&[u8]| line.get(19..).is_some_and(|name| names.contains(name));
    let lines: Vec<&[u8]> = all.split(|byte| *byte == b'\n').filter(wanted).collect();
    Ok([lines.join(&b'\n'), vec![b'\n']].concat())
}

pub fn list(path: &str) -> nix::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(errno)? {
        names.push(entry.map_err(errno)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

pub fn stat(path: &str) -> nix::Result<Value> {
    let stat = fs::metadata(path).map_err(errno)?;
    Ok(Value::Stat { mode: stat.mode(), uid: stat.uid(), size: stat.size() })
}

/// Polls a file: sysfs and debugfs announce no changes. The pause leaves the CPU to the threads
/// that change it.
pub fn wait_for(path: &str, until: &Until, limit: Duration) -> nix::Result<Value> {
    let start = Instant::now();
    let mut watch = Stopwatch::start();
    loop {
        let last = text(path).map_err(errno)?;
        let (held, took) = (until.holds(&last), start.elapsed());
        if held || watch.elapsed() > limit {
            return Ok(Value::Waited { held, last, took_us: took.as_micros() as u64 });
        }
        thread::sleep(Duration::from_micros(500));
    }
}

/// Files that stay open between calls.
#[derive(Default)]
pub struct Handles {
    /// Number of files ever opened.
    opened: u32,
    open: BTreeMap<u32, File>,
}

impl Handles {
    pub fn open(&mut self, path: &str, access: Access) -> nix::Result<u32> {
        let (read, write, flags) = match access {
            Access::Read => (true, false, OFlag::empty()),
            Access::ReadNow => (true, false, OFlag::O_NONBLOCK),
            Access::Write => (false, true, OFlag::empty()),
            Access::ReadWrite => (true, true, OFlag::empty()),
        };
        let file = File::options()
            .read(read)
            .write(write)
            .custom_flags(flags.bits())
            .open(path)
            .map_err(errno)?;
        let handle = FIRST_HANDLE + self.opened;
        self.opened += 1;
        self.open.insert(handle, file);
        Ok(handle)
    }

    pub fn read(&mut self, handle: u32, max: u32) -> nix::Result<Vec<u8>> {
        let mut data = vec![0; max as usize];
        let n = self.get(handle)?.read(&mut data).map_err(errno)?;
        data.truncate(n);
        Ok(data)
    }

    /// Reads into a buffer. The page behind the first `valid` bytes of the buffer is not
    /// accessible.
    pub fn read_faulting(&mut self, handle: u32, valid: u32, max: u32) -> nix::Result<Vec<u8>> {
        const PAGE: usize = 1 << 16; // the largest that Linux has
        let (valid, max) = (valid as usize, max as usize);
        let accessible = valid.next_multiple_of(PAGE);
        let room = accessible - valid + max;
        let length = NonZero::new(room.next_multiple_of(PAGE) + PAGE).ok_or(Errno::EINVAL)?;
        let file = self.get(handle)?;

        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: A new mapping, at an address of the kernel's choice.
        let start = unsafe { mmap_anonymous(None, length, access, MapFlags::MAP_PRIVATE) }?;
        // SAFETY: Within the mapping, which has no other user.
        let end = unsafe { start.cast::<u8>().add(accessible) };
        // SAFETY: Likewise.
        unsafe { mprotect(end.cast(), length.get() - accessible, ProtFlags::PROT_NONE) }?;
        // SAFETY: `valid` bytes up to `end` are within the mapping.
        let buffer = unsafe { end.sub(valid) };
        // SAFETY: Only the kernel writes to the buffer, and checks what it may write to.
        let count = unsafe { libc::read(file.as_raw_fd(), buffer.as_ptr().cast(), max) };
        let result = Errno::result(count).map(|count| {
            // SAFETY: The kernel has initialized so many bytes, none of them beyond `end`.
            unsafe { slice::from_raw_parts(buffer.as_ptr(), count as usize) }.to_vec()
        });
        // SAFETY: Nothing refers to the mapping any more.
        unsafe { munmap(start, length.get()) }?;
        result
    }

    /// The thread reads on when this returns.
    pub fn read_beside(&mut self, handle: u32, max: u32) -> nix::Result<Vec<u8>> {
        let mut same = self.get(handle)?.try_clone().map_err(errno)?;
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let _ = sender.send(gettid());
            let _ = same.read(&mut [0]);
        });
        let thread = receiver.recv().map_err(|_| Errno::ESRCH)?;
        let status = format!("/proc/self/task/{thread}/status");
        while !text(&status).map_err(errno)?.contains("State:\tS") {
            thread::yield_now();
        }
        fcntl(self.get(handle)?, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        self.read(handle, max)
    }

    pub fn write(&mut self, handle: u32, data: &[u8]) -> nix::Result<u64> {
        self.get(handle)?.write(data).map(|n| n as u64).map_err(errno)
    }

    pub fn close(&mut self, handle: u32) -> nix::Result<()> {
        self.open.remove(&handle).map(drop).ok_or(Errno::EBADF)
    }

    fn get(&mut self, handle: u32) -> nix::Result<&mut File> {
        self.open.get_mut(&handle).ok_or(Errno::EBADF)
    }
}
