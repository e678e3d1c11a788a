// SPDX-License-Identifier: GPL-2.0

//! A recorded run: for the picture, and to compare the module's events with the kernel's trace.

use anyhow::{Context, Result};
use demo_format::format::Kind;
use demo_module::recorder::{self, Recorder};
use demo_module::{Demo, PERIOD};
use host::Vm;
use host::machine::kernel::{BITS_64, PAGES_4K};
use report::{html, perfetto};
use std::fs;
use suite_macros::vm_test;

/// Parks and runs in the picture are complete, and agree with the kernel's own trace. (trace-cmd
/// restores the traces of kernels with pages and words as the host's.)
#[vm_test(needs = &[PAGES_4K, BITS_64])]
fn of_a_run(vm: &Vm) -> Result<()> {
    const CYCLES: usize = 5;
    let directory = vm.reports().context("no directory for the picture")?;
    recorder::remove_saved(directory, "test")?;
    let about =
        demo_module::about(vm, "CPUs go offline and online while timers wake their threads");
    let mut recorder = Recorder::start(vm, about)?;
    let demo =
        recorder.action("Load the module", &["insmod rust_smpboot_demo.ko"], || Demo::load(vm))?;
    recorder.loaded(0)?;
    vm.write(PERIOD, "10000")?;
    let cpus = vm.hotpluggable()?;
    for cpu in cpus.iter().cycle().take(CYCLES) {
        let runs = demo.counts(*cpu)?.run;
        demo.wait_for([(*cpu, "run", runs + 3)].into_iter())?;
        let toggle = |online| format!("echo {online} > /sys/devices/system/cpu/cpu{cpu}/online");
        let offline = format!("Take CPU {cpu} offline");
        recorder.action(&offline, &[&toggle(0)], || vm.cpu(*cpu).offline())?;
        let online = format!("Bring CPU {cpu} online");
        recorder.action(&online, &[&toggle(1)], || vm.cpu(*cpu).online())?;
        recorder.drain()?;
    }
    demo.stop_timers()?;
    let counts = demo.all_counts()?;
    assert_eq!(demo.counts_of_files()?, counts);
    recorder.unloading()?;
    recorder.action("Unload the module", &["rmmod rust_smpboot_demo"], || demo.unload())?;
    let recorded = recorder.finish(true)?;
    // Fails if the two do not agree.
    recorded.check()?;
    let run = &recorded.view.run;

    assert!(!run.trace.events.is_empty() && run.trace.lost == 0);
    for cpu in &run.cpus {
        let number = |kind| cpu.events.iter().filter(|event| event.kind == kind).count() as u64;
        let counts = &counts[&cpu.id];
        assert!(cpu.lost.is_empty(), "cpu{}", cpu.id);
        assert_eq!(
            [Kind::Wake, Kind::Run, Kind::Park, Kind::Unpark].map(number),
            [counts.wake, counts.run, counts.park, counts.unpark],
            "cpu{}",
            cpu.id
        );
    }
    let parks = run.cpus.iter().flat_map(|cpu| &cpu.events).filter(|e| e.kind == Kind::Park);
    assert_eq!(parks.count(), CYCLES);
    assert!(html::data_of(&html::page(&recorded.view))?.contains("smpboot_park_threads"));
    assert!(perfetto::json(&recorded.view).contains("smpboot_park_threads"));
    let switches = run.trace.events.iter().filter(|event| event.name == "sched_switch");
    let of_others = |text: &str| !text.contains("rust_demo/");
    assert!(switches.clone().any(|event| of_others(&event.text)), "what each CPU ran");
    let saved = recorded.save(directory, "test")?;
    let report = saved.trace_cmd_report()?;
    let events = |text: &str| {
        text.lines().filter(|l| !l.starts_with('#') && !l.starts_with("cpus=")).count()
    };
    assert_eq!(events(&report), events(&fs::read_to_string(directory.join("test.trace"))?));
    for word in ["smpboot_park_threads", "rust_demo/1", "Take CPU 1 offline"] {
        assert!(report.contains(word), "trace-cmd's report lacks {word}:\n{report:.2000}");
    }
    Ok(())
}

/// The recording of a run that fails midway has its events so far, and the kernel's trace.
#[vm_test]
fn of_a_failed_run(vm: &Vm) -> Result<()> {
    let mut recorder = Recorder::start(vm, demo_module::about(vm, "A run that fails"))?;
    let demo = recorder.action("Load the module", &[], || Demo::load(vm))?;
    recorder.loaded(0)?;
    let cpu = vm.hotpluggable()?[0];
    recorder.begin("Take a CPU offline", &[])?;
    vm.cpu(cpu).offline()?;
    let mut recorded = recorder.rescue();
    vm.cpu(cpu).online()?;
    demo.unload()?;

    recorded.check()?;
    recorded.fail(["the guest did something else".to_owned()].into_iter());
    let run = &recorded.view.run;
    let events = run.cpus.iter().flat_map(|cpu| &cpu.events);
    assert_eq!(events.filter(|event| event.kind == Kind::Park).count(), 1);
    assert!(!run.trace.events.is_empty());
    assert_eq!(run.actions.last().map(|action| action.end), Some(None));
    let page = html::page(&recorded.view);
    assert!(page.contains("<title>FAILED: A run that fails</title>"));
    assert!(page.contains("<li>the guest did something else</li>"));
    Ok(())
}
