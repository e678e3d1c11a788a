// SPDX-License-Identifier: GPL-2.0

//! One thread per CPU, to be watched while CPUs go off and on.
//!
//! The threads count the steps of their own lives, write them to the kernel log, and, when somebody
//! wakes them, measure how long that took. Everything is in
//! `/sys/kernel/debug/rust_smpboot_demo/`; there a CPU list written to `wake` wakes the threads of
//! these CPUs.

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
    description: "Per-CPU hotplug threads that one can watch",
    license: "GPL",
    params: {
        verbose: u8 {
            default: 1,
            description: "Write the steps of the threads' lives to the kernel log (0: not)",
        },
        period_us: u64 {
            default: 0,
            description: "Wake each thread by a timer, every so many microseconds (0: not)",
        },
    },
}

/// The module: the registration, and the files about it, which go first when it is dropped.
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
