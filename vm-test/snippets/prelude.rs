// SPDX-License-Identifier: GPL-2.0

// The surroundings of the snippets of `compile-fail/` and of the examples in the documentation: a
// module that uses the library.

#[allow(unused_imports)]
#[macro_use]
extern crate surroundings;

#[allow(unused_imports)]
use surroundings::{
    debugfs,
    percpu_workqueue,
    smpboot,
    wait, //
};

use kernel::prelude::*;
#[allow(unused_imports)]
use smpboot::{
    Context,
    HasThreadSlot,
    HotplugThread,
    ModuleScope,
    Registration,
    ScopedModule, //
};

/// A type of idle threads, and its name.
#[allow(unused_macros)]
macro_rules! worker {
    ($type:ident, $name:expr) => {
        pub struct $type;

        #[vtable]
        impl HotplugThread for $type {
            const NAME: &'static CStr = $name;

            type Local = ();

            fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {}

            fn run(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {}
        }

        hotplug_thread!($type);
    };
}
