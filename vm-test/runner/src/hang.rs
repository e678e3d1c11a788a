// SPDX-License-Identifier: GPL-2.0

//! What a guest that hangs can still tell: through the serial line's sysrq, and through QEMU.

use crate::link::Link;
use serde_json::json;
use std::time::Duration;

/// Backtraces of the CPUs that run something, blocked tasks, all tasks.
const SYSRQ: &[u8] = b"lwt";

/// A dump of all tasks takes a while; between two of its lines there is no such gap.
const QUIET: Duration = Duration::from_millis(1500);

const PATIENCE: Duration = Duration::from_secs(5);

/// Adds to the VM's console log whatever can be had, then ends the VM.
pub fn autopsy(link: &mut Link) {
    let before = link.console.lines().len();
    link.trouble = None; // or nothing more could be asked
    link.limits.call = PATIENCE;
    for key in SYSRQ {
        link.console.note(&format!("the guest hangs; sysrq {}:", char::from(*key)));
        if link.qmp("chardev-send-break", json!({ "id": "console" })).is_err() {
            break;
        }
        link.type_on_console(&[*key]);
        link.listen(QUIET);
    }
    link.trouble = None;
    let registers = json!({ "command-line": "info registers -a" });
    match link.qmp("human-monitor-command", registers) {
        Ok(answer) => {
            link.console.note("registers:");
            let text = answer["return"].as_str().unwrap_or("none").to_string();
            link.console.feed(text.as_bytes());
            link.console.end();
        }
        Err(trouble) => link.console.note(&format!("no registers: {trouble}")),
    }
    link.console.note(&format!("{} lines since the hang", link.console.lines().len() - before));
    link.kill();
}
