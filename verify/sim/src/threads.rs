// SPDX-License-Identifier: GPL-2.0

//! Simulations of hotplug threads: their registration and their wakes.

use crate::module::*;
use crate::smpboot::{Registration, SelfParkingRegistration, Threads};
use crate::Simulation;
use kernel::bindings::online;
use kernel::prelude::*;
use kernel::time::Delta;
use kernel::world::{self, spawn};

type A = Worker<0>;
type B = Worker<1>;

fn word(is: bool, word: &str) -> &str {
    if is {
        word
    } else {
        ""
    }
}

fn place(on: bool, times: u32) -> String {
    format!("{}{}", if on { "online" } else { "offline" }, ["", "-once", "-twice"][times as usize])
}

/// A registration, self-parking or not.
enum Any {
    Normal(Registration<A>),
    SelfParking(SelfParkingRegistration<A>),
}

impl Any {
    fn new(module: &Module, self_parking: bool) -> Result<Self> {
        Ok(match self_parking {
            false => Self::Normal(Registration::new(module.scope(), A::new())?),
            true => Self::SelfParking(SelfParkingRegistration::new(module.scope(), A::new())?),
        })
    }
}

impl core::ops::Deref for Any {
    type Target = Registration<A>;
    fn deref(&self) -> &Registration<A> {
        match self {
            Self::Normal(threads) => threads,
            Self::SelfParking(threads) => threads,
        }
    }
}

/// The source of the wakes.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Who {
    /// A task without the registration, as soon as the thread is created: from then on a wake must
    /// not be lost.
    Early,
    /// The owner, through the registration.
    Owner,
    /// An interrupt, without the registration.
    Interrupt,
    All,
}

/// After each wake a run sees the work that was published before the wake.
fn wakes(on: bool, times: u32, late: bool, self_parking: bool, who: Who) {
    let is = move |one| who == one || who == Who::All;
    let module = Module::load(on);
    let hotplug = hotplug(times, late);
    let waker = spawn("waker", 1, move || {
        if is(Who::Early) {
            until_created(0, 1, || false);
            work(0, 1);
            Threads::<A>::new().wake(cpu(1));
        }
    });
    let threads = Any::new(&module, self_parking).unwrap();
    let interrupt = spawn("device", 0, move || {
        if is(Who::Interrupt) {
            world::interrupt(0, || {
                work(0, 1);
                Threads::<A>::new().wake(cpu(1));
            });
        }
    });
    if is(Who::Owner) {
        work(0, 1);
        threads.wake(cpu(1));
    }
    hotplug.join();
    interrupt.join();
    // Wakes while the CPU was offline stay pending.
    if !online(1) {
        assert_eq!(kernel::cpu_up(1, false), 0);
    }
    waker.join();
    until_all_done(0, 1);
    drop(threads);
    ended(0);
    module.unload();
}

/// The threads are unregistered during wakes.
fn unregisters(on: bool, times: u32, self_parking: bool) {
    let module = Module::load(on);
    let hotplug = hotplug(times, false);
    let waker = spawn("waker", 1, || {
        for _ in 0..2 {
            Threads::<A>::new().wake(cpu(1));
        }
        look::<0>(1);
    });
    let threads = Any::new(&module, self_parking).unwrap();
    threads.wake(cpu(1));
    drop(threads);
    ended(0);
    waker.join();
    hotplug.join();
    module.unload();
}

/// The scope ends leaked threads, whose owner still wakes them.
fn revokes(on: bool, times: u32, self_parking: bool) {
    let module = Module::load(on);
    let hotplug = hotplug(times, false);
    let threads = Any::new(&module, self_parking).unwrap();
    let waker = spawn("waker", 1, || {
        Threads::<A>::new().wake(cpu(1));
        look::<0>(1);
    });
    let owner = spawn("owner", 0, move || {
        for _ in 0..2 {
            threads.wake(cpu(1));
            // The value still exists, too.
            let _ = threads.wait_until_up();
        }
        core::mem::forget(threads);
    });
    module.close();
    owner.join();
    waker.join();
    hotplug.join();
    // The value and the storage.
    module.left(2);
}

/// A registration fails, and the next one succeeds.
fn fails(on: bool, what: &'static str, at: usize, times: u32) {
    let module = Module::load(on);
    let waker = spawn("waker", 1, || {
        for _ in 0..2 {
            Threads::<A>::new().wake(cpu(1));
            look::<0>(1);
        }
    });
    world::with(|w| match what {
        "create" => w.fail_create = Some(at),
        _ => w.fail_alloc = Some(at),
    });
    if what == "state" {
        world::with(|w| {
            w.fail_alloc = None;
            let full = kernel::world::Step { startup: None, teardown: None };
            w.cpuhp_hp_states = [Some(full); 4];
        });
    }
    let hotplug = hotplug(times, false);
    let mut registered = false;
    match Any::new(&module, what == "state") {
        Err(e) => assert!(e == ENOMEM || what == "state" && e == ENOSPC, "{e:?}"),
        Ok(threads) => {
            registered = true;
            drop(threads);
        }
    }
    // It may be the CPU-up that fails.
    assert!(!registered || times > 0);
    ended(0);
    world::with(|w| {
        (w.fail_create, w.fail_alloc) = (None, None);
        w.cpuhp_hp_states = Default::default();
    });
    let threads = Registration::new(module.scope(), A::new()).unwrap();
    drop(threads);
    ended(0);
    waker.join();
    hotplug.join();
    module.unload();
}

/// Two registrations one after another, with a waker that is independent of them.
fn again(on: bool, times: u32) {
    let module = Module::load(on);
    let hotplug = hotplug(times, false);
    let waker = spawn("waker", 1, || {
        for _ in 0..3 {
            Threads::<A>::new().wake(cpu(1));
        }
    });
    drop(Registration::new(module.scope(), A::new()).unwrap());
    ended(0);
    let threads = Registration::new(module.scope(), A::new()).unwrap();
    assert_eq!(Registration::new(module.scope(), A::new()).err(), Some(EBUSY));
    let own = work(0, 1);
    Threads::<A>::new().wake(cpu(1));
    hotplug.join();
    waker.join();
    until_done(0, 1, own);
    drop(threads);
    ended(0);
    module.unload();
}

/// Two types, registered by two tasks.
fn two(on: bool, times: u32, leak: bool) {
    let module = Module::load(on);
    let hotplug = hotplug(times, false);
    let scope = module.scope();
    let other = spawn("other", 1, move || {
        let threads = Registration::new(scope, B::new()).unwrap();
        let own = work(1, 0);
        threads.wake(cpu(0));
        until_done(1, 0, own);
        match leak {
            true => core::mem::forget(threads),
            false => {
                drop(threads);
                ended(1);
            }
        }
    });
    let threads = Registration::new(scope, A::new()).unwrap();
    let own = work(0, 0);
    threads.wake(cpu(0));
    until_done(0, 0, own);
    drop(threads);
    ended(0);
    other.join();
    hotplug.join();
    module.close();
    module.left(if leak { 2 } else { 0 });
}

/// A task that waits for the threads finds them set up, or gets `ESHUTDOWN`.
fn comes_up(on: bool, times: u32, closes: bool) {
    let module = Module::load(on);
    let hotplug = hotplug(times, false);
    let threads = Registration::new(module.scope(), A::new()).unwrap();
    if closes {
        let owner = spawn("owner", 0, move || {
            let _ = threads.wait_until_up();
            core::mem::forget(threads);
        });
        module.close();
        owner.join();
        hotplug.join();
        module.left(2);
        return;
    }
    threads.wait_until_up().unwrap();
    assert!(is_active(0, 0));
    hotplug.join();
    drop(threads);
    ended(0);
    module.unload();
}

/// A sleep in a callback ends early when a task waits for the thread, and only then.
fn sleeps(on: bool, times: u32, expires: bool) {
    let module = Module::load(on);
    world::with(|w| w.horizon = if expires { i64::MAX } else { -1 });
    let clock = world::clock();
    let threads = Registration::new(
        module.scope(),
        A::also(|cx| {
            let before = world::with(|w| w.now);
            let waited = cx.should_park() || cx.should_stop();
            if cx.sleep(Delta::from_millis(1)) {
                let now = world::with(|w| w.now);
                assert!(now >= before + 1_000_000, "the sleep was too short");
            } else {
                assert!(
                    waited || cx.should_park() || cx.should_stop(),
                    "the sleep ended early, but no task waits for the thread"
                );
            }
        }),
    )
    .unwrap();
    threads.wake(cpu(1));
    let waker = spawn("waker", 1, || Threads::<A>::new().wake(cpu(1)));
    let hotplug = hotplug(times, false);
    hotplug.join();
    waker.join();
    drop(threads);
    ended(0);
    module.unload();
    world::over();
    clock.join();
}

fn all_places(f: impl FnMut(bool, u32)) {
    let mut f = f;
    for on in [true, false] {
        for times in 0..3 {
            f(on, times);
        }
    }
}

pub fn all() -> Vec<Simulation> {
    let mut all = vec![];

    let mut s = Simulation::new("threads::wakes");
    all_places(|on, times| {
        for self_parking in [false, true] {
            for late in [false, true] {
                if late && times == 0 {
                    continue;
                }
                for who in [Who::Early, Who::Owner, Who::Interrupt, Who::All] {
                    let name = place(on, times) + word(late, "-late") + word(self_parking, "-self");
                    let name = format!("{name}-{who:?}");
                    s.variant(name, move || wakes(on, times, late, self_parking, who));
                }
            }
        }
    });
    all.push(s);

    let mut s = Simulation::new("threads::unregisters");
    let mut r = Simulation::new("threads::revokes");
    all_places(|on, times| {
        for self_parking in [false, true] {
            let name = place(on, times) + word(self_parking, "-self");
            s.variant(name.clone(), move || unregisters(on, times, self_parking));
            r.variant(name, move || revokes(on, times, self_parking));
        }
    });
    all.push(s);
    all.push(r);

    let mut s = Simulation::new("threads::fails");
    for on in [true, false] {
        for times in 0..2 {
            for (what, at) in
                [("create", 0), ("create", 1), ("alloc", 0), ("alloc", 1), ("state", 0)]
            {
                // The second creation is that of CPU 1.
                if (what, at, on, times) == ("create", 1, false, 0)
                    || what == "create" && at == 1 && times > 0
                {
                    continue;
                }
                if times > 0 && what != "create" {
                    continue;
                }
                let name = format!("{}-{what}-{at}", place(on, times));
                s.variant(name, move || fails(on, what, at, times));
            }
        }
    }
    all.push(s);

    let mut a = Simulation::new("threads::again");
    let mut t = Simulation::new("threads::two");
    let mut c = Simulation::new("threads::comes_up");
    let mut z = Simulation::new("threads::sleeps");
    all_places(|on, times| {
        a.variant(place(on, times), move || again(on, times));
        for which in [false, true] {
            let name = place(on, times);
            t.variant(name.clone() + word(which, "-leak"), move || two(on, times, which));
            c.variant(name.clone() + word(which, "-closes"), move || comes_up(on, times, which));
            z.variant(name + word(which, "-expires"), move || sleeps(on, times, which));
        }
    });
    all.extend([a, t, c, z]);
    all
}
