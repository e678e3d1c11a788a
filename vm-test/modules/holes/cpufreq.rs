// SPDX-License-Identifier: GPL-2.0

//! Registers in a callback that another subsystem calls in the CPU's hotplug thread.

use crate::{
    cpuhp_state,
    smpboot::{
        cpuhp,
        ModuleScope,
        Registration, //
    }, //
};
use kernel::{
    cpufreq,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        SetOnce, //
    }, //
};

struct Nested;

idle_thread!(Nested, c"hole_nest");

#[vtable]
impl cpuhp::Callbacks for Nested {
    const NAME: &'static CStr = c"rust_smpboot/hole:nested";
}

cpuhp_state!(Nested);

static SCOPE: SetOnce<&'static ModuleScope> = SetOnce::new();
static LOADED: Atomic<bool> = Atomic::new(false);

struct Driver;

#[vtable]
impl cpufreq::Driver for Driver {
    const NAME: &'static CStr = c"hole";
    const FLAGS: u16 = 0;
    const BOOST_ENABLED: bool = false;

    type PData = ();

    /// Registers threads and a state. `insmod` calls this for the CPUs that are online, a CPU's
    /// hotplug thread when the CPU comes online.
    fn init(policy: &mut cpufreq::Policy) -> Result<()> {
        let (true, Some(scope)) = (LOADED.load(Relaxed), SCOPE.copy()) else {
            return Ok(());
        };
        pr_info!("CPU {} comes online\n", policy.cpu().as_u32());
        let result = Registration::new(scope, Nested).map(drop);
        pr_info!("threads registered in a foreign callback: {result:?}\n");
        let result = cpuhp::Registration::new(scope, cpuhp::Invoke::Yes, Nested).map(drop);
        pr_info!("state registered in a foreign callback: {result:?}\n");
        Ok(())
    }

    fn verify(_data: &mut cpufreq::PolicyData) -> Result {
        Ok(())
    }

    fn setpolicy(_policy: &mut cpufreq::Policy) -> Result {
        Ok(())
    }
}

pub(crate) struct Held {
    _driver: cpufreq::Registration<Driver>,
}

pub(crate) fn begin(scope: &'static ModuleScope) -> Result<Held> {
    SCOPE.populate(scope);
    let driver = cpufreq::Registration::new()?;
    LOADED.store(true, Relaxed);
    Ok(Held { _driver: driver })
}
