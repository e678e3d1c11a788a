// SPDX-License-Identifier: GPL-2.0

//! Simulations of the work queue of `percpu_workqueue`.

use crate::library::seam::{ECANCELED, ESHUTDOWN};
use crate::module::{cpu, hotplug, leaks, Module};
use crate::percpu_workqueue::{Offline, Queue, QueueType, Work, WorkItem, Worker, Workers};
use crate::smpboot::SchedPolicy;
use crate::Simulation;
use kernel::bindings::online;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::time::Delta;
use kernel::world::{self, note, spawn, step};
use std::cell::Cell;
use std::rc::Rc;

struct Jobs;

impl QueueType for Jobs {
    const NAME: &'static CStr = c"jobs";
}

crate::percpu_workqueue!(Jobs);

/// The results of queueing an item.
#[derive(Clone, Copy, Default, Debug)]
struct Fate {
    queued: u32,
    run: u32,
    refused: u32,
    cancelled: u32,
    running: bool,
    /// The amount of published data, and the part of it that a run has seen.
    due: u32,
    done: u32,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Plain,
    /// The item queues itself again, on the other CPU.
    Again,
    /// Item 1 runs until a flush of item 0 has returned.
    Long,
}

struct Job {
    number: usize,
    kind: Kind,
}

thread_local! {
    static FATES: [Cell<Fate>; 2] = Default::default();
    static AGAIN: Cell<u32> = const { Cell::new(0) };
    static FLUSHED: Cell<bool> = const { Cell::new(false) };
}

fn fate(of: usize) -> Fate {
    FATES.with(|fates| fates[of].get())
}

fn change(of: usize, change: impl FnOnce(&mut Fate)) {
    FATES.with(|fates| {
        let mut fate = fates[of].get();
        change(&mut fate);
        fates[of].set(fate);
    });
    world::changed();
}

impl WorkItem for Job {
    type Queue = Jobs;
    type Pointer = Arc<Work<Self>>;

    fn run(this: &Arc<Work<Self>>, worker: &Worker<'_, Jobs>) {
        let of = this.number;
        note(|| format!("item {of} runs"));
        assert!(online(worker.cpu().as_u32()), "an item runs on an offline CPU");
        change(of, |f| {
            assert!(!f.running, "an item runs twice at once");
            f.running = true;
            f.run += 1;
            f.done = f.due;
        });
        step();
        if this.kind == Kind::Long && of == 1 {
            world::wait_until(|| FLUSHED.get());
        }
        if this.kind == Kind::Again && AGAIN.get() > 0 {
            AGAIN.set(AGAIN.get() - 1);
            let other = cpu(1 - worker.cpu().as_u32());
            count(of, worker.queue_work_on(other, this.clone()));
        }
        step();
        change(of, |f| f.running = false);
    }

    fn refused(this: &Arc<Work<Self>>) {
        note(|| format!("item {} is returned", this.number));
        change(this.number, |f| f.refused += 1);
    }
}

/// Records the result of queueing.
fn count(of: usize, result: Result<bool>) {
    match result {
        Ok(true) => change(of, |f| f.queued += 1),
        Ok(false) => {}
        Err(e) => assert!([ENODEV, ESHUTDOWN, ECANCELED].contains(&e), "{e:?}"),
    }
}

struct Setup {
    module: Module,
    queue: Rc<Queue<Jobs>>,
    items: [Arc<Work<Job>>; 2],
    clock: world::JoinHandle,
}

type Item = Arc<Work<Job>>;

fn setup(on: bool, offline: Offline, kind: Kind) -> Setup {
    let module = Module::load(on);
    crate::library::fresh::threads::<Workers<Jobs>>();
    FATES.with(|fates| fates.iter().for_each(|f| f.set(Fate::default())));
    AGAIN.set(2);
    FLUSHED.set(false);
    // A delay of an hour never ends in a run.
    world::with(|w| w.horizon = Delta::from_secs(60).as_nanos());
    let clock = world::clock();
    let queue = Queue::new(module.scope(), offline, SchedPolicy::Fifo).unwrap();
    let item = |number| Arc::new(Work::new(Job { number, kind }), GFP_KERNEL).unwrap();
    Setup { module, queue: Rc::new(queue), items: [item(0), item(1)], clock }
}

impl Setup {
    fn task(
        &self,
        name: &'static str,
        at: usize,
        f: impl FnOnce(&Queue<Jobs>, &[Item; 2]) + 'static,
    ) -> world::JoinHandle {
        let (queue, items) = (self.queue.clone(), self.items.clone());
        spawn(name, at, move || f(&queue, &items))
    }

    fn interrupt(
        &self,
        at: usize,
        f: impl FnOnce(&Queue<Jobs>, &[Item; 2]) + 'static,
    ) -> world::JoinHandle {
        let (queue, items) = (self.queue.clone(), self.items.clone());
        spawn("device", at, move || world::interrupt(at, || f(&queue, &items)))
    }

    /// Destroys the queue. Each queued item has then run, or was removed or returned.
    fn end(self, tasks: Vec<world::JoinHandle>) {
        for task in tasks {
            task.join();
        }
        let queue = Rc::try_unwrap(self.queue).ok().expect("tasks have ended");
        note(|| "the queue is dropped".into());
        drop(queue);
        balance();
        let [a, b] = self.items;
        assert!(!a.is_pending() && !b.is_pending());
        drop((a, b));
        self.module.unload();
        world::over();
        self.clock.join();
    }
}

fn balance() {
    for of in 0..2 {
        let f = fate(of);
        assert!(!f.running, "an item runs after the end");
        assert_eq!(f.queued, f.run + f.cancelled + f.refused, "{f:?}");
    }
}

const SOON: Delta = Delta::from_millis(1);
const LATE: Delta = Delta::from_secs(3600);

/// Publishes data and queues the item, whose run must see the data.
fn submit(
    queue: &Queue<Jobs>,
    items: &[Item; 2],
    of: usize,
    at: Option<u32>,
    delay: Delta,
) -> Result<bool> {
    step();
    change(of, |f| f.due += 1);
    let item = items[of].clone();
    let result = match at {
        Some(at) => queue.queue_delayed_work_on(cpu(at), item, delay),
        None => queue.queue_delayed_work(item, delay),
    };
    count(of, result);
    result
}

/// Queues from several tasks and an interrupt, with and without a delay, on both CPUs.
fn submits(on: bool, times: u32, offline: Offline, kind: Kind) {
    let s = setup(on, offline, kind);
    let tasks = vec![
        hotplug(times, false),
        s.task("first", 0, |q, i| {
            let _ = submit(q, i, 0, Some(1), Delta::ZERO);
            let _ = submit(q, i, 1, None, SOON);
        }),
        s.task("second", 1, |q, i| {
            let _ = submit(q, i, 0, Some(0), Delta::ZERO);
        }),
        s.interrupt(1, |q, i| {
            let _ = submit(q, i, 1, Some(1), Delta::ZERO);
        }),
    ];
    for task in tasks {
        task.join();
    }
    // If no CPU went offline, the last run has seen all data.
    let stays = on && times == 0;
    s.end(vec![]);
    if stays {
        for of in 0..2 {
            let f = fate(of);
            assert!(f.refused == 0 && f.done == f.due, "{f:?}");
        }
    }
}

/// Several tasks cancel an item.
fn cancels(on: bool, times: u32, offline: Offline, kind: Kind, interrupt: bool) {
    let s = setup(on, offline, kind);
    let mut tasks = vec![
        hotplug(times, false),
        s.task("first", 0, |q, i| {
            let _ = submit(q, i, 0, Some(1), Delta::ZERO);
            let _ = submit(q, i, 1, Some(1), LATE);
        }),
        s.task("cancels", 0, |q, i| {
            let cancelled = q.cancel_sync(&i[0]).unwrap();
            change(0, |f| f.cancelled += u32::from(cancelled));
        }),
    ];
    let cancel = |q: &Queue<Jobs>, i: &[Item; 2]| {
        for of in [1, 0] {
            let cancelled = q.cancel(&i[of]);
            change(of, |f| f.cancelled += u32::from(cancelled));
        }
    };
    tasks.push(match interrupt {
        true => s.interrupt(0, cancel),
        false => s.task("cancels", 1, cancel),
    });
    s.end(tasks);
}

/// When cancel_sync() returns, the item is not running, and no task has queued it.
fn cancels_sync(on: bool, times: u32, offline: Offline, kind: Kind) {
    let s = setup(on, offline, kind);
    let _ = submit(&s.queue, &s.items, 0, Some(1), Delta::ZERO);
    let task = hotplug(times, false);
    let cancelled = s.queue.cancel_sync(&s.items[0]).unwrap();
    change(0, |f| f.cancelled += u32::from(cancelled));
    assert!(!fate(0).running, "the item runs after cancel_sync()");
    assert!(!s.items[0].is_pending(), "the item is pending after cancel_sync()");
    s.end(vec![task]);
}

/// Changes the time and the CPU of an item.
fn modifies(on: bool, times: u32, offline: Offline) {
    let s = setup(on, offline, Kind::Plain);
    let modify = |at: u32, delay| {
        move |q: &Queue<Jobs>, i: &[Item; 2]| {
            let result = q.mod_delayed_work_on(cpu(at), i[0].clone(), delay);
            count(0, result.map(|was| !was));
        }
    };
    let tasks = vec![
        hotplug(times, false),
        s.task("first", 0, |q, i| {
            let _ = submit(q, i, 0, Some(1), Delta::ZERO);
        }),
        s.task("soon", 0, modify(1, SOON)),
        s.task("now", 1, modify(0, Delta::ZERO)),
        s.task("cancels", 0, |q, i| {
            let cancelled = q.cancel(&i[0]);
            change(0, |f| f.cancelled += u32::from(cancelled));
        }),
    ];
    s.end(tasks);
}

/// An item that was queued before a flush has ended after it.
fn flushes(on: bool, times: u32, offline: Offline, whole: bool) {
    let s = setup(on, offline, Kind::Plain);
    let back = on == (times % 2 == 0);
    let tasks = vec![
        hotplug(times, false),
        s.task("second", 1, |q, i| {
            let _ = submit(q, i, 1, Some(0), Delta::ZERO);
        }),
    ];
    let queued = submit(&s.queue, &s.items, 0, Some(1), Delta::ZERO);
    // Items of an offline CPU wait for it, and so does a task that flushes.
    if offline != Offline::Wait || back {
        match whole {
            true => s.queue.flush().unwrap(),
            false => s.queue.flush_work(&s.items[0]).unwrap(),
        }
        let f = fate(0);
        // The callback of a returned item may run later.
        assert!(queued.is_err() || f.run == 1 || offline == Offline::Refuse, "not flushed: {f:?}");
        assert!(!f.running && !s.items[0].is_pending(), "the item has not ended: {f:?}");
    }
    s.end(tasks);
}

/// A flush of an item returns while the thread runs the next one.
fn flush_beside_a_long_item() {
    let s = setup(true, Offline::Move, Kind::Long);
    submit(&s.queue, &s.items, 0, Some(1), Delta::ZERO).unwrap();
    submit(&s.queue, &s.items, 1, Some(1), Delta::ZERO).unwrap();
    s.queue.flush_work(&s.items[0]).unwrap();
    assert_eq!(fate(0).run, 1);
    FLUSHED.set(true);
    world::changed();
    s.end(vec![]);
}

/// A flush does not wait for an item of an offline CPU that was delayed, or moved to another CPU.
fn flush_beside_modify(elsewhere: bool) {
    let s = setup(false, Offline::Wait, Kind::Plain);
    submit(&s.queue, &s.items, 0, Some(1), Delta::ZERO).unwrap();
    let tasks = vec![
        s.task("flushes", 0, |q, _| q.flush().unwrap()),
        s.task("modifies", 0, move |q, i| {
            let at = cpu(if elsewhere { 0 } else { 1 });
            let result = q.mod_delayed_work_on(at, i[0].clone(), LATE);
            count(0, result.map(|was| !was));
        }),
    ];
    s.end(tasks);
}

/// An item that was pending when its delay was removed does not wait for a delay that another task
/// queued it with.
fn modify_beside_queue() {
    let s = setup(true, Offline::Move, Kind::Plain);
    let was_pending = Rc::new(Cell::new(false));
    let pending = was_pending.clone();
    let tasks = vec![
        s.task("modifies", 0, move |q, i| {
            let result = q.mod_delayed_work_on(cpu(1), i[0].clone(), Delta::ZERO).unwrap();
            pending.set(result);
            count(0, Ok(!result));
        }),
        s.task("queues", 1, |q, i| {
            let _ = submit(q, i, 0, Some(1), LATE);
        }),
    ];
    for task in tasks {
        task.join();
    }
    s.queue.flush().unwrap();
    assert!(!was_pending.get() || fate(0).run == 1, "the item is delayed");
    s.end(vec![]);
}

/// A flush of an item does not wait for its delay, wherever the item is at the moment.
fn flush_beside_delays(moves: bool) {
    let s = setup(true, Offline::Move, Kind::Plain);
    if moves {
        submit(&s.queue, &s.items, 0, Some(1), LATE).unwrap();
    }
    let tasks = vec![
        s.task("flushes", 0, |q, i| q.flush_work(&i[0]).unwrap()),
        match moves {
            true => hotplug(1, false),
            false => s.task("queues", 1, |q, i| {
                let _ = submit(q, i, 0, Some(1), LATE);
            }),
        },
    ];
    s.end(tasks);
}

/// A flush of an item waits for the run that it found, also if the item was queued again and
/// cancelled.
fn flush_beside_cancel() {
    let s = setup(true, Offline::Move, Kind::Plain);
    submit(&s.queue, &s.items, 0, Some(1), Delta::ZERO).unwrap();
    let tasks = vec![s.task("cancels", 1, |q, i| {
        for _ in 0..2 {
            let _ = submit(q, i, 0, Some(0), Delta::ZERO);
            let cancelled = q.cancel(&i[0]);
            change(0, |f| f.cancelled += u32::from(cancelled));
        }
    })];
    let before = fate(0);
    s.queue.flush_work(&s.items[0]).unwrap();
    let now = fate(0);
    assert!(!(before.running && now.running && before.run == now.run), "the run has not ended");
    s.end(tasks);
}

/// A delayed item runs only when it is due and its CPU is online.
fn delays(on: bool, times: u32, offline: Offline) {
    let s = setup(on, offline, Kind::Plain);
    let task = hotplug(times, false);
    let due = world::with(|w| w.now) + SOON.as_nanos();
    let queued = submit(&s.queue, &s.items, 0, Some(1), SOON);
    task.join();
    if !online(1) {
        assert_eq!(kernel::cpu_up(1, false), 0);
    }
    if queued.is_ok() {
        world::wait_until(|| fate(0).run + fate(0).refused == 1);
        let now = world::with(|w| w.now);
        assert!(fate(0).run == 0 || now >= due, "the item ran too early");
        assert!(fate(0).run == 1 || offline == Offline::Refuse, "the item was returned");
    }
    s.end(vec![]);
}

/// The module ends with a leaked queue.
fn revokes(on: bool, times: u32, offline: Offline) {
    let s = setup(on, offline, Kind::Again);
    let _ = submit(&s.queue, &s.items, 0, Some(1), Delta::ZERO);
    let _ = submit(&s.queue, &s.items, 1, Some(0), SOON);
    let task = hotplug(times, false);
    let Setup { module, queue, items, clock } = s;
    std::mem::forget(queue);
    module.close();
    assert_eq!(leaks(), 1);
    task.join();
    world::over();
    clock.join();
    drop(items);
}

pub fn all() -> Vec<Simulation> {
    let mut submit = Simulation::new("queue::submits");
    let mut cancel = Simulation::new("queue::cancels");
    let mut sync = Simulation::new("queue::cancels_sync");
    let mut modify = Simulation::new("queue::modifies");
    let mut flush = Simulation::new("queue::flushes");
    let mut delay = Simulation::new("queue::delays");
    let mut revoke = Simulation::new("queue::revokes");
    for times in 0..3 {
        for on in [true, false] {
            for offline in [Offline::Wait, Offline::Move, Offline::Refuse] {
                let place = format!("{offline:?}-on={on}-times={times}");
                for kind in [Kind::Plain, Kind::Again] {
                    let name =
                        format!("{place}{}", if kind == Kind::Again { "-again" } else { "" });
                    submit.variant(name.clone(), move || submits(on, times, offline, kind));
                    sync.variant(name.clone(), move || cancels_sync(on, times, offline, kind));
                    let interrupt = kind == Kind::Plain;
                    cancel.variant(name, move || cancels(on, times, offline, kind, interrupt));
                }
                delay.variant(place.clone(), move || delays(on, times, offline));
                modify.variant(place.clone(), move || modifies(on, times, offline));
                for whole in [true, false] {
                    let name = format!("{place}-{}", if whole { "all" } else { "one" });
                    flush.variant(name, move || flushes(on, times, offline, whole));
                }
                revoke.variant(place, move || revokes(on, times, offline));
            }
        }
    }
    let mut beside = Simulation::new("queue::flush_beside");
    beside.variant("late".into(), || flush_beside_modify(false));
    beside.variant("elsewhere".into(), || flush_beside_modify(true));
    beside.variant("long".into(), flush_beside_a_long_item);
    beside.variant("delays".into(), || flush_beside_delays(false));
    beside.variant("moves".into(), || flush_beside_delays(true));
    beside.variant("cancel".into(), flush_beside_cancel);
    modify.variant("queue".into(), modify_beside_queue);
    vec![submit, cancel, sync, delay, modify, flush, beside, revoke]
}
