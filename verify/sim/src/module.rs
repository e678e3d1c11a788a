// SPDX-License-Identifier: GPL-2.0

//! The module of a run: its scope, its types of threads, and the callbacks that they have seen.

use crate::library::fresh;
use crate::smpboot::{Context, HotplugThread, ModuleScope, Threads};
use kernel::bindings::online;
use kernel::cpu::CpuId;
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, AtomicFlag, Relaxed};
use kernel::world::{self, note, step, wait_until};
use std::cell::Cell;

static CLAIMED: AtomicFlag = AtomicFlag::new(false);

pub fn cpu(cpu: u32) -> CpuId {
    CpuId::from_u32(cpu).unwrap()
}

/// A module that is loaded.
pub struct Module(*mut ModuleScope);

impl Module {
    /// Begins a run. `cpu1`: whether CPU 1 is online.
    pub fn load(cpu1: bool) -> Self {
        world::begin();
        kernel::boot(cpu1);
        fresh::library();
        fresh::threads::<Worker<0>>();
        fresh::threads::<Worker<1>>();
        SEEN.with(|seen| seen.iter().flatten().for_each(|s| s.set(Seen::default())));
        CLAIMED.xchg(false, Relaxed);
        // SAFETY: `close` drops it.
        let scope = KBox::pin_init(unsafe { ModuleScope::new(&CLAIMED) }, GFP_KERNEL).unwrap();
        // SAFETY: It stays in place.
        Self(KBox::into_raw(unsafe { Pin::into_inner_unchecked(scope) }))
    }

    pub fn scope(&self) -> &'static ModuleScope {
        // SAFETY: The memory stays until the next run.
        unsafe { &*self.0 }
    }

    /// Ends the module, and checks what the scope guarantees. Its memory is kept, because other
    /// tasks may have references.
    pub fn close(&self) {
        note(|| "the scope closes".into());
        // SAFETY: Called once.
        unsafe { self.0.drop_in_place() };
        note(|| "the scope is closed".into());
        world::with(|w| {
            assert!(w.hotplug_threads.is_empty(), "threads are registered after the end");
            assert_eq!(w.threads_alive, 0, "threads exist after the end");
            assert!(
                w.cpuhp_hp_states.iter().all(Option::is_none),
                "hotplug states are installed after the end"
            );
        });
    }

    /// Ends a run that leaks nothing.
    pub fn unload(&self) {
        self.close();
        self.left(0);
    }

    /// Checks the number of leaked allocations.
    pub fn left(&self, leaked: usize) {
        let left = world::with(|w| w.allocated) - 1;
        assert_eq!(left, leaked, "leaked allocations");
    }
}

/// Returns the number of leaked registrations in the log.
pub fn leaks() -> usize {
    world::with(|w| w.log.iter().filter(|line| line.contains("was leaked")).count())
}

/// Takes CPU 1 offline or brings it online, `times` times; each may be refused or fail late.
pub fn hotplug(times: u32, late: bool) -> world::JoinHandle {
    world::spawn("hotplug", 0, move || {
        for i in 0..times {
            let late = late && i == 0;
            let ret = match online(1) {
                true => kernel::cpu_down(1, late),
                false => kernel::cpu_up(1, late),
            };
            assert!(matches!(ret, 0 | -16 | -11 | -12), "{ret}");
        }
    })
}

/// The state of a thread's life cycle.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
enum Life {
    #[default]
    None,
    Created,
    Active,
    Parked,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    life: Life,
    /// The amount of published work, and the part of it that a run has seen.
    due: u32,
    done: u32,
    runs: u32,
}

thread_local! {
    static SEEN: [[Cell<Seen>; 2]; 2] = Default::default();
}

fn seen(of: usize, cpu: usize) -> Seen {
    SEEN.with(|seen| seen[of][cpu].get())
}

fn change(of: usize, cpu: usize, change: impl FnOnce(&mut Seen)) {
    SEEN.with(|all| {
        let mut seen = all[of][cpu].get();
        change(&mut seen);
        all[of][cpu].set(seen);
    });
    world::changed();
}

/// Publishes work for a thread, before it is woken.
pub fn work(of: usize, cpu: usize) -> u32 {
    step();
    change(of, cpu, |s| s.due += 1);
    seen(of, cpu).due
}

/// Waits until a run has seen that work, if the CPU is online. No other wake follows.
pub fn until_done(of: usize, cpu: usize, work: u32) {
    note(|| "waits for the run".into());
    wait_until(|| !online(cpu as u32) || seen(of, cpu).done >= work);
}

/// Waits until a run has seen all work published so far, if the CPU is online.
pub fn until_all_done(of: usize, cpu: usize) {
    until_done(of, cpu, seen(of, cpu).due);
}

/// Waits until the thread is created, or `or`.
pub fn until_created(of: usize, cpu: usize, or: impl Fn() -> bool) {
    wait_until(|| seen(of, cpu).life != Life::None || or());
}

pub fn is_active(of: usize, cpu: usize) -> bool {
    seen(of, cpu).life == Life::Active
}

/// Additional code in a worker's callback.
pub type Also = fn(&Context<'_>);

/// The threads of most simulations.
pub struct Worker<const N: usize> {
    alive: Atomic<u32>,
    run: Also,
}

impl<const N: usize> Worker<N> {
    pub fn new() -> Self {
        Self::also(|_| ())
    }

    pub fn also(run: Also) -> Self {
        Self { alive: Atomic::new(7), run }
    }

    /// Checks that the shared value exists.
    fn check(&self) {
        assert_eq!(self.alive.load(Relaxed), 7);
    }

    fn moves(&self, cx: &Context<'_>, from: &[Life], to: Life) {
        self.check();
        let cpu = cx.cpu().as_u32() as usize;
        let life = seen(N, cpu).life;
        assert!(from.contains(&life), "illegal sequence of callbacks: {life:?}, then {to:?}");
        change(N, cpu, |s| s.life = to);
    }
}

impl<const N: usize> Drop for Worker<N> {
    fn drop(&mut self) {
        self.check();
        self.alive.store(0, Relaxed);
    }
}

/// A thread's local state.
pub struct Alive(u32);

impl Drop for Alive {
    fn drop(&mut self) {
        assert_eq!(self.0, 7);
        self.0 = 0;
    }
}

crate::hotplug_thread!(Worker<0>);
crate::hotplug_thread!(Worker<1>);

#[vtable]
impl<const N: usize> HotplugThread for Worker<N>
where
    Worker<N>: crate::smpboot::HasThreadSlot,
{
    const NAME: &'static CStr = c"worker";
    type Local = Alive;

    fn create(&self, cpu: CpuId) {
        self.check();
        change(N, cpu.as_u32() as usize, |s| {
            assert_eq!(s.life, Life::None);
            s.life = Life::Created;
        });
    }

    fn setup(&self, cx: &Context<'_>) -> impl PinInit<Alive> {
        self.moves(cx, &[Life::Created], Life::Active);
        Alive(7)
    }

    fn run(&self, local: Pin<&mut Alive>, cx: &Context<'_>) {
        assert_eq!(local.0, 7);
        self.moves(cx, &[Life::Active], Life::Active);
        step();
        change(N, cx.cpu().as_u32() as usize, |s| {
            s.done = s.due;
            s.runs += 1;
        });
        (self.run)(cx);
        self.check();
    }

    fn park(&self, local: Pin<&mut Alive>, cx: &Context<'_>) {
        assert_eq!(local.0, 7);
        self.moves(cx, &[Life::Active], Life::Parked);
    }

    fn unpark(&self, local: Pin<&mut Alive>, cx: &Context<'_>) {
        assert_eq!(local.0, 7);
        self.moves(cx, &[Life::Parked], Life::Active);
    }

    fn cleanup(&self, local: Pin<&mut Alive>, cx: &Context<'_>, online: bool) {
        assert_eq!(local.0, 7);
        assert_eq!(
            online,
            kernel::bindings::online(cx.cpu().as_u32()),
            "cleanup gets the wrong `online`"
        );
        let from: &[Life] = if online { &[Life::Active, Life::Parked] } else { &[Life::Parked] };
        self.moves(cx, from, Life::None);
    }
}

/// Checks the threads after the end of a registration, and resets them for the next one.
pub fn ended(of: usize) {
    for cpu in 0..2 {
        let life = seen(of, cpu).life;
        assert!(matches!(life, Life::None | Life::Created), "{life:?} after the end");
        change(of, cpu, |s| s.life = Life::None);
    }
}

/// Reads the state of a thread, as a read of a debugfs file does.
pub fn look<const N: usize>(at: u32)
where
    Worker<N>: crate::smpboot::HasThreadSlot,
{
    if let Some(thread) = Threads::<Worker<N>>::new().info(cpu(at)) {
        assert!(thread.pid > 0, "a task is read after it was freed");
    }
}
