// SPDX-License-Identifier: GPL-2.0

//! A task that waits for threads to be up, which they are when the module ends.
//!
//! The module is orderly otherwise: its other threads, which end last, wait for the task.

use crate::{
    hotplug_thread,
    smpboot::{
        Context,
        HotplugThread,
        ModuleScope,
        Registration, //
    }, //
};
use core::mem::forget;
use kernel::{
    prelude::*,
    sync::{
        Arc,
        Completion, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
    workqueue::{
        self,
        impl_has_work,
        new_work,
        Work,
        WorkItem, //
    }, //
};

/// Up once the thread is to park or stop.
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

/// The threads that end last.
struct Last(Arc<Job>);

#[vtable]
impl HotplugThread for Last {
    const NAME: &'static CStr = c"hole_end";

    type Local = ();

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {}

    fn run(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {}

    fn cleanup(&self, _local: Pin<&mut ()>, _cx: &Context<'_>, _online: bool) {
        self.0.done.wait_for_completion();
        // The work function has yet to return.
        fsleep(Delta::from_millis(100));
    }
}

hotplug_thread!(Last);

#[pin_data]
struct Job {
    scope: &'static ModuleScope,
    #[pin]
    registered: Completion,
    #[pin]
    done: Completion,
    #[pin]
    work: Work<Job>,
}

impl_has_work! {
    impl HasWork<Self> for Job { self.work }
}

impl WorkItem for Job {
    type Pointer = Arc<Job>;

    fn run(this: Arc<Job>) {
        let threads = Registration::new(this.scope, Slow);
        this.registered.complete_all();
        let result = threads.and_then(|threads| {
            let result = threads.wait_until_up();
            forget(threads);
            result
        });
        pr_info!("waited while the module ends: {result:?}\n");
        this.done.complete_all();
    }
}

pub(crate) fn begin(scope: &'static ModuleScope) -> Result {
    let job = Arc::pin_init(
        pin_init!(Job {
            scope,
            registered <- Completion::new(),
            done <- Completion::new(),
            work <- new_work!("Job::work"),
        }),
        GFP_KERNEL,
    )?;
    let last = Registration::new(scope, Last(job.clone()))?;
    // What did not set up does not clean up.
    last.wait_until_up()?;
    forget(last);
    let _ = workqueue::system_long().enqueue(job.clone());
    job.registered.wait_for_completion();
    Ok(())
}
