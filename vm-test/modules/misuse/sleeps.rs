// SPDX-License-Identifier: GPL-2.0

//! Callbacks that sleep while their CPU goes offline.

use super::report::{
    eventually,
    Count,
    Failure,
    Outcome, //
};
use crate::{
    hotplug_thread,
    smpboot::{
        hotplug,
        Context,
        HotplugThread,
        ModuleScope,
        Registration, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc,
    time::{
        delay,
        Delta, //
    }, //
};

/// Duration of a sleep: long enough for a CPU to go offline during it.
const DURATION: Delta = Delta::from_millis(2000);

#[derive(Default)]
struct Runs {
    begun: Count,
    ended: Count,
}

/// Threads that sleep in `run`.
pub(crate) struct Sleeper {
    runs: Arc<Runs>,
    sleep: fn(&Context<'_>),
}

#[vtable]
impl HotplugThread for Sleeper {
    const NAME: &'static CStr = c"mis_sleep";

    type Local = ();

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {}

    fn run(&self, _local: Pin<&mut ()>, cx: &Context<'_>) {
        self.runs.begun.up();
        (self.sleep)(cx);
        self.runs.ended.up();
    }
}

hotplug_thread!(Sleeper);

/// Returns when the threads of all online CPUs sleep.
fn begin(
    scope: &'static ModuleScope,
    sleep: fn(&Context<'_>), //
) -> Result<crate::Held, Failure> {
    let runs = Arc::new(Runs::default(), GFP_KERNEL)?;
    let shared = Sleeper {
        runs: runs.clone(),
        sleep,
    };
    let threads = Registration::new(scope, shared)?;
    threads.threads().wake_all();
    let online = hotplug::online_cpus().count() as u32;
    ensure!(
        eventually(|| runs.begun.get() == online),
        "a thread does not run"
    );
    ensure_eq!(runs.ended.get(), 0);
    Ok(crate::Held::Sleeper(threads))
}

pub(crate) fn sleep(scope: &'static ModuleScope) -> Result<crate::Held, Failure> {
    begin(scope, |cx| {
        cx.sleep(DURATION);
    })
}

pub(crate) fn fsleep(scope: &'static ModuleScope) -> Result<crate::Held, Failure> {
    begin(scope, |_cx| delay::fsleep(DURATION))
}

pub(crate) fn end(threads: Registration<Sleeper>) -> Outcome {
    let runs = threads.runs.clone();
    drop(threads);
    ensure_eq!(runs.begun.get(), runs.ended.get());
    Ok(())
}
