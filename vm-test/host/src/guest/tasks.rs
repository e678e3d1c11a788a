// SPDX-License-Identifier: GPL-2.0

//! Tasks of the guest: kernel threads, programs, calls in processes of their own.

use super::calls::read;
use super::{DEFAULT_LIMIT, accepted, text};
use crate::Vm;
use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use std::time::Duration;
use wire::{Call, Exit, TaskEnd, Value};

impl Vm {
    /// Binds a task to CPUs; pid 0 is the agent.
    pub fn set_affinity(&self, pid: i32, cpus: &[u32]) -> Result<()> {
        self.call(Call::SetAffinity { pid, cpus: cpus.into() }).map(drop)
    }

    /// The CPUs that a task may run on; pid 0 is the agent.
    pub fn affinity(&self, pid: i32) -> Result<Vec<u32>> {
        expect!(self.call(Call::GetAffinity { pid })?, Value::Cpus(cpus) => cpus)
    }

    /// A field of `/proc/PID/status`.
    pub fn status(&self, pid: i32, field: &str) -> Result<String> {
        let status = self.read(&format!("/proc/{pid}/status"))?;
        let value = status.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':'));
        value.map(|v| v.trim().into()).with_context(|| format!("no {field} in {status}"))
    }

    /// A task's name.
    pub fn comm(&self, pid: i32) -> Result<String> {
        self.read(&format!("/proc/{pid}/comm"))
    }

    /// The pids of tasks, kernel threads included, with a wanted name.
    pub fn tasks(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<i32>> {
        let pids: Vec<i32> =
            self.list("/proc")?.iter().filter_map(|name| name.parse().ok()).collect();
        let calls = pids.iter().map(|pid| read(&format!("/proc/{pid}/comm"))).collect();
        let comms = expect!(self.call(Call::Batch { calls })?, Value::Batch(a) => a)?;
        // A task may have exited since.
        let comms = comms.into_iter().map(|answer| answer.map_or(Ok(String::new()), text));
        let mut found = Vec::new();
        for (pid, comm) in pids.into_iter().zip(comms) {
            if wanted(&comm?) {
                found.push(pid);
            }
        }
        Ok(found)
    }

    /// Makes one call in a process of its own.
    pub fn spawn(&self, call: Call) -> Result<Task<'_>> {
        let call = Call::Spawn { call: Box::new(call) };
        let pid = expect!(self.call(call)?, Value::Task(pid) => pid)?;
        Ok(Task { vm: self, pid })
    }

    /// Makes one call in a process, and sends the process a signal that long after the call began.
    pub fn interrupt(&self, call: Call, signal: i32, after: Duration) -> Result<TaskEnd> {
        let after_us = after.as_micros() as u64;
        let limit_ms = self.ms(DEFAULT_LIMIT);
        let call = Call::Interrupt { call: Box::new(call), signal, after_us, limit_ms };
        expect!(self.call(call)?, Value::TaskEnd(end) => end)
    }

    /// Runs a program of the guest; returns its output if it exited with status 0.
    pub fn run(&self, argv: &[&str]) -> Result<String> {
        let argv: Vec<String> = argv.iter().map(|word| word.to_string()).collect();
        let name = argv.join(" ");
        let value = self.call(Call::Run { argv, limit_ms: self.ms(DEFAULT_LIMIT) })?;
        let (status, output) =
            expect!(value, Value::Program { status, output } => (status, output))?;
        let output = text(Value::Bytes(output))?;
        ensure!(status == Exit::Code(0), "{name}: {status:?}\n{output}");
        Ok(output)
    }
}

/// A process that makes one call.
pub struct Task<'a> {
    vm: &'a Vm,
    /// Its process id.
    pub pid: i32,
}

impl Task<'_> {
    /// Kills it, and waits for its end: inside the kernel it first completes the system call.
    pub fn kill(self, limit: Duration) -> Result<TaskEnd> {
        self.vm.call(Call::Kill { pid: self.pid, signal: Signal::SIGKILL as i32 })?;
        self.wait(limit)
    }

    /// Waits for the process to make its call, and takes the answer as [`Vm::call`] does.
    pub fn answer(self, limit: Duration) -> Result<Value> {
        let doing = format!("the call of process {}", self.pid);
        match self.wait(limit)? {
            TaskEnd::Answered(answer) => accepted(doing, *answer),
            TaskEnd::Died(exit) => bail!("{doing} is missing: the process ended with {exit:?}"),
        }
    }

    /// Waits for its end.
    pub fn wait(self, limit: Duration) -> Result<TaskEnd> {
        let call = Call::Reap { task: self.pid, limit_ms: self.vm.ms(limit) };
        expect!(self.vm.call(call)?, Value::TaskEnd(end) => end)
    }
}
