// SPDX-License-Identifier: GPL-2.0

//! A registration that is being made when the module ends.
//!
//! The module is orderly otherwise: its other threads, which end last, wait for the work item, so that
//! no code of the module runs when the scope has been closed.

use crate::{
    cpuhp_state,
    hotplug_thread,
    smpboot::{
        cpuhp,
        Context,
        HotplugThread,
        ModuleScope,
        Registration,
        SelfParkingRegistration, //
    }, //
};
use core::mem::forget;
use kernel::{
    cpu::CpuId,
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

/// What is being registered.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Threads,
    SelfParking,
    State,
}

/// Goes on when the module ends.
struct Slow {
    job: Arc<Job>,
}

impl Slow {
    fn wait(&self) {
        self.job.begun.complete_all();
        while !crate::is_closed(self.job.scope) {
            fsleep(Delta::from_millis(1));
        }
        // Entries of the scope are ended right after it was closed.
        fsleep(Delta::from_millis(50));
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        pr_info!("value dropped\n");
    }
}

#[vtable]
impl HotplugThread for Slow {
    const NAME: &'static CStr = c"hole_slow";

    type Local = ();

    fn create(&self, _cpu: CpuId) {
        self.wait();
    }

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {}

    fn run(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {}
}

hotplug_thread!(Slow);

#[vtable]
impl cpuhp::Callbacks for Slow {
    const NAME: &'static CStr = c"rust_smpboot/hole:slow";

    fn startup(&self, _cx: &Context<'_>) -> Result {
        self.wait();
        Ok(())
    }
}

cpuhp_state!(Slow);

/// Registered when the module has ended already.
struct Late;

#[vtable]
impl HotplugThread for Late {
    const NAME: &'static CStr = c"hole_late";

    type Local = ();

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {}

    fn run(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {}
}

hotplug_thread!(Late);

/// The threads that end last.
struct Last {
    job: Arc<Job>,
}

#[vtable]
impl HotplugThread for Last {
    const NAME: &'static CStr = c"hole_last";

    type Local = ();

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {
        self.job.up.complete_all();
    }

    fn run(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {}

    fn cleanup(&self, _local: Pin<&mut ()>, _cx: &Context<'_>, _online: bool) {
        self.job.done.wait_for_completion();
        // The work function has yet to return.
        fsleep(Delta::from_millis(100));
    }
}

hotplug_thread!(Last);

#[pin_data]
struct Job {
    scope: &'static ModuleScope,
    kind: Kind,
    #[pin]
    up: Completion,
    #[pin]
    begun: Completion,
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
        let scope = this.scope;
        let slow = Slow { job: this.clone() };
        // Forgotten: nobody but the scope can end it.
        let result = match this.kind {
            Kind::Threads => Registration::new(scope, slow).map(forget),
            Kind::SelfParking => SelfParkingRegistration::new(scope, slow).map(forget),
            Kind::State => cpuhp::Registration::new(scope, cpuhp::Invoke::Yes, slow).map(forget),
        };
        pr_info!("registered while the module ends: {result:?}\n");
        let result = Registration::new(scope, Late).map(forget);
        pr_info!("registered afterwards: {result:?}\n");
        this.done.complete_all();
    }
}

pub(crate) fn begin(scope: &'static ModuleScope, kind: Kind) -> Result {
    let job = Arc::pin_init(
        pin_init!(Job {
            scope,
            kind,
            up <- Completion::new(),
            begun <- Completion::new(),
            done <- Completion::new(),
            work <- new_work!("Job::work"),
        }),
        GFP_KERNEL,
    )?;
    forget(Registration::new(scope, Last { job: job.clone() })?);
    // What did not set up does not clean up.
    job.up.wait_for_completion();
    let _ = workqueue::system_long().enqueue(job.clone());
    job.begun.wait_for_completion();
    Ok(())
}
