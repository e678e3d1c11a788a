// SPDX-License-Identifier: GPL-2.0

//! `rust_idle_inject`: CPUs are idle for the share of the time that was asked for.

use crate::test::Test;
use anyhow::{Result, bail, ensure};
use host::Vm;
use host::errors::refused;
use host::guest::calls::{read, write};
use host::guest::{DEFAULT_LIMIT, text};
use nix::errno::Errno;
use std::time::{Duration, Instant};
use wire::{Call, Until, Value};

pub const TESTS: &[Test] = &[
    Test::new(
        "idle_inject::idle_share_follows",
        "a busy task goes without its CPU for the share that is injected, and else not at all",
        idle_share_follows,
    ),
    Test::new(
        "idle_inject::only_chosen_cpus",
        "only the CPUs of the mask are made idle, by FIFO threads; after a stop none is",
        only_chosen_cpus,
    ),
    Test::new(
        "idle_inject::follows_hotplug",
        "a CPU that goes off and on while idle is injected is made idle again when it is back",
        follows_hotplug,
    ),
    Test::new(
        "idle_inject::rmmod_while_injecting",
        "rmmod ends it: with the timer on, threads idling, and a CPU offline",
        rmmod_while_injecting,
    ),
    Test::new(
        "idle_inject::malformed_input",
        "what is no duration, CPU list or switch is refused, and changes nothing",
        malformed_input,
    ),
];

const MODULE: &str = "rust_idle_inject";
const FOLDER: &str = "/sys/kernel/debug/rust_idle_inject";

fn file(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

fn injections(vm: &Vm, cpu: u32) -> Result<u64> {
    Ok(vm.read(&file(&format!("cpu{cpu}/injections")))?.parse()?)
}

/// Until there are more than at the time of the call.
fn goes_on(vm: &Vm, cpu: u32) -> Result<()> {
    let path = file(&format!("cpu{cpu}/injections"));
    vm.wait_for(&path, Until::AtLeast(injections(vm, cpu)? + 3))
}

fn start(vm: &Vm, cpus: &str, run_us: u32, idle_us: u32) -> Result<()> {
    vm.batch(vec![
        write(&file("run_us"), run_us.to_string()),
        write(&file("idle_us"), idle_us.to_string()),
        write(&file("cpus"), cpus),
        write(&file("enable"), "1"),
    ])
    .map(drop)
}

fn stop(vm: &Vm) -> Result<()> {
    vm.write(&file("enable"), "0")
}

/// How much of some time the task did not run, from 0 to 1. (What the kernel calls idle is less: while it has softirqs to
/// run, the tick goes on, and takes the injecting thread for a busy one.)
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

/// As long as the module is there.
const BUSY: &str = "while [ -e /sys/module/rust_idle_inject ]; do :; done";

fn idle_share_follows(vm: &Vm) -> Result<()> {
    vm.insmod(MODULE, "")?;
    let cpu = *vm.cpus("online")?.last().unwrap();
    let mask = format!("{:x}", 1 << cpu);
    let argv = ["/bin/busybox", "taskset", &mask, "/bin/busybox", "sh", "-c", BUSY]
        .map(String::from)
        .to_vec();
    // What it takes to begin and to end an injection is to be small against the injection.
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
        ensure!(began.elapsed() < limit, "not one task is busy: {tasks:?}");
        vm.call(Call::Pause { us: 10_000 })?;
    };

    let none = rest_share(vm, pid)?;
    start(vm, &cpu.to_string(), us, us)?;
    let half = rest_share(vm, pid)?;
    vm.write(&file("idle_us"), (3 * us).to_string())?;
    let most = rest_share(vm, pid)?;
    stop(vm)?;
    let again = rest_share(vm, pid)?;

    let shares = format!("none {none:.2}, half {half:.2}, most {most:.2}, none again {again:.2}");
    assert!(none < 0.1 && again < 0.1, "{shares}");
    assert!((0.35..0.65).contains(&half) && (0.6..0.9).contains(&most), "{shares}");
    vm.rmmod(MODULE)?;
    busy.wait(Duration::from_secs(30)).map(drop)
}

fn only_chosen_cpus(vm: &Vm) -> Result<()> {
    vm.insmod(MODULE, "")?;
    for pid in vm.tasks(|name| name.starts_with("rust_idle/"))? {
        let stat = vm.read(&format!("/proc/{pid}/stat"))?;
        let fields: Vec<&str> = stat.split(' ').collect();
        assert_eq!(fields[40], "1", "the policy of SCHED_FIFO: {stat}");
    }

    start(vm, "1-2", 5_000, 5_000)?;
    assert_eq!(vm.read(&file("cpus"))?, "1,2");
    goes_on(vm, 1)?;
    goes_on(vm, 2)?;
    vm.write(&file("cpus"), "0,2")?;
    let stopped = injections(vm, 1)?;
    goes_on(vm, 0)?;
    goes_on(vm, 2)?;
    assert_eq!((injections(vm, 1)?, injections(vm, 3)?), (stopped, 0));

    stop(vm)?;
    assert_eq!(vm.read(&file("enable"))?, "0");
    let before: Vec<u64> = (0..4).map(|cpu| injections(vm, cpu)).collect::<Result<_>>()?;
    vm.call(Call::Pause { us: 100_000 })?;
    let after: Vec<u64> = (0..4).map(|cpu| injections(vm, cpu)).collect::<Result<_>>()?;
    assert_eq!(before, after);
    assert!(vm.read(&file("cpu2/injected_us"))?.parse::<u64>()? >= 5_000 * before[2]);
    vm.rmmod(MODULE)
}

fn follows_hotplug(vm: &Vm) -> Result<()> {
    vm.insmod(MODULE, "")?;
    start(vm, "all", 5_000, 5_000)?;
    let cpus = vm.removable()?;
    for cpu in &cpus {
        goes_on(vm, *cpu)?;
        vm.cpu(*cpu).offline()?;
        let before = injections(vm, *cpu)?;
        goes_on(vm, 0)?;
        assert_eq!(injections(vm, *cpu)?, before);
    }
    for cpu in &cpus {
        vm.cpu(*cpu).online()?;
        goes_on(vm, *cpu)?;
    }
    for cpu in cpus {
        vm.cycle(cpu, 5)?;
        goes_on(vm, cpu)?;
    }
    // What is left of wakes for a CPU that is down does nothing after a stop.
    vm.cpu(1).offline()?;
    stop(vm)?;
    let before = injections(vm, 1)?;
    vm.cpu(1).online()?;
    vm.call(Call::Pause { us: 50_000 })?;
    assert_eq!(injections(vm, 1)?, before);
    vm.rmmod(MODULE)
}

fn rmmod_while_injecting(vm: &Vm) -> Result<()> {
    for _ in 0..5 {
        vm.insmod(MODULE, "")?;
        start(vm, "all", 2_000, 20_000)?;
        goes_on(vm, 0)?;
        vm.cpu(2).offline()?;
        vm.rmmod(MODULE)?;
        assert!(vm.tasks(|name| name.starts_with("rust_idle/"))?.is_empty());
        vm.cpu(2).online()?;
    }
    Ok(())
}

fn malformed_input(vm: &Vm) -> Result<()> {
    vm.insmod(MODULE, "")?;
    let names = ["enable", "cpus", "run_us", "idle_us", "latency_us"];
    let all = || names.map(|name| vm.read(&file(name)).unwrap());
    let before = all();
    for (name, input, errno) in [
        ("enable", "2", Errno::ERANGE),
        ("enable", "", Errno::EINVAL),
        ("enable", "-1", Errno::EINVAL),
        ("cpus", "x", Errno::EINVAL),
        ("cpus", "0-4096", Errno::ERANGE),
        ("run_us", "999", Errno::ERANGE),
        ("run_us", "1000001", Errno::ERANGE),
        ("idle_us", "0", Errno::ERANGE),
        ("idle_us", "10ms", Errno::EINVAL),
        ("idle_us", "99999999999999999999", Errno::ERANGE),
        ("latency_us", "4294967296", Errno::ERANGE),
    ] {
        assert_eq!(refused(vm.write(&file(name), input))?, errno, "{input:?} to {name}");
    }
    assert_eq!(all(), before);
    vm.rmmod(MODULE)
}
