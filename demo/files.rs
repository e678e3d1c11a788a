// SPDX-License-Identifier: GPL-2.0

//! The demo's files: `/sys/kernel/debug/rust_smpboot_demo/`.

use super::{
    cpu::{
        Counter,
        Cpu, //
    },
    log::{
        Binary,
        Events,
        Text, //
    },
    threads::Demo,
    timer, //
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
        for (cpu, c) in demo.cpus.iter() {
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
            if let Some(cpu) = demo.cpus.get(cpu) {
                cpu.wake(demo.threads());
            }
        }
        Ok(())
    }
}

/// The period of the wakes by timer, in microseconds; 0: none.
struct Period;

#[vtable]
impl Attribute for Period {
    type Data = Registration<Demo>;

    fn show(demo: &Self::Data, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", demo.period_us.load(Relaxed))
    }

    fn store(demo: &Self::Data, input: &CStr) -> Result {
        let period_us = parse_u64(input)?;
        if !timer::is_period(period_us) {
            return Err(EINVAL);
        }
        demo.period_us.store(period_us, Relaxed);
        // The threads own the timers. Those of CPUs that are offline look when they are back.
        for (_, cpu) in demo.cpus.iter_online() {
            cpu.wake(demo.threads());
        }
        Ok(())
    }
}

/// The latencies of the thread of a CPU. Writing 0 empties the buckets.
struct Latencies;

#[vtable]
impl Attribute for Latencies {
    type Data = Cpu;

    fn show(cpu: &Cpu, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        cpu.latencies.show(f)
    }

    fn store(cpu: &Cpu, input: &CStr) -> Result {
        if parse_u64(input)? != 0 {
            return Err(EINVAL);
        }
        cpu.latencies.reset();
        Ok(())
    }
}

/// As the kernel's `kstrtoull()`, in base 10: `EINVAL` for what is no number, `ERANGE` for one that
/// does not fit. One newline at the end is allowed.
fn parse_u64(input: &CStr) -> Result<u64> {
    let digits = input.to_bytes();
    let digits = digits.strip_suffix(b"\n").unwrap_or(digits);
    let digits = digits.strip_prefix(b"+").unwrap_or(digits);
    if digits.is_empty() {
        return Err(EINVAL);
    }
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(EINVAL);
    }
    digits.iter().try_fold(0u64, |number, digit| {
        number
            .checked_mul(10)
            .and_then(|n| n.checked_add((digit - b'0').into()))
            .ok_or(ERANGE)
    })
}

/// The number of the thread of a CPU; 0 if there is none.
struct Pid;

#[vtable]
impl Attribute for Pid {
    type Data = Cpu;

    fn show(cpu: &Cpu, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", pid(Threads::<Demo>::new().info(cpu.id)))
    }
}

/// What the thread of a CPU is doing.
struct State;

#[vtable]
impl Attribute for State {
    type Data = Cpu;

    fn show(cpu: &Cpu, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", state(Threads::<Demo>::new().info(cpu.id)))
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
    dir.file::<Period>(c"period_us", demo);
    dir.stream::<Events<Text>>(c"events", demo);
    dir.stream::<Events<Binary>>(c"events_binary", demo);

    for (cpu, c) in demo.cpus.iter() {
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
            dir.file::<Counter>(name, counter);
        }
        dir.file::<Latencies>(c"latency_hist", c);
        dir.file::<Pid>(c"pid", c);
        dir.file::<State>(c"state", c);
    }
}
