// SPDX-License-Identifier: GPL-2.0

//! Work that waits for RCU, run by a thread per CPU, like RCU's own `rcuc`. An old version of the
//! data is retired when no reader can access it any more. A thread polls the grace period of the
//! first work item of its CPU. When the CPU goes offline, the thread moves the queue to another
//! CPU, like `rcutree_migrate_callbacks()`. In `/sys/kernel/debug/rust_rcuc/`:
//!
//! - `version`: a write takes a CPU list. For each of these CPUs it publishes a new version and
//!   queues the old one, which the CPU's thread retires. A read is an RCU reader.
//! - `deferred`, `run`: numbers of work items. `violations`: versions retired too early: always 0.
//! - `cpuN/run`, `cpuN/moved`: items that the thread has run, and moved to another CPU.
//!
//! Mirrors `rcu_cpu_thread_spec` in [`kernel/rcu/tree.c`](srctree/kernel/rcu/tree.c).

use kernel::{
    cpu::CpuId,
    fmt,
    list::{
        impl_list_arc_safe,
        impl_list_item,
        List,
        ListArc,
        ListLinks, //
    },
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        rcu,
        SpinLock, //
    },
    time::{
        delay::udelay,
        Delta, //
    }, //
};

#[path = "../rust/kernel/library.rs"]
mod library;

use library::{
    debugfs::{
        Attribute,
        Decimal,
        Dir,
        Tree, //
    },
    rcu::GracePeriod,
    smpboot::{
        self,
        hotplug,
        Context,
        HotplugThread,
        ModuleScope,
        PerCpu,
        Registration,
        SchedPolicy,
        ScopedModule,
        Threads, //
    }, //
};

scoped_module! {
    type: Tree<Registration<Rcuc>>,
    name: "rust_rcuc",
    authors: ["The rust_smpboot developers"],
    description: "Per-CPU work after a grace period, like RCU's rcuc threads",
    license: "GPL",
}

/// The version that readers find. It is also the number of deferred items.
static CURRENT: Atomic<u64> = Atomic::new(0);
/// All versions below this one are retired.
static RETIRED: Atomic<u64> = Atomic::new(0);
static RUN: Atomic<u64> = Atomic::new(0);
static VIOLATIONS: Atomic<u64> = Atomic::new(0);

#[pin_data]
struct Work {
    #[pin]
    links: ListLinks,
    version: u64,
    gp: GracePeriod,
}

impl_list_arc_safe! { impl ListArcSafe<0> for Work { untracked; } }
impl_list_item! { impl ListItem<0> for Work { using ListLinks { self.links }; } }

#[pin_data]
struct Cpu {
    #[pin]
    queue: SpinLock<List<Work>>,
    /// Set to true with the queue locked: an item is queued before that and moved, or queued
    /// elsewhere.
    is_parked: Atomic<bool>,
    run: Atomic<u64>,
    moved: Atomic<u64>,
}

impl Cpu {
    fn retire(&self, work: &Work) {
        let mut old = RETIRED.load(Relaxed);
        while let Err(now) = RETIRED.cmpxchg(old, old.max(work.version + 1), Relaxed) {
            old = now;
        }
        self.run.add(1, Relaxed);
        RUN.add(1, Relaxed);
    }
}

struct Rcuc(PerCpu<Cpu>);

impl Rcuc {
    /// Queues `work` for a CPU, or for another one if its thread is parked.
    fn queue(&self, to: (CpuId, &Cpu), work: ListArc<Work>) {
        for (id, cpu) in Iterator::chain(core::iter::once(to), self.0.iter_online()) {
            let mut queue = cpu.queue.lock();
            if !cpu.is_parked.load(Relaxed) {
                queue.push_back(work);
                return Threads::<Self>::new().wake(id);
            }
        }
        // The threads of the online CPUs have still to run `setup` or `unpark`.
        to.1.queue.lock().push_back(work);
        Threads::<Self>::new().wake(to.0);
    }
}

#[vtable]
impl HotplugThread for Rcuc {
    const NAME: &'static CStr = c"rust_rcuc";

    type Local = ();

    fn sched_policy(&self) -> SchedPolicy {
        SchedPolicy::FifoLow
    }

    fn setup(&self, cx: &Context<'_>) -> impl PinInit<()> {
        self.0.of(cx).is_parked.store(false, Relaxed);
    }

    fn run(&self, _local: Pin<&mut ()>, cx: &Context<'_>) {
        let cpu = self.0.of(cx);
        // `park` moves the remaining items when the CPU goes offline; `drop` runs them at the end.
        while !cx.should_park() && !cx.should_stop() {
            let Some(work) = cpu.queue.lock().pop_front() else {
                return;
            };
            if work.gp.has_passed() {
                cpu.retire(&work);
            } else {
                cpu.queue.lock().push_front(work);
                cx.sleep(Delta::from_millis(1));
            }
        }
    }

    fn park(&self, _local: Pin<&mut ()>, cx: &Context<'_>) {
        let cpu = self.0.of(cx);
        let mut queue = cpu.queue.lock();
        cpu.is_parked.store(true, Relaxed);
        let mut work = core::mem::take(&mut *queue);
        drop(queue);
        while let Some(work) = work.pop_front() {
            self.queue((cx.cpu(), cpu), work);
            cpu.moved.add(1, Relaxed);
        }
    }

    fn unpark(&self, _local: Pin<&mut ()>, cx: &Context<'_>) {
        self.0.of(cx).is_parked.store(false, Relaxed);
    }
}

hotplug_thread!(Rcuc);

impl Drop for Rcuc {
    fn drop(&mut self) {
        // The threads have ended. Their queues may have items.
        for (_, cpu) in self.0.iter() {
            let mut work = core::mem::take(&mut *cpu.queue.lock());
            while let Some(work) = work.pop_front() {
                work.gp.wait();
                cpu.retire(&work);
            }
        }
        let [items, run, bad] = [&CURRENT, &RUN, &VIOLATIONS].map(|n| Decimal(n.load(Relaxed)));
        pr_info!("{items} deferred, {run} run, {bad} violations\n");
    }
}

struct Version;

#[vtable]
impl Attribute for Version {
    type Data = Registration<Rcuc>;

    fn show(_: &Self::Data, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _reader = rcu::read_lock();
        let version = CURRENT.load(Relaxed);
        udelay(Delta::from_millis(2));
        VIOLATIONS.add((RETIRED.load(Relaxed) > version).into(), Relaxed);
        writeln!(f, "{}", Decimal(version))
    }

    fn store(rcuc: &Self::Data, input: &CStr) -> Result {
        let cpus = hotplug::parse_cpu_list(input)?;
        for to in rcuc.0.iter().filter(|(cpu, _)| cpus.test(*cpu)) {
            // Publish the new version before the grace period starts.
            let work = try_pin_init!(Work {
                links <- ListLinks::new(),
                version: CURRENT.fetch_add(1, Relaxed),
                gp: GracePeriod::start(),
            });
            rcuc.queue(to, ListArc::pin_init(work, GFP_KERNEL)?);
        }
        Ok(())
    }
}

fn fill<'data>(rcuc: &'data Registration<Rcuc>, dir: &Dir<'data>) {
    dir.file::<Version>(c"version", rcuc);
    dir.file::<Atomic<u64>>(c"deferred", &CURRENT);
    dir.file::<Atomic<u64>>(c"run", &RUN);
    dir.file::<Atomic<u64>>(c"violations", &VIOLATIONS);
    for (cpu, counters) in rcuc.0.iter() {
        let dir = dir.dir(fmt!("cpu{}", cpu.as_u32()));
        dir.file::<Atomic<u64>>(c"run", &counters.run);
        dir.file::<Atomic<u64>>(c"moved", &counters.moved);
    }
}

impl ScopedModule for Tree<Registration<Rcuc>> {
    fn init(_: &'static ThisModule, scope: &'static ModuleScope) -> impl PinInit<Self, Error> {
        let cpus = PerCpu::new(|_| {
            pin_init!(Cpu {
                queue <- new_spinlock!(List::new()),
                is_parked: Atomic::new(true),
                run: Atomic::new(0),
                moved: Atomic::new(0),
            })
        });
        let threads = cpus.and_then(|cpus| Registration::new(scope, Rcuc(cpus)));
        Tree::new(scope, c"rust_rcuc", threads, fill)
    }
}
