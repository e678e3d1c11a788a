// SPDX-License-Identifier: GPL-2.0

//! A tree whose callback is still filling it when the module ends, and returns only then.

use crate::{
    debugfs::Tree,
    hotplug_thread,
    smpboot::{
        Context,
        HotplugThread,
        ModuleScope,
        Registration, //
    }, //
};
use kernel::{
    cpu::CpuId,
    prelude::*,
    sync::atomic::Atomic,
    time::Delta, //
};

struct Filler(&'static ModuleScope);

#[vtable]
impl HotplugThread for Filler {
    const NAME: &'static CStr = c"hole_fill";

    type Local = ();

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {}

    fn run(&self, _local: Pin<&mut ()>, cx: &Context<'_>) {
        let tree = Tree::new(
            self.0,
            c"rust_smpboot_holes_fill",
            Atomic::<u64>::new(42),
            |number, dir| {
                dir.file::<Atomic<u64>>(c"before", number);
                while cx.sleep(Delta::from_millis(1)) {}
                dir.file::<Atomic<u64>>(c"after", number);
            },
        );
        pr_info!("filled while the module ends: {:?}\n", tree.map(drop));
    }
}

hotplug_thread!(Filler);

pub(crate) fn begin(scope: &'static ModuleScope) -> Result {
    let threads = Registration::new(scope, Filler(scope))?;
    threads.wake(CpuId::current());
    core::mem::forget(threads);
    Ok(())
}
