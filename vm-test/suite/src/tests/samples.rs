// SPDX-License-Identifier: GPL-2.0

//! The samples, and a fixture for the tests of modules with files of their own.

mod cpu_stop;
mod cpuhp;
mod idle_inject;
mod ksoftirqd;
mod rcuc;

use anyhow::{Context, Result, bail, ensure};
use host::errors::refused;
use host::guest::calls::{read, write};
use host::guest::{DEFAULT_LIMIT, text};
use host::{Vm, clock};
use nix::errno::Errno;
use wire::{Call, Until};

/// The names of all modules.
pub const SAMPLES: &[&str] =
    &["rust_cpu_stop", "rust_cpuhp", "rust_idle_inject", "rust_ksoftirqd", "rust_rcuc"];

/// A module that is loaded, and its files in `/sys/kernel/debug/MODULE`.
pub struct Sample<'a> {
    pub vm: &'a Vm,
    module: &'static str,
}

impl<'a> Sample<'a> {
    pub fn load(vm: &'a Vm, module: &'static str) -> Result<Sample<'a>> {
        vm.insmod(module, "")?;
        Ok(Sample::loaded(vm, module))
    }

    pub fn loaded(vm: &'a Vm, module: &'static str) -> Sample<'a> {
        Sample { vm, module }
    }

    /// Unloads it; checks that no thread of it is left.
    pub fn unload(self) -> Result<()> {
        self.vm.rmmod(self.module)?;
        let left = self.vm.tasks(|name| name.starts_with("rust_"))?;
        ensure!(left.is_empty(), "threads still exist after rmmod: {left:?}");
        Ok(())
    }

    pub fn path(&self, file: &str) -> String {
        format!("/sys/kernel/debug/{}/{file}", self.module)
    }

    pub fn read(&self, file: &str) -> Result<String> {
        self.vm.read(&self.path(file))
    }

    pub fn write(&self, file: &str, text: impl ToString) -> Result<()> {
        self.vm.write(&self.path(file), text.to_string())
    }

    /// The same write as a call, for a task.
    pub fn writing(&self, file: &str, text: impl ToString) -> Call {
        write(&self.path(file), text.to_string())
    }

    pub fn number(&self, file: &str) -> Result<u64> {
        self.numbers([file]).map(|[number]| number)
    }

    /// The numbers in these files, which are read in one message.
    pub fn numbers<const N: usize>(&self, files: [impl AsRef<str>; N]) -> Result<[u64; N]> {
        let values = self.vm.batch(files.map(|file| read(&self.path(file.as_ref()))).into())?;
        let mut numbers = [0; N];
        for (number, value) in numbers.iter_mut().zip(values) {
            *number = text(value)?.parse()?;
        }
        Ok(numbers)
    }

    /// Waits until the file reads as `text`.
    pub fn until(&self, file: &str, text: impl ToString) -> Result<()> {
        self.vm.wait_for(&self.path(file), Until::Is(text.to_string()))
    }

    /// Waits until the file's number is at least this.
    pub fn at_least(&self, file: &str, number: u64) -> Result<()> {
        self.vm.wait_for(&self.path(file), Until::AtLeast(number))
    }

    /// Checks that nothing is lost or doubled: waits until the count `to` is that of `from`.
    pub fn all_arrives(&self, from: &str, to: &str) -> Result<()> {
        let from = self.number(from)?;
        self.at_least(to, from)?;
        assert_eq!(self.number(to)?, from, "{to}");
        Ok(())
    }

    /// Takes all removable CPUs offline, one after the other, and brings them back online. In
    /// between, `check` gets these CPUs, while only CPU 0 is online.
    pub fn round(&self, check: impl FnOnce(&[u32]) -> Result<()>) -> Result<()> {
        let cpus = self.vm.removable()?;
        for cpu in &cpus {
            self.vm.cpu(*cpu).offline()?;
        }
        check(&cpus)?;
        for cpu in cpus {
            self.vm.cpu(cpu).online()?;
        }
        Ok(())
    }

    /// Checks that each input to a file fails with its error, and changes none of `readable`.
    pub fn refuses(&self, inputs: &[(&str, &str, Errno)], readable: &[&str]) -> Result<()> {
        let all = || readable.iter().map(|file| self.read(file)).collect::<Result<Vec<_>>>();
        let before = all()?;
        for (file, input, errno) in inputs {
            assert_eq!(refused(self.write(file, input))?, *errno, "{input:?} to {file}");
        }
        assert_eq!(all()?, before);
        Ok(())
    }
}

/// A task's scheduling class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Class {
    /// The priority of a FIFO task; 0 for a normal one.
    pub fifo: u32,
    pub nice: i32,
}

/// Returns the class of the thread of this name.
pub fn class(vm: &Vm, comm: &str) -> Result<Class> {
    let pids = vm.tasks(|other| other == comm)?;
    let [pid] = pids[..] else { bail!("{} threads are called {comm}", pids.len()) };
    let stat = vm.read(&format!("/proc/{pid}/stat"))?;
    parse(&stat).with_context(|| format!("stat of {comm}: {stat}"))
}

/// Fields 19, 40 and 41 of stat, counted from behind the name, which is field 2.
fn parse(stat: &str) -> Option<Class> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |n: usize| fields.get(n - 3)?.parse::<i32>().ok();
    let fifo = match field(41)? {
        0 => 0,
        1 => field(40)?.try_into().ok()?,
        _ => return None,
    };
    // FIFO tasks keep a nice value without a meaning.
    Some(Class { fifo, nice: if fifo == 0 { field(19)? } else { 0 } })
}

/// Waits until this number of lines of the test's kernel log begin with `beginning`; returns them.
pub fn logged(vm: &Vm, beginning: &str, times: usize) -> Result<Vec<String>> {
    let start = clock::now();
    let limit = vm.limit(DEFAULT_LIMIT);
    loop {
        vm.kmsg()?;
        let records = vm.records();
        let lines = records.iter().filter(|record| record.text.starts_with(beginning));
        let lines: Vec<String> = lines.map(|record| record.text.clone()).collect();
        if lines.len() == times {
            return Ok(lines);
        }
        if lines.len() > times || clock::now() - start > limit {
            bail!(
                "the log has {} lines that begin with \"{beginning}\", expected {times}",
                lines.len()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "12 (a) b) S 2 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 13 -7 1 0 5 0 0 \
                        18446744073709551615 0 0 0 0 0 0 0 2147483647 0 1 0 0 17 1 0 0 0 0 0";

    #[test]
    fn every_sample_is_listed() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples");
        for entry in std::fs::read_dir(directory).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            let Some(name) = file.strip_suffix(".rs") else { continue };
            assert!(SAMPLES.contains(&name), "SAMPLES lacks {name}");
        }
    }

    #[test]
    fn a_normal_task_has_a_nice_value() {
        assert_eq!(parse(STAT), Some(Class { fifo: 0, nice: -7 }));
    }

    #[test]
    fn a_fifo_task_has_a_priority() {
        let stat = STAT.replace("17 1 0 0", "17 1 50 1");
        assert_eq!(parse(&stat), Some(Class { fifo: 50, nice: 0 }));
    }
}
