// SPDX-License-Identifier: GPL-2.0

//! `rust_idle_inject`: CPUs are idle for the requested share of the time.

use super::{Class, Sample, class};
use anyhow::{Result, bail, ensure};
use host::Vm;
use host::guest::calls::read;
use host::guest::{DEFAULT_LIMIT, text};
use nix::errno::Errno;
use std::time::{Duration, Instant};
use suite_macros::vm_test;
use wire::{Call, Value};

const MODULE: &str = "rust_idle_inject";

fn injections(sample: &Sample) -> Result<[u64; 4]> {
    sample.numbers([0, 1, 2, 3].map(|cpu| format!("cpu{cpu}/injections")))
}

/// Waits for three more injections.
fn injects_more(sample: &Sample, cpu: u32) -> Result<()> {
    let file = format!("cpu{cpu}/injections");
    sample.at_least(&file, sample.number(&file)? + 3)
}

fn start(sample: &Sample, cpus: &str, run_us: u32, idle_us: u32) -> Result<()> {
    sample.write("run_us", run_us)?;
    sample.write("idle_us", idle_us)?;
    sample.write("cpus", cpus)
}

fn stop(sample: &Sample) -> Result<()> {
    sample.write("cpus", "")
}

/// Share of a time during which the task did not run, from 0 to 1. The kernel's own idle time is
/// less: while softirqs are pending the tick continues, and counts the injecting thread as busy.
fn rest_share(vm: &Vm, pid: i32) -> Result<f64> {
    let us = 1_000_000 * u64::from(vm.built_with().slowness());
    let stat = format!("/proc/{pid}/stat");
    let calls = ["/proc/uptime", &stat].map(read);
    let calls = [calls.to_vec(), vec![Call::Pause { us }], calls.to_vec()].concat();
    let values = vm.batch(calls)?.into_iter().filter(|value| matches!(value, Value::Bytes(_)));
    let read = values.map(text).collect::<Result<Vec<_>>>()?;
    let [uptime, stat, later_uptime, later_stat] = read.as_slice() else { bail!("{read:?}") };
    let ran = cpu_time(later_stat)? - cpu_time(stat)?;
    let passed = seconds(later_uptime)? - seconds(uptime)?;
    Ok(1.0 - ran / passed)
}

fn seconds(uptime: &str) -> Result<f64> {
    Ok(uptime.split(' ').next().unwrap_or_default().parse()?)
}

/// `utime` and `stime`, in seconds.
fn cpu_time(stat: &str) -> Result<f64> {
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split(' ').collect();
    Ok((fields[12].parse::<f64>()? + fields[13].parse::<f64>()?) / 100.0)
}

/// A shell command that is busy while the module is loaded.
const BUSY: &str = "while [ -e /sys/module/rust_idle_inject ]; do :; done";

/// A busy task loses its CPU for the injected share of the time, and has it otherwise.
#[vm_test]
fn idle_share_follows(vm: &Vm) -> Result<()> {
    let sample = Sample::load(vm, MODULE)?;
    let cpu = vm.cpus("online")?.last().unwrap().to_string();
    let mask = format!("{:x}", 1 << cpu.parse::<u32>()?);
    let argv = ["/bin/busybox", "taskset", &mask, "/bin/busybox", "sh", "-c", BUSY]
        .map(String::from)
        .to_vec();
    // Begin and end of an injection must be short in comparison with the injection.
    let slowness = vm.built_with().slowness();
    let us = 20_000 * slowness;
    let busy = vm.spawn(Call::Run { argv, limit_ms: 20_000 * u64::from(slowness) })?;
    let (began, limit) = (Instant::now(), vm.limit(DEFAULT_LIMIT));
    let pid = loop {
        let tasks = vm.tasks(|comm| comm == "busybox")?;
        if let [pid] = tasks[..] {
            if cpu_time(&vm.read(&format!("/proc/{pid}/stat"))?)? > 0.5 {
                break pid;
            }
        }
        ensure!(began.elapsed() < limit, "expected one busy task: {tasks:?}");
        vm.call(Call::Pause { us: 10_000 })?;
    };

    let none = rest_share(vm, pid)?;
    start(&sample, &cpu, us, us)?;
    let half = rest_share(vm, pid)?;
    sample.write("idle_us", 3 * us)?;
    let most = rest_share(vm, pid)?;
    stop(&sample)?;
    let again = rest_share(vm, pid)?;

    let shares = format!("none {none:.2}, half {half:.2}, most {most:.2}, none again {again:.2}");
    assert!(none < 0.1 && again < 0.1, "{shares}");
    assert!((0.35..0.65).contains(&half) && (0.6..0.9).contains(&most), "{shares}");
    sample.unload()?;
    busy.wait(Duration::from_secs(30)).map(drop)
}

/// Only the CPUs of the mask are made idle, by FIFO threads; after a stop none is.
#[vm_test]
fn only_chosen_cpus(vm: &Vm) -> Result<()> {
    let sample = Sample::load(vm, MODULE)?;
    start(&sample, "1-2", 5_000, 5_000)?;
    assert_eq!(sample.read("cpus")?, "1,2");
    injects_more(&sample, 1)?;
    injects_more(&sample, 2)?;
    sample.write("cpus", "0,2")?;
    let [_, stopped, ..] = injections(&sample)?;
    injects_more(&sample, 0)?;
    injects_more(&sample, 2)?;
    let [_, one, _, three] = injections(&sample)?;
    assert_eq!([one, three], [stopped, 0]);
    for cpu in 0..3 {
        assert_eq!(class(vm, &format!("rust_idle/{cpu}"))?, Class { fifo: 50, nice: 0 });
    }

    stop(&sample)?;
    assert_eq!(sample.read("cpus")?, "");
    let before = injections(&sample)?;
    vm.call(Call::Pause { us: 100_000 })?;
    assert_eq!(injections(&sample)?, before);
    assert!(sample.number("cpu2/injected_us")? >= 5_000 * before[2]);
    sample.unload()
}

/// A CPU that was offline while idle is injected is made idle again when it is online.
#[vm_test]
fn follows_hotplug(vm: &Vm) -> Result<()> {
    let sample = Sample::load(vm, MODULE)?;
    start(&sample, "all", 5_000, 5_000)?;
    let cpus = vm.removable()?;
    cpus.iter().try_for_each(|cpu| injects_more(&sample, *cpu))?;
    sample.round(|_| {
        let before = injections(&sample)?;
        injects_more(&sample, 0)?;
        assert_eq!(injections(&sample)?[1..], before[1..]);
        Ok(())
    })?;
    for cpu in &cpus {
        injects_more(&sample, *cpu)?;
    }
    for cpu in cpus {
        vm.cycle(cpu, 5)?;
        injects_more(&sample, cpu)?;
    }
    // Pending wakes of an offline CPU have no effect after a stop.
    vm.cpu(1).offline()?;
    stop(&sample)?;
    let before = injections(&sample)?;
    vm.cpu(1).online()?;
    vm.call(Call::Pause { us: 50_000 })?;
    assert_eq!(injections(&sample)?, before);
    sample.unload()
}

/// rmmod works with the timer on, threads that inject idle time, and a CPU offline.
#[vm_test]
fn rmmod_while_injecting(vm: &Vm) -> Result<()> {
    for _ in 0..5 {
        let sample = Sample::load(vm, MODULE)?;
        start(&sample, "all", 2_000, 20_000)?;
        injects_more(&sample, 0)?;
        vm.cpu(2).offline()?;
        sample.unload()?;
        vm.cpu(2).online()?;
    }
    Ok(())
}

/// An invalid duration or CPU list is refused and changes nothing.
#[vm_test]
fn malformed_input(vm: &Vm) -> Result<()> {
    let sample = Sample::load(vm, MODULE)?;
    sample.refuses(
        &[
            ("cpus", "x", Errno::EINVAL),
            ("cpus", "0-4096", Errno::ERANGE),
            ("run_us", "999", Errno::ERANGE),
            ("run_us", "1000001", Errno::ERANGE),
            ("idle_us", "0", Errno::ERANGE),
            ("idle_us", "10ms", Errno::EINVAL),
            ("idle_us", "99999999999999999999", Errno::ERANGE),
        ],
        &["cpus", "run_us", "idle_us"],
    )?;
    sample.unload()
}
