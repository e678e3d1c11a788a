// SPDX-License-Identifier: GPL-2.0

//! The demo's files: `/sys/kernel/debug/rust_smpboot_demo/`.

use super::{
    cpu::{
        Counter,
        Cpu, //
    },
    format::{
        self,
        Counts,
        COUNTS, //
    },
    streams::{
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
        Decimal,
        Dir,
        Number,
        Table, //
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
    fmt::{
        self,
        Display, //
    },
    prelude::*,
    sync::atomic::Relaxed, //
};

/// `cpu`, `online`, `state`, `pid`, each counter, `last_ns`, `max_ns`.
const COLUMNS: usize = 4 + COUNTS + 2;

fn columns<T: Copy>(first: [T; 4], counts: [T; COUNTS], last: [T; 2]) -> [T; COLUMNS] {
    let pieces = [&first[..], &counts, &last];
    let mut columns = [first[0]; COLUMNS];
    for (column, value) in columns.iter_mut().zip(pieces.into_iter().flatten()) {
        *column = *value;
    }
    columns
}

/// The file `summary`: a table of all CPUs.
struct Summary;

#[vtable]
impl Attribute for Summary {
    type Data = Registration<Demo>;

    fn show(demo: &Self::Data, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = ["cpu", "online", "state", "pid"];
        let names = Counts::from_fn(|_| ()).each().map(|(name, ..)| name);
        let mut table = Table::new(columns(first, names, ["last_ns", "max_ns"]));
        for (cpu, c) in demo.cpus.iter() {
            let thread = demo.threads().info(cpu);
            let is_online = hotplug::is_online(cpu);
            let first = [
                u64::from(cpu.as_u32()).into(),
                if is_online { "yes" } else { "no" }.into(),
                state(thread).into(),
                (pid(thread) as u64).into(),
            ];
            let latencies = [&c.latency_last, &c.latency_max];
            let row = columns(
                first,
                c.counts
                    .each()
                    .map(|(_, _, count)| count.load(Relaxed).into()),
                latencies.map(|latency| latency.load(Relaxed).into()),
            );
            table.push(row).map_err(|_| fmt::Error)?;
        }
        table.fmt(f)
    }
}

/// The file `wake`: takes a CPU list and wakes the threads of these CPUs.
struct Wake;

#[vtable]
impl Attribute for Wake {
    type Data = Registration<Demo>;

    fn store(demo: &Self::Data, input: &CStr) -> Result {
        let cpus = hotplug::parse_cpu_list(input)?;

        // A CPU of the list that is not possible has no thread to wake.
        for (_, cpu) in demo.cpus.iter().filter(|(cpu, _)| cpus.test(*cpu)) {
            cpu.wake(|cpu| demo.wake(cpu));
        }
        Ok(())
    }
}

/// The file `period_us`: the period of the timers that wake the threads, in microseconds; 0: no
/// timers.
struct Period;

#[vtable]
impl Attribute for Period {
    type Data = Registration<Demo>;

    fn show(demo: &Self::Data, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", Decimal(demo.period_us.load(Relaxed)))
    }

    fn store(demo: &Self::Data, input: &CStr) -> Result {
        let period_us = <Number>::parse(input)?;
        if !timer::is_period(period_us) {
            return Err(ERANGE);
        }
        demo.period_us.store(period_us, Relaxed);
        // The threads own the timers. The thread of an offline CPU reads the period when it is
        // unparked.
        for (_, cpu) in demo.cpus.iter_online() {
            cpu.wake(|cpu| demo.wake(cpu));
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
        Number::<0, 0>::parse(input)?;
        cpu.latencies.reset();
        Ok(())
    }
}

/// The PID of the thread of a CPU; 0 if the CPU has no thread.
struct Pid;

#[vtable]
impl Attribute for Pid {
    type Data = Cpu;

    fn show(cpu: &Cpu, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", pid(Threads::<Demo>::new().info(cpu.id)))
    }
}

/// The state of the thread of a CPU.
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

/// Creates the files.
pub(crate) fn fill<'data>(demo: &'data Registration<Demo>, dir: &Dir<'data>) {
    dir.file::<Summary>(format::SUMMARY.name, demo);
    dir.file::<Wake>(format::WAKE.name, demo);
    dir.file::<Period>(format::PERIOD.name, demo);
    let readers = &demo.common.readers;
    dir.stream::<Events<Text>>(format::EVENTS.name, demo, readers);
    dir.stream::<Events<Binary>>(format::EVENTS_BINARY.name, demo, readers);

    for (cpu, c) in demo.cpus.iter() {
        let dir = dir.dir(fmt!("cpu{}", cpu.as_u32()));

        for (_, name, counter) in c.counts.each() {
            dir.file::<Counter>(name, counter);
        }
        dir.file::<Counter>(format::LATENCY_LAST, &c.latency_last);
        dir.file::<Counter>(format::LATENCY_MAX, &c.latency_max);
        dir.file::<Latencies>(format::LATENCY_HIST, c);
        dir.file::<Pid>(format::PID, c);
        dir.file::<State>(format::STATE, c);
    }
}

#[kernel::macros::kunit_tests(rust_smpboot_files)]
mod tests {
    use super::*;
    use kernel::str::CString;

    #[test]
    fn columns_are_as_wide_as_their_widest_value() -> Result {
        let mut table = Table::new(["cpu", "state", "runs"]);
        table.push([0u64.into(), "parked".into(), u64::MAX.into()])?;
        table.push([8191u64.into(), "up".into(), 10u64.into()])?;

        let text = CString::try_from_fmt(fmt!("{table}"))?;
        let wanted = c" cpu state                  runs\n\
                       \x20  0 parked 18446744073709551615\n\
                       8191 up                       10\n";
        assert_eq!(&*text, wanted);
        Ok(())
    }

    #[test]
    fn a_table_without_rows_has_a_header() -> Result {
        let text = CString::try_from_fmt(fmt!("{}", Table::new(["cpu", "state"])))?;
        assert_eq!(&*text, c"cpu state\n");
        Ok(())
    }
}
