// SPDX-License-Identifier: GPL-2.0

//! CPUs of the guest.

use super::calls::{offline, online};
use crate::Vm;
use anyhow::Result;
use std::time::Duration;

impl Vm {
    /// A CPU by number.
    pub fn cpu(&self, cpu: u32) -> Cpu<'_> {
        Cpu { vm: self, cpu }
    }

    /// The CPUs of a list in `/sys/devices/system/cpu`: "online", "possible", "present".
    pub fn cpus(&self, which: &str) -> Result<Vec<u32>> {
        parse_cpu_list(&self.read(&format!("/sys/devices/system/cpu/{which}"))?)
    }

    /// CPUs that can be taken offline: on x86 all but CPU 0.
    pub fn hotpluggable(&self) -> Result<Vec<u32>> {
        let mut cpus = self.cpus("present")?;
        let mut error = None;
        cpus.retain(|cpu| match self.exists(&online_file(*cpu)) {
            Ok(exists) => exists,
            Err(e) => {
                error.get_or_insert(e);
                false
            }
        });
        error.map_or(Ok(cpus), Err)
    }

    /// CPUs that can be offline all at the same time: all but CPU 0.
    pub fn removable(&self) -> Result<Vec<u32>> {
        let mut cpus = self.hotpluggable()?;
        cpus.retain(|cpu| *cpu != 0);
        Ok(cpus)
    }

    /// Takes a CPU offline and brings it online, repeatedly.
    pub fn cycle(&self, cpu: u32, times: u32) -> Result<()> {
        self.repeat(times, vec![offline(cpu), online(cpu)], Duration::from_secs(50))
    }
}

/// A CPU of the guest.
pub struct Cpu<'a> {
    vm: &'a Vm,
    cpu: u32,
}

impl Cpu<'_> {
    /// Brings the CPU online.
    pub fn online(&self) -> Result<()> {
        self.vm.call(online(self.cpu)).map(drop)
    }

    /// Takes the CPU offline.
    pub fn offline(&self) -> Result<()> {
        self.vm.call(offline(self.cpu)).map(drop)
    }

    /// Whether the CPU is online.
    pub fn is_online(&self) -> Result<bool> {
        Ok(self.vm.cpus("online")?.contains(&self.cpu))
    }

    /// Moves the CPU down or up to this hotplug state, and no further.
    pub fn stop_at(&self, state: i32) -> Result<()> {
        let path = format!("/sys/devices/system/cpu/cpu{}/hotplug/target", self.cpu);
        self.vm.write(&path, state.to_string())
    }

    /// Lets the next callback of this hotplug state fail; -1: none.
    pub fn fail_at(&self, state: i32) -> Result<()> {
        let path = format!("/sys/devices/system/cpu/cpu{}/hotplug/fail", self.cpu);
        self.vm.write(&path, state.to_string())
    }
}

pub(super) fn online_file(cpu: u32) -> String {
    format!("/sys/devices/system/cpu/cpu{cpu}/online")
}

/// The CPUs of a list such as "0-2,5".
pub fn parse_cpu_list(list: &str) -> Result<Vec<u32>> {
    let mut cpus = Vec::new();
    for part in list.trim().split(',').filter(|part| !part.is_empty()) {
        match part.split_once('-') {
            Some((first, last)) => cpus.extend(first.parse::<u32>()?..=last.parse()?),
            None => cpus.push(part.parse()?),
        }
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists() {
        assert_eq!(parse_cpu_list("0-2,5\n").unwrap(), [0, 1, 2, 5]);
        assert_eq!(parse_cpu_list("3").unwrap(), [3]);
        assert!(parse_cpu_list("\n").unwrap().is_empty());
        assert!(parse_cpu_list("0-x").is_err());
    }
}
