// SPDX-License-Identifier: GPL-2.0

//! What a guest that hangs can still tell: through the serial line's sysrq, and through QEMU.

use crate::vm::Connection;
use crate::{Vm, files};
use anyhow::Result;
use serde_json::json;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Backtraces of the CPUs that run something, blocked tasks, all tasks.
const SYSRQ: &[u8] = b"lwt";

/// A dump of all tasks takes a while; between two of its lines there is no such gap.
const QUIET: Duration = Duration::from_millis(1500);

/// A guest that logs without end would never be quiet.
const LONGEST: Duration = Duration::from_secs(30);

const PATIENCE: Duration = Duration::from_secs(5);

/// What was found out about a guest that hangs.
#[derive(Default)]
pub struct Autopsy {
    /// The number of the first line of the console that is an answer to the runner.
    pub console_to: Option<usize>,
    /// Where the answers are.
    pub path: Option<PathBuf>,
}

fn path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{}.hang.txt", name.replace("::", "-")))
}

/// Removes what an earlier run of this name left.
pub fn begin(vm: &Vm, name: &str) {
    *vm.autopsy.borrow_mut() = Autopsy::default();
    if let Some(folder) = vm.reports() {
        let _ = fs::remove_file(path(folder, name));
    }
}

/// Writes whatever can be had to a file in the folder of reports, if there is one, and ends the VM.
pub fn autopsy(vm: &Vm, name: &str) -> Result<()> {
    let before = vm.console_len();
    vm.autopsy.borrow_mut().console_to = Some(before);
    let registers = ask(&mut vm.connection.borrow_mut());
    let Some(folder) = vm.reports() else { return Ok(()) };

    let mut text = vm.console(before..usize::MAX).join("\n");
    let _ = write!(text, "\n{registers}\n");
    let path = path(folder, name);
    files::write(&path, text)?;
    vm.autopsy.borrow_mut().path = Some(path);
    Ok(())
}

/// Has the guest write to its console; returns the registers of its CPUs.
fn ask(connection: &mut Connection) -> String {
    connection.trouble = None; // or nothing more could be asked
    connection.limits.call = PATIENCE;
    for key in SYSRQ {
        connection.console.note(&format!("the guest hangs; sysrq {}:", char::from(*key)));
        if connection.qmp("chardev-send-break", json!({ "id": "console" })).is_err() {
            break;
        }
        connection.type_on_console(&[*key]);
        connection.listen(QUIET, LONGEST);
    }
    connection.trouble = None;
    let registers = json!({ "command-line": "info registers -a" });
    let registers = match connection.qmp("human-monitor-command", registers) {
        Ok(answer) => answer["return"].as_str().unwrap_or("none").to_string(),
        Err(trouble) => format!("no registers: {trouble}"),
    };
    connection.kill();
    registers
}
