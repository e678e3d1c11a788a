// SPDX-License-Identifier: GPL-2.0

//! Suspend to RAM: all CPUs but one go off, and come back, in the middle of everything.

use crate::guest::SOON;
use crate::judge::Test;
use crate::qemu::Config;
use crate::tests::rollback::runs_again;
use crate::threads::Counts;
use crate::threads::Demo;
use crate::vm::Vm;
use anyhow::Result;
use anyhow::ensure;
use protocol::Call;
use serde_json::Value as Json;

pub const TESTS: &[Test] = &[Test::new(
    "suspend::to_ram",
    "suspend to RAM parks the threads of all CPUs but the one that goes to sleep last; resumed, they go on",
    to_ram,
)
.on(Config::smp(4).suspends())
.long()];

/// The whole VM sleeps, and is woken.
pub fn cycle(vm: &Vm) -> Result<()> {
    let from = vm.console_len();
    let mut link = vm.link.borrow_mut();
    let id = link.post(Call::Suspend);
    link.wait_line(from, "QEMU: SUSPEND")?;
    link.qmp("system_wakeup", Json::Null)?;
    let limit = link.limits.call;
    let answer = link.wait_answer(id, "resume", limit.max(SOON))?;
    ensure!(answer.is_ok(), "suspend: {answer:?}");
    Ok(())
}

fn to_ram(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let mut wanted = demo.all_counts()?;
    cycle(vm)?;
    for (cpu, counts) in &mut wanted {
        let slept = u64::from(*cpu != 0);
        *counts = Counts { park: slept, unpark: slept, ..*counts };
    }
    demo.settles_at(&wanted)?;
    for cpu in vm.cpus("online")? {
        runs_again(&demo, cpu)?;
    }
    assert_eq!(vm.cpus("online")?, vm.cpus("possible")?);
    demo.unload()
}
