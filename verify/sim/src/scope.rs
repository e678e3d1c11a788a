// SPDX-License-Identifier: GPL-2.0

//! Simulations of a scope that closes at any moment.

use crate::library::seam::{EDEADLK, ESHUTDOWN};
use crate::module::*;
use crate::smpboot::hotplug::CpusReadGuard;
use crate::smpboot::{ModuleScope, Registration, Threads};
use crate::Simulation;
use kernel::prelude::*;
use kernel::world::{self, spawn, step};
use std::cell::Cell;

type A = Worker<0>;
type B = Worker<1>;

/// The data of a callback.
#[derive(Default)]
struct Hands {
    scope: Option<&'static ModuleScope>,
    threads: Option<Registration<B>>,
    calls: u32,
}

thread_local! {
    static HANDS: Cell<Hands> = Cell::new(Hands::default());
}

/// Returns an initializer that other tasks may interrupt.
fn slowly() -> impl PinInit<A, Error> {
    // SAFETY: Initializes it.
    unsafe {
        pin_init::pin_init_from_closure(|slot: *mut A| {
            step();
            slot.write(A::new());
            step();
            Ok(())
        })
    }
}

/// Another task registers while the scope closes, and leaks or drops the registration.
fn closes(on: bool, times: u32, leak: bool, wait: bool) {
    let module = Module::load(on);
    let hotplug = hotplug(times, false);
    let scope = module.scope();
    let registered = std::rc::Rc::new(Cell::new(false));
    let theirs = registered.clone();
    let done = std::rc::Rc::new(Cell::new(false));
    let they = done.clone();
    let other = spawn("other", 1, move || {
        match Registration::new(scope, slowly()) {
            Ok(threads) => {
                threads.wake(cpu(1));
                match leak {
                    true => core::mem::forget(threads),
                    false => drop(threads),
                }
                theirs.set(true);
            }
            Err(e) => assert_eq!(e, ESHUTDOWN),
        }
        they.set(true);
        world::changed();
    });
    let waker = spawn("waker", 0, || Threads::<A>::new().wake(cpu(1)));
    if wait {
        until_created(0, 0, || done.get());
    }
    module.close();
    assert_eq!(Registration::new(scope, B::new()).err(), Some(ESHUTDOWN));
    other.join();
    waker.join();
    hotplug.join();
    // A task that drops a registration while the scope closes may find it ended, and its value
    // leaked.
    let leaks = leaks();
    assert!(leaks == 0 || registered.get(), "a registration without an owner was leaked");
    module.left(2 * leaks);
}

/// Two types register concurrently; the newest complete registration ends first.
fn closes_two(on: bool, times: u32) {
    let module = Module::load(on);
    let hotplug = hotplug(times, false);
    let scope = module.scope();
    let other = spawn("other", 1, move || {
        if let Ok(threads) = Registration::new(scope, B::new()) {
            core::mem::forget(threads);
        }
    });
    if let Ok(threads) = Registration::new(scope, A::new()) {
        core::mem::forget(threads);
    }
    module.close();
    other.join();
    hotplug.join();
}

/// In a callback, each call that would wait for the callback fails, in any state of the scope.
fn in_callbacks(times: u32, drops: bool) {
    let module = Module::load(true);
    let scope = module.scope();
    let hotplug = hotplug(times, false);
    let others = Registration::new(scope, B::new()).unwrap();
    HANDS.set(Hands { scope: Some(scope), threads: drops.then_some(others), calls: 0 });
    let threads = Registration::new(
        scope,
        A::also(|_| {
            let mut hands = HANDS.take();
            let scope = hands.scope.unwrap();
            assert_eq!(Registration::new(scope, B::new()).err(), Some(EDEADLK));
            assert_eq!(CpusReadGuard::new(scope).err(), Some(EDEADLK));
            // The registration stays until the scope ends it.
            drop(hands.threads.take());
            hands.calls += 1;
            HANDS.set(hands);
        }),
    )
    .unwrap();
    let own = work(0, 0);
    threads.wake(cpu(0));
    until_done(0, 0, own);
    drop(threads);
    ended(0);
    let mut hands = HANDS.take();
    assert!(hands.calls > 0);
    let dropped =
        world::with(|w| w.log.iter().any(|line| line.contains("dropped in a hotplug callback")));
    assert_eq!(dropped, drops);
    hands.threads = None;
    module.close();
    hotplug.join();
    module.left(if drops { 2 } else { 0 });
}

/// A callback waits for a task that is registering, while the scope closes: no task waits forever.
fn callback_waits(times: u32) {
    let module = Module::load(true);
    let scope = module.scope();
    let hotplug = hotplug(times, false);
    thread_local! {
        static DONE: Cell<bool> = const { Cell::new(false) };
    }
    DONE.set(false);
    let threads = Registration::new(
        scope,
        A::also(|cx| {
            while !DONE.get() && !cx.should_park() && !cx.should_stop() {
                kernel::processor::cpu_relax();
            }
        }),
    )
    .unwrap();
    threads.wake(cpu(0));
    core::mem::forget(threads);
    let other = spawn("other", 1, move || {
        step();
        let result = Registration::new(scope, B::new());
        core::mem::forget(result);
        DONE.set(true);
        world::changed();
    });
    hotplug.join();
    module.close();
    other.join();
}

pub fn all() -> Vec<Simulation> {
    let mut c = Simulation::new("scope::closes");
    let mut t = Simulation::new("scope::closes_two");
    let mut i = Simulation::new("scope::in_callbacks");
    let mut w = Simulation::new("scope::callback_waits");
    for times in 0..3 {
        for on in [true, false] {
            for leak in [true, false] {
                for wait in [true, false] {
                    let name = format!("on={on}-times={times}-leak={leak}-wait={wait}");
                    c.variant(name, move || closes(on, times, leak, wait));
                }
            }
            t.variant(format!("on={on}-times={times}"), move || closes_two(on, times));
        }
        for drops in [true, false] {
            i.variant(format!("times={times}-drops={drops}"), move || in_callbacks(times, drops));
        }
    }
    w.variant("times=0".into(), move || callback_waits(0));
    vec![c, t, i, w]
}
