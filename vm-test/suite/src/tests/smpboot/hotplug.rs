// SPDX-License-Identifier: GPL-2.0

//! CPUs go offline and online: which callback is called, on which CPU, how often.

use super::rollback;
use anyhow::{Context, Result, ensure};
use cli::note;
use demo_module::{Counts, Demo, Kind};
use host::machine::kernel::{ISOLATION, STATE_CONTROL};
use host::verdict::Leaves;
use host::{Config, Vm};
use suite_macros::vm_test;

/// When an offline returns, its thread has parked once, and no other thread has run a callback.
#[vm_test]
fn offline_parks(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let mut wanted = demo.all_counts()?;
    demo.steps(2 * wanted.len())?;
    for cpu in vm.hotpluggable()? {
        vm.cpu(cpu).offline()?;
        // Without a wait: the kernel itself waits for the thread.
        assert_eq!(demo.state(cpu)?, "parked");
        wanted.insert(cpu, Counts { park: 1, ..Counts::SET_UP });
        assert_eq!(demo.all_counts()?, wanted);
        demo.logged(&[(cpu, Kind::Park)])?;

        vm.cpu(cpu).online()?;
        wanted.insert(cpu, Counts { park: 1, unpark: 1, ..Counts::SET_UP });
        demo.settles_at(&wanted)?;
        demo.logged(&[(cpu, Kind::Unpark)])?;
    }
    demo.unload()
}

/// Back online, the same thread continues: unpark, no second setup.
#[vm_test]
fn online_unparks(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    for cpu in vm.hotpluggable()? {
        let pid = demo.pid(cpu)?;
        vm.cpu(cpu).offline()?;
        assert_eq!(demo.pid(cpu)?, pid);
        vm.cpu(cpu).online()?;
        demo.wait_for([(cpu, "unpark", 1)].into_iter())?;
        let counts = demo.counts(cpu)?;
        assert_eq!(counts, Counts { park: 1, unpark: 1, ..Counts::SET_UP });
        assert_eq!(demo.pid(cpu)?, pid);
        assert_eq!(vm.affinity(pid)?, [cpu]);
    }
    demo.unload()
}

/// With all removable CPUs offline, each of their threads is parked; all continue afterwards.
#[vm_test]
fn all_cpus_down_but_one(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let mut wanted = demo.all_counts()?;
    let mut cpus = vm.hotpluggable()?;
    if cpus.contains(&0) {
        cpus.remove(0); // one CPU must stay online
    }
    for cpu in &cpus {
        vm.cpu(*cpu).offline()?;
        wanted.insert(*cpu, Counts { park: 1, ..Counts::SET_UP });
    }
    assert_eq!(vm.cpus("online")?, [0]);
    assert_eq!(demo.all_counts()?, wanted);
    for cpu in &cpus {
        vm.cpu(*cpu).online()?;
        wanted.insert(*cpu, Counts { park: 1, unpark: 1, ..Counts::SET_UP });
    }
    demo.settles_at(&wanted)?;
    demo.unload()
}

/// 50 offline/online cycles are 50 parks and 50 unparks, and still one setup.
#[vm_test]
fn fifty_cycles(vm: &Vm) -> Result<()> {
    const TIMES: u32 = 50;
    let demo = Demo::load(vm)?;
    let mut wanted = demo.all_counts()?;
    let cpu = *vm.hotpluggable()?.last().unwrap();
    vm.cycle(cpu, TIMES)?;
    let n = u64::from(TIMES);
    wanted.insert(cpu, Counts { park: n, unpark: n, ..Counts::SET_UP });
    demo.settles_at(&wanted)?;
    demo.unload()
}

/// A CPU that is offline at insmod gets its thread when it comes online, without an unpark.
#[vm_test]
fn insmod_with_a_cpu_offline(vm: &Vm) -> Result<()> {
    let cpu = *vm.hotpluggable()?.last().unwrap();
    vm.cpu(cpu).offline()?;
    let demo = Demo::load(vm)?;
    assert_eq!((demo.pid(cpu)?, demo.state(cpu)?.as_str()), (0, "none"));
    assert_eq!(demo.counts(cpu)?, Counts::default());
    demo.steps(2 * (demo.possible().len() - 1))?;

    vm.cpu(cpu).online()?;
    demo.wait_for([(cpu, "setup", 1)].into_iter())?;
    assert_eq!(demo.counts(cpu)?, Counts::SET_UP);
    assert_eq!(vm.affinity(demo.pid(cpu)?)?, [cpu]);
    demo.logged(&[(cpu, Kind::Create), (cpu, Kind::Setup)])?;
    demo.unload()
}

/// CPUs kept offline by maxcpus= get a thread, which runs for a pending wake, at their first
/// online.
#[vm_test(machine = Config::smp(4).maxcpus(2), leaves = Leaves::Used)]
fn first_online_after_maxcpus(vm: &Vm) -> Result<()> {
    assert_eq!((vm.cpus("online")?, vm.cpus("possible")?), (vec![0, 1], vec![0, 1, 2, 3]));
    let demo = Demo::load(vm)?;
    let mut wanted = demo.all_counts()?;
    for cpu in [2, 3] {
        assert_eq!((demo.pid(cpu)?, demo.state(cpu)?.as_str()), (0, "none"));
        assert_eq!(wanted[&cpu], Counts::default());
    }
    demo.logged(&[(0, Kind::Create), (0, Kind::Setup), (1, Kind::Create), (1, Kind::Setup)])?;
    demo.wake("3")?;
    wanted.insert(3, Counts { wake: 1, ..Counts::default() });
    demo.settles_at(&wanted)?;

    for (cpu, run) in [(2, 0), (3, 1)] {
        vm.cpu(cpu).online()?;
        wanted.insert(cpu, Counts { wake: run, run, ..Counts::SET_UP });
        demo.settles_at(&wanted)?;
        demo.logged(&[(cpu, Kind::Create), (cpu, Kind::Setup)])?;
        assert_eq!(vm.comm(demo.pid(cpu)?)?, format!("rust_demo/{cpu}"));
        assert_eq!(vm.affinity(demo.pid(cpu)?)?, [cpu]);
    }
    demo.unload()
}

/// Isolated CPUs have threads, too, bound to them, which follow hotplug.
#[vm_test(needs = &[ISOLATION], machine = Config::smp(4).word("isolcpus=2,3"))]
fn isolated_cpus_have_threads(vm: &Vm) -> Result<()> {
    assert_eq!(vm.read("/sys/devices/system/cpu/isolated")?.trim(), "2-3");
    let demo = Demo::load(vm)?;
    let mut wanted = demo.all_counts()?;
    for cpu in [2, 3] {
        assert_eq!(vm.affinity(demo.pid(cpu)?)?, [cpu]);
        demo.wake(&cpu.to_string())?;
        vm.cpu(cpu).offline()?;
        vm.cpu(cpu).online()?;
        wanted.insert(cpu, Counts { wake: 1, run: 1, park: 1, unpark: 1, ..Counts::SET_UP });
    }
    demo.settles_at(&wanted)?;
    demo.unload()
}

/// `CPUHP_OFFLINE`.
const OFFLINE: i32 = 0;

/// While an offline or online is stopped at any state, rmmod and insmod work, and the threads work
/// when it continues.
///
/// Between `OFFLINE` and `cpu:teardown` the kernel itself cannot stop. RCU has closed the CPU's
/// list of callbacks, and opens it in a state that was not left ("Callback enqueued on offline
/// CPU!"). See also hazard 34.
///
/// The CPU always continues upwards. Otherwise a module loaded between online and the state of the
/// threads would get a thread that the offline does not park: smpboot.c uses the mask of online
/// CPUs. Only this control of debug kernels can cause that.
#[vm_test(needs = &[STATE_CONTROL])]
fn stopped_at_each_state(vm: &Vm) -> Result<()> {
    let states = rollback::states(vm)?;
    let of = |wanted: &str| states.iter().find(|(name, _)| name == wanted).map(|(_, n)| *n);
    let online = of("online").context("no state is called online")?;
    let smpboot = rollback::smpboot_state(vm)?;
    let teardown = of("cpu:teardown").context("no state is called cpu:teardown")?;
    let cpu = *vm.removable()?.last().unwrap();
    let mut stopped = 0;
    for (name, state) in states.iter().filter(|(_, n)| *n == OFFLINE || *n >= teardown) {
        let demo = Demo::load(vm)?;
        if vm.cpu(cpu).stop_at(*state).is_ok() {
            let at = || format!("stopped at {name}");
            match *state < smpboot {
                true => assert_eq!(demo.state(cpu)?, "parked", "{name}"),
                false => rollback::runs_again(&demo, cpu).with_context(at)?,
            }
            demo.unload().with_context(at)?;
            let demo = Demo::load(vm).with_context(at)?;
            vm.cpu(cpu).stop_at(online).with_context(at)?;
            rollback::runs_again(&demo, cpu).with_context(at)?;
            stopped += 1;
        }
        demo.unload()?;
    }
    note!("vm-test: stopped at {stopped} of {} states", states.len());
    ensure!(stopped >= 15, "only {stopped} states could be stopped at");
    Ok(())
}
