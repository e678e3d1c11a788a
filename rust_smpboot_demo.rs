// SPDX-License-Identifier: GPL-2.0

//! One thread per CPU, to be observed while CPUs are taken offline and brought online.
//!
//! Each thread counts its callbacks and logs them. When it is woken, it measures the time from the
//! wake to the run. The files are in `/sys/kernel/debug/rust_smpboot_demo/`. A CPU list written to
//! `wake` wakes the threads of these CPUs.

use kernel::prelude::*;

/// The parts of the demo.
#[path = "demo"]
pub mod demo {
    pub(crate) mod cpu;
    pub(crate) mod events;
    pub(crate) mod files;
    pub mod format;
    pub(crate) mod latency;
    pub(crate) mod streams;
    pub(crate) mod threads;
    pub(crate) mod timer;
}
#[path = "rust/kernel/library.rs"]
mod library;

use debugfs::Tree;
use demo::{
    files,
    format,
    threads::Demo, //
};
pub use library::{
    debugfs,
    smpboot,
    wait, //
};
use smpboot::{
    seam::param,
    ModuleScope,
    Registration,
    ScopedModule, //
};

scoped_module! {
    type: DemoModule,
    name: "rust_smpboot_demo",
    authors: ["The rust_smpboot developers"],
    description: "Observable per-CPU hotplug threads",
    license: "GPL",
    params: {
        verbose: u8 {
            default: 1,
            description: "Log each callback of the threads (0: off)",
        },
        period_us: u64 {
            default: 0,
            description: "Period of a timer that wakes each thread, in microseconds (0: off)",
        },
    },
}

/// The module: the registration and its files. Dropping it removes the files first.
#[pin_data]
struct DemoModule {
    files: Tree<Registration<Demo>>,
}

impl ScopedModule for DemoModule {
    fn init(
        _module: &'static ThisModule,
        scope: &'static ModuleScope,
    ) -> impl PinInit<Self, Error> {
        let verbose = param(&module_parameters::verbose);
        let period_us = param(&module_parameters::period_us);

        try_pin_init!(Self {
            files <- Tree::new(
                scope,
                format::C_MODULE,
                Demo::new(verbose, period_us).and_then(|demo| Registration::new(scope, demo)),
                files::fill,
            ),
        })
    }
}
