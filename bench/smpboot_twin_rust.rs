// SPDX-License-Identifier: GPL-2.0

//! The Rust twin of `smpboot_twin_c.c`, to compare the code that comes out.

use kernel::prelude::*;

#[path = "../smpboot.rs"]
pub mod smpboot;

use smpboot::{
    Context,
    HotplugThread,
    ModuleScope,
    Registration,
    ScopedModule, //
};

scoped_module! {
    type: TwinModule,
    name: "smpboot_twin_rust",
    authors: ["The rust_smpboot developers"],
    description: "Rust twin of smpboot_twin_c",
    license: "GPL",
}

struct Twin;

struct Local {
    runs: u64,
    parks: u64,
}

#[vtable]
impl HotplugThread for Twin {
    const NAME: &'static CStr = c"twin_rust";

    type Local = Local;

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<Local> {
        Local { runs: 0, parks: 0 }
    }

    fn run(&self, mut local: Pin<&mut Local>, _cx: &Context<'_>) {
        local.runs = local.runs.wrapping_add(1);
    }

    fn park(&self, mut local: Pin<&mut Local>, _cx: &Context<'_>) {
        local.parks = local.parks.wrapping_add(1);
    }

    fn unpark(&self, mut local: Pin<&mut Local>, _cx: &Context<'_>) {
        local.runs = local.runs.wrapping_add(1);
    }
}

hotplug_thread!(Twin);

struct TwinModule {
    _threads: Registration<Twin>,
}

impl ScopedModule for TwinModule {
    fn init(
        _module: &'static ThisModule,
        scope: &'static ModuleScope,
    ) -> impl PinInit<Self, Error> {
        Registration::new(scope, Twin).map(|threads| Self { _threads: threads })
    }
}
