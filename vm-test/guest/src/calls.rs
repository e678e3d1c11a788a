// SPDX-License-Identifier: GPL-2.0

//! The agent: a method for each call of the table in `wire`. Calls made of other calls are here,
//! others in the file of their subject.

use crate::fail_nth::FailNth;
use crate::files::Handles;
use crate::kmsg::Log;
use crate::programs;
use crate::tasks::Tasks;
use nix::errno::Errno;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use std::time::{Duration, Instant};
use std::{io, thread};
use wire::{Call, Rounds, Stopped, Tally, Value};

pub struct Agent {
    pub handles: Handles,
    pub log: Log,
    pub tasks: Tasks,
}

macro_rules! dispatch {
    ($(
        $(#[$doc:meta])*
        $name:ident: $method:ident $(($($field:ident: $type:ty),+ $(,)?))?
            => $format:literal $(, $argument:expr)?;
    )*) => {
        impl Agent {
            pub fn call(&mut self, call: Call) -> nix::Result<Value> {
                match call {
                    $(Call::$name $({ $($field),+ })? => self.$method($($($field),+)?),)*
                }
            }
        }
    };
}

wire::calls!(dispatch);

impl Agent {
    pub fn new() -> io::Result<Agent> {
        Ok(Agent { handles: Handles::default(), log: Log::open()?, tasks: Tasks::default() })
    }

    /// Refuses a call that only `main` can handle.
    fn no_such_call(&mut self) -> nix::Result<Value> {
        Err(Errno::EINVAL)
    }

    fn pause(&mut self, us: u64) -> nix::Result<Value> {
        thread::sleep(Duration::from_micros(us));
        Ok(Value::Unit)
    }

    fn batch(&mut self, calls: Vec<Call>) -> nix::Result<Value> {
        let answers = calls.into_iter().map(|call| self.call(call).map_err(|e| e as i32));
        Ok(Value::Batch(answers.collect()))
    }

    /// Repeats the calls for at most that time, as in `churn`.
    fn repeat(&mut self, times: u32, calls: Vec<Call>, limit_ms: u64) -> nix::Result<Value> {
        let (start, limit) = (Instant::now(), Duration::from_millis(limit_ms));
        for done in 0..times {
            if start.elapsed() > limit {
                return Ok(Value::Rounds(Rounds { done, stopped: Some(Stopped::Limit) }));
            }
            for (index, call) in calls.iter().enumerate() {
                if let Err(errno) = self.call(call.clone()) {
                    let stopped = Stopped::Failed { call: index as u32, errno: errno as i32 };
                    return Ok(Value::Rounds(Rounds { done, stopped: Some(stopped) }));
                }
            }
        }
        Ok(Value::Rounds(Rounds { done: times, stopped: None }))
    }

    /// Continues for that time. A call may take any part of it, so a `Stopwatch` does not fit: it
    /// counts at most a second of each gap.
    fn churn(
        &mut self,
        seed: u64,
        calls: Vec<Call>,
        pause_us: u64,
        limit_ms: u64,
    ) -> nix::Result<Value> {
        let (start, limit) = (Instant::now(), Duration::from_millis(limit_ms));
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
        Ok(Value::Tallies(tallies))
    }

    fn interrupt(
        &mut self,
        call: Box<Call>,
        signal: i32,
        after_us: u64,
        limit_ms: u64,
    ) -> nix::Result<Value> {
        let task = self.tasks.spawn(&call)?;
        thread::sleep(Duration::from_micros(after_us));
        programs::send(task, signal)?;
        self.reap(task, limit_ms)
    }

    /// The kernel counts down in the file, for one task. The rest of the count was not needed and
    /// is cleared.
    #[expect(clippy::boxed_local, reason = "the type in the table of calls")]
    fn fail_nth(&mut self, pid: i32, nth: u32, call: Box<Call>) -> nix::Result<Value> {
        let mut file = FailNth::of(pid)?;
        file.set(nth)?;
        let answer = self.call(*call).map_err(|e| e as i32);
        let injected = file.left()? == 0;
        file.set(0)?;
        Ok(Value::FailedNth { injected, answer: Box::new(answer) })
    }

    #[expect(clippy::boxed_local, reason = "the type in the table of calls")]
    fn as_user(&mut self, uid: u32, call: Box<Call>) -> nix::Result<Value> {
        let (group, user) = (Gid::from_raw(uid), Uid::from_raw(uid));
        setgroups(&[])?;
        setresgid(group, group, group)?;
        setresuid(user, user, user)?;
        self.call(*call)
    }
}
