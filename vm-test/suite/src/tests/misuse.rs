// SPDX-License-Identifier: GPL-2.0

//! What safe code must not be able to break: the checks of vm-test/modules/rust_smpboot_misuse.rs.

use super::samples::{Class, class, logged};
use crate::test::Test;
use anyhow::{Context, Result, bail, ensure};
use host::errors::refused;
use host::guest::calls::{offline, write};
use host::verdict::Leaves;
use host::{Config, Vm};
use nix::errno::Errno;
use std::time::Duration;
use wire::TaskEnd;

const MODULE: &str = "rust_smpboot_misuse";
const FOLDER: &str = "/sys/kernel/debug/rust_smpboot_misuse";
const LEAKED: &str = "/sys/kernel/debug/rust_smpboot_misuse_leaked";

pub const TESTS: &[Test] = &[
    Test::new(
        "misuse::registrations",
        "registering twice, with a value that cannot be made, at once again: an errno or no effect",
        registrations,
    ),
    Test::new(
        "misuse::threads_that_never_ran",
        "threads that are stopped before they ran have no setup, no cleanup, and nothing to drop",
        never_ran,
    ),
    Test::new(
        "misuse::wakes_while_threads_go",
        "wakes by other threads, by themselves and by interrupts while threads come and go do no harm",
        storm,
    ),
    Test::new(
        "misuse::liars",
        "threads that want to run at random, in another class each, begin and end like others",
        liars,
    ),
    Test::new(
        "misuse::percpu_storage",
        "per-CPU values that cannot be made on one of the CPUs are dropped on the others",
        percpu,
    ),
    Test::new(
        "misuse::hotplug_states",
        "states that fail on a CPU are rolled back; callbacks run for online CPUs if asked for",
        states,
    ),
    Test::new(
        "misuse::unpark_without_park",
        "unpark is called for threads that have no park, too",
        unpark_without_park,
    ),
    Test::new(
        "misuse::scheduling_classes",
        "threads have the class that was declared, those of CPUs that come later, too",
        scheduling_classes,
    ),
    Test::new(
        "misuse::callbacks_that_wait_for_hotplug",
        "taking the hotplug lock, registering a thread or a state is EDEADLK in each callback",
        callbacks,
    ),
    Test::new(
        "misuse::dropped_in_a_callback",
        "a registration that is dropped in a callback, its own even, ends with the module",
        dropped_in_a_callback,
    ),
    Test::new(
        "misuse::sleep_with_forced_threads",
        "with threadirqs, Context::sleep in a callback lets its CPU go offline, and fsleep does not",
        sleep_with_forced_threads,
    )
    .on(Config::smp(4).word("threadirqs"))
    .leaves(Leaves::Broken),
    Test::new(
        "misuse::leaked",
        "leaked threads, states and files end with the module, with a CPU offline too",
        leaked,
    ),
    Test::new(
        "misuse::leaked_by_a_failing_init",
        "what a module leaked that then fails to load is gone",
        leaked_by_a_failing_init,
    ),
];

/// Does one check, and has its verdict.
fn check(vm: &Vm, name: &str) -> Result<()> {
    const LIMIT: Duration = Duration::from_secs(40);
    match vm.spawn(write(&format!("{FOLDER}/do"), name))?.wait(LIMIT)? {
        TaskEnd::Answered(answer) => assert!(answer.is_ok(), "{name}: {answer:?}"),
        other => bail!("{name}: {other:?}"),
    }
    let results = vm.read(&format!("{FOLDER}/results"))?;
    let name = name.split(' ').next().unwrap_or_default();
    let last = results.lines().last().unwrap_or_default();
    ensure!(last == format!("{name}: ok"), "{last}");
    Ok(())
}

fn checks(vm: &Vm, names: &[&str]) -> Result<()> {
    vm.insmod(MODULE, "")?;
    for name in names {
        check(vm, name)?;
    }
    gone(vm)
}

/// The module can be unloaded, and nothing of it is left.
fn gone(vm: &Vm) -> Result<()> {
    vm.rmmod(MODULE)?;
    nothing_left(vm)
}

fn nothing_left(vm: &Vm) -> Result<()> {
    assert_eq!(vm.tasks(|comm| comm.starts_with("mis_"))?, [0; 0]);
    let states = vm.read("/sys/devices/system/cpu/hotplug/states")?;
    assert!(!states.contains("misuse"), "{states}");
    assert!(!vm.exists(FOLDER)? && !vm.exists(LEAKED)?);
    // Whatever still hung on CPU hotplug would show now.
    vm.cycle(1, 1)
}

fn registrations(vm: &Vm) -> Result<()> {
    let at_once = format!("at_once {}", 1000 / vm.built_with().slowness());
    checks(
        vm,
        &[
            "register_twice",
            "wake_without_threads",
            "failing_init",
            "local_dropped_once",
            &at_once,
            "register_twice",
        ],
    )
}

fn never_ran(vm: &Vm) -> Result<()> {
    checks(vm, &["never_ran 5"])
}

fn storm(vm: &Vm) -> Result<()> {
    checks(vm, &["storm 100"])
}

fn liars(vm: &Vm) -> Result<()> {
    checks(vm, &["liar 20"])
}

fn percpu(vm: &Vm) -> Result<()> {
    checks(vm, &["percpu"])
}

fn states(vm: &Vm) -> Result<()> {
    checks(vm, &["cpuhp_counts", "cpuhp_no_invoke", "cpuhp_failing_startup", "cpuhp_twice"])
}

fn unpark_without_park(vm: &Vm) -> Result<()> {
    vm.insmod(MODULE, "")?;
    check(vm, "begin_unpark")?;
    let cpus = vm.hotpluggable()?;
    for cpu in &cpus {
        vm.cycle(*cpu, 2)?;
    }
    check(vm, &format!("end_unpark {}", 2 * cpus.len()))?;
    gone(vm)
}

fn scheduling_classes(vm: &Vm) -> Result<()> {
    vm.cpu(2).offline()?;
    vm.cpu(3).offline()?;
    vm.insmod(MODULE, "")?;
    check(vm, "begin_policies")?;
    for cpu in [0, 1, 2, 3] {
        if cpu >= 2 {
            vm.cpu(cpu).online()?;
        }
        for round in 0..2 {
            for (name, wanted) in [
                ("mis_fifo", Class { fifo: 50, nice: 0 }),
                ("mis_low", Class { fifo: 1, nice: 0 }),
                ("mis_nice", Class { fifo: 0, nice: -7 }),
                ("mis_plain", Class { fifo: 0, nice: 0 }),
            ] {
                assert_eq!(class(vm, &format!("{name}/{cpu}"))?, wanted, "{name}/{cpu}");
            }
            if round == 0 && cpu > 0 {
                vm.cycle(cpu, 1)?;
            }
        }
    }
    check(vm, "end_policies")?;
    gone(vm)
}

fn callbacks(vm: &Vm) -> Result<()> {
    vm.insmod(MODULE, "")?;
    check(vm, "begin_callbacks")?;
    for cpu in vm.hotpluggable()? {
        vm.cycle(cpu, 1)?;
    }
    check(vm, "end_callbacks")?;
    gone(vm)
}

fn dropped_in_a_callback(vm: &Vm) -> Result<()> {
    vm.expect_warning("registration dropped in a hotplug callback");
    vm.expect_warning("registration was leaked");
    vm.may_leak();
    vm.insmod(MODULE, "")?;
    check(vm, "drop_in_callback")?;
    for name in ["mis_drop", "mis_count"] {
        assert_eq!(vm.tasks(|comm| comm.starts_with(name))?.len(), vm.cpus("online")?.len());
    }
    vm.cycle(2, 2)?;
    gone(vm)?;
    for name in ["mis_drop", "mis_count", "rust_smpboot/misuse:online"] {
        logged(vm, &format!("{MODULE}: {name}: registration dropped in a hotplug callback"), 1)?;
        logged(vm, &format!("{MODULE}: {name}: registration was leaked"), 1)?;
    }
    Ok(())
}

fn sleep_with_forced_threads(vm: &Vm) -> Result<()> {
    // Interrupts are forced into threads: the one for timers parks before those of a module.
    assert_eq!(vm.tasks(|comm| comm == "ktimers/1")?.len(), 1);
    vm.insmod(MODULE, "")?;
    check(vm, "begin_sleep")?;
    for cpu in [1, 2] {
        vm.cycle(cpu, 1)?;
    }
    check(vm, "end_sleep")?;

    // With PREEMPT_RT the agent's own timers are no better off on that CPU.
    vm.set_affinity(0, &[0])?;
    check(vm, "begin_fsleep")?;
    let offline = vm.spawn(offline(1))?;
    // If the sleep of 2 s ended, the CPU would be offline by then.
    assert_eq!(refused(offline.wait(Duration::from_secs(5)))?, Errno::ETIME);
    let sleeper = vm.tasks(|comm| comm == "mis_sleep/1")?;
    let state = vm.status(*sleeper.first().context("no thread")?, "State")?;
    assert!(state.starts_with('D'), "{state}");
    Ok(())
}

const LEAKS: [&str; 3] = ["mis_leak", "mis_leakp", "rust_smpboot/misuse:leaked"];

fn leaked(vm: &Vm) -> Result<()> {
    vm.expect_warning("registration was leaked");
    vm.may_leak();
    for round in 1..=2 {
        vm.insmod(MODULE, "")?;
        check(vm, "leak")?;
        assert_eq!(vm.read(&format!("{LEAKED}/number"))?, "7");
        assert!(!vm.tasks(|comm| comm.starts_with("mis_leak"))?.is_empty());
        vm.cpu(2).offline()?;
        if round == 2 {
            vm.cpu(2).online()?;
        }
        gone(vm)?;
        vm.cpu(2).online()?;
        for name in LEAKS {
            logged(vm, &format!("{MODULE}: {name}: registration was leaked"), round)?;
        }
    }
    Ok(())
}

fn leaked_by_a_failing_init(vm: &Vm) -> Result<()> {
    vm.expect_warning("registration was leaked");
    vm.may_leak();
    assert_eq!(refused(vm.insmod(MODULE, "leak_and_fail=1"))?, Errno::ECANCELED);
    nothing_left(vm)?;
    for name in LEAKS {
        logged(vm, &format!("{MODULE}: {name}: registration was leaked"), 1)?;
    }
    checks(vm, &["register_twice"])
}
