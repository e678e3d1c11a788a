// SPDX-License-Identifier: GPL-2.0

//! Demo

use kernel::prelude::*;
pub mod smpboot;
use smpboot::*;

struct W;
#[vtable]
impl HotplugThread for W {
    const NAME: &'static CStr = c"rust_demo";
    type Local = u64;
    fn setup(&self, cx: &Context<'_>) -> impl PinInit<u64> {
        pr_info!("cpu{}: setup\n", cx.cpu().as_u32());
        0
    }
    fn run(&self, mut local: Pin<&mut u64>, cx: &Context<'_>) {
        *local += 1;
        pr_info!("cpu{}: run {}\n", cx.cpu().as_u32(), *local);
    }
    fn unpark(&self, _local: Pin<&mut u64>, cx: &Context<'_>) {
        pr_info!("cpu{}: unpark\n", cx.cpu().as_u32());
    }
}
hotplug_thread!(W);

struct Demo(Registration<W>);
impl ScopedModule for Demo {
    fn init(_m: &'static ThisModule, scope: &'static ModuleScope) -> impl PinInit<Self, Error> {
        let r = Registration::new(scope, W);
        if let Ok(r) = &r { r.waker().wake_all(); }
        r.map(Demo)
    }
}

scoped_module! {
    type: Demo,
    name: "rust_smpboot_demo",
    authors: ["x"],
    description: "x",
    license: "GPL",
}
