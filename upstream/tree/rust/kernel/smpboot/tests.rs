// SPDX-License-Identifier: GPL-2.0

//! KUnit tests of hotplug threads, hotplug states and per-CPU storage.

use super::{
    Context,
    HotplugThread,
    Registration, //
};
use crate::{
    cpu::{
        cpuhp,
        hotplug,
        CpuId, //
    },
    cpumask::CpumaskVar,
    percpu::PerCpu,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
    task::Task,
    time::{
        delay::fsleep,
        Delta, //
    },
    types::ScopeGuard, //
};

/// Waits for at most ten seconds until `condition` holds, and returns whether it does.
fn eventually(condition: impl Fn() -> bool) -> bool {
    for _ in 0..10_000 {
        if condition() {
            return true;
        }
        fsleep(Delta::from_millis(1));
    }
    false
}

/// Returns the CPU that the tests take offline: the second online CPU, if there are two.
fn spare_cpu() -> Option<CpuId> {
    hotplug::online_cpus().nth(1)
}

/// Takes `cpu` offline, calls `between`, and brings it online.
#[cfg(CONFIG_HOTPLUG_CPU)]
fn cycle(cpu: CpuId, between: impl FnOnce()) -> Result {
    // SAFETY: The device of an online CPU exists.
    crate::error::to_result(unsafe { crate::bindings::remove_cpu(cpu.as_u32()) })?;
    between();
    // SAFETY: As above; an offline CPU keeps its device.
    crate::error::to_result(unsafe { crate::bindings::add_cpu(cpu.as_u32()) })
}

/// Without CPU hotplug, tests skip this part.
#[cfg(not(CONFIG_HOTPLUG_CPU))]
fn cycle(_cpu: CpuId, _between: impl FnOnce()) -> Result {
    Err(ENODEV)
}

fn online() -> u32 {
    hotplug::online_cpus().count() as u32
}

/// The number of calls of each callback.
#[derive(Default)]
struct Counts {
    setup: Counter,
    run: Counter,
    park: Counter,
    unpark: Counter,
    cleanup: Counter,
    drop: Counter,
}

struct Counter(Atomic<u32>);

impl Default for Counter {
    fn default() -> Self {
        Self(Atomic::new(0))
    }
}

impl Counter {
    fn add(&self) -> u32 {
        self.0.fetch_add(1, Relaxed)
    }

    fn get(&self) -> u32 {
        self.0.load(Relaxed)
    }
}

fn counts() -> Result<Arc<Counts>> {
    Ok(Arc::new(Counts::default(), GFP_KERNEL)?)
}

/// Counts its drop.
struct Local(Arc<Counts>);

impl Drop for Local {
    fn drop(&mut self) {
        self.0.drop.add();
    }
}

struct Worker(Arc<Counts>);

#[vtable]
impl HotplugThread for Worker {
    type Local = Local;

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<Local> {
        self.0.setup.add();
        Local(self.0.clone())
    }

    fn run(&self, _local: Pin<&mut Local>, _cx: &Context<'_>) {
        self.0.run.add();
    }

    fn park(&self, _local: Pin<&mut Local>, _cx: &Context<'_>) {
        self.0.park.add();
    }

    fn unpark(&self, _local: Pin<&mut Local>, _cx: &Context<'_>) {
        self.0.unpark.add();
    }

    fn cleanup(&self, _local: Pin<&mut Local>, _cx: &Context<'_>, _online: bool) {
        self.0.cleanup.add();
    }
}

/// Its first run waits until `cleanup` is set; it has an `unpark`, but no `park`.
struct Waiter(Arc<Counts>);

#[vtable]
impl HotplugThread for Waiter {
    type Local = ();

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {
        self.0.setup.add();
    }

    fn run(&self, _local: Pin<&mut ()>, cx: &Context<'_>) {
        self.0.run.add();
        while self.0.cleanup.get() == 0 && !cx.should_park() && !cx.should_stop() {
            fsleep(Delta::from_millis(1));
        }
    }

    fn unpark(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {
        self.0.unpark.add();
    }
}

/// Threads whose name is longer than a `comm`; `run` counts those with its first 15 bytes.
struct LongName(Arc<Counts>);

#[vtable]
impl HotplugThread for LongName {
    type Local = ();

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {
        // SAFETY: The current task is valid, and nothing renames it.
        if unsafe { (*Task::current_raw()).comm } == *b"kunit_long_name\0" {
            self.0.run.add();
        }
        self.0.setup.add();
    }

    fn run(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {}
}

fn register<T: HotplugThread + 'static>(shared: T) -> Result<Pin<KBox<Registration<T>>>> {
    // SAFETY: The value borrows nothing, and its code is part of the kernel. A test that fails
    // leaks the registration, but its box is never freed then.
    let threads = unsafe { Registration::new(c"kunit/%u", shared) };
    KBox::pin_init(threads, GFP_KERNEL)
}

/// A hotplug state. Its `startup` fails in call `refuse`, counted from 0.
struct State {
    counts: Arc<Counts>,
    refuse: Option<u32>,
}

impl cpuhp::Callbacks for State {
    fn startup(&self, _cpu: CpuId) -> Result {
        if self.refuse == Some(self.counts.setup.get()) {
            return Err(ENODATA);
        }
        self.counts.setup.add();
        Ok(())
    }

    fn teardown(&self, _cpu: CpuId) {
        self.counts.cleanup.add();
    }
}

fn install(
    counts: &Arc<Counts>,
    refuse: Option<u32>,
) -> Result<Pin<KBox<cpuhp::Registration<State>>>> {
    let counts = counts.clone();
    // SAFETY: As in `register`.
    let state =
        unsafe { cpuhp::Registration::new(c"kunit/state:online", State { counts, refuse }) };
    KBox::pin_init(state, GFP_KERNEL)
}

#[kunit_tests(rust_smpboot)]
mod suite {
    use super::*;

    #[test]
    fn masks_are_iterated() -> Result {
        let mut mask = CpumaskVar::new_zero(GFP_KERNEL)?;
        assert_eq!(hotplug::cpus_of(&mask).count(), 0);
        let cpu = CpuId::current();
        mask.set(cpu);
        assert!(hotplug::cpus_of(&mask).eq([cpu]));
        Ok(())
    }

    #[test]
    fn percpu_values_are_made_and_dropped() -> Result {
        let counts = counts()?;
        let values = PerCpu::new(|_| Local(counts.clone()))?;
        assert_eq!(values.iter().count(), hotplug::possible_cpus().count());
        drop(values);
        assert_eq!(counts.drop.get() as usize, hotplug::possible_cpus().count());
        Ok(())
    }

    #[test]
    fn percpu_failure_drops_what_was_made() -> Result {
        let counts = counts()?;
        let made = Counter::default();
        let result = PerCpu::<Local>::new(|_| {
            let n = made.add();
            let local = Local(counts.clone());
            // SAFETY: On success the slot is initialized.
            unsafe {
                pin_init::pin_init_from_closure::<_, Error>(move |slot: *mut Local| {
                    if n == 1 {
                        return Err(ENODATA);
                    }
                    slot.write(local);
                    Ok(())
                })
            }
        });
        if hotplug::possible_cpus().count() > 1 {
            assert_eq!(result.err(), Some(ENODATA));
            // The first value, and the one that its closure never wrote.
            assert_eq!(counts.drop.get(), 2);
        }
        Ok(())
    }

    #[test]
    fn states_start_and_end() -> Result {
        let counts = counts()?;
        let state = install(&counts, None)?;
        assert_eq!(counts.setup.get(), online());
        if let (true, Some(cpu)) = (cfg!(CONFIG_HOTPLUG_CPU), spare_cpu()) {
            cycle(cpu, || assert_eq!(counts.cleanup.get(), 1))?;
            assert_eq!(counts.setup.get(), online() + 1);
        }
        drop(state);
        assert_eq!(counts.setup.get(), counts.cleanup.get());
        Ok(())
    }

    #[test]
    fn a_state_that_refuses_is_undone() -> Result {
        let counts = counts()?;
        let result = install(&counts, Some(online() - 1));
        assert_eq!(result.err(), Some(ENODATA));
        assert_eq!(counts.setup.get(), online() - 1);
        assert_eq!(counts.cleanup.get(), online() - 1);
        Ok(())
    }

    #[test]
    fn no_state_is_left_behind() -> Result {
        let counts = counts()?;
        // The kernel has fewer dynamic states than this.
        for n in 0..60 {
            drop(install(&counts, None)?);
            assert_eq!(
                install(&counts, Some(counts.setup.get())).err(),
                Some(ENODATA)
            );
            assert_eq!(counts.setup.get(), (n + 1) * online());
        }
        assert_eq!(counts.cleanup.get(), counts.setup.get());
        Ok(())
    }

    #[test]
    fn two_states_of_one_type() -> Result {
        let (a, b) = (counts()?, counts()?);
        let (state_a, state_b) = (install(&a, None)?, install(&b, None)?);
        assert_eq!((a.setup.get(), b.setup.get()), (online(), online()));
        drop(state_a);
        assert_eq!((a.cleanup.get(), b.cleanup.get()), (online(), 0));
        drop(state_b);
        assert_eq!(b.cleanup.get(), online());
        Ok(())
    }

    #[test]
    fn names_of_threads_are_checked() -> Result {
        let counts = counts()?;
        for comm in [c"kunit", c"kunit/%s", c"kunit/%u/%u", c"kunit/%%u"] {
            // SAFETY: As in `register`.
            let threads = unsafe { Registration::new(comm, Worker(counts.clone())) };
            assert_eq!(KBox::pin_init(threads, GFP_KERNEL).err(), Some(EINVAL));
        }
        assert_eq!(counts.setup.get(), 0);
        Ok(())
    }

    #[test]
    fn long_names_are_cut() -> Result {
        let counts = counts()?;
        // SAFETY: As in `register`.
        let threads = unsafe { Registration::new(c"kunit_long_name/%u", LongName(counts.clone())) };
        let threads = KBox::pin_init(threads, GFP_KERNEL)?;
        assert!(eventually(|| counts.setup.get() == online()));
        drop(threads);
        assert_eq!(counts.run.get(), online());
        Ok(())
    }

    #[test]
    fn threads_set_up_run_and_clean_up() -> Result {
        let counts = counts()?;
        let threads = register(Worker(counts.clone()))?;
        assert!(eventually(|| counts.setup.get() == online()));
        for cpu in hotplug::online_cpus() {
            threads.wake(cpu);
        }
        assert!(eventually(|| counts.run.get() == online()));
        drop(threads);
        assert_eq!(counts.cleanup.get(), online());
        assert_eq!(counts.drop.get(), online());
        assert_eq!(counts.park.get(), 0);
        Ok(())
    }

    #[test]
    fn two_registrations_of_one_type() -> Result {
        let (a, b) = (counts()?, counts()?);
        let (threads_a, threads_b) = (register(Worker(a.clone()))?, register(Worker(b.clone()))?);
        for cpu in hotplug::online_cpus() {
            threads_a.wake(cpu);
        }
        assert!(eventually(
            || a.run.get() == online() && b.setup.get() == online()
        ));
        assert_eq!(b.run.get(), 0);
        drop(threads_a);
        assert_eq!((a.drop.get(), b.drop.get()), (online(), 0));
        drop(threads_b);
        assert_eq!(b.drop.get(), online());
        Ok(())
    }

    #[test]
    fn a_wake_during_a_run_is_not_lost() -> Result {
        let counts = counts()?;
        let threads = register(Waiter(counts.clone()))?;
        let end_runs = ScopeGuard::new(|| {
            counts.cleanup.add();
        });
        let cpu = CpuId::current();
        threads.wake(cpu);
        assert!(eventually(|| counts.run.get() == 1));
        threads.wake(cpu);
        drop(end_runs);
        assert!(eventually(|| counts.run.get() == 2));
        Ok(())
    }

    #[test]
    fn threads_follow_hotplug() -> Result {
        let counts = counts()?;
        let threads = register(Worker(counts.clone()))?;
        // A thread that never ran has no `park`.
        assert!(eventually(|| counts.setup.get() == online()));

        if let (true, Some(cpu)) = (cfg!(CONFIG_HOTPLUG_CPU), spare_cpu()) {
            cycle(cpu, || {
                assert_eq!(counts.park.get(), 1);
                assert_eq!(counts.unpark.get(), 0);
                threads.wake(cpu);
                fsleep(Delta::from_millis(5));
                assert_eq!(counts.run.get(), 0);
            })?;
            // The wake was pending.
            assert!(eventually(|| counts.run.get() == 1));
            drop(threads);
            assert_eq!(counts.unpark.get(), 1);
            // It is the same thread.
            assert_eq!(counts.setup.get(), online());
        }
        Ok(())
    }

    #[test]
    fn unpark_without_park_is_called() -> Result {
        let counts = counts()?;
        let threads = register(Waiter(counts.clone()))?;
        assert!(eventually(|| counts.setup.get() == online()));
        if let (true, Some(cpu)) = (cfg!(CONFIG_HOTPLUG_CPU), spare_cpu()) {
            cycle(cpu, || ())?;
            assert!(eventually(|| counts.unpark.get() == 1));
        }
        drop(threads);
        Ok(())
    }

    #[test]
    fn a_parked_thread_cleans_up() -> Result {
        let counts = counts()?;
        let threads = register(Worker(counts.clone()))?;
        let before = online();
        assert!(eventually(|| counts.setup.get() == before));
        if let (true, Some(cpu)) = (cfg!(CONFIG_HOTPLUG_CPU), spare_cpu()) {
            cycle(cpu, || drop(threads))?;
            assert_eq!(counts.cleanup.get(), before);
            assert_eq!(counts.drop.get(), before);
            assert_eq!(counts.unpark.get(), 0);
        }
        Ok(())
    }
}
