// SPDX-License-Identifier: GPL-2.0

//! The guest as tests see it: files, CPUs, modules, tasks, the kernel log.
//!
//! Every function here fails with [`Refused`] when the guest's kernel said no, and with
//! [`Trouble`](crate::errors::Trouble) when the guest did not answer.

/// Takes the value out of the answer, or says that the agent gave another kind.
macro_rules! expect {
    ($value:expr, $pattern:pat => $result:expr) => {
        match $value {
            $pattern => Ok($result),
            other => Err(::anyhow::anyhow!("the agent answered with {other:?}")),
        }
    };
}

pub mod calls;
mod cpus;
mod files;
mod log;
mod modules;
mod tasks;

pub use files::{Handle, MOST, text};
pub use tasks::Task;

use crate::Vm;
use crate::errors::Refused;
use anyhow::{Result, bail, ensure};
use nix::errno::Errno;
use std::time::Duration;
use wire::{Answer, Call, Rounds, Stopped, Value};

/// Long enough for what should happen at once.
pub const SOON: Duration = Duration::from_secs(10);

impl Vm {
    pub fn call(&self, call: Call) -> Result<Value> {
        let doing = call.to_string();
        let answer = self.try_call(call)?;
        understand(doing, answer)
    }

    /// All calls in one message; the first refusal fails it, after all were made.
    pub fn batch(&self, calls: Vec<Call>) -> Result<Vec<Value>> {
        let doing: Vec<String> = calls.iter().map(Call::to_string).collect();
        let answers = expect!(self.call(Call::Batch { calls })?, Value::Batch(a) => a)?;
        ensure!(answers.len() == doing.len(), "{} answers to {} calls", answers.len(), doing.len());
        doing.into_iter().zip(answers).map(|(doing, answer)| understand(doing, answer)).collect()
    }

    /// The calls, again and again in the guest; all of it must succeed within the limit.
    pub fn repeat(&self, times: u32, calls: Vec<Call>, limit: Duration) -> Result<()> {
        let doing: Vec<String> = calls.iter().map(Call::to_string).collect();
        let call = Call::Repeat { times, calls, limit_ms: self.ms(limit) };
        let Rounds { done, stopped } = expect!(self.call(call)?, Value::Rounds(r) => r)?;
        match stopped {
            None => Ok(()),
            Some(Stopped::Limit) => bail!("only {done} of {times} rounds in {limit:?}"),
            Some(Stopped::Failed { call, errno }) => {
                let doing = format!("round {}: {}", done + 1, doing[call as usize]);
                Err(Refused { doing, errno: Errno::from_raw(errno) }.into())
            }
        }
    }

    /// The call, during which the task's nth allocation fails, if it makes so many: whether it did,
    /// and what the call gave. Pid 0 is who makes the call.
    pub fn fail_nth(&self, pid: i32, nth: u32, call: Call) -> Result<(bool, Result<()>)> {
        let doing = format!("with allocation {nth} failing: {call}");
        let value = self.call(Call::FailNth { pid, nth, call: Box::new(call) })?;
        let (injected, answer) =
            expect!(value, Value::FailedNth { injected, answer } => (injected, *answer))?;
        Ok((injected, understand(doing, answer).map(drop)))
    }

    /// A limit as the agent gets it.
    pub fn ms(&self, usual: Duration) -> u64 {
        self.limit(usual).as_millis() as u64
    }
}

fn understand(doing: String, answer: Answer) -> Result<Value> {
    answer.map_err(|errno| Refused { doing, errno: Errno::from_raw(errno) }.into())
}
