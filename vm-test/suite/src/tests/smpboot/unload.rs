// SPDX-License-Identifier: GPL-2.0

//! rmmod: threads and files are removed, with CPUs online and offline.

use anyhow::Result;
use demo_module::{DIRECTORY, Demo, Kind, WAKE, file};
use host::Vm;
use host::errors::refused;
use host::machine::kernel::KMEMLEAK;
use nix::errno::Errno;
use suite_macros::vm_test;
use wire::Access;

/// 20 cycles of insmod, wakes and rmmod leak no memory.
///
/// kmemleak may miss a single leak, if some memory looks like a pointer to it.
#[vm_test(needs = &[KMEMLEAK])]
fn leaks_nothing(vm: &Vm) -> Result<()> {
    for _ in 0..20 {
        let demo = Demo::load(vm)?;
        vm.write(WAKE, "all")?;
        demo.unload()?;
    }
    Ok(())
}

/// rmmod cleans up each thread once, on its CPU, and removes threads and files.
#[vm_test]
fn cleans_up_each_thread(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let online = vm.cpus("online")?;
    demo.steps(2 * online.len())?;
    demo.unload()?;
    demo.logged(&online.iter().map(|cpu| (*cpu, Kind::CleanupOnline)).collect::<Vec<_>>())?;
    assert!(demo_module::pids(vm)?.is_empty());
    assert!(!vm.exists(DIRECTORY)?);
    Ok(())
}

/// Threads of offline CPUs are cleaned up, too, with `online` false.
#[vm_test]
fn with_cpus_offline(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let online = vm.cpus("online")?;
    let mut down = vm.hotpluggable()?;
    down.retain(|cpu| *cpu >= 2);
    for cpu in &down {
        vm.cpu(*cpu).offline()?;
    }
    demo.steps(2 * online.len() + down.len())?;
    demo.unload()?;
    let cleanup = |cpu: &u32| match down.contains(cpu) {
        true => (*cpu, Kind::CleanupOffline),
        false => (*cpu, Kind::CleanupOnline),
    };
    demo.logged(&online.iter().map(cleanup).collect::<Vec<_>>())?;
    assert!(demo_module::pids(vm)?.is_empty());
    for cpu in &down {
        vm.cpu(*cpu).online()?;
    }
    demo.logged(&[])
}

/// rmmod of a module that is not loaded is refused, and changes nothing.
#[vm_test]
fn after_a_failed_one(vm: &Vm) -> Result<()> {
    let demo = Demo::attach(vm)?;
    assert_eq!(refused(demo.unload())?, Errno::ENOENT);
    demo.logged(&[])
}

/// An open file keeps the module loaded and working; once it is closed, rmmod works.
#[vm_test]
fn refused_while_a_file_is_open(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let mut wanted = demo.all_counts()?;
    let summary = format!("{DIRECTORY}/summary");
    for (path, access) in
        [(file(0, "run"), Access::Read), (summary, Access::Read), (WAKE.into(), Access::Write)]
    {
        let open = vm.open(&path, access)?;
        assert_eq!(refused(demo.unload())?, Errno::EAGAIN, "{path} is open");
        match access {
            Access::Write => assert_eq!(open.write("0")?, 1),
            _ => demo.wake("0")?,
        }
        let counts = wanted.get_mut(&0).unwrap();
        (counts.wake, counts.run) = (counts.wake + 1, counts.run + 1);
        demo.settles_at(&wanted)?;
        drop(open);
    }
    demo.unload()
}
