// SPDX-License-Identifier: GPL-2.0

//! Safe code that once reached freed memory, a deadlock, a hang or a warning of the kernel.
//!
//! Not an example to follow. `mode` chooses what the module does while it loads, runs and ends:
//!
//! | mode | |
//! |---|---|
//! | 1, 2, 3 | registers threads, self-parking threads, a hotplug state while the module ends |
//! | 4 | fills a tree of files while the module ends |
//! | 5 | makes files, and fails to load when the loading task gets a signal |
//! | 6 | a tree with a stream, to be dropped while others poll and read it |
//! | 7 | registers in a hotplug callback of another subsystem, before any callback of this module ran |
//! | 8 | a startup that fails when a CPU-down is rolled back |
//! | 9 | notifies a wait queue in a timer that is not a hard one |
//! | 10 | makes registrations and files out of values that own registrations, on request |
//! | 11 | a tree whose memory is freed without a drop |
//! | 12 | waits for threads to be up while a CPU goes offline and the module ends |

#![forbid(unsafe_op_in_unsafe_fn)]

use kernel::prelude::*;

#[macro_use]
mod idle;
mod holes {
    #[cfg(CONFIG_CPU_FREQ)]
    pub(crate) mod cpufreq;
    pub(crate) mod early;
    pub(crate) mod fill;
    pub(crate) mod last;
    pub(crate) mod memory;
    pub(crate) mod race;
    pub(crate) mod rollback;
    pub(crate) mod stream;
    pub(crate) mod timer;
    pub(crate) mod undropped;
    pub(crate) mod waits;
}
#[path = "../../rust/kernel/library.rs"]
mod library;

#[cfg(CONFIG_CPU_FREQ)]
use holes::cpufreq;
use holes::{
    early,
    fill,
    last,
    memory,
    race,
    rollback,
    stream,
    timer,
    undropped,
    waits, //
};
use library::{
    debugfs,
    smpboot,
    wait, //
};
use smpboot::{
    seam::{
        param,
        ESHUTDOWN, //
    },
    ModuleScope,
    ScopedModule, //
};

scoped_module! {
    type: Holes,
    name: "rust_smpboot_holes",
    authors: ["The rust_smpboot developers"],
    description: "Safe code that once broke the kernel",
    license: "GPL",
    params: {
        mode: u8 {
            default: 0,
            description: "Number of the behavior",
        },
    },
}

/// Values that the module keeps while it is loaded.
#[allow(dead_code, reason = "dropped with the module")]
enum Holes {
    Nothing,
    Stream(stream::Held),
    #[cfg(CONFIG_CPU_FREQ)]
    Cpufreq(cpufreq::Held),
    Rollback(rollback::Held),
    Memory(memory::Held),
    Undropped(undropped::Held),
}

impl ScopedModule for Holes {
    fn init(
        _module: &'static ThisModule,
        scope: &'static ModuleScope,
    ) -> impl PinInit<Self, Error> {
        let nothing = |result: Result| result.map(|()| Self::Nothing);
        match param(&module_parameters::mode) {
            1 => nothing(last::begin(scope, race::threads)),
            2 => nothing(last::begin(scope, race::self_parking)),
            3 => nothing(last::begin(scope, race::state)),
            4 => nothing(fill::begin(scope)),
            5 => nothing(early::begin(scope)),
            6 => stream::begin(scope).map(Self::Stream),
            #[cfg(CONFIG_CPU_FREQ)]
            7 => cpufreq::begin(scope).map(Self::Cpufreq),
            8 => rollback::begin(scope).map(Self::Rollback),
            9 => nothing(timer::begin()),
            10 => memory::begin(scope).map(Self::Memory),
            11 => undropped::begin(scope).map(Self::Undropped),
            12 => nothing(last::begin(scope, waits::wait)),
            _ => Err(EINVAL),
        }
    }
}

/// Whether the scope takes no more registrations.
pub(crate) fn is_closed(scope: &'static ModuleScope) -> bool {
    let probe = debugfs::Tree::new(scope, c"rust_smpboot_holes_probe", (), |(), _| {});
    probe.err() == Some(ESHUTDOWN)
}
