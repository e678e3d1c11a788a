// SPDX-License-Identifier: GPL-2.0

//! Safe code that once broke the kernel: the modes of vm-test/modules/rust_smpboot_holes.rs.

use super::memory::{self, CALLER};
use super::rollback;
use super::samples::logged;
use crate::test::Test;
use anyhow::{Result, bail, ensure};
use host::errors::refused;
use host::guest::calls::{insmod, read, rmmod, write};
use host::guest::{DEFAULT_LIMIT, Task};
use host::machine::kernel::FAILSLAB;
use host::verdict::Leaves;
use host::{Config, Vm};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use std::time::Instant;
use wire::{Access, Call, Exit, TaskEnd, Until, Value};

const MODULE: &str = "rust_smpboot_holes";
const FOLDER: &str = "/sys/kernel/debug/rust_smpboot_holes";

pub const TESTS: &[Test] = &[
    Test::new(
        "holes::threads_registered_at_the_end",
        "threads that are being registered when the module ends are refused with ESHUTDOWN and stopped, their value is dropped",
        |vm| registered_at_the_end(vm, 1),
    )
    .long(),
    Test::new(
        "holes::self_parking_threads_registered_at_the_end",
        "self-parking threads that are being registered when the module ends are refused with ESHUTDOWN and stopped, their value is dropped",
        |vm| registered_at_the_end(vm, 2),
    )
    .long(),
    Test::new(
        "holes::state_registered_at_the_end",
        "a hotplug state that is being registered when the module ends is refused with ESHUTDOWN and removed, its value is dropped",
        |vm| registered_at_the_end(vm, 3),
    )
    .long(),
    Test::new(
        "holes::files_made_at_the_end",
        "a tree that is being filled when the module ends is removed after that",
        files_made_at_the_end,
    )
    .long(),
    Test::new(
        "holes::files_opened_during_init",
        "no file can be opened before init has succeeded, so that none is open when a failing init frees the module",
        files_opened_during_init,
    )
    .long(),
    Test::new(
        "holes::tree_dropped_beside_poll",
        "poll of a stream returns when the tree is dropped, and uses no freed memory, however late the task runs",
        tree_dropped_beside_poll,
    )
    .long(),
    Test::new(
        "holes::tree_dropped_beside_read",
        "a blocked read of a stream returns EIO when the tree is dropped",
        tree_dropped_beside_read,
    )
    .long(),
    Test::new(
        "holes::tree_dropped_beside_two_reads",
        "of two tasks that read one open stream, both end with EIO when the tree is dropped",
        tree_dropped_beside_two_reads,
    )
    .long(),
    Test::new(
        "holes::poll_beside_read",
        "poll of a stream that another task reads returns when that read leaves records",
        poll_beside_read,
    )
    .long(),
    Test::new(
        "holes::stream_of_empty_records",
        "a stream that has nothing but empty records: reading ends when the task is killed or the tree dropped",
        stream_of_empty_records,
    )
    .long(),
    Test::new(
        "holes::registered_in_a_foreign_callback",
        "registering in a hotplug callback of another subsystem is EDEADLK, before any callback of the module ran",
        registered_in_a_foreign_callback,
    )
    .on(Config::smp(4).word("cpufreq.default_governor=performance"))
    .needs(&["CPU_FREQ"])
    .long(),
    Test::new(
        "holes::startup_fails_in_a_rollback",
        "a startup that fails when a CPU-down is rolled back leaves the CPU half-way, with a warning, as in C",
        startup_fails_in_a_rollback,
    )
    .leaves(Leaves::Used)
    .long(),
    Test::new(
        "holes::notified_by_a_timer",
        "a timer that is not a hard one may notify a wait queue",
        notified_by_a_timer,
    )
    .long(),
    Test::new(
        "holes::no_memory_for_owners",
        "each allocation may fail for what owns a registration: ENOMEM, no deadlock, and the next try works",
        no_memory_for_owners,
    )
    .needs(&[FAILSLAB])
    .long(),
    Test::new(
        "holes::tree_freed_without_a_drop",
        "the files of a tree whose memory was freed without a drop work, and end with the module",
        tree_freed_without_a_drop,
    )
    .long(),
    Test::new(
        "holes::waits_for_threads_at_the_end",
        "a task that waits for threads to be up, while a CPU waits to go offline, returns when the module ends",
        waits_for_threads_at_the_end,
    )
    .long(),
];

fn load(vm: &Vm, mode: u32) -> Result<()> {
    vm.insmod(MODULE, &format!("mode={mode}"))
}

/// The module can be unloaded, and nothing of it is left.
fn unload(vm: &Vm) -> Result<()> {
    vm.rmmod(MODULE)?;
    nothing_left(vm)
}

fn nothing_left(vm: &Vm) -> Result<()> {
    assert_eq!(vm.tasks(|comm| comm.starts_with("hole_"))?, [0; 0]);
    let states = vm.read("/sys/devices/system/cpu/hotplug/states")?;
    assert!(!states.contains("hole"), "{states}");
    let files = vm.list("/sys/kernel/debug")?;
    assert!(!files.iter().any(|name| name.starts_with(MODULE)), "{files:?}");
    // Callbacks that are still registered would run freed code here.
    vm.cycle(1, 1)
}

fn line(text: &str) -> String {
    format!("{MODULE}: {text}")
}

fn registered_at_the_end(vm: &Vm, mode: u32) -> Result<()> {
    vm.expect_warning("hole_last: registration was leaked");
    vm.may_leak();
    load(vm, mode)?;
    unload(vm)?;
    logged(vm, &line("registered while the module ends: Err(ESHUTDOWN)"), 1)?;
    logged(vm, &line("registered afterwards: Err(ESHUTDOWN)"), 1)?;
    // By the scope, as the registration has no owner.
    logged(vm, &line("value dropped"), 1)?;
    Ok(())
}

fn files_made_at_the_end(vm: &Vm) -> Result<()> {
    vm.expect_warning("hole_fill: registration was leaked");
    vm.may_leak();
    load(vm, 4)?;
    wait_for_file(vm, &format!("{FOLDER}_fill/before"))?;
    unload(vm)?;
    logged(vm, &line("filled while the module ends: "), 1)?;
    Ok(())
}

fn wait_for_file(vm: &Vm, path: &str) -> Result<()> {
    let (start, limit) = (Instant::now(), vm.limit(DEFAULT_LIMIT));
    while !vm.exists(path)? {
        ensure!(start.elapsed() < limit, "there is no {path}");
    }
    Ok(())
}

fn files_opened_during_init(vm: &Vm) -> Result<()> {
    let loading = vm.spawn(insmod(MODULE, "mode=5"))?;
    let number = format!("{FOLDER}_early/number");
    wait_for_file(vm, &number)?;
    for path in [number, stream()] {
        assert_eq!(refused(vm.open(&path, Access::Read).map(drop))?, Errno::EAGAIN, "{path}");
    }
    assert_eq!(loading.kill(DEFAULT_LIMIT)?, TaskEnd::Died(Exit::Signal(Signal::SIGKILL as i32)));
    nothing_left(vm)?;
    // The next load is not affected.
    load(vm, 6)?;
    drop(vm.open(&stream(), Access::Read)?);
    unload(vm)
}

fn answered(end: TaskEnd) -> Result<Value> {
    match end {
        TaskEnd::Answered(answer) => match *answer {
            Ok(value) => Ok(value),
            Err(errno) => bail!("{:?}", Errno::from_raw(errno)),
        },
        TaskEnd::Died(exit) => bail!("it died: {exit:?}"),
    }
}

fn errno(end: TaskEnd) -> Result<Errno> {
    match end {
        TaskEnd::Answered(answer) => match *answer {
            Ok(value) => bail!("it worked: {value:?}"),
            Err(errno) => Ok(Errno::from_raw(errno)),
        },
        TaskEnd::Died(exit) => bail!("it died: {exit:?}"),
    }
}

fn stream() -> String {
    format!("{FOLDER}/stream")
}

fn control(name: &str) -> String {
    format!("{FOLDER}_control/{name}")
}

/// What a shell does on CPU 1. Its `read -t` begins by polling.
fn shell<'a>(vm: &'a Vm, script: &str) -> Result<Task<'a>> {
    let argv = ["busybox", "sh", "-c", script].map(String::from).into();
    let limit_ms = vm.ms(4 * DEFAULT_LIMIT);
    vm.set_affinity(0, &[1])?;
    let task = vm.spawn(Call::Run { argv, limit_ms });
    vm.set_affinity(0, &[0])?;
    task
}

/// The process of this applet of busybox, when a function of its stack has this in its name.
fn inside(vm: &Vm, program: &str, function: &str) -> Result<i32> {
    let [pid] = all_inside(vm, program, function)?;
    Ok(pid)
}

/// The same for several processes.
fn all_inside<const COUNT: usize>(vm: &Vm, program: &str, function: &str) -> Result<[i32; COUNT]> {
    let (start, limit) = (Instant::now(), vm.limit(DEFAULT_LIMIT));
    loop {
        let mut found = Vec::new();
        for pid in vm.tasks(|name| !name.contains('/'))? {
            // It may have ended since.
            let file = |name: &str| vm.read(&format!("/proc/{pid}/{name}")).unwrap_or_default();
            let applet = |line: String| line.split('\0').nth(1) == Some(program);
            if applet(file("cmdline")) && file("stack").contains(function) {
                found.push(pid);
            }
        }
        if let Ok(found) = found.try_into() {
            return Ok(found);
        }
        ensure!(start.elapsed() < limit, "{COUNT} {program} are not in {function}");
    }
}

fn tree_dropped_beside_poll(vm: &Vm) -> Result<()> {
    load(vm, 6)?;
    let poller = shell(vm, &format!("read -t 1000 line <{}", stream()))?;
    inside(vm, "sh", "poll")?;
    vm.write(&control("spin"), "1")?;
    vm.wait_for(&control("spinning"), Until::Is("1".into()))?;
    // The poller cannot run until the tree has been dropped.
    let dropper = vm.spawn(write(&control("drop"), "1"))?;
    answered(dropper.wait(DEFAULT_LIMIT)?)?;
    vm.wait_for(&control("spinning"), Until::Is("0".into()))?;
    let Value::Program { status, output } = answered(poller.wait(DEFAULT_LIMIT)?)? else {
        bail!("the poller is no program");
    };
    assert_ne!(status, Exit::Code(0), "{}", String::from_utf8_lossy(&output));
    vm.set_affinity(0, &vm.cpus("possible")?)?;
    unload(vm)
}

fn tree_dropped_beside_read(vm: &Vm) -> Result<()> {
    load(vm, 6)?;
    let reader = vm.spawn(read(&stream()))?;
    vm.wait_for(&format!("/proc/{}/stat", reader.pid), Until::Contains(") S ".into()))?;
    let dropper = vm.spawn(write(&control("drop"), "1"))?;
    let dropped = dropper.wait(DEFAULT_LIMIT);
    let stack = vm.read(&format!("/proc/{}/stack", reader.pid)).unwrap_or_default();
    let Ok(dropped) = dropped else {
        bail!("the task that drops the tree waits for the one that reads:\n{stack}");
    };
    answered(dropped)?;
    assert_eq!(errno(reader.wait(DEFAULT_LIMIT)?)?, Errno::EIO);
    unload(vm)
}

fn tree_dropped_beside_two_reads(vm: &Vm) -> Result<()> {
    load(vm, 6)?;
    // Of one open file: one waits for a record, the other for its turn.
    let script = format!(
        "exec 3<{}
        busybox dd bs=1 count=1 <&3 & busybox dd bs=1 count=1 <&3; status=$?
        wait $! || exit $((10 + status))",
        stream()
    );
    let readers = shell(vm, &script)?;
    let [_, _] = all_inside(vm, "dd", MODULE)?;
    answered(vm.spawn(write(&control("drop"), "1"))?.wait(DEFAULT_LIMIT)?)?;
    let Value::Program { status, output } = answered(readers.wait(DEFAULT_LIMIT)?)? else {
        bail!("no program")
    };
    let output = String::from_utf8_lossy(&output);
    assert_eq!(status, Exit::Code(11), "{output}");
    assert_eq!(output.matches("Input/output error").count(), 2, "{output}");
    vm.set_affinity(0, &vm.cpus("possible")?)?;
    unload(vm)
}

fn switches(vm: &Vm, pid: i32) -> Result<u64> {
    Ok(vm.status(pid, "voluntary_ctxt_switches")?.parse()?)
}

fn poll_beside_read(vm: &Vm) -> Result<()> {
    load(vm, 6)?;
    // Both with the same open file; each ends with the first record that it gets. The reader's end is
    // kept from the shell: that signal would end its poll.
    let script = format!(
        "exec 3<{}
        {{ busybox dd bs=1 count=1; while [ -e /tmp/poll ]; do busybox usleep 1000; done; }} <&3 3<&- >/dev/null 2>&1 &
        while [ ! -e /tmp/poll ]; do busybox usleep 1000; done
        read -t 1000 line <&3; status=$?
        busybox rm /tmp/poll; wait; exit $status",
        stream()
    );
    let tasks = shell(vm, &script)?;
    let reader = inside(vm, "dd", MODULE)?;
    vm.run(&["busybox", "touch", "/tmp/poll"])?;
    let poller = inside(vm, "sh", "poll")?;
    let before = switches(vm, poller)?;
    vm.write(&control("hold"), "1")?;
    vm.write(&control("push"), "2")?;
    vm.wait_for(&control("held"), Until::Is("1".into()))?;
    // The poller was woken, too, and sleeps again: in poll or, as it should, in a read of its own.
    let (start, limit) = (Instant::now(), vm.limit(DEFAULT_LIMIT));
    while switches(vm, poller)? == before {
        ensure!(start.elapsed() < limit, "the poller was not woken");
    }
    vm.write(&control("hold"), "0")?;
    let end = tasks.wait(DEFAULT_LIMIT);
    let Ok(end) = end else {
        bail!("task {poller} sleeps in poll though {reader} left a record");
    };
    let Value::Program { status, .. } = answered(end)? else { bail!("no program") };
    assert_eq!(status, Exit::Code(0));
    vm.set_affinity(0, &vm.cpus("possible")?)?;
    unload(vm)
}

fn stream_of_empty_records(vm: &Vm) -> Result<()> {
    load(vm, 6)?;
    let read_idle = || -> Result<Task<'_>> {
        let before: u64 = vm.read(&control("held"))?.parse()?;
        let reader = vm.spawn(read(&format!("{FOLDER}/idle")))?;
        vm.wait_for(&control("held"), Until::AtLeast(before + 2))?;
        Ok(reader)
    };
    let killed = read_idle()?.kill(DEFAULT_LIMIT)?;
    assert_eq!(killed, TaskEnd::Died(Exit::Signal(Signal::SIGKILL as i32)));
    let reader = read_idle()?;
    answered(vm.spawn(write(&control("drop"), "1"))?.wait(DEFAULT_LIMIT)?)?;
    assert_eq!(errno(reader.wait(DEFAULT_LIMIT)?)?, Errno::EIO);
    unload(vm)
}

fn registered_in_a_foreign_callback(vm: &Vm) -> Result<()> {
    load(vm, 7)?;
    vm.cycle(1, 1)?;
    for what in ["threads", "state"] {
        let text = format!("{what} registered in a foreign callback: Err(EDEADLK)");
        logged(vm, &line(&text), 1)?;
    }
    unload(vm)
}

fn startup_fails_in_a_rollback(vm: &Vm) -> Result<()> {
    vm.expect_splat("WARNING");
    load(vm, 8)?;
    let cpu = |file: &str| -> Result<i32> {
        Ok(vm.read(&format!("/sys/devices/system/cpu/cpu1/{file}"))?.parse()?)
    };
    let top = cpu("hotplug/state")?;
    vm.cpu(1).fail_at(rollback::smpboot_state(vm)?)?;
    assert_eq!(refused(vm.cpu(1).offline())?, Errno::EAGAIN);
    logged(vm, &line("teardown of CPU 1"), 1)?;
    logged(vm, &line("startup of CPU 1: Err(EIO)"), 1)?;
    let (online, state, target) = (cpu("online")?, cpu("hotplug/state")?, cpu("hotplug/target")?);
    ensure!(
        online == 1 && state < target && target == top,
        "CPU 1: online {online}, state {state} of {top}, target {target}"
    );
    // From there it can be taken offline and brought online.
    vm.cycle(1, 1)?;
    assert_eq!(cpu("hotplug/state")?, top);
    unload(vm)
}

fn notified_by_a_timer(vm: &Vm) -> Result<()> {
    load(vm, 9)?;
    logged(vm, &line("notified"), 1)?;
    unload(vm)
}

fn no_memory_for_owners(vm: &Vm) -> Result<()> {
    // Without its folder a tree is made all the same.
    vm.expect_warning("debugfs: out of free dentries");
    load(vm, 10)?;
    for (file, least) in [("threads", 10), ("state", 5), ("tree", 5)] {
        let path = format!("{FOLDER}/{file}");
        let failures =
            memory::fail_each(vm, CALLER, || write(&path, "1"), |_| vm.write(&path, "1"))?;
        ensure!(failures >= least, "{file}: only {failures} allocations failed");
    }
    unload(vm)
}

fn tree_freed_without_a_drop(vm: &Vm) -> Result<()> {
    vm.may_leak();
    load(vm, 11)?;
    for _ in 0..3 {
        assert_eq!(vm.read(&format!("{FOLDER}/number"))?, "42");
    }
    unload(vm)
}

fn waits_for_threads_at_the_end(vm: &Vm) -> Result<()> {
    vm.expect_warning("hole_up: registration was leaked");
    vm.expect_warning("hole_end: registration was leaked");
    vm.may_leak();
    load(vm, 12)?;
    let task_in = |name: &str, function: &str| -> Result<()> {
        let (start, limit) = (Instant::now(), vm.limit(DEFAULT_LIMIT));
        let is_in = |pid: &i32| {
            vm.read(&format!("/proc/{pid}/stack")).is_ok_and(|stack| stack.contains(function))
        };
        while !vm.tasks(|comm| comm.starts_with(name))?.iter().any(is_in) {
            ensure!(start.elapsed() < limit, "no task {name} is in {function}");
        }
        Ok(())
    };
    // The work item holds the hotplug lock for reading.
    task_in("kworker/", MODULE)?;
    let offline = vm.spawn(write("/sys/devices/system/cpu/cpu1/online", "0"))?;
    let stack = format!("/proc/{}/stack", offline.pid);
    vm.wait_for(&stack, Until::Contains("_cpu_down".into()))?;
    let ending = vm.spawn(rmmod(MODULE))?;
    answered(ending.wait(DEFAULT_LIMIT)?)?;
    answered(offline.wait(DEFAULT_LIMIT)?)?;
    vm.write("/sys/devices/system/cpu/cpu1/online", "1")?;
    logged(vm, &line("waited while the module ends: Err(ESHUTDOWN)"), 1)?;
    nothing_left(vm)
}
