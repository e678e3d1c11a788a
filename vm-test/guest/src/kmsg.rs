// SPDX-License-Identifier: GPL-2.0

//! The kernel log from `/dev/kmsg`: `level,sequence,time,flags;text`, one record per read.

use crate::calls::Agent;
use crate::files::errno;
use nix::errno::Errno;
use nix::libc::{O_NONBLOCK, klogctl};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::ptr;
use wire::{Kmsg, Record, Value};

/// The kernel's own limit for one record (`PRINTK_MESSAGE_MAX`).
const RECORD_MAX: usize = 2048;

pub struct Log(File);

impl Log {
    pub fn open() -> io::Result<Log> {
        File::options().read(true).custom_flags(O_NONBLOCK).open("/dev/kmsg").map(Log)
    }
}

impl Agent {
    /// Reads the records since the last call. Stops after as many as the kernel can hold: new ones
    /// may arrive faster than they are read.
    pub fn kmsg(&mut self) -> nix::Result<Value> {
        let mut log = Kmsg::default();
        let mut buffer = [0; RECORD_MAX];
        let most = capacity()?;
        while log.records.len() < most {
            match self.log.0.read(&mut buffer).map_err(errno) {
                Ok(n) => log.records.extend(parse(&String::from_utf8_lossy(&buffer[..n]))),
                Err(Errno::EAGAIN) => break,
                Err(Errno::EPIPE) => log.lost = true,
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(Value::Kmsg(log))
    }
}

/// Number of records that the kernel's log can hold: it has a descriptor per 32 bytes of text
/// (`PRB_AVGBITS`).
fn capacity() -> nix::Result<usize> {
    const SYSLOG_ACTION_SIZE_BUFFER: i32 = 10;
    // SAFETY: This action takes no buffer.
    let bytes = unsafe { klogctl(SYSLOG_ACTION_SIZE_BUFFER, ptr::null_mut(), 0) };
    Ok(Errno::result(bytes)? as usize / 32)
}

fn parse(raw: &str) -> Option<Record> {
    let (prefix, text) = raw.split_once(';')?;
    let mut fields = prefix.split(',');
    let priority: u32 = fields.next()?.parse().ok()?;
    let seq = fields.next()?.parse().ok()?;
    let time_us = fields.next()?.parse().ok()?;
    // Below the first line are KEY=value lines for udev and journald.
    let text = text.lines().next().unwrap_or_default();
    let (level, facility) = ((priority & 7) as u8, priority >> 3);
    Some(Record { seq, time_us, level, user: facility != 0, text: text.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_the_kernel() {
        let record = parse("6,339,5140900,-;rust_smpboot_demo: cpu1: park\n").unwrap();
        assert_eq!((record.seq, record.time_us, record.level), (339, 5140900, 6));
        assert!(!record.user);
        assert_eq!(record.text, "rust_smpboot_demo: cpu1: park");
    }

    #[test]
    fn a_record_of_a_program() {
        let record = parse("12,340,6000000,-;vm-test: begin x\n").unwrap();
        assert_eq!(record.level, 4);
        assert!(record.user);
    }

    #[test]
    fn keys_are_not_text() {
        let record = parse("30,1,0,-;usb 1-1: new\n SUBSYSTEM=usb\n DEVICE=c1:2\n").unwrap();
        assert_eq!(record.text, "usb 1-1: new");
    }

    #[test]
    fn a_semicolon_in_the_text_stays() {
        assert_eq!(parse("6,1,0,-;a;b\n").unwrap().text, "a;b");
    }

    #[test]
    fn an_invalid_line_is_no_record() {
        assert_eq!(parse("no prefix\n"), None);
        assert_eq!(parse("x,1,0,-;text\n"), None);
    }
}
