// SPDX-License-Identifier: GPL-2.0

//! Signals and affinity of tasks; programs with a time limit.

use crate::calls::Agent;
use crate::files::errno;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, pipe2};
use std::fs::File;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use wire::stopwatch::receive;
use wire::{Exit, Value};

pub fn exit(status: ExitStatus) -> Exit {
    match status.signal() {
        Some(signal) => Exit::Signal(signal),
        None => Exit::Code(status.code().unwrap_or(-1)),
    }
}

pub fn send(pid: i32, signal: i32) -> nix::Result<()> {
    let signal = match signal {
        0 => None,
        n => Some(Signal::try_from(n)?),
    };
    nix::sys::signal::kill(Pid::from_raw(pid), signal)
}

impl Agent {
    pub fn kill(&mut self, pid: i32, signal: i32) -> nix::Result<Value> {
        send(pid, signal).map(|()| Value::Unit)
    }

    pub fn set_affinity(&mut self, pid: i32, cpus: Vec<u32>) -> nix::Result<Value> {
        let mut set = CpuSet::new();
        for cpu in cpus {
            set.set(cpu as usize)?;
        }
        sched_setaffinity(Pid::from_raw(pid), &set)?;
        Ok(Value::Unit)
    }

    pub fn get_affinity(&mut self, pid: i32) -> nix::Result<Value> {
        let set = sched_getaffinity(Pid::from_raw(pid))?;
        let cpus = (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false));
        Ok(Value::Cpus(cpus.map(|cpu| cpu as u32).collect()))
    }

    /// Runs a program; returns standard output and error together, in the order of the writes.
    pub fn run(&mut self, argv: Vec<String>, limit_ms: u64) -> nix::Result<Value> {
        let limit = Duration::from_millis(limit_ms);
        let (name, arguments) = argv.split_first().ok_or(Errno::EINVAL)?;
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?; // orphans keep no copy
        let mut command = Command::new(name);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(writer.try_clone().map_err(errno)?)
            .stderr(writer)
            .process_group(0);
        let mut child = command.spawn().map_err(errno)?;
        drop(command); // the reader would wait for its copies of the pipe's end

        let group = Pid::from_raw(child.id() as i32);
        // The program may close its output, and may leave it open in other programs.
        let output = thread::spawn(move || {
            let mut output = Vec::new();
            File::from(reader).read_to_end(&mut output).map(|_| output)
        });
        let (died, death) = mpsc::channel();
        let (sender, ended) = mpsc::channel();
        thread::spawn(move || {
            let status = child.wait();
            let _ = died.send(());
            let _ = sender.send((status, output.join()));
        });
        let Ok((status, output)) = receive(&ended, limit) else {
            let _ = killpg(group, Signal::SIGKILL);
            let _ = death.recv();
            return Err(Errno::ETIME);
        };
        let output = output.map_err(|_| Errno::EIO)?;
        Ok(Value::Program { status: exit(status.map_err(errno)?), output: output.map_err(errno)? })
    }
}
