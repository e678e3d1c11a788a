// SPDX-License-Identifier: GPL-2.0

//! A work item that runs while the module ends.
//!
//! The module is otherwise correct: its other threads end last and wait for the work item, so that
//! no code of the module runs after the scope has ended.

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

/// The threads that end last.
struct Last(Arc<Job>);

#[vtable]
impl HotplugThread for Last {
    const NAME: &'static CStr = c"hole_last";

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
pub(crate) struct Job {
    pub(crate) scope: &'static ModuleScope,
    act: fn(&Arc<Job>),
    /// `act` completes it when the module may be unloaded.
    #[pin]
    pub(crate) begun: Completion,
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
        (this.act)(&this);
        this.done.complete_all();
    }
}

/// Runs `act` in a work item, and returns when it has completed [`Job::begun`].
pub(crate) fn begin(scope: &'static ModuleScope, act: fn(&Arc<Job>)) -> Result {
    let job = Arc::pin_init(
        pin_init!(Job {
            scope,
            act,
            begun <- Completion::new(),
            done <- Completion::new(),
            work <- new_work!("Job::work"),
        }),
        GFP_KERNEL,
    )?;
    let last = Registration::new(scope, Last(job.clone()))?;
    // A thread that was not set up is not cleaned up.
    last.wait_until_up()?;
    forget(last);
    let _ = workqueue::system_long().enqueue(job.clone());
    job.begun.wait_for_completion();
    Ok(())
}
