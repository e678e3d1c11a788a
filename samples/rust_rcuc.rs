// SPDX-License-Identifier: GPL-2.0

//! Work that waits for RCU, done by a thread per CPU, as RCU's own `rcuc` does it.
//!
//! Each CPU has a queue of work that may run once a grace period is over: here, retiring the old
//! version of something after a new one was published, when no reader can be looking at it any
//! more. `echo 0-3 > /sys/kernel/debug/rust_rcuc/defer` publishes a version on each of these CPUs;
//! `cat /sys/kernel/debug/rust_rcuc/read` is a reader, and counts a violation if its version was
//! retired while it looked at it.
//!
//! Nothing is lost when a CPU goes: like `rcutree_migrate_callbacks()`, its thread moves the queue
//! to another CPU, grace periods included, when it parks. What is left when the module goes is
//! waited for and run before `rmmod` returns, as `rcu_barrier()` would. `rcuc` is driven by the
//! scheduling-clock tick, which modules do not have; this thread polls while it has work.
//!
//! Mirrors `rcu_cpu_thread_spec` in [`kernel/rcu/tree.c`](srctree/kernel/rcu/tree.c).

use kernel::{
    cpu::CpuId,
    fmt::{
        self,
        Display, //
    },
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
            Full,
            Relaxed, //
        },
        rcu,
        SpinLock,
        UniqueArc, //
    },
    time::{
        delay::udelay,
        Delta, //
    }, //
};

pub mod grace_period;
#[path = "../rust/kernel/library.rs"]
mod library;

use debugfs::{
    Attribute,
    Dir,
    Table,
    Tree, //
};
use grace_period::GracePeriod;
use library::{
    debugfs,
    smpboot, //
};
use smpboot::{
    hotplug,
    Context,
    HotplugThread,
    ModuleScope,
    PerCpu,
    Registration,
    SchedPolicy,
    ScopedModule,
    Threads, //
};

scoped_module! {
    type: RcucModule,
    name: "rust_rcuc",
    authors: ["The rust_smpboot developers"],
    description: "Per-CPU work after a grace period, in the shape of RCU's rcuc threads",
    license: "GPL",
}

type Counter = Atomic<u64>;

/// How often a thread with work asks whether the grace period has passed.
const POLL: Delta = Delta::from_millis(1);

/// How long a reader looks at its version.
const READ: Delta = Delta::from_millis(2);

/// The retirement of one version, once its readers are gone.
#[pin_data]
struct Work {
    #[pin]
    links: ListLinks,
    gp: GracePeriod,
    version: u64,
}

impl_list_arc_safe! {
    impl ListArcSafe<0> for Work { untracked; }
}
impl_list_item! {
    impl ListItem<0> for Work { using ListLinks { self.links }; }
}

/// What a CPU's thread does: `rcu_cpu_kthread_status`.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Status {
    /// Parked, or not there yet. The queue takes no work.
    OffCpu,
    Waiting,
    Running,
    /// There is work for which it is too early.
    Yielding,
}

struct Queue {
    status: Status,
    work: List<Work>,
}

#[pin_data]
struct Cpu {
    #[pin]
    queue: SpinLock<Queue>,
    run: Counter,
    moved: Counter,
}

impl Cpu {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            queue <- new_spinlock!(Queue { status: Status::OffCpu, work: List::new() }),
            run: Counter::new(0),
            moved: Counter::new(0),
        })
    }

    fn set_status(&self, status: Status) {
        self.queue.lock().status = status;
    }

    fn first(&self) -> Option<ListArc<Work>> {
        self.queue.lock().work.pop_front()
    }

    /// Takes the first work, if its grace period has passed, and says what the thread does next.
    fn next(&self) -> (Status, Option<ListArc<Work>>) {
        let mut queue = self.queue.lock();
        let ready = queue.work.iter().next().map(|work| work.gp.has_passed());
        queue.status = match ready {
            Some(true) => Status::Running,
            Some(false) => Status::Yielding,
            None => Status::Waiting,
        };
        let work = match ready {
            Some(true) => queue.work.pop_front(),
            _ => None,
        };
        (queue.status, work)
    }
}

/// What the threads share.
struct Rcuc {
    cpus: PerCpu<Cpu>,
    /// The version that readers find.
    current: Counter,
    /// All versions below this one are retired.
    retired: Counter,
    deferred: Counter,
    run: Counter,
    violations: Counter,
}

impl Rcuc {
    fn new() -> Result<Self> {
        Ok(Self {
            cpus: PerCpu::new(|_cpu| Cpu::new())?,
            current: Counter::new(0),
            retired: Counter::new(0),
            deferred: Counter::new(0),
            run: Counter::new(0),
            violations: Counter::new(0),
        })
    }

    /// Publishes a new version, and leaves it to the thread of a CPU to retire the old one.
    fn publish(&self, to: (CpuId, &Cpu)) -> Result {
        let work = UniqueArc::new_uninit(GFP_KERNEL)?;
        let version = self.current.fetch_add(1, Full);
        self.deferred.add(1, Relaxed);

        let work = work.pin_init_with(pin_init!(Work {
            links <- ListLinks::new(),
            gp: GracePeriod::start(),
            version,
        }))?;
        let mut list = List::new();
        list.push_back(ListArc::from(work));
        self.place(to, &mut list);
        Ok(())
    }

    /// Moves `work` to the queue of a CPU, or of another one if that is offline.
    fn place(&self, to: (CpuId, &Cpu), work: &mut List<Work>) {
        let placed = Self::try_place(to, work, false)
            || self
                .cpus
                .iter_online()
                .any(|to| Self::try_place(to, work, false));
        if !placed {
            // No thread has come to run yet. The work stays here until this one does.
            Self::try_place(to, work, true);
        }
    }

    fn try_place((cpu, to): (CpuId, &Cpu), work: &mut List<Work>, even_off: bool) -> bool {
        {
            let mut queue = to.queue.lock();
            // The lock makes this decision hold: a thread that parks moves what it finds after.
            if queue.status == Status::OffCpu && !even_off {
                return false;
            }
            queue.work.push_all_back(work);
        }
        Threads::<Self>::new().wake(cpu);
        true
    }

    fn retire(&self, cpu: &Cpu, work: &Work) {
        let mut seen = self.retired.load(Relaxed);
        while seen <= work.version {
            match self.retired.cmpxchg(seen, work.version + 1, Full) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        cpu.run.add(1, Relaxed);
        self.run.add(1, Relaxed);
    }

    /// Looks at the current version for a while. Returns it, and whether it was there to the end.
    fn read(&self) -> (u64, bool) {
        let _rcu = rcu::read_lock();
        let version = self.current.load(Relaxed);
        udelay(READ);
        let valid = self.retired.load(Relaxed) <= version;
        if !valid {
            self.violations.add(1, Relaxed);
        }
        (version, valid)
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
        self.cpus.of(cx).set_status(Status::Waiting);
    }

    fn run(&self, _local: Pin<&mut ()>, cx: &Context<'_>) {
        let cpu = self.cpus.of(cx);
        // What is left when the CPU goes is moved by `park`, and at the end run by `drop`.
        while !cx.should_park() && !cx.should_stop() {
            match cpu.next() {
                (_, Some(work)) => self.retire(cpu, &work),
                (Status::Yielding, None) => {
                    cx.sleep(POLL);
                }
                (_, None) => return,
            }
        }
    }

    fn park(&self, _local: Pin<&mut ()>, cx: &Context<'_>) {
        let cpu = self.cpus.of(cx);
        let mut work = {
            let mut queue = cpu.queue.lock();
            queue.status = Status::OffCpu;
            core::mem::take(&mut queue.work)
        };
        if !work.is_empty() {
            cpu.moved.add(work.iter().count() as u64, Relaxed);
            self.place((cx.cpu(), cpu), &mut work);
        }
    }

    fn unpark(&self, _local: Pin<&mut ()>, cx: &Context<'_>) {
        self.cpus.of(cx).set_status(Status::Waiting);
    }
}

hotplug_thread!(Rcuc);

impl Drop for Rcuc {
    fn drop(&mut self) {
        // The threads are gone. Work of the last moments is still there.
        for (_, cpu) in self.cpus.iter() {
            while let Some(work) = cpu.first() {
                work.gp.wait();
                self.retire(cpu, &work);
            }
        }
        pr_info!(
            "{} deferred, {} run, {} violations\n",
            self.deferred.load(Relaxed),
            self.run.load(Relaxed),
            self.violations.load(Relaxed)
        );
    }
}

struct Summary;

#[vtable]
impl Attribute for Summary {
    type Data = Registration<Rcuc>;

    fn show(rcuc: &Self::Data, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["cpu", "status", "queued", "run", "moved"]);
        for (cpu, c) in rcuc.cpus.iter() {
            let (status, queued) = {
                let queue = c.queue.lock();
                (queue.status, queue.work.iter().count())
            };
            let status = match status {
                Status::OffCpu => "offcpu",
                Status::Waiting => "waiting",
                Status::Running => "running",
                Status::Yielding => "yielding",
            };
            let row = [
                u64::from(cpu.as_u32()).into(),
                status.into(),
                (queued as u64).into(),
                c.run.load(Relaxed).into(),
                c.moved.load(Relaxed).into(),
            ];
            table.push(row).map_err(|_| fmt::Error)?;
        }
        table.fmt(f)
    }
}

/// Takes a CPU list, and publishes a version on each of these CPUs.
struct Defer;

#[vtable]
impl Attribute for Defer {
    type Data = Registration<Rcuc>;

    fn store(rcuc: &Self::Data, input: &CStr) -> Result {
        let cpus = hotplug::parse_cpu_list(input)?;
        for to in rcuc.cpus.iter().filter(|(cpu, _)| cpus.test(*cpu)) {
            rcuc.publish(to)?;
        }
        Ok(())
    }
}

/// A reader.
struct Read;

#[vtable]
impl Attribute for Read {
    type Data = Registration<Rcuc>;

    fn show(rcuc: &Self::Data, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (version, valid) = rcuc.read();
        let verdict = if valid { "ok" } else { "retired too early" };
        writeln!(f, "{version} {verdict}")
    }
}

fn fill<'data>(rcuc: &'data Registration<Rcuc>, dir: &Dir<'data>) {
    dir.file::<Summary>(c"summary", rcuc);
    dir.file::<Defer>(c"defer", rcuc);
    dir.file::<Read>(c"read", rcuc);
    dir.file::<Counter>(c"deferred", &rcuc.deferred);
    dir.file::<Counter>(c"run", &rcuc.run);
    dir.file::<Counter>(c"violations", &rcuc.violations);
}

#[pin_data]
struct RcucModule {
    files: Tree<Registration<Rcuc>>,
}

impl ScopedModule for RcucModule {
    fn init(
        _module: &'static ThisModule,
        scope: &'static ModuleScope,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            files <- Tree::new(
                scope,
                c"rust_rcuc",
                Rcuc::new().and_then(|rcuc| Registration::new(scope, rcuc)),
                fill,
            ),
        })
    }
}
