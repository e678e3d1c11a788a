// SPDX-License-Identifier: GPL-2.0

//! Calls as a person would say them, for messages.

use crate::{Call, Missing};
use std::fmt::{self, Display, Formatter};

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Call::Read { path } => write!(f, "read {path}"),
            Call::Symbols { .. } => write!(f, "read /proc/kallsyms"),
            Call::Write { path, data } => write!(f, "write {} to {path}", Data(data)),
            Call::List { path } => write!(f, "list {path}"),
            Call::Stat { path } => write!(f, "stat {path}"),
            Call::Open { path, .. } => write!(f, "open {path}"),
            Call::ReadHandle { .. } => write!(f, "read an open file"),
            Call::ReadFaulting { valid, .. } => {
                write!(f, "read an open file, with a fault after {valid} bytes")
            }
            Call::ReadBeside { .. } => write!(f, "read an open file beside another read"),
            Call::WriteHandle { data, .. } => write!(f, "write {} to an open file", Data(data)),
            Call::Close { .. } => write!(f, "close a file"),
            Call::Mount { target, .. } => write!(f, "mount {target}"),
            Call::LoadModule { path, params } => write!(f, "insmod {path} {params}"),
            Call::UnloadModule { name } => write!(f, "rmmod {name}"),
            Call::SetAffinity { pid, cpus } => write!(f, "move task {pid} to CPUs {cpus:?}"),
            Call::GetAffinity { pid } => write!(f, "ask for the CPUs of task {pid}"),
            Call::Kill { pid, signal } => write!(f, "send signal {signal} to task {pid}"),
            Call::Kmsg => write!(f, "read the kernel log"),
            Call::Run { argv, .. } => write!(f, "run {}", argv.join(" ")),
            Call::WaitFor { path, until, .. } => write!(f, "wait for {path}: {until:?}"),
            Call::Pause { us } => write!(f, "pause for {us} us"),
            Call::Batch { calls } => list(f, "", calls),
            Call::Repeat { times, calls, .. } => list(f, &format!("{times} times: "), calls),
            Call::Churn { calls, .. } => write!(f, "do {} things at random", calls.len()),
            Call::Spawn { call } => write!(f, "as a task: {call}"),
            Call::Reap { task, .. } => write!(f, "wait for task {task}"),
            Call::Interrupt { call, signal, after_us, .. } => {
                write!(f, "signal {signal} after {after_us} us of: {call}")
            }
            Call::FailNth { pid: 0, nth, call } => write!(f, "fail allocation {nth} of: {call}"),
            Call::FailNth { pid, nth, call } => {
                write!(f, "fail allocation {nth} of task {pid} during: {call}")
            }
            Call::As { uid, call } => write!(f, "as user {uid}: {call}"),
            Call::Fuzz { path, times, .. } => write!(f, "write {times} times anything to {path}"),
            Call::Shell { tty, .. } => write!(f, "a shell on {tty}"),
            Call::Suspend => write!(f, "suspend to RAM"),
            Call::PowerOff => write!(f, "power off"),
        }
    }
}

impl Display for Missing {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Missing { fstype, target, errno } = self;
        let errno = std::io::Error::from_raw_os_error(*errno);
        write!(f, "the guest cannot mount {fstype} on {target}: {errno}")
    }
}

/// The first few, so that a batch of hundreds stays a line.
fn list(f: &mut Formatter<'_>, prefix: &str, calls: &[Call]) -> fmt::Result {
    write!(f, "{prefix}")?;
    for (i, call) in calls.iter().take(3).enumerate() {
        write!(f, "{}{call}", if i == 0 { "" } else { ", " })?;
    }
    match calls.len().saturating_sub(3) {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

struct Data<'a>(&'a [u8]);

impl Display for Data<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            0..=40 => write!(f, "\"{}\"", self.0.escape_ascii()),
            n => write!(f, "\"{}\"... ({n} bytes)", self.0[..40].escape_ascii()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_shown_in_full_when_short() {
        let write = |data: &[u8]| Call::Write { path: "/wake".into(), data: data.into() };
        assert_eq!(write(b"0-3\n\0").to_string(), r#"write "0-3\n\x00" to /wake"#);
        let long = write(&[b'9'; 4096]).to_string();
        assert!(long.ends_with(r#""... (4096 bytes) to /wake"#) && long.len() < 90, "{long}");
    }

    #[test]
    fn a_long_batch_is_cut() {
        let batch = Call::Batch { calls: vec![Call::Kmsg; 5] };
        let one = "read the kernel log";
        assert_eq!(batch.to_string(), format!("{one}, {one}, {one} and 2 more"));
    }
}
