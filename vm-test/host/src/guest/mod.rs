// SPDX-License-Identifier: GPL-2.0

//! Calls to the guest: files, CPUs, modules, tasks, the kernel log.
//!
//! They are methods of [`Vm`], in one file per topic, and use nothing of a VM but [`Vm::call`]
//! and its limits. Each fails with [`Refused`] when the guest's kernel refuses, and with
//! [`NoAnswer`](crate::errors::NoAnswer) when the guest does not answer.

/// Takes the value out of an answer.
macro_rules! expect {
    ($value:expr, $pattern:pat => $result:expr) => {
        match $value {
            $pattern => Ok($result),
            other => Err($crate::vm::unexpected(&other)),
        }
    };
}

pub mod calls;
mod cpus;
mod files;
mod log;
mod modules;
mod tasks;

pub use cpus::{Cpu, parse_cpu_list};
pub use files::{Handle, MAX_READ, text};
pub use modules::parse_modules;
pub use tasks::Task;

use crate::Vm;
use crate::errors::Refused;
use crate::vm::accepted;
use anyhow::{Result, bail, ensure};
use nix::errno::Errno;
use std::time::Duration;
use wire::{Call, Rounds, Stopped, Value};

/// Limit of calls that should return at once; [`Vm::limit`] scales it.
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(10);

impl Vm {
    /// Makes all calls, in one message; fails with the first refusal.
    pub fn batch(&self, calls: Vec<Call>) -> Result<Vec<Value>> {
        let doing: Vec<String> = calls.iter().map(Call::to_string).collect();
        let answers = expect!(self.call(Call::Batch { calls })?, Value::Batch(a) => a)?;
        ensure!(answers.len() == doing.len(), "{} answers to {} calls", answers.len(), doing.len());
        doing.into_iter().zip(answers).map(|(doing, answer)| accepted(doing, answer)).collect()
    }

    /// Repeats the calls in the guest; all must succeed within the limit.
    pub fn repeat(&self, times: u32, calls: Vec<Call>, limit: Duration) -> Result<()> {
        let doing: Vec<String> = calls.iter().map(Call::to_string).collect();
        let call = Call::Repeat { times, calls, limit_ms: self.ms(limit) };
        let Rounds { done, stopped } = expect!(self.call(call)?, Value::Rounds(r) => r)?;
        match stopped {
            None => Ok(()),
            Some(Stopped::Limit) => {
                bail!("{done} of {times} rounds in {limit:?}: {}", doing.join(", "))
            }
            Some(Stopped::Failed { call, errno }) => {
                let doing = format!("round {}: {}", done + 1, doing[call as usize]);
                Err(Refused { doing, errno: Errno::from_raw(errno) }.into())
            }
        }
    }

    /// Makes a call during which the nth allocation of a task fails; pid 0 is the caller. Returns
    /// whether there was an nth one, and the result of the call.
    pub fn fail_nth(&self, pid: i32, nth: u32, call: Call) -> Result<(bool, Result<()>)> {
        let doing = format!("with allocation {nth} failing: {call}");
        let value = self.call(Call::FailNth { pid, nth, call: Box::new(call) })?;
        let (injected, answer) =
            expect!(value, Value::FailedNth { injected, answer } => (injected, *answer))?;
        Ok((injected, accepted(doing, answer).map(drop)))
    }

    /// A limit for the agent: scaled, in milliseconds.
    pub fn ms(&self, usual: Duration) -> u64 {
        self.limit(usual).as_millis() as u64
    }
}
