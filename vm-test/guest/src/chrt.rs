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
    parse(&stat).ok_or_else(|| io::Error::other("invalid stat"))
}

/// The name, in parentheses, may have any characters.
fn parse(stat: &str) -> Option<Option<u32>> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    // The fields 40 and 41 of proc_pid_stat(5); the first one here is 3.
    let mut fields = after_name.split(' ').skip(40 - 3);
    let priority: u32 = fields.next()?.parse().ok()?;
    let policy: c_int = fields.next()?.trim().parse().ok()?;
    Some((policy == SCHED_FIFO).then_some(priority))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_and_priority_are_fields_of_stat() {
        let fields = |priority, policy| {
            let zeros = "0 ".repeat(36);
            format!("121 (a ) b) S {zeros}{priority} {policy} 0 0 0\n")
        };
        assert_eq!(parse(&fields(50, 1)), Some(Some(50)));
        assert_eq!(parse(&fields(0, 0)), Some(None));
        assert_eq!(parse("121 (x) S 0"), None);
    }

    #[test]
    fn this_process_has_the_default_policy() {
        assert_eq!(fifo(std::process::id() as i32).unwrap(), None);
    }
}
