// SPDX-License-Identifier: GPL-2.0

//! Hotplug states.

use super::report::{
    Counts,
    Outcome,
    Tracked, //
};
use crate::{
    cpuhp_state,
    smpboot::{
        cpuhp::{
            Callbacks,
            HasStateSlot,
            Invoke,
            Registration, //
        },
        hotplug,
        Context,
        ModuleScope, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// A hotplug state that counts the calls of its callbacks.
pub(crate) struct State<const N: u32> {
    value: Tracked,
    /// Which call of `startup` fails, counted from 1.
    fail_at: u32,
}

impl<const N: u32> State<N> {
    pub(crate) fn new(counts: &Arc<Counts>, fail_at: u32) -> Self {
        Self {
            value: Tracked::new(counts),
            fail_at,
        }
    }
}

#[vtable]
impl<const N: u32> Callbacks for State<N>
where
    Self: HasStateSlot,
{
    const NAME: &'static CStr = c"rust_smpboot/misuse:online";

    fn startup(&self, _cx: &Context<'_>) -> Result {
        if self.value.0.startup.up() == self.fail_at {
            return Err(EIO);
        }
        Ok(())
    }

    fn teardown(&self, _cx: &Context<'_>) {
        self.value.0.teardown.up();
    }
}

cpuhp_state!(State<0>);
cpuhp_state!(State<1>);
cpuhp_state!(State<2>);
cpuhp_state!(State<3>);

fn online() -> u32 {
    hotplug::online_cpus().count() as u32
}

/// Checks that the callbacks ran once for each CPU, and that the value was dropped.
fn ran_once(counts: &Counts) -> Outcome {
    ensure_eq!(counts.startup.get(), online());
    ensure_eq!(counts.teardown.get(), online());
    ensure_eq!(counts.dropped.get(), counts.made.get());
    Ok(())
}

pub(crate) fn counts(scope: &'static ModuleScope) -> Outcome {
    let counts = Counts::new()?;
    let registration = Registration::new(scope, Invoke::Yes, State::<0>::new(&counts, 0))?;
    ensure_eq!(counts.startup.get(), online());
    ensure_eq!(counts.teardown.get(), 0);
    drop(registration);
    ran_once(&counts)
}

pub(crate) fn no_invoke(scope: &'static ModuleScope) -> Outcome {
    let counts = Counts::new()?;
    drop(Registration::new(
        scope,
        Invoke::No,
        State::<0>::new(&counts, 1),
    )?);
    ensure_eq!(counts.startup.get(), 0);
    ensure_eq!(counts.teardown.get(), 0);
    ensure_eq!(counts.dropped.get(), 1);
    Ok(())
}

/// Startup fails on each of the CPUs in turn: those before it are rolled back.
pub(crate) fn failing_startup(scope: &'static ModuleScope) -> Outcome {
    for fail_at in 1..=online() {
        let counts = Counts::new()?;
        let failed = Registration::new(scope, Invoke::Yes, State::<0>::new(&counts, fail_at));
        ensure_eq!(failed.err(), Some(EIO));
        ensure_eq!(counts.startup.get(), fail_at);
        ensure_eq!(counts.teardown.get(), fail_at - 1);
        ensure_eq!(counts.dropped.get(), 1);
    }
    counts(scope)
}

pub(crate) fn twice(scope: &'static ModuleScope) -> Outcome {
    let counts = Counts::new()?;
    let first = Registration::new(scope, Invoke::Yes, State::<0>::new(&counts, 0))?;
    let second = Registration::new(scope, Invoke::Yes, State::<0>::new(&counts, 0));
    ensure_eq!(second.err(), Some(EBUSY));
    // Another type's state is another state.
    drop(Registration::new(
        scope,
        Invoke::No,
        State::<1>::new(&counts, 0),
    )?);
    drop(first);
    ran_once(&counts)
}
