// SPDX-License-Identifier: GPL-2.0

//! insmod: the threads that it creates, and their binding to CPUs.

use anyhow::{Result, bail};
use demo_module::{COMM, Counts, Demo, Kind, MODULE};
use host::Vm;
use host::errors::refused;
use host::guest::calls::{insmod, rmmod};
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::time::Duration;
use suite_macros::vm_test;
use wire::{Exit, TaskEnd};

/// Each online CPU gets one thread with the right name, created and set up once.
#[vm_test]
fn one_thread_per_online_cpu(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let online = vm.cpus("online")?;
    assert_eq!(online.len() as u32, vm.config().cpus);

    let mut pids = Vec::new();
    for cpu in &online {
        let pid = demo.pid(*cpu)?;
        assert_eq!(vm.comm(pid)?, format!("{COMM}{cpu}"));
        assert_eq!(demo.state(*cpu)?, "sleeping");
        pids.push(pid);
    }
    pids.sort();
    assert_eq!(demo_module::pids(vm)?, pids);
    demo.settles_at(&online.iter().map(|cpu| (*cpu, Counts::SET_UP)).collect())?;
    let created: Vec<_> =
        online.iter().flat_map(|cpu| [(*cpu, Kind::Create), (*cpu, Kind::Setup)]).collect();
    demo.logged(&created)?;
    demo.unload()
}

/// Each thread may run on its own CPU only, and runs there.
#[vm_test]
fn threads_are_bound(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    demo.wake("all")?;
    for cpu in vm.cpus("online")? {
        let pid = demo.pid(cpu)?;
        demo.wait_for([(cpu, "run", 1)].into_iter())?;
        assert_eq!(vm.status(pid, "Cpus_allowed_list")?, cpu.to_string());
        assert_eq!(vm.affinity(pid)?, [cpu]);
        assert_eq!(last_cpu(vm, pid)?, cpu);
    }
    demo.unload()
}

/// The CPU that a task ran on last: the 39th field of its stat, counted from behind the name.
fn last_cpu(vm: &Vm, pid: i32) -> Result<u32> {
    let stat = vm.read(&format!("/proc/{pid}/stat"))?;
    let Some((_, fields)) = stat.rsplit_once(") ") else { bail!("no name in {stat}") };
    let Some(cpu) = fields.split(' ').nth(36) else { bail!("too few fields in {stat}") };
    Ok(cpu.parse()?)
}

/// sched_setaffinity of a thread fails with EINVAL, even for the thread's own CPU.
#[vm_test]
fn setaffinity_is_refused(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let online = vm.cpus("online")?;
    for cpu in &online {
        let pid = demo.pid(*cpu)?;
        let others: Vec<u32> = online.iter().copied().filter(|other| other != cpu).collect();
        for cpus in [others.as_slice(), &online, &[*cpu]] {
            let errno = refused(vm.set_affinity(pid, cpus))?;
            assert_eq!(errno, Errno::EINVAL, "thread of CPU {cpu} to {cpus:?}");
        }
        assert_eq!(vm.affinity(pid)?, [*cpu]);
    }
    demo.unload()
}

/// With verbose=0 the threads run the same callbacks and log nothing.
#[vm_test]
fn verbose_off_is_silent(vm: &Vm) -> Result<()> {
    let demo = Demo::attach(vm)?;
    vm.insmod(MODULE, "verbose=0")?;
    let mut wanted = BTreeMap::new();
    for cpu in vm.cpus("online")? {
        wanted.insert(cpu, Counts::SET_UP);
    }
    demo.settles_at(&wanted)?;
    for cpu in vm.hotpluggable()? {
        vm.cpu(cpu).offline()?;
        vm.cpu(cpu).online()?;
        wanted.insert(cpu, Counts { park: 1, unpark: 1, ..Counts::SET_UP });
    }
    demo.settles_at(&wanted)?;
    demo.unload()?;
    demo.logged(&[])
}

/// An invalid module parameter fails insmod, and nothing is registered.
#[vm_test]
fn bad_parameters_are_refused(vm: &Vm) -> Result<()> {
    vm.expect_warning("invalid for parameter `verbose'");
    let demo = Demo::attach(vm)?;
    let of_parser = ["verbose=256", "verbose=", "verbose=maybe"];
    let of_demo = ["verbose=2", "period_us=1", "period_us=18446744073709551615"];
    for params in of_parser.iter().chain(&of_demo) {
        assert_eq!(refused(vm.insmod(MODULE, params))?, Errno::EINVAL, "{params}");
        assert!(!demo.is_loaded()?);
    }
    assert!(demo_module::pids(vm)?.is_empty());
    demo.logged(&[])
}

/// A loaded module cannot be loaded again, and is not affected.
#[vm_test]
fn second_insmod_is_refused(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let before = demo.all_counts()?;
    assert_eq!(refused(vm.insmod(MODULE, ""))?, Errno::EEXIST);
    demo.settles_at(&before)?;
    demo.unload()
}

/// 100 loads and unloads work, each thread that was set up is cleaned up, and no thread is left.
///
/// A thread may be stopped before its first run: then it was not set up, and is not cleaned up.
#[vm_test]
fn insmod_rmmod_100_times(vm: &Vm) -> Result<()> {
    const TIMES: u32 = 100;
    let demo = Demo::attach(vm)?;
    let online = vm.cpus("online")?.len();
    vm.repeat(TIMES, vec![insmod(MODULE, ""), rmmod(MODULE)], Duration::from_secs(50))?;

    let steps = demo.steps(0)?;
    let number = |cpu: Option<u32>, wanted: Kind| {
        let same = |(of, step): &&(u32, Kind)| cpu.is_none_or(|cpu| cpu == *of) && *step == wanted;
        steps.iter().filter(same).count()
    };
    assert_eq!(number(None, Kind::Create), TIMES as usize * online);
    for cpu in demo.possible() {
        let (setup, cleanup) =
            (number(Some(*cpu), Kind::Setup), number(Some(*cpu), Kind::CleanupOnline));
        assert_eq!(setup, cleanup, "CPU {cpu}: set up {setup} times, cleaned up {cleanup} times");
    }
    assert_eq!(number(None, Kind::Park) + number(None, Kind::CleanupOffline), 0);
    assert!(demo_module::pids(vm)?.is_empty());
    Ok(())
}

/// An insmod killed at any time leaves all or nothing, and the next one works.
#[vm_test]
fn killed_insmod(vm: &Vm) -> Result<()> {
    const SIGKILL: i32 = 9;
    let demo = Demo::attach(vm)?;
    let mut killed = 0;
    let slowness = u64::from(vm.built_with().slowness());
    for step in 0..40 / slowness {
        let after = Duration::from_micros(step * slowness * 250);
        match vm.interrupt(insmod(MODULE, ""), SIGKILL, after)? {
            TaskEnd::Died(Exit::Signal(SIGKILL)) => killed += 1,
            TaskEnd::Answered(answer) => assert!(answer.is_ok(), "{answer:?}"),
            other => bail!("after {after:?}: {other:?}"),
        }
        if demo.is_loaded()? {
            demo.unload()?;
        }
        assert!(demo_module::pids(vm)?.is_empty(), "killed after {after:?}");
    }
    assert!(killed > 0, "every kill was too late");
    Demo::load(vm)?.unload()
}
