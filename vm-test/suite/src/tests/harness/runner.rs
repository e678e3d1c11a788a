// SPDX-License-Identifier: GPL-2.0

//! The runner itself: it must detect each fault, and name it.

use anyhow::{Context, Result, bail, ensure};
use demo_module::{Demo, MODULE};
use host::errors::NoAnswer;
use host::guest::calls::{read, write};
use host::guest::text;
use host::kernel_log::without_stamp;
use host::machine::kernel::SYSRQ;
use host::machine::qemu::log_kb;
use host::verdict::{Fault, Judge, Leaves};
use host::vm::Limits;
use host::{Config, Vm};
use serde_json::Value as Json;
use std::fs;
use std::time::{Duration, Instant};
use suite_macros::vm_test;
use wire::{Call, TaskEnd, Until, Value};

/// Runs and judges a function as the suite does.
fn judged(vm: &Vm, run: fn(&Vm) -> Result<()>) -> Vec<Fault> {
    Judge::default().run(vm, "probe", Leaves::Clean, run)
}

/// A marker whose bytes the console lost is logged again.
#[vm_test]
fn repeats_a_lost_marker(vm: &Vm) -> Result<()> {
    let from = vm.console_len();
    vm.mark("vm-test: lost mark")?;
    vm.wait_mark(from, "vm-test: lost marker")
}

/// Splat, warning, taint, module, CPU, lost log and panic each fail a test that returned Ok.
#[vm_test(needs = &[SYSRQ], leaves = Leaves::Broken)]
fn sees_what_a_passing_test_hides(vm: &Vm) -> Result<()> {
    assert_eq!(judged(vm, |_| Ok(())), []);

    let faults = judged(vm, |vm| vm.mark("BUG: KASAN: slab-use-after-free in probe+0x1/0x2"));
    assert!(matches!(faults.as_slice(), [Fault::Splat { kind: "KASAN", .. }]), "{faults:?}");
    let faults = judged(vm, |vm| vm.log(4, "something odd"));
    let odd = |kind: &str| kind == "unexpected warning";
    assert!(matches!(faults.as_slice(), [Fault::Splat { kind, .. }] if odd(kind)), "{faults:?}");
    // An announced splat is required, and allows no other.
    let faults = judged(vm, |vm| {
        vm.expect_splat("KASAN");
        Ok(())
    });
    assert!(matches!(faults.as_slice(), [Fault::Failed(m)] if m.contains("KASAN")), "{faults:?}");
    let faults = judged(vm, |vm| {
        vm.expect_splat("KASAN");
        vm.mark("BUG: KASAN: slab-out-of-bounds in probe+0x1/0x2")?;
        vm.mark("WARNING: possible recursive locking detected")
    });
    let lockdep = |fault: &Fault| matches!(fault, Fault::Splat { kind: "lockdep", .. });
    assert!(matches!(faults.as_slice(), [fault] if lockdep(fault)), "{faults:?}");
    // The next test does not get the fault of the one before.
    assert_eq!(judged(vm, |_| Ok(())), []);

    let faults = judged(vm, |_| bail!("own word"));
    assert_eq!(faults, [Fault::Failed("own word".into())]);
    let faults = judged(vm, |_| panic!("own panic"));
    assert!(matches!(faults.as_slice(), [Fault::Failed(m)] if m.contains("own panic")));
    let faults = judged(vm, |vm| {
        let until = Until::Is("x".into());
        vm.wait_for_within("/proc/sys/kernel/tainted", until, Duration::from_millis(50))
    });
    assert!(matches!(faults.as_slice(), [Fault::Failed(m)] if m.contains("is not Is")));

    let faults = judged(vm, |vm| vm.cpu(1).offline());
    assert!(matches!(faults.as_slice(), [Fault::Unclean(m)] if m.contains("CPUs")), "{faults:?}");
    vm.cpu(1).online()?;
    let faults = judged(vm, |vm| vm.insmod(MODULE, ""));
    assert!(matches!(faults.as_slice(), [Fault::Unclean(m)] if m.contains(MODULE)), "{faults:?}");
    vm.rmmod(MODULE)?;
    let faults = judged(vm, |vm| vm.write("/proc/sys/kernel/tainted", "512"));
    assert!(matches!(faults.as_slice(), [Fault::Taint(_)]), "{faults:?}");
    // More than the kernel keeps; at a level that the kernel does not print on the slow console.
    let faults = judged(vm, |vm| {
        let line = format!("<7>{}\n", "x".repeat(900));
        vm.repeat(
            log_kb(vm.built_with()) * 3 / 2,
            vec![write("/dev/kmsg", line)],
            Duration::from_secs(50),
        )
    });
    assert!(matches!(faults.as_slice(), [Fault::Unknown(m)] if m.contains("log")), "{faults:?}");

    let faults = judged(vm, |vm| vm.write("/proc/sysrq-trigger", "c"));
    let died = |m: &str| m.contains("QEMU exited") && m.contains("sysrq triggered crash");
    assert!(matches!(&faults[0], Fault::Failed(m) if died(m)), "{faults:?}");
    let panic = |fault: &Fault| matches!(fault, Fault::Splat { kind: "panic", .. });
    assert!(faults.iter().any(panic), "{faults:?}");
    assert!(!vm.is_running());
    Ok(())
}

/// When a guest hangs, the report begins with the message; registers and backtraces are in a file
/// of their own.
#[vm_test(needs = &[SYSRQ], leaves = Leaves::Broken)]
fn what_the_runner_asks_for_is_no_fault(vm: &Vm) -> Result<()> {
    vm.run(&["/bin/busybox", "mkfifo", "/tmp/fifo"])?;
    vm.set_limits(Limits { call: Duration::from_secs(2), ..vm.limits() });
    let mut judge = Judge::default();
    let faults = judge.run(vm, "probe", Leaves::Clean, |vm| {
        vm.mark("the last line before")?;
        vm.read("/tmp/fifo").map(drop)
    });
    assert!(
        matches!(faults.as_slice(), [Fault::Failed(m)] if m.contains("/tmp/fifo")),
        "{faults:?}"
    );

    let report = judge.report(vm, &faults);
    assert!(report.contains("the last line before"), "{report}");
    assert!(!report.contains("sysrq") && !report.contains("CPU#0"), "{report}");
    let path = judge.hang_file().context("no file")?;
    assert!(report.contains(&path.display().to_string()), "{report}");
    // arm64's kernel writes "trace".
    let file = fs::read_to_string(path)?.replace("Call trace", "Call Trace");
    for word in ["sysrq: Show", "Call Trace", "CPU#0"] {
        assert!(file.contains(word), "{} lacks {word}", path.display());
    }
    fs::remove_file(path)?;
    Ok(())
}

/// A splat of many lines is one fault, and an unexpected warning after it another.
#[vm_test(leaves = Leaves::Broken)]
fn a_splat_is_one_fault(vm: &Vm) -> Result<()> {
    let faults = judged(vm, |vm| {
        for line in include_str!("../../../../host/logs/warning.log").lines() {
            vm.log(4, without_stamp(line))?;
        }
        vm.log(4, "something odd")
    });
    let kinds: Vec<&str> = faults
        .iter()
        .map(|fault| match fault {
            Fault::Splat { kind, .. } => kind,
            _ => "no splat",
        })
        .collect();
    assert_eq!(kinds, ["WARNING", "WARNING", "corruption", "unexpected warning"], "{faults:?}");
    Ok(())
}

/// A stopped guest is reported as silent, a busy one as too slow; QEMU is ended.
#[vm_test(leaves = Leaves::Broken)]
fn tells_a_hang_from_a_slow_call(vm: &Vm) -> Result<()> {
    // The open of a FIFO without a writer never returns, and uses no CPU time.
    vm.run(&["/bin/busybox", "mkfifo", "/tmp/fifo"])?;
    let mut limits = vm.limits();
    (limits.call, limits.silence) = (Duration::from_secs(2), Duration::from_secs(3));
    vm.set_limits(limits);

    let busy = vm.read("/tmp/fifo");
    let Err(e) = busy else { bail!("a call beyond its limit returned") };
    assert!(matches!(e.downcast::<NoAnswer>()?, NoAnswer::TimedOut { .. }));

    vm.retry();
    vm.qmp("stop", Json::Null)?;
    vm.set_limits(Limits { call: Duration::from_secs(10), ..vm.limits() });
    let faults = judged(vm, |vm| vm.taint().map(drop));
    // The judge's first call precedes the test.
    assert!(matches!(faults.as_slice(), [Fault::Unknown(m)] if m.contains("hung")), "{faults:?}");
    assert!(matches!(vm.no_answer(), Some(NoAnswer::Silent { .. })));
    Ok(())
}

/// With debugfs=off the guest boots and the module works; operations that need debugfs report its
/// absence.
#[vm_test(machine = Config::smp(2).word("debugfs=off"))]
fn boots_without_debugfs(vm: &Vm) -> Result<()> {
    assert!(!vm.has("debugfs") && vm.has("tracefs"));
    vm.insmod(MODULE, "")?;
    vm.cycle(1, 1)?;
    vm.rmmod(MODULE)?;
    let Err(e) = Demo::load(vm) else { bail!("the demo's files exist without debugfs") };
    let message = e.to_string();
    for part in ["debugfs on /sys/kernel/debug", "not permitted", "no debugfs=off"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!vm.modules()?.iter().any(|name| name == MODULE));
    Ok(())
}

/// init reaps orphaned programs, and takes no exit status from a process that waits for one.
#[vm_test]
fn reaps_orphans(vm: &Vm) -> Result<()> {
    let script = "for i in 1 2 3; do /bin/busybox true >/dev/null & done";
    let mut tasks = Vec::new();
    for _ in 0..5 {
        // The task ends at the same time as the orphans, and is waited for after them.
        tasks.push(vm.spawn(Call::Stat { path: "/".into() })?);
        vm.run(&["/bin/busybox", "sh", "-c", script])?;
    }
    let start = Instant::now();
    let ours = |pid: &i32| tasks.iter().any(|task| task.pid == *pid);
    loop {
        let zombies = zombies(vm)?;
        // A task has ended when it is a zombie.
        if zombies.iter().all(ours) && zombies.len() == tasks.len() {
            break;
        }
        ensure!(start.elapsed() < Duration::from_secs(20), "zombies: {zombies:?}");
    }
    for task in tasks {
        let end = task.wait(Duration::from_secs(20))?;
        ensure!(matches!(end, TaskEnd::Answered(_)), "{end:?}");
    }
    assert_eq!(zombies(vm)?, [0; 0]);
    Ok(())
}

/// Processes that have exited and were not waited for.
fn zombies(vm: &Vm) -> Result<Vec<i32>> {
    let pids = vm.tasks(|_| true)?;
    let calls = pids.iter().map(|pid| read(&format!("/proc/{pid}/stat"))).collect();
    let Value::Batch(stats) = vm.call(Call::Batch { calls })? else { bail!("no batch") };
    // A process that was reaped since has no file.
    let stats = stats.into_iter().map(|stat| stat.map_or(Ok(String::new()), text));
    let mut found = Vec::new();
    for (pid, stat) in pids.into_iter().zip(stats) {
        if stat?.contains(") Z ") {
            found.push(pid);
        }
    }
    Ok(found)
}
