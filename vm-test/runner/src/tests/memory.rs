// SPDX-License-Identifier: GPL-2.0

//! What happens when there is no memory, at each place where there could be none.

use crate::guest::calls::insmod;
use crate::judge::Test;
use crate::kernel::FAILSLAB;
use crate::threads::Demo;
use crate::threads::MODULE;
use crate::trouble::refused;
use crate::vm::Vm;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use nix::errno::Errno;

const FAILSLAB_DIR: &str = "/sys/kernel/debug/failslab";

pub const TESTS: &[Test] = &[Test::new(
    "memory::insmod_fails_at_each_allocation",
    "each allocation of loading the demo may fail: an errno or no effect, no leak, and the next try works",
    insmod_fails_at_each_allocation,
)
.needs(&[FAILSLAB])];

fn insmod_fails_at_each_allocation(vm: &Vm) -> Result<()> {
    // Allocations that may sleep, too; without a trace for each.
    vm.write(&format!("{FAILSLAB_DIR}/ignore-gfp-wait"), "N")?;
    vm.write(&format!("{FAILSLAB_DIR}/verbose"), "0")?;
    let (mut failures, mut survived) = (0, 0);
    for nth in 1.. {
        ensure!(nth < 2000, "there is no end of it");
        let (injected, result) = vm.fail_nth(nth, insmod(MODULE, ""))?;
        let attempt = || format!("allocation {nth}");
        match result {
            Ok(()) => {
                // Some files of debugfs may be missing, by design.
                vm.rmmod(MODULE).with_context(attempt)?;
                if !injected {
                    break;
                }
                survived += 1;
            }
            Err(e) => {
                let errno = refused::<()>(Err(e)).with_context(attempt)?;
                ensure!(injected && errno == Errno::ENOMEM, "{}: {errno:?}", attempt());
                failures += 1;
            }
        }
        let demo = Demo::load(vm).with_context(attempt)?;
        demo.wake("0").and_then(|()| demo.unload()).with_context(attempt)?;
    }
    vm.write(&format!("{FAILSLAB_DIR}/ignore-gfp-wait"), "Y")?;
    eprintln!("vm-test: {failures} allocations failed the insmod, {survived} did not");
    ensure!(failures >= 50, "only {failures} allocations failed");
    Ok(())
}
