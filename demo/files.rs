// SPDX-License-Identifier: GPL-2.0

//! The demo's files: `/sys/kernel/debug/rust_smpboot_demo/`.

use super::{
    counters::Counters,
    threads::Demo, //
};
use crate::{
    debugfs::{
        Attribute,
        Dir, //
    },
    smpboot::{
        hotplug,
        Registration,
        ThreadInfo,
        ThreadState,
        Threads, //
    },
};
use kernel::{
    fmt,
    prelude::*,
    sync::atomic::Relaxed, //
};

/// The table for people.
struct Summary;

#[vtable]
impl Attribute for Summary {
    type Data = Registration<Demo>;

    fn show(demo: &Self::Data, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "cpu online state       pid create setup should_run        run   park unpark cleanup\
             \x20      wake last_ns   max_ns"
        )?;
        for (cpu, c) in demo.counters.iter() {
            let thread = demo.threads().info(cpu);
            writeln!(
                f,
                "{:>3} {:<6} {:<8} {:>6} {:>6} {:>5} {:>10} {:>10} {:>6} {:>6} {:>7} {:>10} {:>7} {:>8}",
                cpu.as_u32(),
                if hotplug::is_online(cpu) { "yes" } else { "no" },
                state(thread),
                pid(thread),
                c.create.load(Relaxed),
                c.setup.load(Relaxed),
                c.should_run.load(Relaxed),
                c.run.load(Relaxed),
                c.park.load(Relaxed),
                c.unpark.load(Relaxed),
                c.cleanup.load(Relaxed),
                c.wake.load(Relaxed),
                c.latency_last.load(Relaxed),
                c.latency_max.load(Relaxed),
            )?;
        }
        Ok(())
    }
}

/// Takes a CPU list, and wakes the threads of these CPUs.
struct Wake;

#[vtable]
impl Attribute for Wake {
    type Data = Registration<Demo>;

    fn store(demo: &Self::Data, input: &CStr) -> Result {
        let cpus = hotplug::parse_cpu_list(input)?;

        for cpu in hotplug::cpus_of(&cpus) {
            // A list such as "all" may hold CPUs that are not possible: there is nothing to wake.
            if let Some(counters) = demo.counters.get(cpu) {
                counters.wake_begins();
                let _ = demo.threads().wake(cpu);
            }
        }
        Ok(())
    }
}

/// The number of the thread of a CPU; 0 if there is none.
struct Pid;

#[vtable]
impl Attribute for Pid {
    type Data = Counters;

    fn show(counters: &Counters, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", pid(Threads::<Demo>::new().info(counters.cpu)))
    }
}

/// What the thread of a CPU is doing.
struct State;

#[vtable]
impl Attribute for State {
    type Data = Counters;

    fn show(counters: &Counters, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", state(Threads::<Demo>::new().info(counters.cpu)))
    }
}

fn pid(thread: Option<ThreadInfo>) -> i32 {
    thread.map_or(0, |t| t.pid)
}

fn state(thread: Option<ThreadInfo>) -> &'static str {
    match thread.map(|t| t.state) {
        None => "none",
        Some(ThreadState::Parked) => "parked",
        Some(ThreadState::Sleeping) => "sleeping",
        Some(ThreadState::Running) => "running",
    }
}

/// Makes the files.
pub(crate) fn fill<'data>(demo: &'data Registration<Demo>, dir: &Dir<'data>) {
    dir.file::<Summary>(c"summary", demo);
    dir.file::<Wake>(c"wake", demo);

    for (cpu, c) in demo.counters.iter() {
        let dir = dir.dir(fmt!("cpu{}", cpu.as_u32()));

        for (name, counter) in [
            (c"create", &c.create),
            (c"setup", &c.setup),
            (c"should_run", &c.should_run),
            (c"run", &c.run),
            (c"park", &c.park),
            (c"unpark", &c.unpark),
            (c"cleanup", &c.cleanup),
            (c"wake", &c.wake),
            (c"latency_last_ns", &c.latency_last),
            (c"latency_max_ns", &c.latency_max),
        ] {
            dir.file::<super::counters::Counter>(name, counter);
        }
        dir.file::<Pid>(c"pid", c);
        dir.file::<State>(c"state", c);
    }
}
