// SPDX-License-Identifier: GPL-2.0

//! From a call to who does it.

use crate::fail_nth::FailNth;
use crate::files::{self, Handles};
use crate::kmsg::Kmsg;
use crate::tasks::Tasks;
use crate::{fuzz, modules, programs, shell};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Gid, Pid, Uid, setgroups, setresgid, setresuid};
use std::time::{Duration, Instant};
use std::{io, thread};
use wire::{Call, Rounds, Stopped, Tally, Value};

pub struct Agent {
    handles: Handles,
    kmsg: Kmsg,
    tasks: Tasks,
}

impl Agent {
    pub fn new() -> io::Result<Agent> {
        Ok(Agent { handles: Handles::default(), kmsg: Kmsg::open()?, tasks: Tasks::default() })
    }

    pub fn call(&mut self, call: Call) -> nix::Result<Value> {
        match call {
            Call::Read { path } => files::read(&path).map(Value::Bytes),
            Call::Symbols { names } => files::symbols(&names).map(Value::Bytes),
            Call::Write { path, data } => files::write(&path, &data).map(Value::Count),
            Call::List { path } => files::list(&path).map(Value::Names),
            Call::Stat { path } => files::stat(&path),
            Call::Open { path, access } => self.handles.open(&path, access).map(Value::Handle),
            Call::ReadHandle { handle, max } => self.handles.read(handle, max).map(Value::Bytes),
            Call::ReadFaulting { handle, valid, max } => {
                self.handles.read_faulting(handle, valid, max).map(Value::Bytes)
            }
            Call::ReadBeside { handle, max } => {
                self.handles.read_beside(handle, max).map(Value::Bytes)
            }
            Call::WriteHandle { handle, data } => {
                self.handles.write(handle, &data).map(Value::Count)
            }
            Call::Close { handle } => self.handles.close(handle).map(unit),
            Call::WaitFor { path, until, limit_ms } => {
                files::wait_for(&path, &until, Duration::from_millis(limit_ms))
            }
            Call::Mount { source, target, fstype, options } => {
                let flags = MsFlags::empty();
                let (source, target) = (Some(source.as_str()), target.as_str());
                mount(source, target, Some(fstype.as_str()), flags, Some(options.as_str()))
                    .map(unit)
            }
            Call::LoadModule { path, params } => modules::load(&path, &params).map(unit),
            Call::UnloadModule { name } => modules::unload(&name).map(unit),
            Call::SetAffinity { pid, cpus } => set_affinity(pid, &cpus).map(unit),
            Call::GetAffinity { pid } => get_affinity(pid).map(Value::Cpus),
            Call::Kill { pid, signal } => programs::kill(pid, signal).map(unit),
            Call::Kmsg => self.kmsg.drain().map(Value::Kmsg),
            Call::Run { argv, limit_ms } => programs::run(&argv, Duration::from_millis(limit_ms)),
            Call::Pause { us } => {
                thread::sleep(Duration::from_micros(us));
                Ok(Value::Unit)
            }
            Call::Batch { calls } => Ok(Value::Batch(
                calls.into_iter().map(|call| self.call(call).map_err(|e| e as i32)).collect(),
            )),
            Call::Repeat { times, calls, limit_ms } => {
                Ok(Value::Rounds(self.repeat(times, &calls, Duration::from_millis(limit_ms))))
            }
            Call::Churn { seed, calls, pause_us, limit_ms } => {
                let limit = Duration::from_millis(limit_ms);
                Ok(Value::Tallies(self.churn(seed, &calls, pause_us, limit)))
            }
            Call::Spawn { call } => self.tasks.spawn(&call).map(Value::Task),
            Call::Reap { task, limit_ms } => {
                self.tasks.reap(task, Duration::from_millis(limit_ms)).map(Value::TaskEnd)
            }
            Call::Interrupt { call, signal, after_us, limit_ms } => {
                let task = self.tasks.spawn(&call)?;
                thread::sleep(Duration::from_micros(after_us));
                programs::kill(task, signal)?;
                self.tasks.reap(task, Duration::from_millis(limit_ms)).map(Value::TaskEnd)
            }
            Call::FailNth { pid, nth, call } => self.fail_nth(pid, nth, *call),
            Call::As { uid, call } => {
                let (group, user) = (Gid::from_raw(uid), Uid::from_raw(uid));
                setgroups(&[])?;
                setresgid(group, group, group)?;
                setresuid(user, user, user)?;
                self.call(*call)
            }
            Call::Fuzz { path, words, seed, times } => {
                fuzz::run(&path, &words, seed, times).map(Value::Tally)
            }
            Call::Shell { tty, rows, columns, vars, script } => {
                shell::run(&tty, [rows, columns], vars, script.as_deref())
            }
            Call::PowerOff | Call::Suspend => Err(Errno::EINVAL), // main's, and of no use inside a batch
        }
    }

    /// Goes on for that time, of which a call may take any part: no limit for a `Stopwatch`, which counts a second of each.
    fn churn(&mut self, seed: u64, calls: &[Call], pause_us: u64, limit: Duration) -> Vec<Tally> {
        let start = Instant::now();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut tallies = vec![Tally::default(); calls.len()];
        while start.elapsed() < limit {
            let index = random.usize(..calls.len());
            match self.call(calls[index].clone()) {
                Ok(_) => tallies[index].done += 1,
                Err(_) => tallies[index].refused += 1,
            }
            if pause_us > 0 {
                thread::sleep(Duration::from_micros(random.u64(..=pause_us)));
            }
        }
        tallies
    }

    /// The kernel counts down in the file, for this thread alone; what is left was not needed.
    fn fail_nth(&mut self, pid: i32, nth: u32, call: Call) -> nix::Result<Value> {
        let mut file = FailNth::of(pid)?;
        file.set(nth)?;
        let answer = self.call(call).map_err(|e| e as i32);
        let injected = file.left()? == 0;
        file.set(0)?;
        Ok(Value::FailedNth { injected, answer: Box::new(answer) })
    }

    /// At most for that time, as in `churn`.
    fn repeat(&mut self, times: u32, calls: &[Call], limit: Duration) -> Rounds {
        let start = Instant::now();
        for done in 0..times {
            if start.elapsed() > limit {
                return Rounds { done, stopped: Some(Stopped::Limit) };
            }
            for (index, call) in calls.iter().enumerate() {
                if let Err(errno) = self.call(call.clone()) {
                    let stopped = Stopped::Failed { call: index as u32, errno: errno as i32 };
                    return Rounds { done, stopped: Some(stopped) };
                }
            }
        }
        Rounds { done: times, stopped: None }
    }
}

fn unit(_: ()) -> Value {
    Value::Unit
}

fn set_affinity(pid: i32, cpus: &[u32]) -> nix::Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu as usize)?;
    }
    sched_setaffinity(Pid::from_raw(pid), &set)
}

fn get_affinity(pid: i32) -> nix::Result<Vec<u32>> {
    let set = sched_getaffinity(Pid::from_raw(pid))?;
    let cpus = (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false));
    Ok(cpus.map(|cpu| cpu as u32).collect())
}
