// SPDX-License-Identifier: GPL-2.0

//! The calls that the host can make in the guest.
//!
//! A new call is a row of the table below, a method of the guest's agent, and a wrapper in
//! `host::guest`.

use crate::{Access, Until};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// The table of calls, as input for another macro. Each row has the variant of [`Call`], the
/// agent's method, their fields, and the text for messages.
#[macro_export]
macro_rules! calls {
    ($define:ident) => {
        $define! {
            /// The whole file. -> `Bytes`
            Read: read(path: String) => "read {path}";

            /// The lines of `/proc/kallsyms` of these symbols. -> `Bytes`
            Symbols: symbols(names: Vec<String>) => "read /proc/kallsyms";

            /// open, one write(2) of all bytes, close. -> `Count`
            Write: write(path: String, data: Vec<u8>) => "write {} to {path}", Data(data);

            /// Names in a directory, sorted. -> `Names`
            List: list(path: String) => "list {path}";

            /// -> `Stat`
            Stat: stat(path: String) => "stat {path}";

            /// A file that stays open in the agent until `Close`; they are numbered from
            /// [`FIRST_HANDLE`](crate::FIRST_HANDLE). -> `Handle`
            Open: open(path: String, access: Access) => "open {path}";

            /// One read(2). -> `Bytes`
            ReadHandle: read_handle(handle: u32, max: u32) => "read an open file";

            /// One read(2) of `max` bytes into a buffer with only the first `valid` bytes
            /// accessible. -> `Bytes`
            ReadFaulting: read_faulting(handle: u32, valid: u32, max: u32)
                => "read an open file, with a fault after {valid} bytes";

            /// One read(2) with O_NONBLOCK, while a thread without it sleeps in a read(2) of the
            /// same open file. -> `Bytes`
            ReadBeside: read_beside(handle: u32, max: u32) => "read an open file beside another read";

            /// One write(2). -> `Count`
            WriteHandle: write_handle(handle: u32, data: Vec<u8>) => "write {} to an open file", Data(data);

            Close: close(handle: u32) => "close a file";

            /// finit_module(2)
            LoadModule: load_module(path: String, params: String) => "insmod {path} {params}";

            /// delete_module(2) with O_NONBLOCK, as rmmod(8) does
            UnloadModule: unload_module(name: String) => "rmmod {name}";

            /// Pid 0 is the agent itself.
            SetAffinity: set_affinity(pid: i32, cpus: Vec<u32>) => "move task {pid} to CPUs {cpus:?}";

            /// -> `Cpus`
            GetAffinity: get_affinity(pid: i32) => "get the CPUs of task {pid}";

            Kill: kill(pid: i32, signal: i32) => "send signal {signal} to task {pid}";

            /// The kernel log since the last `Kmsg`. -> `Kmsg`
            Kmsg: kmsg => "read the kernel log";

            /// A program, its standard output and error together. -> `Program`; ETIME when it was
            /// killed at the limit
            Run: run(argv: Vec<String>, limit_ms: u64) => "run {}", argv.join(" ");

            /// Polls a file until its text matches. -> `Waited`, also if it never did
            WaitFor: wait_for(path: String, until: Until, limit_ms: u64) => "wait for {path}: {until:?}";

            Pause: pause(us: u64) => "pause for {us} us";

            /// All calls, whether they fail or not. -> `Batch`
            Batch: batch(calls: Vec<Call>) => "{}", Calls(calls);

            /// All calls, again and again, until the first that fails. -> `Rounds`
            Repeat: repeat(times: u32, calls: Vec<Call>, limit_ms: u64) => "{times} times: {}", Calls(calls);

            /// Calls at random, whether they fail or not, until the limit; `pause_us` is the
            /// longest pause between two. -> `Tallies`
            Churn: churn(seed: u64, calls: Vec<Call>, pause_us: u64, limit_ms: u64)
                => "make {} calls at random", calls.len();

            /// One call in a process of its own, without waiting for it. -> `Task`
            Spawn: spawn(call: Box<Call>) => "as a task: {call}";

            /// Waits for a spawned task to end. -> `TaskEnd`; ETIME when it did not
            Reap: reap(task: i32, limit_ms: u64) => "wait for task {task}";

            /// Spawns, sends the signal some time after the task began with its call, reaps. ->
            /// `TaskEnd`
            Interrupt: interrupt(call: Box<Call>, signal: i32, after_us: u64, limit_ms: u64)
                => "signal {signal} after {after_us} us of: {call}";

            /// One call, during which the nth allocation of a task fails; pid 0 is the caller. ->
            /// `FailedNth`
            FailNth: fail_nth(pid: i32, nth: u32, call: Box<Call>)
                => "fail allocation {nth} of {} during: {call}", Allocator(*pid);

            /// This call, and all that the process does after it, as that user. For spawned tasks.
            As: as_user(uid: u32, call: Box<Call>) => "as user {uid}: {call}";

            /// This number of write(2)s to one file: of words, of random bytes, and of these
            /// joined, cut and altered. -> `Tally`
            Fuzz: fuzz(path: String, words: Vec<Vec<u8>>, seed: u64, times: u32)
                => "write {times} random inputs to {path}";

            /// A shell on a terminal of the guest, for a user or a script, with these variables in
            /// its environment. Its output is on the terminal. -> `Program`, when it has ended
            Shell: shell(
                tty: String,
                rows: u16,
                columns: u16,
                vars: Vec<(String, String)>,
                script: Option<Vec<u8>>,
            ) => "a shell on {tty}";

            /// Suspends the guest to RAM; answered after the host has woken it.
            Suspend: suspend => "suspend to RAM";

            /// Has no answer. Not inside of another call.
            PowerOff: no_such_call => "power off";
        }
    };
}

macro_rules! define {
    ($(
        $(#[$doc:meta])*
        $name:ident: $method:ident $(($($field:ident: $type:ty),+ $(,)?))?
            => $format:literal $(, $argument:expr)?;
    )*) => {
        /// One operation in the guest.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub enum Call {
            $($(#[$doc])* $name $({ $($field: $type),+ })?,)*
        }

        /// Formats the call for messages.
        impl Display for Call {
            #[allow(unused_variables, reason = "not all fields are in the message")]
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                match self {
                    $(Call::$name $({ $($field),+ })? => write!(f, $format $(, $argument)?),)*
                }
            }
        }
    };
}

calls!(define);

impl Call {
    /// Returns the time that the call requests. The runner adds its own overhead.
    pub fn asked_time(&self) -> Duration {
        match self {
            Call::Run { limit_ms, .. }
            | Call::WaitFor { limit_ms, .. }
            | Call::Repeat { limit_ms, .. }
            | Call::Churn { limit_ms, .. }
            | Call::Reap { limit_ms, .. }
            | Call::Interrupt { limit_ms, .. } => Duration::from_millis(*limit_ms),
            Call::Pause { us } => Duration::from_micros(*us),
            Call::FailNth { call, .. } | Call::As { call, .. } => call.asked_time(),
            // Maximum time of a write on a slow kernel.
            Call::Fuzz { times, .. } => Duration::from_millis(2) * *times,
            Call::Batch { calls } => calls.iter().map(Call::asked_time).sum(),
            Call::Shell { .. } => Duration::MAX,
            _ => Duration::ZERO,
        }
    }
}

/// Formats the first few calls, so that a batch of hundreds stays a line.
struct Calls<'a>(&'a [Call]);

impl Display for Calls<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, call) in self.0.iter().take(3).enumerate() {
            write!(f, "{}{call}", if i == 0 { "" } else { ", " })?;
        }
        match self.0.len().saturating_sub(3) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// The task in which an allocation fails.
struct Allocator(i32);

impl Display for Allocator {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => write!(f, "the caller"),
            pid => write!(f, "task {pid}"),
        }
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
    fn short_data_is_shown_in_full() {
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

    #[test]
    fn a_batch_may_take_as_long_as_its_parts() {
        let wait = Call::Run { argv: vec![], limit_ms: 1500 };
        let batch = Call::Batch { calls: vec![wait.clone(), Call::Kmsg, wait] };
        assert_eq!(batch.asked_time(), Duration::from_secs(3));
    }
}
