// SPDX-License-Identifier: GPL-2.0

//! Boots a kernel with the series of `upstream/`, reads the results of its KUnit tests, and loads
//! and unloads the sample while CPUs go offline.

mod ktap;

use anyhow::{Context, Result, bail, ensure};
use host::machine::{Arch, Kernel, initramfs};
use host::verdict::{Judge, Leaves, console_splats};
use host::vm::Limits;
use host::{Machine, Vm};
use ktap::Results;
use std::path::PathBuf;
use std::time::Duration;

const USAGE: &str = "usage: upstream KERNEL-DIRECTORY GUEST-AGENT CPUS ROUNDS [SUITE...] \
     (with ROUNDS=0: the KUnit tests only)";
const SAMPLE: &str = "rust_hotplug_threads";
const KUNIT: &str = "/sys/kernel/debug/kunit";

/// Examples of the kernel crate's `hrtimer.rs`, which the series does not change, set up timers on
/// the stack.
const KNOWN_SPLAT: [&str; 2] = ["is on stack", "lib/debugobjects.c"];
/// The KUnit tests run before the agent: some take CPUs offline, emulated and with all checks.
const BOOT_LIMIT: Duration = Duration::from_secs(300);
/// Memory for the log and the metadata of kmemleak; half of it is used on such a kernel.
const MEMORY_MB: u32 = 1024;
/// Rounds of the sample that are judged together: a leak is reported after these.
const ROUNDS_PER_CHECK: u32 = 50;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let mut next = || arguments.next().context(USAGE);
    let (kernel, agent) = (PathBuf::from(next()?), PathBuf::from(next()?));
    let mut number = || next()?.to_str().and_then(|n| n.parse().ok()).context(USAGE);
    let (cpus, rounds): (u32, u32) = (number()?, number()?);
    let wanted: Vec<String> = arguments.map(|suite| suite.to_string_lossy().into_owned()).collect();

    let modules = if rounds == 0 { vec![] } else { vec![kernel.join("rust_hotplug_threads.ko")] };
    let initramfs = initramfs::build(&initramfs::Contents {
        agent,
        busybox: "/bin/busybox".into(),
        modules,
        files: Vec::new(),
        distribution: None,
    })?;
    let machine = Machine::new(Arch::Amd64, Kernel::read(&kernel)?, initramfs)?;
    let config = machine.config(cpus)?.memory_mb(MEMORY_MB).word("kunit.autorun=1");
    let mut limits = Limits::of(&machine.kernel.built_with, cpus);
    limits.boot = limits.boot.max(BOOT_LIMIT);
    limits.silence = limits.boot;
    let vm = Vm::boot_with(&machine, &config, limits)?;

    let mut failed = kunit(&vm, &wanted)?;
    let splats = console_splats(&vm, 0..vm.console_len());
    let known = |line: &str| KNOWN_SPLAT.iter().any(|part| line.contains(part));
    for splat in splats.iter().filter(|splat| !known(&splat.line)) {
        println!("splat during boot ({}): {}", splat.kind(), splat.line);
        failed += 1;
    }
    let mut judge = Judge::default();
    let mut done = 0;
    while done < rounds {
        let now = ROUNDS_PER_CHECK.min(rounds - done);
        let faults = judge.run(&vm, "sample", Leaves::Clean, |vm| {
            vm.set_test_limit(Some(now));
            sample(vm, now)
        });
        if !faults.is_empty() {
            bail!("the sample, after {done} rounds: {}", judge.report(&vm, &faults));
        }
        done += now;
    }
    if rounds > 0 {
        println!("{SAMPLE}: {rounds} loads and unloads, no splat, no leak");
    }
    ensure!(failed == 0, "{failed} failures with {cpus} CPUs");
    vm.shut_down()
}

/// Prints the results of all KUnit suites, and returns the number of failures.
fn kunit(vm: &Vm, wanted: &[String]) -> Result<usize> {
    let suites = vm.list(KUNIT)?;
    let mut failed = 0;
    for missing in wanted.iter().filter(|suite| !suites.contains(suite)) {
        println!("{missing}: no such KUnit suite in this kernel");
        failed += 1;
    }
    for suite in suites {
        let results = Results::parse(&vm.read(&format!("{KUNIT}/{suite}/results"))?);
        let (passed, skipped) = (results.passed.len(), results.skipped.len());
        println!("{suite}: {passed} of {} passed, {skipped} skipped", results.planned);
        for test in &results.failed {
            println!("{suite}: FAILED\n{test}");
        }
        failed += results.failed.len();
        if results.count() < results.planned {
            println!("{suite}: only {} tests have a result", results.count());
            failed += 1;
        }
    }
    Ok(failed)
}

/// Loads and unloads the sample; in each round another CPU goes offline, while it is loaded or
/// across the unload.
fn sample(vm: &Vm, rounds: u32) -> Result<()> {
    let spare = vm.hotpluggable()?;
    for round in 0..rounds {
        let cpu = spare.get(round as usize % spare.len().max(1)).map(|cpu| vm.cpu(*cpu));
        vm.insmod(SAMPLE, "")?;
        if let Some(cpu) = &cpu {
            cpu.offline()?;
        }
        // In every other round the threads of an offline CPU are stopped.
        let across = round % 2 == 1;
        if let (Some(cpu), false) = (&cpu, across) {
            cpu.online()?;
        }
        vm.rmmod(SAMPLE)?;
        if let (Some(cpu), true) = (&cpu, across) {
            cpu.online()?;
        }
    }
    check_log(vm, spare.first().copied())
}

/// The log of the last rounds has each callback.
fn check_log(vm: &Vm, cpu: Option<u32>) -> Result<()> {
    let log = vm.kmsg()?;
    let has = |text: &str| log.records.iter().any(|record| record.text.contains(text));
    ensure!(has("CPU 0: setup") && has("runs in all"), "the log lacks the sample's callbacks");
    if let Some(cpu) = cpu {
        for callback in ["park", "unpark", "cleanup after"] {
            ensure!(has(&format!("CPU {cpu}: {callback}")), "CPU {cpu} logged no '{callback}'");
        }
    }
    Ok(())
}
