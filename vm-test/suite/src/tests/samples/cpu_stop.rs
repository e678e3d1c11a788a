// SPDX-License-Identifier: GPL-2.0

//! `rust_cpu_stop`: all work is run or refused, with CPUs that go offline and online.

use super::Sample;
use anyhow::{Result, bail};
use host::Vm;
use host::errors::refused;
use host::guest::Task;
use host::guest::calls::{insmod, write};
use nix::errno::Errno;
use std::time::Duration;
use suite_macros::vm_test;
use wire::{Call, Rounds, Stopped, Value};

const MODULE: &str = "rust_cpu_stop";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Jobs {
    submitted: u64,
    run: u64,
    refused: u64,
    strays: u64,
}

impl Jobs {
    fn new(run: u64, refused: u64) -> Jobs {
        Jobs { submitted: run + refused, run, refused, strays: 0 }
    }
}

fn jobs(sample: &Sample, cpu: u32) -> Result<Jobs> {
    let files = ["submitted", "run", "refused", "strays"].map(|name| format!("cpu{cpu}/{name}"));
    let [submitted, run, refused, strays] = sample.numbers(files)?;
    Ok(Jobs { submitted, run, refused, strays })
}

/// Waits until the thread of an online CPU, which is unparked, reports that it is up.
fn is_up(sample: &Sample, cpu: u32) -> Result<()> {
    sample.until(&format!("cpu{cpu}/up"), 1)
}

/// Directly after insmod, work runs on each of the chosen CPUs, and on no other.
#[vm_test]
fn runs_where_it_should(vm: &Vm) -> Result<()> {
    for _ in 0..10 {
        let stop = write("/sys/kernel/debug/rust_cpu_stop/stop", "all");
        vm.batch(vec![insmod(MODULE, ""), stop])?;
        let sample = Sample::loaded(vm, MODULE);
        for cpu in vm.cpus("online")? {
            assert_eq!(jobs(&sample, cpu)?, Jobs::new(1, 0));
        }
        sample.unload()?;
    }

    let sample = Sample::load(vm, MODULE)?;
    sample.write("stop", "1,3")?;
    for (cpu, run) in [(0, 0), (1, 1), (2, 0), (3, 1)] {
        assert_eq!(jobs(&sample, cpu)?, Jobs::new(run, 0));
    }
    sample.refuses(
        &[
            ("stop", "x", Errno::EINVAL),
            ("stop", "0-4096", Errno::ERANGE),
            ("stop", "", Errno::ENOENT),
            ("hold_us", "100001", Errno::ERANGE),
        ],
        &["cpu0/submitted", "hold_us"],
    )?;
    sample.unload()
}

/// Work for an offline CPU is refused at once, and runs when the CPU is online again.
#[vm_test]
fn offline_is_refused(vm: &Vm) -> Result<()> {
    let sample = Sample::load(vm, MODULE)?;
    vm.cpu(3).offline()?;
    assert_eq!(sample.number("cpu3/up")?, 0);
    assert_eq!(refused(sample.write("stop", 3))?, Errno::ENOENT);
    sample.write("stop", "2-3")?;
    assert_eq!(jobs(&sample, 2)?, Jobs::new(1, 0));
    assert_eq!(jobs(&sample, 3)?, Jobs::new(0, 2));

    vm.cpu(3).online()?;
    is_up(&sample, 3)?;
    sample.write("stop", 3)?;
    assert_eq!(jobs(&sample, 3)?, Jobs::new(1, 2));
    sample.unload()
}

/// A CPU that was offline at insmod has no stopper, and gets one when it comes online.
#[vm_test]
fn absent_is_refused(vm: &Vm) -> Result<()> {
    vm.cpu(2).offline()?;
    let sample = Sample::load(vm, MODULE)?;
    assert!(vm.tasks(|name| name == "rust_stop/2")?.is_empty());
    assert_eq!(sample.number("cpu2/up")?, 0);
    assert_eq!(refused(sample.write("stop", 2))?, Errno::ENOENT);
    vm.cpu(2).online()?;
    is_up(&sample, 2)?;
    sample.write("stop", 2)?;
    assert_eq!(jobs(&sample, 2)?, Jobs::new(1, 1));
    sample.unload()
}

/// A caller that submits work until some is refused, or until its limit.
fn caller(sample: &Sample, pause_us: u64, limit_ms: u64) -> Call {
    let calls = vec![sample.writing("stop", "all"), Call::Pause { us: pause_us }];
    Call::Repeat { times: 1_000_000, calls, limit_ms }
}

const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for a caller; returns why it ended.
fn rounds(caller: Task<'_>) -> Result<Rounds> {
    match caller.answer(PATIENCE)? {
        Value::Rounds(rounds) => Ok(rounds),
        other => bail!("a caller returned {other:?}"),
    }
}

/// All work of many callers either runs or is refused while CPUs go offline and online.
#[vm_test]
fn no_job_is_lost(vm: &Vm) -> Result<()> {
    let sample = Sample::load(vm, MODULE)?;
    // Work waits in the queue when a CPU goes offline.
    sample.write("hold_us", 2000)?;
    let callers =
        (0..4).map(|_| vm.spawn(caller(&sample, 0, 8_000))).collect::<Result<Vec<_>>>()?;
    let cpus = vm.removable()?;
    for _ in 0..3 {
        for cpu in &cpus {
            vm.cycle(*cpu, 2)?;
        }
        sample.round(|_| Ok(()))?;
    }
    for caller in callers {
        // CPU 0 stays online: no list of all CPUs is refused.
        let rounds = rounds(caller)?;
        assert_eq!(rounds.stopped, Some(Stopped::Limit));
        assert!(rounds.done > 10, "{rounds:?}");
    }
    let total = jobs(&sample, 0)?;
    assert_eq!(total, Jobs::new(total.run, 0));
    for cpu in cpus {
        let jobs = jobs(&sample, cpu)?;
        assert_eq!(jobs, Jobs { submitted: total.run, ..Jobs::new(jobs.run, jobs.refused) });
        assert!(jobs.run > 0 && jobs.refused > 0, "CPU {cpu}: {jobs:?}");
    }
    sample.unload()
}

/// Callers keep the module until they have their answers; then rmmod unloads it.
#[vm_test]
fn rmmod_while_busy(vm: &Vm) -> Result<()> {
    for offline in [None, Some(2)] {
        let sample = Sample::load(vm, MODULE)?;
        sample.write("hold_us", 200)?;
        if let Some(cpu) = offline {
            vm.cpu(cpu).offline()?;
        }
        let caller = caller(&sample, 2_000, vm.ms(PATIENCE));
        let callers = (0..2).map(|_| vm.spawn(caller.clone())).collect::<Result<Vec<_>>>()?;
        sample.at_least("cpu0/run", 50)?;
        // rmmod is refused while a caller has the file open.
        while let Err(e) = vm.rmmod(MODULE) {
            assert_eq!(refused(Err::<(), _>(e))?, Errno::EAGAIN);
        }
        for caller in callers {
            // ENXIO: the directory still exists during the module's unload.
            match rounds(caller)?.stopped {
                Some(Stopped::Failed { call: 0, errno }) => {
                    let errno = Errno::from_raw(errno);
                    assert!(matches!(errno, Errno::ENOENT | Errno::ENXIO), "{errno}");
                }
                other => bail!("a caller ended with {other:?}"),
            }
        }
        assert!(vm.tasks(|name| name.starts_with("rust_stop/"))?.is_empty());
        if let Some(cpu) = offline {
            vm.cpu(cpu).online()?;
        }
    }
    Ok(())
}

/// A self-parking thread works after 100 offline/online cycles of its CPU (25 on a slow kernel).
#[vm_test]
fn self_parking_cycles(vm: &Vm) -> Result<()> {
    let sample = Sample::load(vm, MODULE)?;
    let cpus = vm.hotpluggable()?;
    for cpu in &cpus {
        vm.cycle(*cpu, 100 / vm.built_with().slowness())?;
    }
    for cpu in &cpus {
        is_up(&sample, *cpu)?;
    }
    sample.write("stop", "all")?;
    for cpu in cpus {
        assert_eq!(jobs(&sample, cpu)?, Jobs::new(1, 0));
    }
    sample.unload()
}
