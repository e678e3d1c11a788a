// SPDX-License-Identifier: GPL-2.0

//! Permissions, and input of a hostile user.

use super::samples;
use anyhow::{Context, Result, bail, ensure};
use cli::note;
use demo_module::{DIRECTORY, Demo, MODULE, WAKE};
use host::errors::refused;
use host::guest::DEFAULT_LIMIT;
use host::guest::calls::{insmod, module_path, offline, read, rmmod, write};
use host::machine::kernel::{KASAN, LOCKDOWN, MODULE_SIG};
use host::{Config, Vm};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use suite_macros::vm_test;
use wire::{Call, Tally, Value};

/// 1,000 writes of arbitrary input to the writable files leave everything working.
#[vm_test]
fn any_input(vm: &Vm) -> Result<()> {
    write_anything(vm, 1_000)
}

/// 100,000 writes of arbitrary input to the writable files leave everything working.
#[vm_test(long)]
fn a_hundred_thousand_inputs(vm: &Vm) -> Result<()> {
    write_anything(vm, 100_000)
}

const USER: u32 = 1000;

/// All modules that are meant for users.
fn modules() -> impl DoubleEndedIterator<Item = &'static str> {
    [MODULE, "rust_percpu_workqueue"].into_iter().chain(samples::SAMPLES.iter().copied())
}

/// Paths of files in the directories of all our modules.
fn files(vm: &Vm, that: &[&str]) -> Result<Vec<String>> {
    const DEBUGFS: &str = "/sys/kernel/debug";
    let mut directories = vm.list(DEBUGFS)?;
    directories.retain(|name| name.starts_with("rust_"));
    let directories: Vec<String> =
        directories.iter().map(|name| format!("{DEBUGFS}/{name}")).collect();
    let mut command = vec!["/bin/busybox", "find"];
    command.extend(directories.iter().map(String::as_str));
    command.extend(["-type", "f"].iter().chain(that));
    Ok(vm.run(&command)?.lines().map(String::from).collect())
}

/// The answer to each of the calls, made by this user.
fn answers(vm: &Vm, uid: u32, calls: Vec<Call>) -> Result<Vec<Result<(), Errno>>> {
    let call = Call::As { uid, call: Box::new(Call::Batch { calls }) };
    let Value::Batch(answers) = vm.spawn(call)?.answer(DEFAULT_LIMIT)? else { bail!("no batch") };
    Ok(answers.into_iter().map(|a| a.map(drop).map_err(Errno::from_raw)).collect())
}

/// A user other than root cannot read or write files, take CPUs offline, kill threads, load or
/// unload modules.
#[vm_test]
fn nothing_for_users(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let before = demo.all_counts()?;
    let pid = demo.pid(0)?;
    // debugfs keeps users out of its root directory by itself. Our files must not rely on that.
    for mode in ["755", "700"] {
        let remount = format!("remount,mode={mode}");
        vm.run(&["/bin/busybox", "mount", "-o", &remount, "/sys/kernel/debug"])?;
        let mut calls = Vec::new();
        for path in files(vm, &[])? {
            calls.push(read(&path));
            calls.push(write(&path, "0"));
        }
        ensure!(calls.len() > 50, "only {} calls", calls.len());
        let cpu = vm.removable()?[0];
        calls.extend([
            offline(cpu),
            insmod("rust_cpuhp", ""),
            rmmod(MODULE),
            Call::Kill { pid, signal: Signal::SIGKILL as i32 },
        ]);
        let said: Vec<String> = calls.iter().map(Call::to_string).collect();
        for (what, answer) in said.iter().zip(answers(vm, USER, calls)?) {
            let denied = matches!(answer, Err(Errno::EACCES | Errno::EPERM));
            ensure!(denied, "mode {mode}: {what}: {answer:?}");
        }
    }
    assert_eq!(demo.all_counts()?, before);
    // The same call works as root.
    assert_eq!(answers(vm, 0, vec![write(WAKE, "0")])?, [Ok(())]);
    demo.unload()
}

/// No file and no line of the log contains a kernel address.
#[vm_test]
fn no_pointers(vm: &Vm) -> Result<()> {
    load_all(vm)?;
    vm.write(WAKE, "all")?;
    let cpu = *vm.removable()?.last().unwrap();
    vm.cycle(cpu, 1)?;
    // Streams have no end, and write-only files show nothing.
    let paths = files(vm, &["-perm", "-400", "!", "-name", "events*"])?;
    for path in &paths {
        ensure!(!has_pointer(&vm.read(path)?), "{path}: {}", vm.read(path)?);
    }
    ensure!(paths.len() > 50, "only {} files", paths.len());
    unload_all(vm)?;
    vm.kmsg()?;
    let records = vm.records();
    for record in records.iter().filter(|record| record.text.contains("rust_")) {
        ensure!(!has_pointer(&record.text), "{}", record.text);
    }
    Ok(())
}

/// An address of the upper half, as %px prints it.
fn has_pointer(text: &str) -> bool {
    let words = text.split(|c: char| !c.is_ascii_hexdigit());
    let mut words = words.map(|word| word.trim_start_matches("0x"));
    words.any(|word| word.len() == 16 && word.to_ascii_lowercase().starts_with("ffff"))
}

fn load_all(vm: &Vm) -> Result<()> {
    modules().try_for_each(|module| vm.insmod(module, ""))
}

fn unload_all(vm: &Vm) -> Result<()> {
    modules().rev().try_for_each(|module| vm.rmmod(module))
}

/// Words that the files accept, and similar ones.
const WORDS: &[&str] = &[
    "0",
    "1",
    "-1",
    "0-1",
    "1,3",
    "0-3:1/2",
    "all",
    "none",
    "N",
    ",",
    "-",
    " ",
    "\n",
    "\t",
    "%s%n",
    "0x10",
    "4095",
    "4096",
    "1000",
    "1000000",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "start",
    "stop",
    "hi",
    "timer",
    "tasklet",
    "online",
    "offline",
    "0 1",
    "1 0 100",
];

fn write_anything(vm: &Vm, times: u32) -> Result<()> {
    load_all(vm)?;
    let paths = files(vm, &["-perm", "-200"])?;
    ensure!(paths.len() > 10, "only {} files take input", paths.len());
    let each = times / paths.len() as u32 + 1;
    let mut all = Tally::default();
    for (seed, path) in paths.iter().enumerate() {
        let words = WORDS.iter().map(|word| word.as_bytes().to_vec()).collect();
        let call = Call::Fuzz { path: path.clone(), words, seed: seed as u64, times: each };
        let Value::Tally(tally) = vm.call(call).with_context(|| path.clone())? else {
            bail!("no tally")
        };
        all.done += tally.done;
        all.refused += tally.refused;
    }
    ensure!(all.done > 0 && all.refused > 0, "{all:?}");
    note!("vm-test: {} files, {} inputs taken, {} refused", paths.len(), all.done, all.refused);
    let demo = Demo::attach(vm)?;
    demo.stop_timers()?;
    demo.wake("0")?;
    demo.all_sleep()?;
    for cpu in vm.removable()? {
        vm.cycle(cpu, 1)?;
    }
    unload_all(vm)
}

fn assert_locked_down(vm: &Vm) -> Result<()> {
    const SECURITYFS: &str = "/sys/kernel/security";
    vm.run(&["/bin/busybox", "mount", "-t", "securityfs", "none", SECURITYFS])?;
    let state = vm.read(&format!("{SECURITYFS}/lockdown"))?;
    ensure!(state.contains("[integrity]"), "{state}");
    Ok(())
}

/// Under lockdown, insmod of an unsigned module fails.
#[vm_test(needs = &[LOCKDOWN], machine = Config::smp(2).word("lockdown=integrity"), long)]
fn lockdown_wants_signatures(vm: &Vm) -> Result<()> {
    assert_locked_down(vm)?;
    // The debug kernel's modules are signed.
    let unsigned = "tail -c 28 $0 | grep -q appended && head -c -28 $0 || cat $0";
    assert_eq!(load_spoilt(vm, unsigned)?, Errno::EPERM);
    assert!(demo_module::pids(vm)?.is_empty() && !vm.exists(DIRECTORY)?);
    Ok(())
}

/// Under lockdown, a signed module is loaded; its files can be read, and the open of a writable
/// file fails.
#[vm_test(
    needs = &[MODULE_SIG, KASAN, LOCKDOWN],
    machine = Config::smp(2).word("lockdown=integrity"),
)]
fn lockdown_lets_watch(vm: &Vm) -> Result<()> {
    assert_locked_down(vm)?;
    let demo = Demo::load(vm)?;
    demo.summary()?;
    for path in files(vm, &["-perm", "-200"])? {
        assert_eq!(refused(vm.write(&path, "0"))?, Errno::EPERM, "{path}");
    }
    demo.unload()
}

/// With enforced signatures, signed modules work; insmod of an unsigned or changed module fails.
#[vm_test(needs = &[MODULE_SIG, KASAN], machine = Config::smp(2).word("module.sig_enforce=1"))]
fn signed_modules_only(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    demo.wake("0")?;
    demo.unload()?;
    // The last bytes of the file mark a signature.
    for spoil in ["head -c -28 $0", "tr Q q <$0"] {
        assert_eq!(load_spoilt(vm, spoil)?, Errno::EKEYREJECTED, "{spoil}");
    }
    assert!(demo_module::pids(vm)?.is_empty());
    Ok(())
}

/// Returns the errno of insmod for a demo that this shell command has changed.
fn load_spoilt(vm: &Vm, spoil: &str) -> Result<Errno> {
    const SPOILT: &str = "/tmp/spoilt.ko";
    let script = format!("{{ {spoil}; }} >{SPOILT}");
    vm.run(&["/bin/busybox", "sh", "-c", &script, &module_path(MODULE)])?;
    let call = Call::LoadModule { path: SPOILT.into(), params: String::new() };
    refused(vm.call(call).map(drop)).context(SPOILT)
}
