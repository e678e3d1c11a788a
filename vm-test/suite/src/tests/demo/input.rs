// SPDX-License-Identifier: GPL-2.0

//! Invalid input: refused with the errno of the kernel's own files, and without effect.

use anyhow::{Context, Result};
use demo_module::{Counts, DIRECTORY, Demo, WAKE, file};
use host::Vm;
use host::errors::{Refused, refused};
use host::guest::calls::write;
use nix::errno::Errno::{E2BIG, EINVAL, EOVERFLOW, ERANGE};
use suite_macros::vm_test;

/// Each malformed CPU list is refused with the errno of the kernel's own parser, and changes
/// nothing.
#[vm_test]
fn malformed_cpu_lists(vm: &Vm) -> Result<()> {
    let digits = "9".repeat(4096);
    let malformed = [
        "x", "-", "-1", "1-", "3-1", "0--1", "0x1", "1;2", "1.5", "+1", "0-3:", "0-3:2", "0-3:2/",
        "0-3:3/2", "0-3:1/0", "none", "allx", "\u{661}", "0,x",
    ];
    let out_of_range = ["4096", "0-4096", "0,1,2,3,4096"];
    let too_large = ["4294967296", "18446744073709551616", &digits];
    let lists = malformed.map(|list| (list, EINVAL)).into_iter();
    let lists = lists.chain(out_of_range.map(|list| (list, ERANGE)));
    let lists = lists.chain(too_large.map(|list| (list, EOVERFLOW)));
    let demo = Demo::load(vm)?;
    let before = demo.all_counts()?;
    let kernels = kernels_own_file(vm)?;
    for (list, errno) in lists {
        let ours = refused(demo.wake(list)).with_context(|| format!("{list:.40}"))?;
        assert_eq!(ours, errno, "{list:.40}");
        let theirs = refused(vm.write(&kernels, list)).with_context(|| format!("{list:.40}"))?;
        assert_eq!(theirs, errno, "{kernels} takes {list:.40} differently");
        assert_eq!(demo.all_counts()?, before, "{list:.40} had an effect");
    }
    demo.unload()
}

/// Finds a file of the kernel that parses a CPU list: that of an interrupt that can be moved.
fn kernels_own_file(vm: &Vm) -> Result<String> {
    let numbers = vm.list("/proc/irq")?.into_iter().filter(|name| name.parse::<u32>().is_ok());
    let files: Vec<String> = numbers.map(|n| format!("/proc/irq/{n}/smp_affinity_list")).collect();
    let parses = |file: &&String| {
        let errno = vm.call(write(file, "x")).unwrap_err().downcast::<Refused>();
        errno.is_ok_and(|refused| refused.errno == EINVAL)
    };
    files.iter().find(parses).cloned().context("no interrupt can be moved")
}

/// A write that exceeds the limit of the file is refused with E2BIG, and changes nothing.
#[vm_test]
fn too_long(vm: &Vm) -> Result<()> {
    const MAX: usize = 16 << 10;
    let demo = Demo::load(vm)?;
    let mut wanted = demo.all_counts()?;
    let list = |length: usize| format!("{}0", "0,".repeat(length / 2))[..length].to_string();

    for length in [MAX + 1, 2 * MAX, 1 << 20] {
        assert_eq!(refused(demo.wake(&list(length)))?, E2BIG, "{length} bytes");
        assert_eq!(demo.all_counts()?, wanted);
    }
    demo.wake(&list(MAX))?;
    wanted.insert(0, Counts { wake: 1, run: 1, ..Counts::SET_UP });
    demo.settles_at(&wanted)?;
    demo.unload()
}

/// Read-only files refuse writes, wake refuses reads, and the modes of the files agree.
#[vm_test]
fn read_only_and_write_only_files(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let before = demo.all_counts()?;
    let mut files = vec![format!("{DIRECTORY}/summary")];
    for cpu in demo.possible() {
        let names = vm.list(&file(*cpu, ""))?;
        let read_only = names.iter().filter(|name| *name != "latency_hist");
        files.extend(read_only.map(|name| file(*cpu, name)));
    }
    assert!(files.len() > 40, "{files:?}");
    for path in &files {
        assert_eq!(vm.mode(path)?, 0o400, "{path}");
        assert_eq!(refused(vm.write(path, "0"))?, EINVAL, "{path}");
    }
    for (name, mode) in [("wake", 0o200), ("period_us", 0o600), ("cpu0/latency_hist", 0o600)] {
        assert_eq!(vm.mode(&format!("{DIRECTORY}/{name}"))?, mode, "{name}");
    }
    for name in ["events", "events_binary"] {
        let path = format!("{DIRECTORY}/{name}");
        assert_eq!(vm.mode(&path)?, 0o400, "{name}");
        assert_eq!(refused(vm.write(&path, "0"))?, EINVAL, "{name}");
    }
    assert_eq!(refused(vm.read(WAKE))?, EINVAL);
    assert_eq!(demo.all_counts()?, before);
    demo.unload()
}
