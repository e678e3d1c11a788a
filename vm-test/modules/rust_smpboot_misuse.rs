// SPDX-License-Identifier: GPL-2.0

//! Safe code that does what it should not, to see that the abstraction has an answer.
//!
//! Not an example to follow. A check runs when its name is written to
//! `/sys/kernel/debug/rust_smpboot_misuse/do`, with a number behind it where it repeats something;
//! `results` has a line for each that ran: `name: ok`, or `name: FAILED` and why. Checks that need
//! CPUs to go off and on come in two halves, `begin_x` and `end_x`. What only the end of the
//! module can show (`leak`, `drop_in_callback`) is for whoever unloads it to look at. With
//! `leak_and_fail=1` the module leaks the same and then fails to load.

#![forbid(unsafe_op_in_unsafe_fn)]

use kernel::{
    fmt,
    new_mutex,
    prelude::*,
    str::CString,
    sync::Mutex, //
};

mod misuse {
    #[macro_use]
    pub(crate) mod report;
    pub(crate) mod callbacks;
    pub(crate) mod leaks;
    pub(crate) mod never_ran;
    pub(crate) mod percpu;
    pub(crate) mod sleeps;
    pub(crate) mod states;
    pub(crate) mod storm;
    pub(crate) mod threads;
}
#[path = "../../rust/kernel/library.rs"]
mod library;

use debugfs::{
    Attribute,
    Dir,
    Tree, //
};
use library::{
    debugfs,
    smpboot, //
};
use misuse::{
    callbacks,
    leaks,
    never_ran,
    percpu,
    report::Outcome,
    sleeps,
    states,
    storm,
    threads, //
};
use smpboot::{
    seam::{
        param,
        ECANCELED, //
    },
    ModuleScope,
    Registration,
    ScopedModule, //
};

scoped_module! {
    type: MisuseModule,
    name: "rust_smpboot_misuse",
    authors: ["The rust_smpboot developers"],
    description: "Checks that safe code cannot break per-CPU hotplug threads",
    license: "GPL",
    params: {
        leak_and_fail: u8 {
            default: 0,
            description: "Leak registrations while loading, then fail",
        },
    },
}

/// What lives from `begin_x` to `end_x`.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) callbacks: Option<callbacks::Held>,
    pub(crate) sleeper: Option<Registration<sleeps::Sleeper>>,
    pub(crate) policies: Option<threads::Policies>,
    pub(crate) unpark: Option<threads::Unpark>,
}

type Check = fn(scope: &'static ModuleScope, held: &mut Held, count: u64) -> Outcome;

const CHECKS: &[(&str, Check)] = &[
    ("register_twice", threads::register_twice),
    ("wake_without_threads", threads::wake_without_threads),
    ("failing_init", threads::failing_init),
    ("local_dropped_once", threads::local_dropped_once),
    ("at_once", threads::at_once),
    ("never_ran", never_ran::never_ran),
    ("liar", threads::liar),
    ("begin_unpark", threads::begin_unpark),
    ("end_unpark", threads::end_unpark),
    ("begin_policies", threads::begin_policies),
    ("end_policies", threads::end_policies),
    ("begin_callbacks", callbacks::begin),
    ("end_callbacks", callbacks::end),
    ("begin_sleep", sleeps::begin_sleep),
    ("begin_fsleep", sleeps::begin_fsleep),
    ("end_sleep", sleeps::end),
    ("drop_in_callback", callbacks::drop_in_callback),
    ("storm", storm::storm),
    ("percpu", percpu::construction),
    ("cpuhp_counts", states::counts),
    ("cpuhp_no_invoke", states::no_invoke),
    ("cpuhp_failing_startup", states::failing_startup),
    ("cpuhp_twice", states::twice),
    ("leak", leaks::leak),
];

#[pin_data]
struct Checks {
    scope: &'static ModuleScope,
    #[pin]
    held: Mutex<Held>,
    #[pin]
    results: Mutex<KVec<CString>>,
}

struct Do;

#[vtable]
impl Attribute for Do {
    type Data = Checks;

    fn store(checks: &Checks, input: &CStr) -> Result {
        let mut words = input.to_str()?.split_whitespace();
        let name = words.next().ok_or(EINVAL)?;
        let count = match words.next() {
            Some(count) => count.parse().map_err(|_| EINVAL)?,
            None => 1,
        };
        let (name, check) = CHECKS.iter().find(|c| c.0 == name).ok_or(ENOENT)?;

        let outcome = check(checks.scope, &mut checks.held.lock(), count);
        let line = match outcome {
            Ok(()) => CString::try_from_fmt(fmt!("{name}: ok\n")),
            Err(failure) => CString::try_from_fmt(fmt!("{name}: FAILED {failure}\n")),
        }?;
        checks.results.lock().push(line, GFP_KERNEL)?;
        Ok(())
    }
}

struct Results;

#[vtable]
impl Attribute for Results {
    type Data = Checks;

    fn show(checks: &Checks, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in checks.results.lock().iter() {
            f.write_str(line.to_str().unwrap_or_default())?;
        }
        Ok(())
    }
}

struct Names;

#[vtable]
impl Attribute for Names {
    type Data = Checks;

    fn show(_checks: &Checks, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, _) in CHECKS {
            writeln!(f, "{name}")?;
        }
        Ok(())
    }
}

fn fill<'data>(checks: &'data Checks, dir: &Dir<'data>) {
    dir.file::<Do>(c"do", checks);
    dir.file::<Results>(c"results", checks);
    dir.file::<Names>(c"names", checks);
}

#[pin_data]
struct MisuseModule {
    #[pin]
    files: Tree<Checks>,
    _ready: (),
}

fn ready(scope: &'static ModuleScope) -> Result {
    if param(&module_parameters::leak_and_fail) != 0 {
        let _ = leaks::leak(scope, &mut Held::default(), 1);
        return Err(ECANCELED);
    }
    Ok(())
}

impl ScopedModule for MisuseModule {
    fn init(
        _module: &'static ThisModule,
        scope: &'static ModuleScope,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            files <- Tree::new(
                scope,
                c"rust_smpboot_misuse",
                pin_init!(Checks {
                    scope,
                    held <- new_mutex!(Held::default()),
                    results <- new_mutex!(KVec::new()),
                }),
                fill,
            ),
            _ready: ready(scope)?,
        })
    }
}
