// SPDX-License-Identifier: GPL-2.0

//! Boots a kernel in a VM, loads a module, and prints what the module logged.

use anyhow::{Context, Result, bail};
use host::machine::{Arch, Kernel, initramfs};
use host::{Config, Machine, Vm};
use std::path::PathBuf;

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [kernel, agent, module] = arguments.as_slice() else {
        bail!("usage: boot KERNEL-DIRECTORY GUEST-AGENT MODULE.ko");
    };
    let name = module.file_stem().context("no module")?.to_string_lossy();
    let initramfs = initramfs::build(&initramfs::Contents {
        agent: agent.clone(),
        busybox: "/bin/busybox".into(),
        modules: vec![module.clone()],
        files: Vec::new(),
        distribution: None,
    })?;
    let machine = Machine::new(Arch::Amd64, Kernel::read(kernel)?, initramfs)?;
    let vm = Vm::boot(&machine, &Config::smp(2))?;
    vm.insmod(&name, "")?;
    vm.cpu(1).offline()?;
    let log = vm.kmsg()?;
    for record in log.records.iter().filter(|record| record.text.starts_with(&*name)) {
        println!("{}", record.text);
    }
    vm.rmmod(&name)?;
    vm.shut_down()
}
