// SPDX-License-Identifier: GPL-2.0

//! The Rust twin of `smpboot_twin_c.c`, to compare the compiled code and its cost.

use kernel::{
    cpu::CpuId,
    prelude::*, //
};

mod driver;
#[path = "../rust/kernel/library.rs"]
mod library;

use driver::{
    Added,
    Mechanism, //
};
use library::smpboot;
use smpboot::{
    Context,
    HotplugThread,
    ModuleScope,
    Nice,
    Registration,
    SchedPolicy,
    ScopedModule, //
};

scoped_module! {
    type: TwinModule,
    name: "smpboot_twin_rust",
    authors: ["The rust_smpboot developers"],
    description: "Rust twin of smpboot_twin_c",
    license: "GPL",
}

struct Twin {
    fifo: bool,
}

struct Local {
    runs: u64,
    parks: u64,
}

#[vtable]
impl HotplugThread for Twin {
    const NAME: &'static CStr = c"twin_rust";

    type Local = Local;

    #[inline]
    fn sched_policy(&self) -> SchedPolicy {
        if self.fifo {
            SchedPolicy::Fifo
        } else {
            SchedPolicy::Normal(Nice::new::<0>())
        }
    }

    #[inline]
    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<Local> {
        Local { runs: 0, parks: 0 }
    }

    #[inline]
    fn run(&self, mut local: Pin<&mut Local>, _cx: &Context<'_>) {
        driver::ran();
        local.runs = local.runs.wrapping_add(1);
    }

    #[inline]
    fn park(&self, mut local: Pin<&mut Local>, _cx: &Context<'_>) {
        local.parks = local.parks.wrapping_add(1);
    }

    #[inline]
    fn unpark(&self, mut local: Pin<&mut Local>, _cx: &Context<'_>) {
        local.runs = local.runs.wrapping_add(1);
    }
}

hotplug_thread!(Twin);

impl Mechanism for Twin {
    const NAME: &'static CStr = c"rust";
    const COALESCES: bool = true;

    type Handle = KBox<Registration<Twin>>;

    #[inline]
    fn start(scope: &'static ModuleScope, arg: u32) -> Result<Self::Handle> {
        let threads = Registration::new(scope, Twin { fifo: arg != 0 })?;
        Ok(KBox::new(threads, GFP_KERNEL)?)
    }

    #[inline]
    fn wake(threads: &Registration<Twin>, cpu: CpuId, _item: u32) {
        threads.wake(cpu);
    }
}

struct TwinModule {
    _added: Added<Twin>,
}

impl ScopedModule for TwinModule {
    #[inline]
    fn init(
        _module: &'static ThisModule,
        scope: &'static ModuleScope,
    ) -> impl PinInit<Self, Error> {
        Ok::<_, Error>(Self {
            _added: Added::new(scope)?,
        })
    }
}
