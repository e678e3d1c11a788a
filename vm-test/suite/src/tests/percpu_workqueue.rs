// SPDX-License-Identifier: GPL-2.0

//! The work queue of `percpu_workqueue/`: each queued item is run, cancelled or refused, once.

use super::samples::{Class, Sample, class, logged};
use anyhow::{Result, bail, ensure};
use host::Vm;
use host::errors::refused;
use host::guest::calls::{offline, online, read, rmmod, write};
use host::guest::{DEFAULT_LIMIT, Task, text};
use nix::errno::Errno;
use std::ops::Add;
use std::time::Duration;
use suite_macros::vm_test;
use wire::{Call, Until, Value};

const MODULE: &str = "rust_percpu_workqueue";

const QUEUES: [&str; 3] = ["wait", "move", "refuse"];

/// Number of items of each CPU.
const ITEMS: u64 = 8;

/// One of the module's queues.
#[derive(Clone, Copy)]
struct Queue<'a> {
    vm: &'a Vm,
    name: &'static str,
}

/// Counters of the items of a CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    queued: u64,
    merged: u64,
    run: u64,
    cancelled: u64,
    refused: u64,
    here: u64,
}

impl Counts {
    /// Whether each queued item has been run, cancelled or refused.
    fn adds_up(&self) -> bool {
        self.queued == self.run + self.cancelled + self.refused
    }
}

impl Add for Counts {
    type Output = Counts;

    fn add(self, other: Counts) -> Counts {
        Counts {
            queued: self.queued + other.queued,
            merged: self.merged + other.merged,
            run: self.run + other.run,
            cancelled: self.cancelled + other.cancelled,
            refused: self.refused + other.refused,
            here: self.here + other.here,
        }
    }
}

impl<'a> Queue<'a> {
    /// Loads the module; returns its three queues.
    fn load(vm: &'a Vm) -> Result<[Queue<'a>; 3]> {
        vm.insmod(MODULE, "")?;
        Ok(QUEUES.map(|name| Queue { vm, name }))
    }

    fn file(&self, name: &str) -> String {
        Sample::loaded(self.vm, MODULE).path(&format!("{}/{name}", self.name))
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        self.vm.write(&self.file(name), text)
    }

    fn call(&self, name: &str, text: &str) -> Call {
        write(&self.file(name), text)
    }

    fn counts(&self, cpu: u32) -> Result<Counts> {
        let names = ["queued", "merged", "run", "cancelled", "refused", "here"];
        let names = names.map(|name| format!("{}/cpu{cpu}/{name}", self.name));
        let [queued, merged, run, cancelled, refused, here] =
            Sample::loaded(self.vm, MODULE).numbers(names)?;
        Ok(Counts { queued, merged, run, cancelled, refused, here })
    }

    fn total(&self) -> Result<Counts> {
        let cpus = self.vm.cpus("possible")?;
        cpus.into_iter().try_fold(Counts::default(), |sum, cpu| Ok(sum + self.counts(cpu)?))
    }

    fn until(&self, cpu: u32, counter: &str, value: u64) -> Result<()> {
        self.vm.wait_for(&self.file(&format!("cpu{cpu}/{counter}")), Until::Is(value.to_string()))
    }

    /// Queues the items of a CPU; returns when the first runs and sleeps, and the others are
    /// pending.
    fn hold(&self, cpu: u32) -> Result<()> {
        let here = self.counts(cpu)?.here;
        self.write("hold", "1")?;
        self.write("queue", &cpu.to_string())?;
        self.until(cpu, "here", here + 1)
    }

    fn release(&self) -> Result<()> {
        self.write("hold", "0")
    }

    /// Checks that no item ran on a CPU other than its thread's, or twice at a time.
    fn no_misplaced_runs(&self) -> Result<()> {
        for name in ["strays", "overlaps"] {
            assert_eq!(self.vm.read(&self.file(name))?, "0", "{} {name}", self.name);
        }
        Ok(())
    }
}

/// Checks that each item was queued and run this number of times, on its CPU.
fn all_ran(counts: Counts, times: u64) {
    let n = ITEMS * times;
    assert_eq!(counts, Counts { queued: n, run: n, here: n, ..counts }, "of {n}");
}

/// Each item runs once, on the CPU that it was queued for, even a static item.
#[vm_test]
fn runs_where_it_should(vm: &Vm) -> Result<()> {
    for queue in Queue::load(vm)? {
        let prefix = format!("rust_wq_{}", &queue.name[..1]);
        assert_eq!(class(vm, &format!("{prefix}/1"))?, Class { fifo: 0, nice: 0 });
        queue.write("queue", "all")?;
        queue.write("flush", "1")?;
        for cpu in vm.cpus("online")? {
            all_ran(queue.counts(cpu)?, 1);
        }
        // One CPU queues items for another CPU, then for any CPU.
        vm.set_affinity(0, &[1])?;
        queue.write("queue_on", "2 0")?;
        queue.write("flush", "1")?;
        assert_eq!(queue.counts(2)?.here, 2 * ITEMS);
        queue.write("queue_here", "0,3")?;
        queue.write("flush", "1")?;
        assert_eq!(queue.counts(1)?.here, 3 * ITEMS);
        vm.set_affinity(0, &vm.cpus("possible")?)?;
        assert!(queue.total()?.adds_up());
        queue.no_misplaced_runs()?;

        for wrong in ["", "x", "1", "4096 1", "1 4096"] {
            let errno = refused(queue.write("queue_on", wrong))?;
            assert!(matches!(errno, Errno::EINVAL | Errno::ERANGE), "{wrong}: {errno}");
        }
    }
    for _ in 0..3 {
        vm.write("/sys/kernel/debug/rust_percpu_workqueue/hello", "1")?;
    }
    assert_eq!(vm.read("/sys/kernel/debug/rust_percpu_workqueue/greeted")?, "3");
    vm.rmmod(MODULE)
}

/// An item that is queued twice before it runs is run once; an item that is queued during its run
/// is run once more.
#[vm_test]
fn twice_is_once(vm: &Vm) -> Result<()> {
    for queue in Queue::load(vm)? {
        queue.hold(1)?;
        queue.write("queue", "1")?;
        // The first item runs, and is queued again; the others are still pending.
        let counts = queue.counts(1)?;
        assert_eq!((counts.queued, counts.merged), (ITEMS + 1, ITEMS - 1));
        queue.write("queue", "1")?;
        assert_eq!(queue.counts(1)?.merged, 2 * ITEMS - 1);
        queue.release()?;
        queue.write("flush", "1")?;
        let counts = queue.counts(1)?;
        assert_eq!((counts.run, counts.queued), (ITEMS + 1, ITEMS + 1));
        queue.no_misplaced_runs()?;
    }
    vm.rmmod(MODULE)
}

/// A work function that queues itself again runs that many times, even while CPUs go offline and
/// online.
#[vm_test]
fn queues_itself(vm: &Vm) -> Result<()> {
    const TIMES: u64 = 2000;
    for queue in Queue::load(vm)? {
        queue.write("again", &TIMES.to_string())?;
        queue.write("queue", "1-3")?;
        for cpu in [1, 2, 3] {
            vm.cycle(cpu, 2)?;
        }
        vm.wait_for(&queue.file("again"), Until::Is("0".into()))?;
        queue.write("flush", "1")?;
        let total = queue.total()?;
        let all = 3 * ITEMS + TIMES;
        // Items that counted down the number and could not be queued were refused with an error.
        assert!(total.adds_up() && total.queued <= all, "{}: {total:?}", queue.name);
        if queue.name != "refuse" {
            assert_eq!((total.queued, total.refused), (all, 0), "{}: {total:?}", queue.name);
        }
        queue.no_misplaced_runs()?;
    }
    vm.rmmod(MODULE)
}

/// Sleeping items of one CPU run one after the other, those of different CPUs at the same time.
#[vm_test]
fn sleeping_work(vm: &Vm) -> Result<()> {
    let [queue, ..] = Queue::load(vm)?;
    for cpu in [1, 2] {
        queue.hold(cpu)?;
    }
    for cpu in [1, 2] {
        let counts = queue.counts(cpu)?;
        assert_eq!((counts.here, counts.run), (1, 0), "CPU {cpu}");
    }
    queue.release()?;
    queue.write("flush", "1")?;
    for cpu in [1, 2] {
        all_ran(queue.counts(cpu)?, 1);
    }
    vm.rmmod(MODULE)
}

/// A delay in ms that no test waits for.
const FAR: &str = "3600000";

/// A delayed item stays pending until its time, and is run then or at a flush of the item.
#[vm_test]
fn delayed(vm: &Vm) -> Result<()> {
    // Longer than the calls that find the item pending take.
    let ms = 300 * vm.built_with().slowness();
    for queue in Queue::load(vm)? {
        // The guest's clock, its uptime, has hundredths of a second.
        let before = uptime(vm)?;
        queue.write("queue_delayed", &format!("{ms} 1"))?;
        queue.write("queue_delayed", &format!("{FAR} 2"))?;
        // Pending all the time.
        queue.write("queue", "1-2")?;
        assert_eq!((queue.counts(1)?.merged, queue.counts(2)?.merged), (ITEMS, ITEMS));
        queue.until(1, "run", ITEMS)?;
        let took = uptime(vm)? - before;
        let name = queue.name;
        ensure!(took >= f64::from(ms) / 1e3 - 0.01, "{name}: ran after {took} s, delay {ms} ms");
        assert_eq!(queue.counts(2)?.run, 0);

        queue.write("queue_delayed", &format!("{FAR} 3"))?;
        queue.write("cancel", "2")?;
        // CPU 3 runs other items until then.
        queue.write("queue_on", "3 0")?;
        queue.until(0, "run", ITEMS)?;
        assert_eq!(queue.counts(3)?.run, 0);
        queue.write("flush_work", "3")?;
        assert_eq!(queue.counts(3)?.run, ITEMS);
        assert!(queue.total()?.adds_up());
    }
    vm.rmmod(MODULE)
}

fn uptime(vm: &Vm) -> Result<f64> {
    let uptime = vm.read("/proc/uptime")?;
    Ok(uptime.split(' ').next().unwrap_or_default().parse()?)
}

/// mod_delayed_work shortens a delay, and sets the CPU's timer again; it extends a delay, and
/// queues an item that is not pending.
#[vm_test]
fn mod_delayed(vm: &Vm) -> Result<()> {
    let ms = 100 * vm.built_with().slowness();
    for queue in Queue::load(vm)? {
        queue.write("queue_delayed", &format!("{FAR} 1"))?;
        queue.write("mod_delayed", "10 1")?;
        queue.until(1, "run", ITEMS)?;
        assert_eq!((queue.counts(1)?.queued, queue.counts(1)?.merged), (ITEMS, ITEMS));

        queue.write("queue_delayed", &format!("{ms} 1"))?;
        queue.write("mod_delayed", &format!("{FAR} 1"))?;
        // These have the same CPU and delay: when they have run, the others would have, too.
        queue.write("queue_on", "1 2")?;
        queue.write("queue_delayed", &format!("{} 0", 2 * ms))?;
        queue.until(0, "run", ITEMS)?;
        assert_eq!(queue.counts(1)?.run, ITEMS);
        queue.write("mod_delayed", "0 1")?;
        queue.until(1, "run", 2 * ITEMS)?;

        // Not pending.
        queue.write("mod_delayed", "10 3")?;
        queue.until(3, "run", ITEMS)?;
        assert_eq!(queue.counts(3)?.merged, 0);
        assert!(queue.total()?.adds_up());
        queue.no_misplaced_runs()?;
    }
    vm.rmmod(MODULE)
}

/// cancel removes a pending item, delayed or not, and does not affect a running one.
#[vm_test]
fn cancel(vm: &Vm) -> Result<()> {
    for queue in Queue::load(vm)? {
        queue.hold(1)?;
        queue.write("cancel", "1")?;
        let counts = queue.counts(1)?;
        assert_eq!((counts.cancelled, counts.here), (ITEMS - 1, 1), "{}", queue.name);
        queue.release()?;
        queue.write("flush", "1")?;
        assert_eq!((queue.counts(1)?.run, queue.counts(1)?.here), (1, 1));

        queue.write("queue_delayed", &format!("{FAR} 1-3"))?;
        queue.write("cancel", "1-3")?;
        assert_eq!(queue.total()?.cancelled, 4 * ITEMS - 1);
        // No item is left to cancel, and all can be queued again.
        queue.write("cancel", "all")?;
        queue.write("queue", "1-3")?;
        queue.write("flush", "1")?;
        let total = queue.total()?;
        assert_eq!((total.run, total.cancelled), (3 * ITEMS + 1, 4 * ITEMS - 1));
        assert!(total.adds_up());
    }
    vm.rmmod(MODULE)
}

const PATIENCE: Duration = Duration::from_secs(30);

/// Makes a call in a task of its own; returns when the task waits.
fn waiting(vm: &Vm, call: Call) -> Result<Task<'_>> {
    let task = vm.spawn(call)?;
    vm.wait_for(&format!("/proc/{}/stat", task.pid), Until::Contains(") D ".into()))?;
    Ok(task)
}

/// The number that the last call of a batch has read.
fn last_read(value: Value) -> Result<u64> {
    let Value::Batch(answers) = value else { bail!("no batch: {value:?}") };
    match answers.into_iter().last() {
        Some(Ok(value)) => Ok(text(value)?.parse()?),
        other => bail!("read: {other:?}"),
    }
}

/// cancel_sync returns when the item has ended; until then no caller can queue it, not even its own
/// function.
#[vm_test]
fn cancel_sync(vm: &Vm) -> Result<()> {
    for queue in Queue::load(vm)? {
        queue.hold(1)?;
        // These are pending behind the item that is held: cancel_sync need not wait.
        queue.write("queue_on", "1 2")?;
        queue.write("cancel_sync", "2")?;
        let counts = queue.counts(2)?;
        assert_eq!((counts.run, counts.cancelled), (0, ITEMS), "{}", queue.name);
        queue.write("again", "1000000")?;
        let run = queue.file("cpu1/run");
        let calls = vec![queue.call("cancel_sync", "1"), read(&run)];
        let task = waiting(vm, Call::Batch { calls })?;
        // It waits for the first item, which no caller can queue during that time.
        assert_eq!(refused(queue.write("queue", "1"))?, Errno::ECANCELED);
        assert_eq!(queue.counts(1)?.run, 0);
        queue.release()?;
        let value = task.answer(PATIENCE)?;
        assert!(last_read(value)? > 0, "cancel_sync did not wait");
        // The others may have been queued in between, and queue themselves.
        queue.write("cancel_sync", "1")?;
        let counts = queue.counts(1)?;
        assert!(counts.adds_up() && counts.run > 0, "{counts:?}");
        assert_eq!(queue.counts(1)?, counts, "items still run after cancel_sync");
        queue.write("again", "0")?;
        queue.write("queue", "1")?;
        queue.write("flush", "1")?;
        assert_eq!(queue.counts(1)?.run, counts.run + ITEMS);
        queue.no_misplaced_runs()?;
    }
    vm.rmmod(MODULE)
}

/// flush_work and flush return when every item queued before them has run, and not earlier.
#[vm_test]
fn flush(vm: &Vm) -> Result<()> {
    for queue in Queue::load(vm)? {
        let run = queue.file("cpu1/run");
        // The call waits until the item that is held is released; returns the runs at its end.
        let run_after = |what: &str| {
            let task = waiting(vm, Call::Batch { calls: vec![queue.call(what, "1"), read(&run)] })?;
            queue.release()?;
            last_read(task.answer(PATIENCE)?)
        };
        for (round, what) in ["flush", "flush_work"].into_iter().enumerate() {
            queue.hold(1)?;
            assert_eq!(run_after(what)?, (round as u64 + 1) * ITEMS, "{}: {what}", queue.name);
        }
        // All have run directly after the flush, even without a wait.
        for round in 3..100 {
            let calls = vec![queue.call("queue", "1"), queue.call("flush", "1"), read(&run)];
            assert_eq!(last_read(vm.call(Call::Batch { calls })?)?, round * ITEMS);
        }
        // A flush waits for the running item, too, with no item behind it.
        for what in ["flush", "flush_work"] {
            queue.hold(1)?;
            queue.write("cancel", "1")?;
            let before = queue.counts(1)?.run;
            assert_eq!(run_after(what)?, before + 1, "{}: {what}", queue.name);
        }
        // No item is pending.
        queue.write("flush_work", "2")?;
        // flush_work of a delayed item runs it at once; flush of the queue does not.
        queue.write("queue_delayed", &format!("{FAR} 2"))?;
        queue.write("flush", "1")?;
        assert_eq!(queue.counts(2)?.run, 0);
        queue.write("flush_work", "2")?;
        all_ran(queue.counts(2)?, 1);
    }
    vm.rmmod(MODULE)
}

/// A work function can sleep for any time, and does not delay the offline of its CPU.
#[vm_test]
fn sleeps(vm: &Vm) -> Result<()> {
    for queue in Queue::load(vm)? {
        // The offline does not wait for the hour.
        queue.write("hold_us", "3600000000")?;
        queue.write("queue", "1")?;
        queue.until(1, "here", 1)?;
        queue.write("cancel", "1")?;
        vm.cpu(1).offline()?;
        assert_eq!(queue.counts(1)?.run, 1);
        vm.cpu(1).online()?;

        // Without an offline each item sleeps for all its time, though the thread is woken.
        queue.write("hold_us", "100000")?;
        let before = uptime(vm)?;
        queue.write("queue", "2")?;
        while queue.counts(2)?.run < ITEMS {
            queue.write("queue_on", "2 3")?;
            queue.write("cancel", "3")?;
        }
        let took = uptime(vm)? - before;
        assert!(took >= 0.79, "{ITEMS} items slept 0.1 s each in {took} s");
        queue.write("hold_us", "0")?;
        queue.write("flush", "1")?;
        queue.no_misplaced_runs()?;
    }
    vm.rmmod(MODULE)
}

/// An item that is queued on one CPU while it runs on another waits, and then runs there.
#[vm_test]
fn not_on_two_cpus(vm: &Vm) -> Result<()> {
    for queue in Queue::load(vm)? {
        queue.hold(1)?;
        queue.write("cancel", "1")?;
        // CPU 2 finds the first item running on CPU 1, and runs the other seven: the first of them
        // sleeps, which shows in `here`.
        queue.write("queue_on", "2 1")?;
        queue.until(2, "here", 1)?;
        assert_eq!(queue.counts(1)?.here, 1);
        queue.release()?;
        queue.write("flush", "1")?;
        assert_eq!((queue.counts(1)?.here, queue.counts(2)?.here), (1, ITEMS));
        assert!(queue.counts(1)?.adds_up());

        // The same, but the waiting item is cancelled.
        queue.hold(1)?;
        queue.write("cancel", "1")?;
        queue.write("queue_on", "2 1")?;
        queue.until(2, "here", ITEMS + 1)?;
        queue.write("cancel", "1")?;
        queue.release()?;
        queue.write("flush", "1")?;
        let counts = queue.counts(1)?;
        assert_eq!((counts.here, queue.counts(2)?.here), (2, ITEMS + 1));
        assert!(counts.adds_up(), "{counts:?}");
        queue.no_misplaced_runs()?;
    }
    vm.rmmod(MODULE)
}

/// A work function that flushes or cancels itself, or flushes the queue, gets EDEADLK.
#[vm_test]
fn cannot_wait_for_itself(vm: &Vm) -> Result<()> {
    for queue in Queue::load(vm)? {
        for round in 1..=3 {
            queue.write("misuse", "1")?;
            assert_eq!(vm.read(&queue.file("deadlocks"))?, (round * 3).to_string());
        }
    }
    vm.rmmod(MODULE)
}

/// Items of an offline CPU wait for it, delayed ones too, and can be cancelled while they wait.
#[vm_test]
fn offline_wait(vm: &Vm) -> Result<()> {
    let [queue, ..] = Queue::load(vm)?;
    // Items are pending when the CPU goes offline; the running item must not delay that.
    queue.hold(1)?;
    queue.write("queue_delayed", "1 2")?;
    queue.until(2, "here", 1)?;
    queue.write("queue_delayed", "1 3")?;
    vm.cpu(1).offline()?;
    assert_eq!((queue.counts(1)?.run, queue.counts(1)?.here), (1, 1));
    queue.release()?;
    queue.write("queue", "1")?;
    queue.write("cancel_sync", "1")?;
    let counts = queue.counts(1)?;
    assert_eq!((counts.run, counts.cancelled, counts.refused), (1, ITEMS, 0));
    // Queued for the offline CPU; the delay of one ends before the online.
    queue.write("queue", "1")?;
    queue.write("mod_delayed", "1 1")?;
    queue.until(3, "run", ITEMS)?;
    queue.write("queue_delayed", "20 0")?;
    queue.until(0, "run", ITEMS)?;
    assert_eq!(queue.counts(1)?.run, 1);
    vm.cpu(1).online()?;
    queue.until(1, "run", 1 + ITEMS)?;
    queue.write("flush", "1")?;
    let counts = queue.counts(1)?;
    assert!(counts.adds_up() && counts.here == counts.run, "{counts:?}");

    // The timer of the CPU works after its online.
    queue.write("queue_delayed", "200 1")?;
    vm.cycle(1, 1)?;
    queue.until(1, "run", 1 + 2 * ITEMS)?;
    queue.no_misplaced_runs()?;
    vm.rmmod(MODULE)?;

    // A CPU that was offline at insmod.
    vm.cpu(2).offline()?;
    let [queue, ..] = Queue::load(vm)?;
    queue.write("queue", "2")?;
    vm.cpu(2).online()?;
    queue.until(2, "run", ITEMS)?;
    all_ran(queue.counts(2)?, 1);
    vm.rmmod(MODULE)
}

/// Items of a CPU that goes offline run on other CPUs, in time; so do those queued for it later.
#[vm_test]
fn offline_move(vm: &Vm) -> Result<()> {
    let [_, queue, _] = Queue::load(vm)?;
    queue.hold(1)?;
    vm.cpu(1).offline()?;
    queue.release()?;
    queue.until(1, "run", ITEMS)?;
    assert_eq!(queue.counts(1)?.here, 1);
    // Queued for an offline CPU.
    queue.write("queue", "1")?;
    queue.until(1, "run", 2 * ITEMS)?;
    vm.cpu(1).online()?;
    queue.write("flush", "1")?;
    queue.write("queue", "1")?;
    queue.until(1, "run", 3 * ITEMS)?;
    assert!(queue.counts(1)?.here > 1, "CPU 1 runs no items after its online");
    // Delayed items keep their time when they move.
    queue.write("queue_delayed", &format!("{FAR} 3"))?;
    let mut ms = 200 * vm.built_with().slowness();
    loop {
        let counts = queue.counts(2)?;
        queue.write("queue_delayed", &format!("{ms} 2"))?;
        vm.cpu(2).offline()?;
        let here = queue.counts(2)?.here;
        vm.cpu(3).offline()?;
        queue.until(2, "run", counts.run + ITEMS)?;
        assert_eq!((queue.counts(2)?.here, queue.counts(3)?.run), (here, 0));
        if here == counts.here {
            break;
        }
        // Their time was over before the CPU was offline.
        vm.cpu(2).online()?;
        vm.cpu(3).online()?;
        ms *= 2;
    }
    queue.write("cancel", "3")?;
    vm.cpu(2).online()?;
    vm.cpu(3).online()?;
    let total = queue.total()?;
    assert_eq!((total.adds_up(), total.cancelled, total.refused), (true, ITEMS, 0));
    queue.no_misplaced_runs()?;
    vm.rmmod(MODULE)
}

/// Items of a CPU that goes offline are refused, and queueing one for it fails with ENODEV.
#[vm_test]
fn offline_refuse(vm: &Vm) -> Result<()> {
    let [_, _, queue] = Queue::load(vm)?;
    queue.hold(1)?;
    queue.write("queue_delayed", &format!("{FAR} 2"))?;
    vm.cpu(1).offline()?;
    vm.cpu(2).offline()?;
    queue.release()?;
    let counts = queue.counts(1)?;
    assert_eq!((counts.run, counts.refused), (1, ITEMS - 1));
    assert_eq!(queue.counts(2)?.refused, ITEMS);
    for what in ["queue", "queue_delayed", "mod_delayed"] {
        let input = if what == "queue" { "1" } else { "5 1" };
        assert_eq!(refused(queue.write(what, input))?, Errno::ENODEV, "{what}");
    }
    // An item for any CPU is never refused.
    queue.write("queue_here", "1")?;
    queue.write("flush", "1")?;
    assert_eq!(queue.counts(1)?.run, 1 + ITEMS);
    vm.cpu(1).online()?;
    vm.cpu(2).online()?;
    vm.wait_for(&queue.file("cpu1/queued"), Until::Is((2 * ITEMS).to_string()))?;
    // The CPU accepts items as soon as its thread is up.
    while let Err(e) = queue.write("queue", "1") {
        assert_eq!(refused(Err::<(), _>(e))?, Errno::ENODEV);
    }
    queue.write("flush", "1")?;
    assert!(queue.total()?.adds_up());
    assert!(queue.counts(1)?.here > 1);
    queue.no_misplaced_runs()?;
    vm.rmmod(MODULE)
}

/// rmmod runs queued items, delayed ones too, or refuses them if their CPU is offline.
#[vm_test]
fn rmmod_drains(vm: &Vm) -> Result<()> {
    const ROUNDS: usize = 6;
    for round in 0..ROUNDS {
        let queues = Queue::load(vm)?;
        let mut calls = vec![];
        for queue in queues {
            calls.push(queue.call("hold_us", "500"));
            calls.push(queue.call("again", "50"));
            calls.push(queue.call("queue", "0-2"));
            calls.push(queue.call("queue_delayed", &format!("{FAR} 3")));
        }
        if round % 2 == 1 {
            calls.push(offline(3));
        }
        calls.push(rmmod(MODULE));
        vm.batch(calls)?;
        if round % 2 == 1 {
            vm.cpu(3).online()?;
        }
        assert!(vm.tasks(|name| name.starts_with("rust_wq_"))?.is_empty());
    }
    for name in QUEUES {
        for (round, end) in ends(vm, name, ROUNDS)?.into_iter().enumerate() {
            assert!(end.queued >= 4 * ITEMS && end.cancelled == 0, "{name}: {end:?}");
            // CPU 3 was offline, so no CPU could run its items.
            let lost = if round % 2 == 1 && name != "move" { ITEMS } else { 0 };
            assert_eq!(end.refused, lost, "{name}: {end:?}");
        }
    }
    Ok(())
}

/// Reads a queue's counters from the log of each unload; fails if an item was lost or misplaced.
fn ends(vm: &Vm, name: &str, times: usize) -> Result<Vec<Counts>> {
    // "rust_percpu_workqueue: wait: 33 queued, 30 run, 1 cancelled, 2 refused, .."
    let lines = logged(vm, &format!("{MODULE}: {name}: "), times)?;
    let items = ITEMS * vm.cpus("possible")?.len() as u64;
    let counts = lines.iter().map(|line| {
        let numbers: Vec<u64> =
            line.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
        let [queued, run, cancelled, refused, dropped, overlaps, strays] = numbers[..] else {
            bail!("expected seven numbers: {line}");
        };
        let counts = Counts { queued, run, cancelled, refused, ..Counts::default() };
        assert!(counts.adds_up(), "{line}");
        assert_eq!((dropped, overlaps, strays), (items, 0, 0), "{line}");
        Ok(counts)
    });
    counts.collect()
}

/// flush returns while pending items are modified: a modified item counts as newly queued.
#[vm_test]
fn flush_beside_mod_delayed(vm: &Vm) -> Result<()> {
    let [queue, ..] = Queue::load(vm)?;
    vm.cpu(1).offline()?;
    queue.write("queue", "1")?;
    // No item runs on this CPU that would wake flush.
    let flush = waiting(vm, queue.call("flush", "1"))?;
    queue.write("mod_delayed", &format!("{FAR} 1"))?;
    let flushed = flush.wait(DEFAULT_LIMIT);
    // This wakes a flush that did not return.
    vm.cpu(1).online()?;
    ensure!(flushed.is_ok(), "flush waits for items that were modified: {flushed:?}");
    queue.write("cancel", "1")?;
    assert_eq!(queue.counts(1)?.cancelled, ITEMS);
    vm.rmmod(MODULE)
}

fn limit_ms(vm: &Vm) -> u64 {
    6_000 * u64::from(vm.built_with().slowness())
}

/// Makes these calls, each in a task of its own, while CPUs go offline and online.
fn beside_hotplug(vm: &Vm, calls: Vec<Call>) -> Result<()> {
    let cpus = vm.removable()?;
    let toggles = cpus.iter().flat_map(|cpu| [offline(*cpu), online(*cpu)]);
    let together = cpus.iter().map(|cpu| offline(*cpu)).chain(cpus.iter().map(|cpu| online(*cpu)));
    let toggles = toggles.chain(together).collect();
    let limit_ms = limit_ms(vm);
    let cycles = vm.spawn(Call::Repeat { times: 1_000_000, calls: toggles, limit_ms })?;
    let tasks = calls.into_iter().map(|call| vm.spawn(call)).collect::<Result<Vec<_>>>()?;
    cycles.answer(PATIENCE)?;
    for cpu in cpus {
        if !vm.cpu(cpu).is_online()? {
            vm.cpu(cpu).online()?;
        }
    }
    for task in tasks {
        task.answer(PATIENCE)?;
    }
    Ok(())
}

/// Timers and tasks use all queues at once while CPUs go offline and online: queued = run +
/// cancelled + refused.
#[vm_test(long)]
fn storm(vm: &Vm) -> Result<()> {
    storm_with(vm, "storm=1")
}

/// Timers in hard-irq context, tasks and hotplug at once lose nothing: queued = run + cancelled +
/// refused.
#[vm_test(long)]
fn storm_of_hard_timers(vm: &Vm) -> Result<()> {
    storm_with(vm, "storm=2")
}

fn storm_with(vm: &Vm, params: &str) -> Result<()> {
    vm.insmod(MODULE, params)?;
    let limit_ms = limit_ms(vm);
    let queues = QUEUES.map(|name| Queue { vm, name });
    // One round suffices, unless the host is busy.
    while !had(&queues, 500, 50)? {
        let random = queues.iter().chain(&queues).map(|queue| {
            let calls = vec![queue.call("random", "50")];
            Call::Repeat { times: 1_000_000, calls, limit_ms }
        });
        beside_hotplug(vm, random.collect())?;
    }
    vm.rmmod(MODULE)?;

    for name in QUEUES {
        let end = ends(vm, name, 1)?[0];
        assert_eq!(end.refused > 0, name == "refuse", "{name}: {end:?}");
    }
    Ok(())
}

/// All operations on all queues at random, while CPUs go offline and online.
fn churn(vm: &Vm, queues: [Queue; 3]) -> Result<()> {
    let limit_ms = limit_ms(vm);
    let mut churns = vec![];
    for queue in queues {
        queue.write("again", "100000000")?;
        let calls = vec![
            queue.call("queue", "all"),
            queue.call("queue_here", "1-2"),
            queue.call("queue_on", "1 0-2"),
            queue.call("queue_on", "3 1-3"),
            queue.call("queue_delayed", "1 all"),
            queue.call("queue_delayed", "30 2-3"),
            queue.call("mod_delayed", "2 all"),
            queue.call("mod_delayed", "0 1-3"),
            queue.call("cancel", "all"),
            queue.call("cancel", "1-2"),
            queue.call("hold_us", "0"),
            queue.call("hold_us", "100"),
        ];
        // These calls wait, in the queue `wait` until an offline CPU is online again.
        let waits = vec![
            queue.call("cancel_sync", "1-3"),
            queue.call("flush_work", "all"),
            queue.call("flush", "1"),
        ];
        for (seed, calls) in [(1, calls.clone()), (2, calls), (3, waits)] {
            churns.push(Call::Churn { seed, calls, pause_us: 300, limit_ms });
        }
    }
    beside_hotplug(vm, churns)
}

/// Whether each queue has run and cancelled more items than this, and the queue `refuse` has
/// refused some.
fn had(queues: &[Queue; 3], run: u64, cancelled: u64) -> Result<bool> {
    for queue in queues {
        let total = queue.total()?;
        let refused = total.refused > 0 || queue.name != "refuse";
        if total.run <= run || total.cancelled <= cancelled || !refused {
            return Ok(false);
        }
    }
    Ok(true)
}

/// With all operations on all queues at random, while CPUs go offline and online, queued = run +
/// cancelled + refused.
#[vm_test]
fn torture(vm: &Vm) -> Result<()> {
    let queues = Queue::load(vm)?;
    // One round suffices, unless the host is busy.
    while !had(&queues, 1000, 10)? {
        churn(vm, queues)?;
    }

    for queue in queues {
        queue.write("again", "0")?;
        queue.write("flush", "1")?;
        queue.write("cancel_sync", "all")?;
        let total = queue.total()?;
        assert!(total.adds_up(), "{}: {total:?}", queue.name);
        assert!(total.refused == 0 || queue.name == "refuse", "{}: {total:?}", queue.name);
        assert_eq!(total.here, total.run);
        queue.no_misplaced_runs()?;
        // The queue still works, on each CPU.
        for cpu in vm.cpus("online")? {
            let here = queue.counts(cpu)?.here;
            while let Err(e) = queue.write("queue", &cpu.to_string()) {
                assert_eq!(refused(Err::<(), _>(e))?, Errno::ENODEV);
            }
            queue.write("flush", "1")?;
            assert!(queue.counts(cpu)?.here > here);
        }
    }
    vm.rmmod(MODULE)
}
