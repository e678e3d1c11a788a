// SPDX-License-Identifier: GPL-2.0

//! The cost of recording an event in the demo: a loop that records, and a loop that does not.

use core::hint::black_box;
use kernel::{
    cpu::CpuId,
    prelude::*, //
};

mod driver;
#[allow(dead_code, reason = "only recording is measured")]
#[path = "../demo/events.rs"]
mod events;
#[path = "../demo/format.rs"]
pub mod format;
#[path = "../rust/kernel/library.rs"]
mod library;

use driver::{
    Added,
    Mechanism, //
};
use events::{
    Event,
    Ring, //
};
use format::Kind;
use library::smpboot;
use smpboot::{
    ModuleScope,
    ScopedModule, //
};

scoped_module! {
    type: EventsModule,
    name: "smpboot_events_rust",
    authors: ["The rust_smpboot developers"],
    description: "Measures the demo's events",
    license: "GPL",
}

/// Calls `each` with a time, `times` times.
#[inline(always)]
fn repeat(times: u32, each: impl Fn(u64)) {
    for time in 0..times.into() {
        each(black_box(time));
    }
}

struct Record;

impl Mechanism for Record {
    const NAME: &'static CStr = c"record";

    type Handle = Pin<KBox<Ring>>;

    #[inline]
    fn start(_scope: &'static ModuleScope, _arg: u32) -> Result<Self::Handle> {
        KBox::pin_init(Ring::new(), GFP_KERNEL)
    }

    #[inline]
    fn wake(ring: Pin<&Ring>, _cpu: CpuId, times: u32) {
        repeat(times, |time| {
            ring.record(Event {
                kind: Kind::Wake,
                time,
            });
        });
    }
}

struct Nothing;

impl Mechanism for Nothing {
    const NAME: &'static CStr = c"nothing";

    type Handle = ();

    #[inline]
    fn start(_scope: &'static ModuleScope, _arg: u32) -> Result {
        Ok(())
    }

    #[inline]
    fn wake((): (), _cpu: CpuId, times: u32) {
        repeat(times, |_time| {});
    }
}

struct EventsModule {
    _record: Added<Record>,
    _nothing: Added<Nothing>,
}

impl ScopedModule for EventsModule {
    #[inline]
    fn init(
        _module: &'static ThisModule,
        scope: &'static ModuleScope,
    ) -> impl PinInit<Self, Error> {
        Ok::<_, Error>(Self {
            _record: Added::new(scope)?,
            _nothing: Added::new(scope)?,
        })
    }
}
