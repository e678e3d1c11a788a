// SPDX-License-Identifier: GPL-2.0

//! Calls about files.

use crate::calls::Agent;
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

/// Reads a file with a large buffer: some files of tracefs return data for one read(2) only.
pub fn read(path: &str) -> nix::Result<Vec<u8>> {
    let mut data = Vec::with_capacity(1 << 16);
    File::open(path).and_then(|mut file| file.read_to_end(&mut data)).map_err(errno)?;
    Ok(data)
}

pub fn write(path: &str, data: &[u8]) -> nix::Result<u64> {
    let mut file = File::options().write(true).open(path).map_err(errno)?;
    file.write(data).map(|n| n as u64).map_err(errno)
}

/// Files that stay open between calls.
#[derive(Default)]
pub struct Handles {
    /// Number of files ever opened.
    opened: u32,
    open: BTreeMap<u32, File>,
}

impl Handles {
    fn get(&mut self, handle: u32) -> nix::Result<&mut File> {
        self.open.get_mut(&handle).ok_or(Errno::EBADF)
    }
}

impl Agent {
    pub fn read(&mut self, path: String) -> nix::Result<Value> {
        read(&path).map(Value::Bytes)
    }

    /// Reads lines of `/proc/kallsyms`, whose 10 MB are too much for the port.
    pub fn symbols(&mut self, names: Vec<String>) -> nix::Result<Value> {
        let names: HashSet<&[u8]> = names.iter().map(String::as_bytes).collect();
        let all = read("/proc/kallsyms")?;
        let wanted = |line: &&[u8]| line.get(19..).is_some_and(|name| names.contains(name));
        let lines: Vec<&[u8]> = all.split(|byte| *byte == b'\n').filter(wanted).collect();
        Ok(Value::Bytes([lines.join(&b'\n'), vec![b'\n']].concat()))
    }

    pub fn write(&mut self, path: String, data: Vec<u8>) -> nix::Result<Value> {
        write(&path, &data).map(Value::Count)
    }

    pub fn list(&mut self, path: String) -> nix::Result<Value> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path).map_err(errno)? {
            names.push(entry.map_err(errno)?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(Value::Names(names))
    }

    pub fn stat(&mut self, path: String) -> nix::Result<Value> {
        let stat = fs::metadata(path).map_err(errno)?;
        Ok(Value::Stat { mode: stat.mode(), uid: stat.uid(), size: stat.size() })
    }

    /// Polls a file: sysfs and debugfs announce no changes. The pause leaves the CPU to the threads
    /// that change it.
    pub fn wait_for(&mut self, path: String, until: Until, limit_ms: u64) -> nix::Result<Value> {
        let limit = Duration::from_millis(limit_ms);
        let start = Instant::now();
        let mut watch = Stopwatch::start();
        loop {
            let last = text(&path).map_err(errno)?;
            let (held, took) = (until.holds(&last), start.elapsed());
            if held || watch.elapsed() > limit {
                return Ok(Value::Waited { held, last, took_us: took.as_micros() as u64 });
            }
            thread::sleep(Duration::from_micros(500));
        }
    }

    pub fn open(&mut self, path: String, access: Access) -> nix::Result<Value> {
        let mut options = File::options();
        match access {
            Access::Read => options.read(true),
            Access::ReadNow => options.read(true).custom_flags(OFlag::O_NONBLOCK.bits()),
            Access::Write => options.write(true),
        };
        let file = options.open(path).map_err(errno)?;
        let handle = FIRST_HANDLE + self.handles.opened;
        self.handles.opened += 1;
        self.handles.open.insert(handle, file);
        Ok(Value::Handle(handle))
    }

    pub fn read_handle(&mut self, handle: u32, max: u32) -> nix::Result<Value> {
        let mut data = vec![0; max as usize];
        let n = self.handles.get(handle)?.read(&mut data).map_err(errno)?;
        data.truncate(n);
        Ok(Value::Bytes(data))
    }

    /// Reads into a buffer. The page behind the first `valid` bytes of the buffer is not
    /// accessible.
    pub fn read_faulting(&mut self, handle: u32, valid: u32, max: u32) -> nix::Result<Value> {
        const PAGE: usize = 1 << 16; // the largest page size of Linux
        let (valid, max) = (valid as usize, max as usize);
        let accessible = valid.next_multiple_of(PAGE);
        let room = accessible - valid + max;
        let length = NonZero::new(room.next_multiple_of(PAGE) + PAGE).ok_or(Errno::EINVAL)?;
        let file = self.handles.get(handle)?;

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
            // SAFETY: The kernel has initialized this number of bytes, none beyond `end`.
            unsafe { slice::from_raw_parts(buffer.as_ptr(), count as usize) }.to_vec()
        });
        // SAFETY: Nothing refers to the mapping any more.
        unsafe { munmap(start, length.get()) }?;
        result.map(Value::Bytes)
    }

    /// The other thread still reads when this returns.
    pub fn read_beside(&mut self, handle: u32, max: u32) -> nix::Result<Value> {
        let mut same = self.handles.get(handle)?.try_clone().map_err(errno)?;
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
        fcntl(self.handles.get(handle)?, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        self.read_handle(handle, max)
    }

    pub fn write_handle(&mut self, handle: u32, data: Vec<u8>) -> nix::Result<Value> {
        let n = self.handles.get(handle)?.write(&data).map_err(errno)?;
        Ok(Value::Count(n as u64))
    }

    pub fn close(&mut self, handle: u32) -> nix::Result<Value> {
        self.handles.open.remove(&handle).map(|_| Value::Unit).ok_or(Errno::EBADF)
    }
}
