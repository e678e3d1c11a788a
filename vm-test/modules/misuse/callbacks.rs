// SPDX-License-Identifier: GPL-2.0

//! Calls that callbacks must not make: all that wait for the hotplug lock.

use super::{
    report::{
        eventually,
        Count,
        Counts,
        Failure,
        Outcome, //
    },
    states::State,
    threads::Counting, //
};
use crate::{
    cpuhp_state,
    hotplug_thread,
    smpboot::{
        cpuhp,
        hotplug::CpusReadGuard,
        seam::EDEADLK,
        AtomicContext,
        Context,
        HotplugThread,
        ModuleScope,
        Registration,
        SelfParkingRegistration,
        Threads, //
    }, //
};
use kernel::{
    cpu::CpuId,
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// Number of calls of a callback, and of those in which all its attempts were refused.
#[derive(Default)]
struct Tries {
    all: Count,
    refused: Count,
}

#[derive(Default)]
struct Places {
    create: Tries,
    setup: Tries,
    should_run: Tries,
    run: Tries,
    park: Tries,
    unpark: Tries,
    cleanup: Tries,
    startup: Tries,
    teardown: Tries,
}

/// Attempts calls in each callback that would deadlock.
struct Nested {
    scope: &'static ModuleScope,
    places: Arc<Places>,
    counts: Arc<Counts>,
}

impl Nested {
    fn attempt(&self, at: &Tries) {
        at.all.up();
        let (scope, counts) = (self.scope, &self.counts);
        let refused = [
            CpusReadGuard::new(scope).err(),
            Registration::new(scope, Counting::<2>::new(counts)).err(),
            SelfParkingRegistration::new(scope, Counting::<2>::new(counts)).err(),
            cpuhp::Registration::new(scope, cpuhp::Invoke::Yes, State::<2>::new(counts, 0)).err(),
        ];
        if refused == [Some(EDEADLK); 4] {
            at.refused.up();
        }
    }
}

#[vtable]
impl HotplugThread for Nested {
    const NAME: &'static CStr = c"mis_nested";

    type Local = ();

    fn create(&self, _cpu: CpuId) {
        self.attempt(&self.places.create);
    }

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {
        self.attempt(&self.places.setup);
    }

    fn should_run(&self, _local: Pin<&mut ()>, cx: &AtomicContext<'_>) -> bool {
        self.attempt(&self.places.should_run);
        cx.woken()
    }

    fn run(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {
        self.attempt(&self.places.run);
    }

    fn park(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {
        self.attempt(&self.places.park);
    }

    fn unpark(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {
        self.attempt(&self.places.unpark);
    }

    fn cleanup(&self, _local: Pin<&mut ()>, _cx: &Context<'_>, _online: bool) {
        self.attempt(&self.places.cleanup);
    }
}

hotplug_thread!(Nested);

/// Attempts the same in the callbacks of a hotplug state.
struct NestedState(Nested);

#[vtable]
impl cpuhp::Callbacks for NestedState {
    const NAME: &'static CStr = c"rust_smpboot/misuse:nested";

    fn startup(&self, _cx: &Context<'_>) -> Result {
        self.0.attempt(&self.0.places.startup);
        Ok(())
    }

    fn teardown(&self, _cx: &Context<'_>) {
        self.0.attempt(&self.0.places.teardown);
    }
}

cpuhp_state!(NestedState);

pub(crate) struct Held {
    state: cpuhp::Registration<NestedState>,
    threads: Registration<Nested>,
    places: Arc<Places>,
    counts: Arc<Counts>,
}

pub(crate) fn begin(scope: &'static ModuleScope) -> Result<crate::Held, Failure> {
    let places = Arc::new(Places::default(), GFP_KERNEL)?;
    let counts = Counts::new()?;
    let nested = || Nested {
        scope,
        places: places.clone(),
        counts: counts.clone(),
    };

    let threads = Registration::new(scope, nested())?;
    let state = cpuhp::Registration::new(scope, cpuhp::Invoke::Yes, NestedState(nested()))?;
    threads.threads().wake_all();
    Ok(crate::Held::Callbacks(Held {
        state,
        threads,
        places,
        counts,
    }))
}

/// Checks the attempts, after a CPU went offline and online since `begin`.
pub(crate) fn end(scope: &'static ModuleScope, held: Held) -> Outcome {
    let places = held.places;
    ensure!(eventually(|| places.run.all.get() > 0), "no run");
    ensure!(eventually(|| places.unpark.all.get() > 0), "no unpark");
    drop(held.state);
    drop(held.threads);

    for (name, tries) in [
        ("create", &places.create),
        ("setup", &places.setup),
        ("should_run", &places.should_run),
        ("run", &places.run),
        ("park", &places.park),
        ("unpark", &places.unpark),
        ("cleanup", &places.cleanup),
        ("startup", &places.startup),
        ("teardown", &places.teardown),
    ] {
        let (all, refused) = (tries.all.get(), tries.refused.get());
        ensure!(
            all > 0 && all == refused,
            "{name}: refused in {refused} of {all}"
        );
    }
    // The refused values were dropped, without any other effect.
    held.counts.balanced()?;
    ensure_eq!(held.counts.setup.get(), 0);
    ensure_eq!(held.counts.startup.get(), 0);

    drop(CpusReadGuard::new(scope)?);
    Ok(())
}

/// Registrations that a callback takes and drops.
#[derive(Default)]
struct Bag {
    own: Option<Registration<Dropper>>,
    _others: Option<Registration<Counting<3>>>,
    _state: Option<cpuhp::Registration<State<3>>>,
}

#[pin_data]
struct Shared {
    #[pin]
    bag: Mutex<Bag>,
    done: Count,
}

/// Drops registrations in its callback, its own among them.
struct Dropper(Arc<Shared>);

#[vtable]
impl HotplugThread for Dropper {
    const NAME: &'static CStr = c"mis_drop";

    type Local = ();

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {}

    fn run(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {
        let bag = core::mem::take(&mut *self.0.bag.lock());
        drop(bag);
        self.0.done.up();
    }
}

hotplug_thread!(Dropper);

/// Checks that registrations dropped in a callback stay until the module ends and unregisters them.
pub(crate) fn drop_in_callback(scope: &'static ModuleScope) -> Outcome {
    let counts = Counts::new()?;
    let shared = Arc::pin_init(
        pin_init!(Shared {
            bag <- new_mutex!(Bag::default()),
            done: Count::default(),
        }),
        GFP_KERNEL,
    )?;
    let own = Registration::new(scope, Dropper(shared.clone()))?;
    let threads = own.threads();
    *shared.bag.lock() = Bag {
        own: Some(own),
        _others: Some(Registration::new(scope, Counting::<3>::new(&counts))?),
        _state: Some(cpuhp::Registration::new(
            scope,
            cpuhp::Invoke::Yes,
            State::<3>::new(&counts, 0),
        )?),
    };

    let cpu = CpuId::current();
    threads.wake(cpu);
    ensure!(eventually(|| shared.done.get() > 0), "no run");
    ensure!(shared.bag.lock().own.is_none(), "not dropped");

    // Threads and state are still registered.
    let again = Registration::new(scope, Counting::<3>::new(&counts));
    ensure_eq!(again.err(), Some(EBUSY));
    let others = Threads::<Counting<3>>::new();
    let runs = counts.run.get();
    ensure!(others.info(cpu).is_some(), "the other threads have exited");
    others.wake(cpu);
    ensure!(
        eventually(|| counts.run.get() > runs),
        "the other threads do not run"
    );
    ensure_eq!(counts.teardown.get(), 0);
    let done = shared.done.get();
    ensure!(threads.info(cpu).is_some(), "the thread has exited");
    threads.wake(cpu);
    ensure!(
        eventually(|| shared.done.get() > done),
        "the thread does not run"
    );
    Ok(())
}
