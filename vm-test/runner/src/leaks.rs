// SPDX-License-Identifier: GPL-2.0

//! What kmemleak has to say about a test.

use crate::guest::calls::read;
use crate::guest::calls::write;
use crate::kernel::KMEMLEAK;
use crate::vm::Vm;
use anyhow::Result;
use anyhow::ensure;
use protocol::Call;
use protocol::Value;
use std::time::Duration;

const FILE: &str = "/sys/kernel/debug/kmemleak";

/// What is younger it does not report (`MSECS_MIN_AGE`); nothing tells when an object gets old.
const MIN_AGE: Duration = Duration::from_millis(5100);

/// What was found before is no leak of the test that begins.
pub fn forget(vm: &Vm) -> Result<()> {
    match vm.built_with.has(KMEMLEAK) {
        true => vm.write(FILE, "clear"),
        false => Ok(()),
    }
}

/// The reports of all that has leaked since; none on a kernel that does not look for leaks.
pub fn found(vm: &Vm) -> Result<Vec<String>> {
    if !vm.built_with.has(KMEMLEAK) {
        return Ok(Vec::new());
    }
    let age = Call::Pause { us: MIN_AGE.as_micros() as u64 };
    // The first scan after an object was written to only takes note of its contents.
    let scan = write(FILE, "scan");
    let mut values = vm.batch(vec![age, scan.clone(), scan, read(FILE)])?;
    let Some(Value::Bytes(report)) = values.pop() else { unreachable!("a read gives bytes") };
    let report = String::from_utf8_lossy(&report);
    ensure!(report.is_empty() || report.starts_with(BEGINNING), "kmemleak says: {report}");
    Ok(split(&report))
}

const BEGINNING: &str = "unreferenced object";

fn split(report: &str) -> Vec<String> {
    let mut leaks: Vec<String> = Vec::new();
    for line in report.lines() {
        match leaks.last_mut() {
            Some(leak) if !line.starts_with(BEGINNING) => {
                leak.push('\n');
                leak.push_str(line);
            }
            _ => leaks.push(line.into()),
        }
    }
    leaks
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "unreferenced object 0xffff888005a1c000 (size 64):
  comm \"init\", pid 61, jiffies 4294940000
  hex dump (first 32 bytes):
    5a 5a 5a 5a 5a 5a 5a 5a 5a 5a 5a 5a 5a 5a 5a 5a  ZZZZZZZZZZZZZZZZ
  backtrace (crc 4bd0b6a2):
    leak+0x12/0x30 [rust_smpboot_faulty]
unreferenced object (percpu) 0x607fc0a01000 (size 16):
  comm \"insmod\", pid 62, jiffies 4294940001
  backtrace (crc 0):
    pcpu_alloc_noprof+0x5f1/0x9a0
";

    #[test]
    fn each_object_is_a_leak() {
        let leaks = split(REPORT);
        assert_eq!(leaks.len(), 2);
        assert!(leaks[0].ends_with("[rust_smpboot_faulty]") && leaks[1].contains("(size 16)"));
        assert!(split("").is_empty());
    }
}
