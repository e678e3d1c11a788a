// SPDX-License-Identifier: GPL-2.0

//! Third-party tests, unmodified, while our modules are loaded and busy. Their verdict counts, and
//! ours: no splat, and all counters of our threads add up.
//!
//! The kernel's source has most of them. `stress-ng --cpu-online`, from Debian, is only a load: it
//! does not check that CPUs are online again. LTP is in neither: name its directory with `LTP=`.

use super::samples;
use anyhow::{Context, Result, bail, ensure};
use cli::note;
use demo_module::{Demo, PERIOD};
use host::machine::kernel::{LOCK_TORTURE, RCU_TORTURE};
use host::{Vm, clock};
use std::time::Duration;
use suite_macros::vm_test;
use wire::{Call, Exit, Value};

/// scftorture passes with CPU hotplug.
#[vm_test(third_party = "modules")]
fn scftorture(vm: &Vm) -> Result<()> {
    torture(vm, "scftorture", "onoff_interval=20 stat_interval=2")
}

/// locktorture passes with mutexes and CPU hotplug.
#[vm_test(third_party = "modules")]
fn locktorture_mutex(vm: &Vm) -> Result<()> {
    locktorture(vm, "mutex_lock")
}

/// locktorture passes with CPU hotplug and the kind of lock that protects CPU hotplug.
#[vm_test(third_party = "modules")]
fn locktorture_percpu_rwsem(vm: &Vm) -> Result<()> {
    locktorture(vm, "percpu_rwsem_lock")
}

/// rcutorture passes with CPU hotplug.
#[vm_test(needs = &[RCU_TORTURE], third_party = "modules")]
fn rcutorture(vm: &Vm) -> Result<()> {
    vm.expect_warning("-test grace-period state: ");
    vm.expect_warning("mem_dump_obj(");
    // Its statistics report a writer as stuck if it made no progress since the last ones. It rests
    // for 5 s at a time (`stutter`). The statistics keep their default interval, which is longer.
    torture(vm, "rcutorture", "onoff_interval=20 n_barrier_cbs=2 fwd_progress=0")
}

/// LTP's cpuhotplug02 passes: a process leaves the CPU that goes offline.
#[vm_test(third_party = "ltp")]
fn ltp_cpuhotplug02(vm: &Vm) -> Result<()> {
    vm.expect_warning("no longer affine to cpu");
    ltp(vm, "cpuhotplug02.sh -c 1 -l 3")
}

/// LTP's cpuhotplug03 passes: processes move to the CPU that comes online.
#[vm_test(third_party = "ltp")]
fn ltp_cpuhotplug03(vm: &Vm) -> Result<()> {
    ltp(vm, "cpuhotplug03.sh -c 1 -l 2")
}

/// LTP's cpuhotplug04 passes: all CPUs but the last go offline.
#[vm_test(third_party = "ltp")]
fn ltp_cpuhotplug04(vm: &Vm) -> Result<()> {
    ltp(vm, "cpuhotplug04.sh -l 1")
}

/// Limit of a torture module, on a kernel as fast as the stock one.
const LIMIT: Duration = Duration::from_secs(120);

/// Number of times that a torture module takes a CPU offline.
const OFFLINES: u64 = 20;

/// Our modules with a thread on every CPU.
fn busy_modules() -> impl Iterator<Item = &'static str> {
    samples::SAMPLES.iter().copied().chain(["rust_percpu_workqueue"])
}

/// Period of the timers, to be multiplied by the kernel's slowness: third-party tasks must make
/// progress, too.
const PERIOD_US: u64 = 1000;

fn busy(vm: &Vm) -> Result<Demo<'_>> {
    busy_modules().try_for_each(|module| vm.insmod(module, ""))?;
    let demo = Demo::load(vm)?;
    vm.write(PERIOD, (PERIOD_US * u64::from(vm.built_with().slowness())).to_string())?;
    Ok(demo)
}

/// Checks that all CPUs are online again, and that each thread has parked as often as unparked, and
/// works.
fn done(vm: &Vm, demo: Demo<'_>) -> Result<()> {
    demo.stop_timers()?;
    demo.wake("0")?;
    demo.all_sleep()?;
    let counts = demo.all_counts()?;
    let parks: u64 = counts.values().map(|c| c.park).sum();
    let runs: u64 = counts.values().map(|c| c.run).sum();
    note!("vm-test: {parks} parks, {runs} runs of our threads during the test");
    ensure!(parks >= 2 && runs > 0, "our threads: {parks} parks (expected 2 or more), {runs} runs");
    ensure!(counts.values().all(|c| c.park == c.unpark), "{counts:?}");
    demo.unload()?;
    busy_modules().try_for_each(|module| vm.rmmod(module))
}

/// Runs a bash script, with all applets of busybox in the path.
fn script(vm: &Vm, command: &str) -> Result<()> {
    vm.run(&["/bin/busybox", "--install", "-s", "/bin"])?;
    passes(vm, &format!("/bin/env PATH=/ltp:/bin:/sbin /bin/bash {command}"))
}

/// selftests/cpu-hotplug/cpu-on-off-test.sh passes, for one CPU and for all.
#[vm_test(third_party = "selftests")]
fn selftests_cpu_hotplug(vm: &Vm) -> Result<()> {
    let demo = busy(vm)?;
    for arguments in ["", "-a"] {
        script(vm, &format!("/selftests/cpu-on-off-test.sh {arguments}"))?;
    }
    done(vm, demo)
}

fn ltp(vm: &Vm, command: &str) -> Result<()> {
    vm.run(&["/bin/busybox", "mkdir", "-p", "/var/run"])?;
    let demo = busy(vm)?;
    script(vm, &format!("/ltp/{command}"))?;
    done(vm, demo)
}

/// The threads follow the CPUs during stress-ng --cpu-online.
///
/// Two tasks toggle CPUs at random.
#[vm_test(third_party = "bin/stress-ng")]
fn stress_ng(vm: &Vm) -> Result<()> {
    // stress-ng binds its tasks to CPUs that then go offline.
    vm.expect_warning("no longer affine to cpu");
    let demo = busy(vm)?;
    passes(vm, "/bin/stress-ng --pathological --cpu-online 2 --cpu-online-ops 100 --timeout 100")?;
    done(vm, demo)
}

/// Runs a program that must neither fail nor skip a test, and shows its output.
fn passes(vm: &Vm, command: &str) -> Result<()> {
    let argv = command.split_whitespace().map(String::from).collect();
    let limit_ms = vm.limit(LIMIT).as_millis() as u64;
    let Value::Program { status, output } = vm.call(Call::Run { argv, limit_ms })? else {
        bail!("'{command}' did not run")
    };
    let output = String::from_utf8_lossy(&output);
    ensure!(status == Exit::Code(0), "'{command}' ended with {status:?}:\n{output}");
    note!("vm-test: {}", output.trim_end().replace('\n', "\nvm-test: "));
    Ok(())
}

fn locktorture(vm: &Vm, lock: &str) -> Result<()> {
    vm.expect_warning(":  Total: ");
    torture(vm, "locktorture", &format!("onoff_interval=1 stat_interval=2 torture_type={lock}"))
}

/// Runs a torture module. The unit of `onoff_interval` is the jiffy, with locktorture the second.
fn torture(vm: &Vm, module: &str, parameters: &str) -> Result<()> {
    vm.expect_warning("torture");
    let demo = busy(vm)?;
    vm.insmod("torture", "")?;
    let lacks_affinity = module == "locktorture" && !vm.built_with().has(LOCK_TORTURE);
    if lacks_affinity {
        vm.insmod("torture_sched_setaffinity", "")?;
    }
    let start = clock::now();
    vm.insmod(module, &format!("onoff_holdoff=2 {parameters}"))?;
    let parks =
        || -> Result<u64> { Ok(demo.all_counts()?.values().map(|counts| counts.park).sum()) };
    while parks()? < OFFLINES {
        ensure!(clock::now() - start < vm.limit(LIMIT), "{} offlines in {LIMIT:?}", parks()?);
    }
    vm.rmmod(module)?;
    if lacks_affinity {
        vm.rmmod("torture_sched_setaffinity")?;
    }
    vm.rmmod("torture")?;
    vm.kmsg()?;
    let records = vm.records();
    let verdict = records.iter().rfind(|record| record.text.contains("--- End of test"));
    let verdict = &verdict.context("the log lacks \"--- End of test\"")?.text;
    ensure!(verdict.contains("End of test: SUCCESS"), "{verdict}");
    drop(records);
    note!("vm-test: {module}: SUCCESS");
    done(vm, demo)
}
