// SPDX-License-Identifier: GPL-2.0

//! A registration that is being made when the module ends.

use super::last::Job;
use crate::{
    cpuhp_state,
    hotplug_thread,
    smpboot::{
        cpuhp,
        Context,
        HotplugThread,
        Registration,
        SelfParkingRegistration, //
    }, //
};
use core::mem::forget;
use kernel::{
    cpu::CpuId,
    prelude::*,
    sync::Arc,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// Returns from its callback when the module ends.
struct Slow {
    job: Arc<Job>,
}

impl Slow {
    fn wait(&self) {
        self.job.begun.complete_all();
        while !crate::is_closed(self.job.scope) {
            fsleep(Delta::from_millis(1));
        }
        // The scope ends its entries directly after it was closed.
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

/// Threads to register after the module has ended.
struct Late;

idle_thread!(Late, c"hole_late");

/// Registers while the module ends. `register` forgets the registration: only the scope can end it.
fn race(job: &Arc<Job>, register: impl FnOnce(Slow) -> Result) {
    let result = register(Slow { job: job.clone() });
    pr_info!("registered while the module ends: {result:?}\n");
    let result = Registration::new(job.scope, Late).map(forget);
    pr_info!("registered afterwards: {result:?}\n");
}

pub(crate) fn threads(job: &Arc<Job>) {
    race(job, |slow| Registration::new(job.scope, slow).map(forget));
}

pub(crate) fn self_parking(job: &Arc<Job>) {
    race(job, |slow| {
        SelfParkingRegistration::new(job.scope, slow).map(forget)
    });
}

pub(crate) fn state(job: &Arc<Job>) {
    race(job, |slow| {
        cpuhp::Registration::new(job.scope, cpuhp::Invoke::Yes, slow).map(forget)
    });
}
