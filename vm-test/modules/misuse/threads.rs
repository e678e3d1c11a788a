// SPDX-License-Identifier: GPL-2.0

//! Registrations and threads.

use super::report::{
    eventually,
    Count,
    Counts,
    Failure,
    Outcome,
    Tracked,
    TrackedLocal, //
};
use crate::{
    hotplug_thread,
    smpboot::{
        hotplug,
        AtomicContext,
        Context,
        HasThreadSlot,
        HotplugThread,
        ModuleScope,
        Nice,
        Registration,
        SchedPolicy,
        SelfParkingRegistration,
        Threads, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};

/// Threads that count their callbacks. Each `N` is a type with threads of its own.
#[pin_data]
pub(crate) struct Counting<const N: u32> {
    value: Tracked,
    _second: u32,
}

impl<const N: u32> Counting<N> {
    pub(crate) fn new(counts: &Arc<Counts>) -> Self {
        Self {
            value: Tracked::new(counts),
            _second: 0,
        }
    }
}

#[vtable]
impl<const N: u32> HotplugThread for Counting<N>
where
    Self: HasThreadSlot,
{
    const NAME: &'static CStr = c"mis_count";

    type Local = TrackedLocal;

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<TrackedLocal> {
        let counts = &self.value.0;
        counts.setup.up();
        TrackedLocal(counts.clone())
    }

    fn run(&self, local: Pin<&mut TrackedLocal>, _cx: &Context<'_>) {
        local.0.run.up();
    }

    fn cleanup(&self, local: Pin<&mut TrackedLocal>, _cx: &Context<'_>, _online: bool) {
        local.0.cleanup.up();
    }
}

hotplug_thread!(Counting<0>);
hotplug_thread!(Counting<1>);
hotplug_thread!(Counting<2>);
hotplug_thread!(Counting<3>);

fn online() -> u32 {
    hotplug::online_cpus().count() as u32
}

pub(crate) fn register_twice(scope: &'static ModuleScope) -> Outcome {
    let counts = Counts::new()?;
    let first = Registration::new(scope, Counting::<0>::new(&counts))?;

    let second = Registration::new(scope, Counting::<0>::new(&counts));
    ensure_eq!(second.err(), Some(EBUSY));
    let parking = SelfParkingRegistration::new(scope, Counting::<0>::new(&counts));
    ensure_eq!(parking.err(), Some(EBUSY));

    // Another type can be registered, though it shares the generic code.
    drop(Registration::new(scope, Counting::<1>::new(&counts))?);

    first.threads().wake_all();
    ensure!(eventually(|| counts.run.get() >= online()), "no run");
    drop(first);
    counts.balanced()?;
    // The two that were refused, the other type's, and the first.
    ensure_eq!(counts.dropped.get(), 4);

    drop(SelfParkingRegistration::new(
        scope,
        Counting::<0>::new(&counts),
    )?);
    counts.balanced()
}

pub(crate) fn wake_without_threads(scope: &'static ModuleScope) -> Outcome {
    let counts = Counts::new()?;
    let threads = Threads::<Counting<0>>::new();

    for _ in 0..2 {
        for cpu in hotplug::possible_cpus() {
            threads.wake(cpu);
            ensure!(threads.info(cpu).is_none(), "a thread before registration");
        }

        let registration = Registration::new(scope, Counting::<0>::new(&counts))?;
        for cpu in hotplug::online_cpus() {
            let runs = counts.run.get();
            threads.wake(cpu);
            ensure!(eventually(|| counts.run.get() > runs), "no run");
            ensure!(threads.info(cpu).is_some(), "no thread after registration");
        }
        drop(registration);
    }
    for cpu in hotplug::possible_cpus() {
        threads.wake(cpu);
        ensure!(threads.info(cpu).is_none(), "a thread after unregistration");
    }
    counts.balanced()
}

pub(crate) fn failing_init(scope: &'static ModuleScope) -> Outcome {
    let counts = Counts::new()?;

    let made = Registration::<Counting<0>>::new(scope, Err::<Counting<0>, Error>(ENOENT));
    ensure_eq!(made.err(), Some(ENOENT));

    let mine = counts.clone();
    let half = try_pin_init!(Counting::<0> {
        value: Tracked::new(&mine),
        _second: Err(EIO)?,
    }? Error);
    ensure_eq!(Registration::new(scope, half).err(), Some(EIO));
    ensure_eq!(counts.made.get(), 1);
    ensure_eq!(counts.dropped.get(), 1);
    ensure_eq!(counts.setup.get(), 0);

    drop(Registration::new(scope, Counting::<0>::new(&counts))?);
    counts.balanced()
}

pub(crate) fn local_dropped_once(scope: &'static ModuleScope) -> Outcome {
    let counts = Counts::new()?;
    let registration = Registration::new(scope, Counting::<0>::new(&counts))?;
    registration.wait_until_up()?;
    ensure_eq!(counts.setup.get(), online());
    ensure_eq!(counts.local_dropped.get(), 0);
    drop(registration);
    ensure_eq!(counts.local_dropped.get(), online());
    counts.balanced()
}

/// Unregisters directly after the registration.
pub(crate) fn at_once(scope: &'static ModuleScope, count: u32) -> Outcome {
    let counts = Counts::new()?;
    for _ in 0..count {
        drop(Registration::new(scope, Counting::<0>::new(&counts))?);
    }
    ensure_eq!(counts.made.get(), count);
    counts.balanced()
}

/// Threads whose `should_run` and `sched_policy` return random values.
struct Liar {
    value: Tracked,
    seed: Atomic<u64>,
}

impl Liar {
    fn random(&self) -> u64 {
        self.seed
            .fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
            >> 32
    }
}

#[vtable]
impl HotplugThread for Liar {
    const NAME: &'static CStr = c"mis_liar";

    type Local = TrackedLocal;

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<TrackedLocal> {
        self.value.0.setup.up();
        TrackedLocal(self.value.0.clone())
    }

    fn should_run(&self, _local: Pin<&mut TrackedLocal>, _cx: &AtomicContext<'_>) -> bool {
        self.random() % 3 > 0
    }

    fn run(&self, local: Pin<&mut TrackedLocal>, cx: &Context<'_>) {
        local.0.run.up();
        if self.random() % 2 == 0 {
            Threads::<Self>::new().wake(cx.cpu());
        }
    }

    fn cleanup(&self, _local: Pin<&mut TrackedLocal>, _cx: &Context<'_>, _online: bool) {
        self.value.0.cleanup.up();
    }

    fn sched_policy(&self) -> SchedPolicy {
        match self.random() % 3 {
            0 => SchedPolicy::Fifo,
            1 => SchedPolicy::FifoLow,
            n => Nice::try_new(n as i32 - 21)
                .map_or(SchedPolicy::Normal(Nice::new::<19>()), SchedPolicy::Normal),
        }
    }
}

hotplug_thread!(Liar);

pub(crate) fn liar(scope: &'static ModuleScope, count: u32) -> Outcome {
    let counts = Counts::new()?;
    for seed in 0..count {
        let registration = Registration::new(
            scope,
            Liar {
                value: Tracked::new(&counts),
                seed: Atomic::new(seed.into()),
            },
        )?;
        let runs = counts.run.get();
        ensure!(
            eventually(|| {
                registration.threads().wake_all();
                counts.run.get() >= runs + 10
            }),
            "no run"
        );
    }
    counts.balanced()
}

/// Threads with an `unpark` but no `park`: C would never call `unpark`.
struct UnparkOnly(Arc<Count>);

#[vtable]
impl HotplugThread for UnparkOnly {
    const NAME: &'static CStr = c"mis_unpark";

    type Local = ();

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {}

    fn run(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {}

    fn unpark(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {
        self.0.up();
    }
}

hotplug_thread!(UnparkOnly);

pub(crate) struct Unpark {
    registration: Registration<UnparkOnly>,
    count: Arc<Count>,
}

pub(crate) fn unpark(scope: &'static ModuleScope) -> Result<crate::Held, Failure> {
    let count = Arc::new(Count::default(), GFP_KERNEL)?;
    Ok(crate::Held::Unpark(Unpark {
        registration: Registration::new(scope, UnparkOnly(count.clone()))?,
        count,
    }))
}

/// `count` is the number of times that CPUs came online since `unpark`.
pub(crate) fn end_unpark(held: Unpark, count: u32) -> Outcome {
    let Unpark {
        registration,
        count: unparked,
    } = held;
    ensure!(
        eventually(|| unparked.get() == count),
        "{} unparks",
        unparked.get()
    );
    drop(registration);
    ensure_eq!(unparked.get(), count);
    Ok(())
}

/// Threads of one scheduling class.
struct Fifo;
struct FifoLow;
struct Favoured;
struct Plain;

idle_thread!(Fifo, c"mis_fifo", SchedPolicy::Fifo);
idle_thread!(FifoLow, c"mis_low", SchedPolicy::FifoLow);
idle_thread!(
    Favoured,
    c"mis_nice",
    SchedPolicy::Normal(Nice::new::<-7>())
);
idle_thread!(Plain, c"mis_plain");

pub(crate) struct Policies {
    _fifo: Registration<Fifo>,
    _fifo_low: SelfParkingRegistration<FifoLow>,
    _favoured: Registration<Favoured>,
    _plain: Registration<Plain>,
}

/// Keeps threads of each class.
pub(crate) fn policies(scope: &'static ModuleScope) -> Result<crate::Held, Failure> {
    Ok(crate::Held::Policies(Policies {
        _fifo: Registration::new(scope, Fifo)?,
        _fifo_low: SelfParkingRegistration::new(scope, FifoLow)?,
        _favoured: Registration::new(scope, Favoured)?,
        _plain: Registration::new(scope, Plain)?,
    }))
}
