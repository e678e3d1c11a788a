// SPDX-License-Identifier: GPL-2.0

//! Values that are never dropped.

use super::report::Outcome;
use crate::{
    cpuhp_state,
    debugfs::{
        Dir,
        Tree, //
    },
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
use kernel::{
    prelude::*,
    sync::atomic::Atomic, //
};

struct Leaked;

#[vtable]
impl HotplugThread for Leaked {
    const NAME: &'static CStr = c"mis_leak";

    type Local = ();

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {}

    fn run(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {}

    fn park(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {}

    fn unpark(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {}

    fn cleanup(&self, _local: Pin<&mut ()>, _cx: &Context<'_>, _online: bool) {}
}

hotplug_thread!(Leaked);

struct LeakedParking;

idle_thread!(LeakedParking, c"mis_leakp");

struct LeakedState;

#[vtable]
impl cpuhp::Callbacks for LeakedState {
    const NAME: &'static CStr = c"rust_smpboot/misuse:leaked";

    fn startup(&self, _cx: &Context<'_>) -> Result {
        Ok(())
    }

    fn teardown(&self, _cx: &Context<'_>) {}
}

cpuhp_state!(LeakedState);

fn fill<'data>(number: &'data Atomic<u64>, dir: &Dir<'data>) {
    dir.file::<Atomic<u64>>(c"number", number);
}

/// Leaks one registration of each kind. Nothing of them may survive the unload of the module.
pub(crate) fn leak(scope: &'static ModuleScope) -> Outcome {
    core::mem::forget(Registration::new(scope, Leaked)?);
    core::mem::forget(SelfParkingRegistration::new(scope, LeakedParking)?);
    core::mem::forget(cpuhp::Registration::new(
        scope,
        cpuhp::Invoke::Yes,
        LeakedState,
    )?);
    core::mem::forget(Tree::new(
        scope,
        c"rust_smpboot_misuse_leaked",
        Atomic::<u64>::new(7),
        fill,
    )?);
    Ok(())
}
