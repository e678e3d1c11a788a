// SPDX-License-Identifier: GPL-2.0

//! The demo module: its counters and log lines, as tests see them, and recordings of runs.

pub mod recorder;
mod trace_dat;

use anyhow::{Context, Result, bail, ensure};
use demo_format::events;
use demo_format::files;
use demo_format::format;
use demo_format::life::{self, Violation};
use host::guest::calls::read;
use host::guest::{DEFAULT_LIMIT, Handle, text};
use host::{Vm, clock};
use report::run::About;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::process::Command;
use wire::{Access, Record, Until};

pub use demo_format::format::{DIRECTORY, Kind, MODULE};
/// Takes a list of CPUs to wake.
pub const WAKE: &str = format::WAKE.path;
/// Period of the timers in µs; 0: off.
pub const PERIOD: &str = format::PERIOD.path;
/// The events as records.
pub const EVENTS_BINARY: &str = format::EVENTS_BINARY.path;
/// Beginning of the threads' names.
pub const COMM: &str = "rust_demo/";

/// Counters of one CPU's thread. `should_run` stays 0: the kernel calls that at any time.
pub type Counts = format::Counts<u64>;

/// Counters of every possible CPU.
pub type AllCounts = BTreeMap<u32, Counts>;

/// The CPU and the callback that a record logs.
pub fn step(record: &Record) -> Option<(u32, Kind)> {
    let text = record.text.strip_prefix(MODULE)?.strip_prefix(": cpu")?;
    let (cpu, name) = text.split_once(": ")?;
    let step = Kind::ALL.iter().find(|step| step.name() == name)?;
    Some((cpu.parse().ok()?, *step))
}

/// The module in a VM.
pub struct Demo<'a> {
    pub vm: &'a Vm,
    possible: Vec<u32>,
    /// Number of the first record that `steps` has not read.
    next_record: Cell<u64>,
}

impl<'a> Demo<'a> {
    /// Loads the module, and waits for `setup` of each online CPU's thread.
    pub fn load(vm: &'a Vm) -> Result<Demo<'a>> {
        let demo = Demo::attach(vm)?;
        vm.insmod(MODULE, "")?;
        let online = vm.cpus("online")?;
        demo.wait_for(online.iter().map(|cpu| (*cpu, "setup", 1)))?;
        Ok(demo)
    }

    /// Prepares for a module that the caller loads later.
    pub fn attach(vm: &'a Vm) -> Result<Demo<'a>> {
        vm.require("debugfs")?;
        vm.kmsg()?;
        let next = vm.records().last().map_or(0, |record| record.seq + 1);
        Ok(Demo { vm, possible: vm.cpus("possible")?, next_record: Cell::new(next) })
    }

    /// Unloads the module after a check of the life cycles of all threads.
    pub fn unload(&self) -> Result<()> {
        check_life_cycles(self.vm)?;
        self.vm.rmmod(MODULE)
    }

    pub fn possible(&self) -> &[u32] {
        &self.possible
    }

    pub fn is_loaded(&self) -> Result<bool> {
        Ok(self.vm.modules()?.iter().any(|name| name == MODULE))
    }

    pub fn wake(&self, list: &str) -> Result<()> {
        self.vm.write(WAKE, list)
    }

    pub fn summary(&self) -> Result<String> {
        self.vm.read(format::SUMMARY.path)
    }

    /// Sets the period to 0: each thread stops its own timer in its next run, and is not woken
    /// again.
    pub fn stop_timers(&self) -> Result<()> {
        self.vm.write(PERIOD, "0")?;
        self.all_sleep()
    }

    /// Waits until the threads of all online CPUs sleep, with no pending wake.
    pub fn all_sleep(&self) -> Result<()> {
        let online = self.vm.cpus("online")?.into_iter();
        self.vm.wait_for_all(
            online.map(|cpu| (file(cpu, "state"), Until::Is("sleeping".into()))).collect(),
        )
    }

    pub fn pid(&self, cpu: u32) -> Result<i32> {
        Ok(self.vm.read(&file(cpu, "pid"))?.parse()?)
    }

    pub fn state(&self, cpu: u32) -> Result<String> {
        self.vm.read(&file(cpu, "state"))
    }

    pub fn counts(&self, cpu: u32) -> Result<Counts> {
        self.all_counts()?.remove(&cpu).with_context(|| format!("CPU {cpu} is not possible"))
    }

    /// Reads the counters from `summary`, one file for all CPUs.
    pub fn all_counts(&self) -> Result<AllCounts> {
        let threads = files::threads(&self.summary()?)?;
        Ok(threads.into_iter().map(|(cpu, thread)| (cpu, thread.counts)).collect())
    }

    /// Reads the counters from the files of each CPU.
    pub fn counts_of_files(&self) -> Result<AllCounts> {
        let names: Vec<_> = Counts::default().named().map(|(name, _)| name).collect();
        let files = self.possible.iter().flat_map(|cpu| names.iter().map(|name| file(*cpu, name)));
        let values = self.vm.batch(files.map(|file| read(&file)).collect())?;
        let mut values = values.into_iter();
        let mut next = || -> Result<u64> { Ok(text(values.next().context("no count")?)?.parse()?) };
        self.possible.iter().map(|cpu| Ok((*cpu, Counts::read(|_| next())?))).collect()
    }

    /// Waits until each of these counters has at least this value.
    pub fn wait_for(&self, wanted: impl Iterator<Item = (u32, &'static str, u64)>) -> Result<()> {
        let wanted = wanted.map(|(cpu, name, least)| (file(cpu, name), Until::AtLeast(least)));
        self.vm.wait_for_all(wanted.collect())
    }

    /// Waits until no counter is below the wanted one; fails if any differs then.
    pub fn settles_at(&self, wanted: &AllCounts) -> Result<()> {
        let now = self.all_counts()?;
        let mut behind = Vec::new();
        for (cpu, wanted) in wanted {
            let now = now.get(cpu).copied().unwrap_or_default();
            for ((name, now), (_, wanted)) in now.named().zip(wanted.named()) {
                if now < wanted {
                    behind.push((*cpu, name, wanted));
                }
            }
        }
        if !behind.is_empty() {
            self.wait_for(behind.into_iter())?;
        }
        let now = self.all_counts()?;
        let differences = differences(wanted, &now);
        ensure!(differences.is_empty(), "{}", differences.join("; "));
        Ok(())
    }

    /// Returns the steps that were logged since the last call; waits until there are this many.
    pub fn steps(&self, least: usize) -> Result<Vec<(u32, Kind)>> {
        let start = clock::now();
        let limit = self.vm.limit(DEFAULT_LIMIT);
        loop {
            self.vm.kmsg()?;
            let records = self.vm.records();
            let new = records.iter().filter(|record| record.seq >= self.next_record.get());
            let steps: Vec<_> = new.filter_map(step).collect();
            if steps.len() >= least {
                self.next_record.set(records.last().map_or(0, |record| record.seq + 1));
                return Ok(steps);
            }
            if clock::now() - start > limit {
                bail!("{} of {least} steps are in the kernel log: {steps:?}", steps.len());
            }
        }
    }

    /// Waits until exactly these steps are logged since the last call, in this order for each CPU.
    pub fn logged(&self, wanted: &[(u32, Kind)]) -> Result<()> {
        let mut seen = self.steps(wanted.len())?;
        let mut wanted = wanted.to_vec();
        seen.sort_by_key(|(cpu, _)| *cpu);
        wanted.sort_by_key(|(cpu, _)| *cpu);
        ensure!(seen == wanted, "the kernel log has {}, expected {}", show(&seen), show(&wanted));
        Ok(())
    }
}

/// The description of a picture of a run in this VM.
pub fn about(vm: &Vm, title: impl Into<String>) -> About {
    let machine = vm.machine();
    About {
        title: title.into(),
        release: machine.kernel.release.clone(),
        arch: machine.arch.name().into(),
        cpus: vm.config().cpus,
        accelerator: machine.accel.accel.to_string(),
        date: date(),
    }
}

/// The present time as text.
pub fn date() -> String {
    let date = Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]).output();
    date.map(|date| String::from_utf8_lossy(&date.stdout).trim().into()).unwrap_or_default()
}

/// Time that an emulator takes for an action of each CPU, as a multiple of that of four CPUs.
pub fn share(cpus: usize) -> u64 {
    cpus.div_ceil(4) as u64
}

/// The pids of all threads of the module, in ascending order.
pub fn pids(vm: &Vm) -> Result<Vec<i32>> {
    let mut pids = vm.tasks(|comm| comm.starts_with(COMM))?;
    pids.sort();
    Ok(pids)
}

/// The text of `summary`, and of each possible CPU's `latency_hist`.
pub fn tables(vm: &Vm) -> Result<(String, BTreeMap<u32, String>)> {
    let possible = vm.cpus("possible")?;
    let mut calls = vec![read(format::SUMMARY.path)];
    calls.extend(possible.iter().map(|cpu| read(&file(*cpu, "latency_hist"))));
    let mut values = vm.batch(calls)?.into_iter().map(text);
    let summary = values.next().context("no summary")??;
    let latencies = possible.into_iter().zip(values).map(|(cpu, text)| Ok((cpu, text?)));
    Ok((summary, latencies.collect::<Result<_>>()?))
}

/// Reads the present events of `events_binary` onto the end of `bytes`.
pub fn drain(file: &Handle<'_>, bytes: &mut Vec<u8>) -> Result<()> {
    file.drain(bytes, format::Record::SIZE, events::capacity(file.vm().config().cpus))
}

/// Checks that the events so far form a legal life cycle for each thread.
pub fn check_life_cycles(vm: &Vm) -> Result<()> {
    let mut bytes = Vec::new();
    drain(&vm.open(EVENTS_BINARY, Access::ReadNow)?, &mut bytes)?;
    ensure_legal(life::check(&events::parse(&bytes)?))
}

/// Fails if there are violations of a thread's life cycle.
pub fn ensure_legal(violations: Vec<Violation>) -> Result<()> {
    let lines: Vec<String> = violations.iter().map(Violation::to_string).collect();
    ensure!(lines.is_empty(), "illegal sequence of callbacks:\n{}", lines.join("\n"));
    Ok(())
}

/// A file of one CPU in debugfs.
pub fn file(cpu: u32, name: &str) -> String {
    format!("{DIRECTORY}/cpu{cpu}/{name}")
}

fn show(steps: &[(u32, Kind)]) -> String {
    let words: Vec<_> =
        steps.iter().map(|(cpu, step)| format!("cpu{cpu}: {}", step.name())).collect();
    format!("[{}]", words.join(", "))
}

/// Counters that differ from the wanted ones, as text.
pub fn differences(wanted: &AllCounts, seen: &AllCounts) -> Vec<String> {
    let mut differences = Vec::new();
    for (cpu, wanted) in wanted {
        let Some(seen) = seen.get(cpu) else {
            differences.push(format!("cpu{cpu}: no counters"));
            continue;
        };
        for ((name, wanted), (_, seen)) in wanted.named().zip(seen.named()) {
            if wanted != seen {
                differences.push(format!("cpu{cpu}: {name} is {seen}, expected {wanted}"));
            }
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str) -> Record {
        Record { seq: 0, time_us: 0, level: 6, user: false, text: text.into() }
    }

    #[test]
    fn steps_are_read_from_the_log() {
        let got = step(&record("rust_smpboot_demo: cpu12: cleanup(offline)"));
        assert_eq!(got, Some((12, Kind::CleanupOffline)));
        for wanted in Kind::ALL {
            let got = step(&record(&format!("rust_smpboot_demo: cpu0: {}", wanted.name())));
            assert_eq!(got, Some((0, *wanted)));
        }
    }

    #[test]
    fn other_lines_log_no_step() {
        for text in [
            "smpboot: CPU 1 is now offline",
            "rust_smpboot_demo: cpux: park",
            "rust_smpboot_demo: x",
        ] {
            assert_eq!(step(&record(text)), None, "{text}");
        }
    }

    #[test]
    fn a_difference_names_cpu_counter_and_both_values() {
        let wanted = AllCounts::from([(0, Counts::SET_UP), (1, Counts::SET_UP)]);
        let mut seen = wanted.clone();
        assert!(differences(&wanted, &seen).is_empty());
        seen.insert(1, Counts { park: 2, ..Counts::SET_UP });
        assert_eq!(differences(&wanted, &seen), ["cpu1: park is 2, expected 0"]);
        seen.remove(&1);
        assert_eq!(differences(&wanted, &seen), ["cpu1: no counters"]);
    }
}
