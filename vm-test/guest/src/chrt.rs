// SPDX-License-Identifier: GPL-2.0

//! `chrt`, which this busybox lacks: the scheduling policy of a task, with the options of
//! util-linux.

use nix::errno::Errno;
use nix::libc::{SCHED_FIFO, SCHED_OTHER, c_int, sched_param, sched_setscheduler};
use std::io;

/// The agent under this name is this program.
pub const NAME: &str = "chrt";

const USAGE: &str = "usage: chrt -p PID | chrt -f -p PRIORITY PID | chrt -o -p 0 PID";

pub fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["-p", pid] => show(pid),
        ["-f", "-p", priority, pid] | ["-p", "-f", priority, pid] => set(SCHED_FIFO, priority, pid),
        ["-o", "-p", "0", pid] | ["-p", "-o", "0", pid] => set(SCHED_OTHER, "0", pid),
        _ => Err(USAGE.into()),
    };
    if let Err(message) = result {
        eprintln!("{message}");
        std::process::exit(1);
    }
    Ok(())
}

fn show(pid: &str) -> Result<(), String> {
    let (policy, priority) = match fifo(number(pid)?).map_err(|e| format!("{NAME}: {pid}: {e}"))? {
        Some(priority) => ("SCHED_FIFO", priority),
        None => ("SCHED_OTHER", 0),
    };
    println!("pid {pid}'s current scheduling policy: {policy}");
    println!("pid {pid}'s current scheduling priority: {priority}");
    Ok(())
}

fn set(policy: c_int, priority: &str, pid: &str) -> Result<(), String> {
    let parameters = sched_param { sched_priority: number(priority)? };
    // SAFETY: The kernel reads the structure, which outlives the call.
    let set = unsafe { sched_setscheduler(number(pid)?, policy, &parameters) };
    Errno::result(set).map(drop).map_err(|errno| format!("{NAME}: {pid}: {}", errno.desc()))
}

fn number(word: &str) -> Result<i32, String> {
    word.parse().map_err(|_| format!("{NAME}: {word} is not a number\n{USAGE}"))
}

/// Returns the priority of a task that has `SCHED_FIFO`.
pub fn fifo(pid: i32) -> io::Result<Option<u32>> {
    let stat = crate::files::text(&format!("/proc/{pid}/stat"))?;
    tour::fifo(&stat).ok_or_else(|| io::Error::other("invalid stat"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_the_default_policy() {
        assert_eq!(fifo(std::process::id() as i32).unwrap(), None);
    }
}
