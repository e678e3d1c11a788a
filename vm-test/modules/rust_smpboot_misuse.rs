// SPDX-License-Identifier: GPL-2.0

//! Misuse in safe code: the abstraction must refuse or survive it.
//!
//! Not an example to follow. Write the name of a check to
//! `/sys/kernel/debug/rust_smpboot_misuse/do` to run it, followed by a number if the check repeats
//! something. `results` has a line for each check that ran: `name: ok`, or `name: FAILED` and the
//! reason. A check that needs CPUs to go offline and online lasts until `end` is written. The
//! effects of `leak` and `drop_in_callback` show when the module is unloaded. With
//! `leak_and_fail=1` the module leaks the same and then fails to load.

#![forbid(unsafe_op_in_unsafe_fn)]

use kernel::{
    fmt,
    new_mutex,
    prelude::*,
    str::CString,
    sync::Mutex, //
};

#[macro_use]
mod idle;
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
    report::{
        Failure,
        Outcome, //
    },
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

/// State of a check that lasts until `end`.
#[derive(Default)]
pub(crate) enum Held {
    #[default]
    Nothing,
    Callbacks(callbacks::Held),
    Policies(threads::Policies),
    Sleeper(Registration<sleeps::Sleeper>),
    Unpark(threads::Unpark),
}

impl Held {
    /// Ends the check. `count` is the number written after `end`.
    fn end(self, scope: &'static ModuleScope, count: u32) -> Outcome {
        match self {
            Self::Nothing => Err(EINVAL.into()),
            Self::Callbacks(held) => callbacks::end(scope, held),
            Self::Policies(held) => {
                drop(held);
                Ok(())
            }
            Self::Sleeper(threads) => sleeps::end(threads),
            Self::Unpark(held) => threads::end_unpark(held, count),
        }
    }
}

#[derive(Clone, Copy)]
enum Check {
    Once(fn(&'static ModuleScope) -> Outcome),
    /// Repeats something this number of times.
    Times(fn(&'static ModuleScope, u32) -> Outcome),
    UntilEnd(fn(&'static ModuleScope) -> Result<Held, Failure>),
}

use Check::{
    Once,
    Times,
    UntilEnd, //
};

const CHECKS: &[(&str, Check)] = &[
    ("register_twice", Once(threads::register_twice)),
    ("wake_without_threads", Once(threads::wake_without_threads)),
    ("failing_init", Once(threads::failing_init)),
    ("local_dropped_once", Once(threads::local_dropped_once)),
    ("at_once", Times(threads::at_once)),
    ("never_ran", Times(never_ran::never_ran)),
    ("liar", Times(threads::liar)),
    ("unpark", UntilEnd(threads::unpark)),
    ("policies", UntilEnd(threads::policies)),
    ("callbacks", UntilEnd(callbacks::begin)),
    ("sleep", UntilEnd(sleeps::sleep)),
    ("fsleep", UntilEnd(sleeps::fsleep)),
    ("drop_in_callback", Once(callbacks::drop_in_callback)),
    ("storm", Times(storm::storm)),
    ("percpu", Once(percpu::construction)),
    ("cpuhp_counts", Once(states::counts)),
    ("cpuhp_no_invoke", Once(states::no_invoke)),
    ("cpuhp_failing_startup", Once(states::failing_startup)),
    ("cpuhp_twice", Once(states::twice)),
    ("leak", Once(leaks::leak)),
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
        let mut held = checks.held.lock();
        let outcome = if name == "end" {
            core::mem::take(&mut *held).end(checks.scope, count)
        } else {
            match CHECKS.iter().find(|c| c.0 == name).ok_or(ENOENT)?.1 {
                Once(check) => check(checks.scope),
                Times(check) => check(checks.scope, count),
                UntilEnd(check) => check(checks.scope).map(|new| *held = new),
            }
        };
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
        let _ = leaks::leak(scope);
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
