// SPDX-License-Identifier: GPL-2.0

//! Bugs on purpose: the debug kernel must report each.
//!
//! Write a name to `/sys/kernel/debug/rust_smpboot_faulty/do` to run that bug. Do not load the
//! module on a kernel that is still needed.

#![forbid(unsafe_op_in_unsafe_fn)]

use kernel::{
    bindings,
    new_mutex,
    new_spinlock,
    prelude::*,
    sync::{
        atomic::Atomic,
        Mutex,
        SpinLock, //
    }, //
};

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
use smpboot::{
    cpuhp,
    hotplug::CpusReadGuard,
    Context,
    ModuleScope,
    ScopedModule, //
};

scoped_module! {
    type: FaultyModule,
    name: "rust_smpboot_faulty",
    authors: ["The rust_smpboot developers"],
    description: "Bugs that a debug kernel must report",
    license: "GPL",
}

#[pin_data]
struct Faults {
    scope: &'static ModuleScope,
    #[pin]
    a: Mutex<u32>,
    #[pin]
    b: Mutex<u32>,
    #[pin]
    spin: SpinLock<u32>,
    raced: Atomic<usize>,
}

type Fault = fn(&Faults) -> Result;

const FAULTS: &[(&str, Fault)] = &[
    ("use_after_free", use_after_free),
    ("out_of_bounds", out_of_bounds),
    ("leak", leak),
    ("timer_freed", timer_freed),
    ("sleep_in_atomic", sleep_in_atomic),
    ("lock_inversion", lock_inversion),
    ("hotplug_inversion", hotplug_inversion),
    ("data_race", data_race),
];

fn use_after_free(_: &Faults) -> Result {
    let value = KBox::into_raw(KBox::new(7_u64, GFP_KERNEL)?);
    // SAFETY: `into_raw` returned it, and nothing else owns it.
    drop(unsafe { KBox::from_raw(value) });
    // SAFETY: None: this is the bug.
    unsafe { value.read_volatile() };
    Ok(())
}

fn out_of_bounds(_: &Faults) -> Result {
    let mut bytes = KBox::new([7_u8; 20], GFP_KERNEL)?;
    // SAFETY: None: this is the bug. (The allocator's object has room for it.)
    unsafe { bytes.as_mut_ptr().add(20).write_volatile(7) };
    Ok(())
}

/// Leaks many objects: a stale pointer may hide one of them.
fn leak(_: &Faults) -> Result {
    for _ in 0..100 {
        KBox::leak(KBox::new([7_u64; 8], GFP_KERNEL)?);
    }
    Ok(())
}

/// # Safety
///
/// None is needed: it does nothing.
unsafe extern "C" fn never(_: *mut bindings::hrtimer) -> bindings::hrtimer_restart {
    // SAFETY: `HRTIMER_NORESTART`: an integer, or since 7.3 a type that wraps one.
    unsafe { core::mem::zeroed() }
}

fn timer_freed(_: &Faults) -> Result {
    const HOUR: i64 = 3_600_000_000_000;

    let mut timer = KBox::<bindings::hrtimer>::new_uninit(GFP_KERNEL)?;
    let mode = bindings::hrtimer_mode_HRTIMER_MODE_REL;
    // SAFETY: The memory has the size of a timer, and only `timer` refers to it. The bug is that it
    // is freed while the timer runs; the kernel stops the timer after its report.
    unsafe {
        bindings::hrtimer_setup(
            timer.as_mut_ptr(),
            Some(never),
            bindings::CLOCK_MONOTONIC as bindings::clockid_t,
            mode,
        );
        bindings::hrtimer_start_range_ns(timer.as_mut_ptr(), HOUR, 0, mode);
    }
    Ok(())
}

fn sleep_in_atomic(faults: &Faults) -> Result {
    let _spin = faults.spin.lock();
    *faults.a.lock() += 1;
    Ok(())
}

/// Takes two locks in both orders, in one task: nothing hangs, but two tasks could deadlock.
fn lock_inversion(faults: &Faults) -> Result {
    {
        let _a = faults.a.lock();
        *faults.b.lock() += 1;
    }
    let _b = faults.b.lock();
    *faults.a.lock() += 1;
    Ok(())
}

#[pin_data]
struct State {
    #[pin]
    mutex: Mutex<u32>,
}

#[vtable]
impl cpuhp::Callbacks for State {
    const NAME: &'static CStr = c"rust_smpboot/faulty:online";

    fn startup(&self, _cx: &Context<'_>) -> Result {
        *self.mutex.lock() += 1;
        Ok(())
    }
}

cpuhp_state!(State);

/// Takes the hotplug lock under a lock that hotplug callbacks take, in safe code only.
fn hotplug_inversion(faults: &Faults) -> Result {
    let state = cpuhp::Registration::new(
        faults.scope,
        cpuhp::Invoke::Yes,
        pin_init!(State { mutex <- new_mutex!(0) }),
    )?;
    let _mutex = state.mutex.lock();
    let _cpus = CpusReadGuard::new(faults.scope)?;
    Ok(())
}

/// Races with another task that calls this. rustc does not instrument for KCSAN, so C makes the
/// accesses.
fn data_race(faults: &Faults) -> Result {
    for _ in 0..1_000_000 {
        // SAFETY: None: this is the bug. (The bitmap is one word long, and the call stays inside.)
        unsafe {
            bindings::__bitmap_set(faults.raced.as_ptr(), 0, 7);
            bindings::__bitmap_clear(faults.raced.as_ptr(), 0, 7);
        }
    }
    Ok(())
}

struct Do;

#[vtable]
impl Attribute for Do {
    type Data = Faults;

    fn store(faults: &Faults, input: &CStr) -> Result {
        let name = input.to_str()?.trim();
        let (_, fault) = FAULTS.iter().find(|f| f.0 == name).ok_or(ENOENT)?;
        fault(faults)
    }
}

fn fill<'data>(faults: &'data Faults, dir: &Dir<'data>) {
    dir.file::<Do>(c"do", faults);
}

#[pin_data]
struct FaultyModule {
    #[pin]
    files: Tree<Faults>,
}

impl ScopedModule for FaultyModule {
    fn init(
        _module: &'static ThisModule,
        scope: &'static ModuleScope,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            files <- Tree::new(
                scope,
                c"rust_smpboot_faulty",
                pin_init!(Faults {
                    scope,
                    a <- new_mutex!(0),
                    b <- new_mutex!(0),
                    spin <- new_spinlock!(0),
                    raced: Atomic::new(0),
                }),
                fill,
            ),
        })
    }
}
