// SPDX-License-Identifier: GPL-2.0

//! Streams: tasks that poll and read one while its tree is dropped.

use crate::tests::test_modules::{HOLES, eventually, holes};
use anyhow::{Context, Result, bail};
use host::Vm;
use host::errors::refused;
use host::guest::calls::{read, write};
use host::guest::{DEFAULT_LIMIT, Task};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use suite_macros::vm_test;
use wire::{Call, Exit, TaskEnd, Until, Value};

/// poll of a stream returns when the tree is dropped, and uses no freed memory, however late the
/// task runs.
#[vm_test(long)]
fn tree_dropped_beside_poll(vm: &Vm) -> Result<()> {
    holes::load(vm, 6)?;
    let poller = shell(vm, &format!("read -t 1000 line <{}", holes::stream()))?;
    inside(vm, "sh", "poll")?;
    vm.write(&control("spin"), "1")?;
    vm.wait_for(&control("spinning"), Until::Is("1".into()))?;
    // The poller cannot run until the tree has been dropped.
    drop_tree(vm)?;
    vm.wait_for(&control("spinning"), Until::Is("0".into()))?;
    let (status, output) = ended(poller)?;
    assert_ne!(status, Exit::Code(0), "{output}");
    vm.set_affinity(0, &vm.cpus("possible")?)?;
    HOLES.unload(vm)
}

/// A blocked read of a stream returns EIO when the tree is dropped.
#[vm_test(long)]
fn tree_dropped_beside_read(vm: &Vm) -> Result<()> {
    holes::load(vm, 6)?;
    let reader = vm.spawn(read(&holes::stream()))?;
    vm.wait_for(&format!("/proc/{}/stat", reader.pid), Until::Contains(") S ".into()))?;
    let dropped = drop_tree(vm);
    let stack = vm.read(&format!("/proc/{}/stack", reader.pid)).unwrap_or_default();
    dropped.with_context(|| format!("drop of the tree with a reader that waits in\n{stack}"))?;
    assert_eq!(refused(reader.answer(DEFAULT_LIMIT))?, Errno::EIO);
    HOLES.unload(vm)
}

/// Two reads of one open stream both end with EIO when the tree is dropped.
#[vm_test(long)]
fn tree_dropped_beside_two_reads(vm: &Vm) -> Result<()> {
    holes::load(vm, 6)?;
    // One open file: one read waits for a record, the other for the first read.
    let script = format!(
        "exec 3<{}
        busybox dd bs=1 count=1 <&3 & busybox dd bs=1 count=1 <&3; status=$?
        wait $! || exit $((10 + status))",
        holes::stream()
    );
    let readers = shell(vm, &script)?;
    let [_, _] = all_inside(vm, "dd", HOLES.name)?;
    drop_tree(vm)?;
    let (status, output) = ended(readers)?;
    assert_eq!(status, Exit::Code(11), "{output}");
    assert_eq!(output.matches("Input/output error").count(), 2, "{output}");
    vm.set_affinity(0, &vm.cpus("possible")?)?;
    HOLES.unload(vm)
}

/// poll of a stream that another task reads returns when that read leaves records.
#[vm_test(long)]
fn poll_beside_read(vm: &Vm) -> Result<()> {
    holes::load(vm, 6)?;
    // Both use the same open file; each ends with the first record that it gets. The shell does not
    // get the reader's SIGCHLD, which would end its poll.
    let script = format!(
        "exec 3<{}
        {{ busybox dd bs=1 count=1; while [ -e /tmp/poll ]; do busybox usleep 1000; done; }} <&3 3<&- >/dev/null 2>&1 &
        while [ ! -e /tmp/poll ]; do busybox usleep 1000; done
        read -t 1000 line <&3; status=$?
        busybox rm /tmp/poll; wait; exit $status",
        holes::stream()
    );
    let tasks = shell(vm, &script)?;
    let reader = inside(vm, "dd", HOLES.name)?;
    vm.run(&["busybox", "touch", "/tmp/poll"])?;
    let poller = inside(vm, "sh", "poll")?;
    let before = switches(vm, poller)?;
    vm.write(&control("hold"), "1")?;
    vm.write(&control("push"), "2")?;
    vm.wait_for(&control("held"), Until::Is("1".into()))?;
    // The poller was woken, too, and sleeps again: in poll or, as expected, in its own read.
    eventually(vm, "the poller is woken", || Ok((switches(vm, poller)? != before).then_some(())))?;
    vm.write(&control("hold"), "0")?;
    let end = ended(tasks);
    let end =
        end.with_context(|| format!("process {poller} still polls; {reader} has left a record"))?;
    assert_eq!(end.0, Exit::Code(0));
    vm.set_affinity(0, &vm.cpus("possible")?)?;
    HOLES.unload(vm)
}

/// A read of a stream that has only empty records ends when the task is killed or the tree dropped.
#[vm_test(long)]
fn empty_records(vm: &Vm) -> Result<()> {
    holes::load(vm, 6)?;
    let read_idle = || -> Result<Task<'_>> {
        let before: u64 = vm.read(&control("held"))?.parse()?;
        let reader = vm.spawn(read(&HOLES.file("/idle")))?;
        vm.wait_for(&control("held"), Until::AtLeast(before + 2))?;
        Ok(reader)
    };
    let killed = read_idle()?.kill(DEFAULT_LIMIT)?;
    assert_eq!(killed, TaskEnd::Died(Exit::Signal(Signal::SIGKILL as i32)));
    let reader = read_idle()?;
    drop_tree(vm)?;
    assert_eq!(refused(reader.answer(DEFAULT_LIMIT))?, Errno::EIO);
    HOLES.unload(vm)
}

fn control(name: &str) -> String {
    HOLES.file(&format!("_control/{name}"))
}

fn drop_tree(vm: &Vm) -> Result<()> {
    vm.spawn(write(&control("drop"), "1"))?.answer(DEFAULT_LIMIT).map(drop)
}

/// The program's end and output.
fn ended(program: Task<'_>) -> Result<(Exit, String)> {
    match program.answer(DEFAULT_LIMIT)? {
        Value::Program { status, output } => Ok((status, String::from_utf8(output)?)),
        other => bail!("the program ended with {other:?}"),
    }
}

/// Runs a script on CPU 1. `read -t` of the shell begins by polling.
fn shell<'a>(vm: &'a Vm, script: &str) -> Result<Task<'a>> {
    let argv = ["busybox", "sh", "-c", script].map(String::from).into();
    let limit_ms = vm.ms(4 * DEFAULT_LIMIT);
    vm.set_affinity(0, &[1])?;
    let task = vm.spawn(Call::Run { argv, limit_ms });
    vm.set_affinity(0, &[0])?;
    task
}

/// Waits until a process of this busybox applet has such a function on its stack; returns it.
fn inside(vm: &Vm, program: &str, function: &str) -> Result<i32> {
    let [pid] = all_inside(vm, program, function)?;
    Ok(pid)
}

/// Like [`inside`], for several processes.
fn all_inside<const COUNT: usize>(vm: &Vm, program: &str, function: &str) -> Result<[i32; COUNT]> {
    eventually(vm, &format!("{COUNT} {program} in {function}"), || {
        let mut found = Vec::new();
        for pid in vm.tasks(|name| !name.contains('/'))? {
            // A process may have exited since.
            let file = |name: &str| vm.read(&format!("/proc/{pid}/{name}")).unwrap_or_default();
            let applet = |line: String| line.split('\0').nth(1) == Some(program);
            if applet(file("cmdline")) && file("stack").contains(function) {
                found.push(pid);
            }
        }
        Ok(found.try_into().ok())
    })
}

fn switches(vm: &Vm, pid: i32) -> Result<u64> {
    Ok(vm.status(pid, "voluntary_ctxt_switches")?.parse()?)
}
