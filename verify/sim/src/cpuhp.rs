// SPDX-License-Identifier: GPL-2.0

//! Simulations of hotplug states.

use crate::library::seam::ESHUTDOWN;
use crate::module::{hotplug, leaks, Module};
use crate::smpboot::cpuhp::{self, Callbacks, Invoke};
use crate::smpboot::Context;
use crate::Simulation;
use kernel::bindings::online;
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Relaxed};
use kernel::world::{spawn, step};
use std::cell::Cell;

struct State {
    alive: Atomic<u32>,
    /// The CPU whose startup fails the first time.
    fails: Atomic<u32>,
}

thread_local! {
    /// The CPUs whose last callback was a startup.
    static UP: [Cell<bool>; 2] = const { [const { Cell::new(false) }; 2] };
}

fn up(cpu: usize) -> bool {
    UP.with(|up| up[cpu].get())
}

crate::cpuhp_state!(State);

impl State {
    fn new(fails: u32) -> Self {
        Self { alive: Atomic::new(7), fails: Atomic::new(fails) }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        assert_eq!(self.alive.xchg(0, Relaxed), 7);
    }
}

#[vtable]
impl Callbacks for State {
    const NAME: &'static CStr = c"sim:online";

    fn startup(&self, cx: &Context<'_>) -> Result {
        let cpu = cx.cpu().as_u32();
        assert_eq!(self.alive.load(Relaxed), 7);
        assert!(!up(cpu as usize), "two startups without a teardown");
        if self.fails.cmpxchg(cpu, 99, Relaxed).is_ok() {
            return Err(EAGAIN);
        }
        UP.with(|up| up[cpu as usize].set(true));
        Ok(())
    }

    fn teardown(&self, cx: &Context<'_>) {
        let cpu = cx.cpu().as_u32() as usize;
        assert_eq!(self.alive.load(Relaxed), 7);
        UP.with(|up| up[cpu].set(false));
        step();
        assert_eq!(self.alive.load(Relaxed), 7);
    }
}

fn load(on: bool) -> Module {
    let module = Module::load(on);
    crate::library::fresh::state::<State>();
    UP.with(|up| up.iter().for_each(|up| up.set(false)));
    module
}

/// Callbacks alternate, and none runs after the end.
fn registers(on: bool, times: u32, invoke: Invoke) {
    let module = load(on);
    let hotplug = hotplug(times, true);
    let state = cpuhp::Registration::new(module.scope(), invoke, State::new(99)).unwrap();
    step();
    assert_eq!(state.alive.load(Relaxed), 7);
    assert_eq!(cpuhp::Registration::new(module.scope(), invoke, State::new(99)).err(), Some(EBUSY));
    hotplug.join();
    if invoke == Invoke::Yes {
        assert!((0..2).all(|cpu| up(cpu) == online(cpu as u32)), "a CPU has no startup");
    }
    drop(state);
    if invoke == Invoke::Yes {
        assert!(!up(0) && !up(1), "the last callback is not a teardown");
    }
    module.unload();
}

/// A startup fails, during registration or a CPU-up.
fn startup_fails(on: bool, times: u32, at: u32) {
    let module = load(on);
    let hotplug = hotplug(times, false);
    match cpuhp::Registration::new(module.scope(), Invoke::Yes, State::new(at)) {
        Ok(state) => drop(state),
        Err(e) => assert_eq!(e, EAGAIN),
    }
    assert!(!up(0) && !up(1), "the last callback is not a teardown");
    let state = cpuhp::Registration::new(module.scope(), Invoke::Yes, State::new(99)).unwrap();
    drop(state);
    hotplug.join();
    assert!(!up(0) && !up(1), "the last callback is not a teardown");
    module.unload();
}

/// The scope closes at any moment of a registration.
fn closes(on: bool, times: u32, leak: bool, at: u32) {
    let module = load(on);
    let hotplug = hotplug(times, false);
    let scope = module.scope();
    let registered = std::rc::Rc::new(Cell::new(false));
    let theirs = registered.clone();
    let other = spawn("other", 1, move || {
        match cpuhp::Registration::new(scope, Invoke::Yes, State::new(at)) {
            Ok(state) => {
                step();
                assert_eq!(state.alive.load(Relaxed), 7);
                match leak {
                    true => core::mem::forget(state),
                    false => drop(state),
                }
                theirs.set(true);
            }
            Err(e) => assert!(e == ESHUTDOWN || e == EAGAIN && at != 99, "{e:?}"),
        }
    });
    module.close();
    other.join();
    hotplug.join();
    assert!(!up(0) && !up(1), "the last callback is not a teardown");
    assert!(leaks() == 0 || registered.get(), "a registration without an owner was leaked");
    module.left(leaks());
}

pub fn all() -> Vec<Simulation> {
    let mut r = Simulation::new("cpuhp::registers");
    let mut f = Simulation::new("cpuhp::startup_fails");
    let mut c = Simulation::new("cpuhp::closes");
    for times in 0..3 {
        for on in [true, false] {
            let place = format!("on={on}-times={times}");
            for invoke in [Invoke::Yes, Invoke::No] {
                r.variant(format!("{place}-{invoke:?}"), move || registers(on, times, invoke));
            }
            for at in 0..2 {
                f.variant(format!("{place}-at={at}"), move || startup_fails(on, times, at));
            }
            for leak in [true, false] {
                for at in [1, 99] {
                    let name = format!("{place}-leak={leak}-at={at}");
                    c.variant(name, move || closes(on, times, leak, at));
                }
            }
        }
    }
    vec![r, f, c]
}
