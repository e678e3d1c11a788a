// SPDX-License-Identifier: GPL-2.0

//! Asks a guest that hangs for backtraces through sysrq on its serial console, and QEMU for
//! registers.

use crate::vm::Limits;
use crate::{Vm, files};
use anyhow::Result;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Backtraces of the CPUs that run something, blocked tasks, all tasks.
const SYSRQ: &[u8] = b"lwt";

/// A dump of all tasks takes longer, but has no such gap between two lines.
const QUIET: Duration = Duration::from_millis(1500);

/// A guest that logs without end is never quiet.
const LONGEST: Duration = Duration::from_secs(30);

/// Limit of a command to QEMU.
const QEMU_LIMIT: Duration = Duration::from_secs(5);

/// Results for a guest that hung.
#[derive(Debug)]
pub(super) struct Autopsy {
    /// Number of the first console line that answers the autopsy.
    pub console_to: usize,
    /// The file with the results, if the machine has a directory for reports.
    pub path: Option<PathBuf>,
}

fn path(directory: &Path, test: &str) -> PathBuf {
    directory.join(format!("{}.hang.txt", test.replace("::", "-")))
}

/// Removes the file of an earlier run of this test.
pub(super) fn remove_earlier(vm: &Vm, test: &str) {
    if let Some(directory) = vm.reports() {
        let _ = fs::remove_file(path(directory, test));
    }
}

/// Collects backtraces from the guest and registers from QEMU, and ends the VM. `Err`: the file
/// cannot be written.
pub(super) fn autopsy(vm: &Vm, test: &str) -> (Autopsy, Result<()>) {
    let console_to = vm.console_len();
    let registers = ask(vm);
    let mut autopsy = Autopsy { console_to, path: None };
    let Some(directory) = vm.reports() else { return (autopsy, Ok(())) };
    let backtraces = vm.console(console_to..usize::MAX).join("\n");
    let path = path(directory, test);
    let written = files::write(&path, format!("{backtraces}\n{registers}\n"));
    if written.is_ok() {
        autopsy.path = Some(path);
    }
    (autopsy, written)
}

/// Lets the guest write to its console; returns the registers of its CPUs.
fn ask(vm: &Vm) -> String {
    vm.retry(); // otherwise each further call fails at once
    vm.set_limits(Limits { call: QEMU_LIMIT, ..vm.limits() });
    for key in SYSRQ {
        vm.note(&format!("the guest hangs; sysrq {}:", char::from(*key)));
        if vm.qmp("chardev-send-break", json!({ "id": "console" })).is_err() {
            break;
        }
        vm.type_on_console(&[*key]);
        vm.listen(QUIET, LONGEST);
    }
    vm.retry();
    let registers = json!({ "command-line": "info registers -a" });
    let registers = match vm.qmp("human-monitor-command", registers) {
        Ok(answer) => answer.as_str().unwrap_or("none").to_string(),
        Err(e) => format!("registers unavailable: {e:#}"),
    };
    vm.kill();
    registers
}
