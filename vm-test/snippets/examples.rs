// SPDX-License-Identifier: GPL-2.0

// Runs the examples of the documentation, one function each, when the module is loaded.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    unused_imports,
    unused_macros
)]

#[path = "../../rust/kernel/library.rs"]
mod library;
#[path = "../../percpu_workqueue/mod.rs"]
mod percpu_workqueue;

use kernel::{
    fmt,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};
use library::{
    debugfs,
    smpboot,
    wait, //
};
use smpboot::{
    seam::param,
    Context,
    HasThreadSlot,
    HotplugThread,
    ModuleScope,
    Registration,
    ScopedModule, //
};

/// A type of idle threads, and its name.
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

/// The number of failed assertions of the present example, in all threads.
static FAILED: Atomic<u32> = Atomic::new(0);

/// Like an `assert!` of KUnit: the kernel continues, and the example fails.
macro_rules! assert {
    ($condition:expr $(,)?) => {
        assert!($condition, "{}", stringify!($condition))
    };
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            crate::failed(line!(), fmt!($($message)+));
        }
    };
}

macro_rules! assert_eq {
    ($left:expr, $right:expr $(,)?) => {
        match (&$left, &$right) {
            (left, right) => assert!(
                *left == *right,
                "{} == {}: {left:?} != {right:?}",
                stringify!($left),
                stringify!($right)
            ),
        }
    };
}

macro_rules! assert_ne {
    ($left:expr, $right:expr $(,)?) => {
        match (&$left, &$right) {
            (left, right) => assert!(
                *left != *right,
                "{} != {}: both are {left:?}",
                stringify!($left),
                stringify!($right)
            ),
        }
    };
}

fn failed(line: u32, what: fmt::Arguments<'_>) {
    FAILED.add(1, Relaxed);
    pr_info!("line {line}: assertion failed: {what}\n");
}

struct Example {
    name: &'static str,
    /// The example runs only by its number.
    alone: bool,
    run: fn(&'static ModuleScope) -> Result,
}

impl Example {
    fn report(&self, scope: &'static ModuleScope) {
        pr_info!("run {}\n", self.name);
        FAILED.store(0, Relaxed);
        let result = (self.run)(scope);
        match (result, FAILED.load(Relaxed)) {
            (Ok(()), 0) => pr_info!("ok {}\n", self.name),
            (Ok(()), n) => pr_info!("failed {}: {n} assertions\n", self.name),
            (Err(e), _) => pr_info!("failed {}: it returned {e:?}\n", self.name),
        }
    }
}

struct Examples;

impl ScopedModule for Examples {
    fn init(
        _module: &'static ThisModule,
        scope: &'static ModuleScope,
    ) -> impl PinInit<Self, Error> {
        let only = param(&module_parameters::only);
        for (i, example) in (1..).zip(EXAMPLES) {
            if only == i || only == 0 && !example.alone {
                example.report(scope);
            }
        }
        Ok(Self)
    }
}

scoped_module! {
    type: Examples,
    name: "rust_smpboot_examples",
    authors: ["The rust_smpboot developers"],
    description: "Runs the examples of the documentation",
    license: "GPL",
    params: {
        only: u32 {
            default: 0,
            description: "Number of the only example to run (0: all)",
        },
    },
}
