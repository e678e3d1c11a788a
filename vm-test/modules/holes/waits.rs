// SPDX-License-Identifier: GPL-2.0

//! A task that waits for threads that are up only when the module ends.

use super::last::Job;
use crate::{
    hotplug_thread,
    smpboot::{
        Context,
        HotplugThread,
        Registration, //
    }, //
};
use core::mem::forget;
use kernel::{
    prelude::*,
    sync::Arc,
    time::Delta, //
};

/// Threads that are up only when they are asked to park or stop.
struct Slow;

#[vtable]
impl HotplugThread for Slow {
    const NAME: &'static CStr = c"hole_up";

    type Local = ();

    fn setup(&self, cx: &Context<'_>) -> impl PinInit<()> {
        while cx.sleep(Delta::from_millis(1)) {}
    }

    fn run(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {}
}

hotplug_thread!(Slow);

pub(crate) fn wait(job: &Arc<Job>) {
    let threads = Registration::new(job.scope, Slow);
    job.begun.complete_all();
    let result = threads.and_then(|threads| {
        let result = threads.wait_until_up();
        forget(threads);
        result
    });
    pr_info!("waited while the module ends: {result:?}\n");
}
