// SPDX-License-Identifier: GPL-2.0

//! CPU stoppers: a closure runs on a CPU that one chooses, and the caller waits for it.
//!
//! In the shape of the stopper of `kernel/stop_machine.c`: a self-parking thread per CPU with a
//! queue of jobs. Every job is answered: it ran, or it did not because the CPU is down, which a
//! caller hears at once. (The kernel's stopper has a scheduling class of its own; this one is a
//! FIFO thread, ahead of normal tasks only.)
//!
//! In `/sys/kernel/debug/rust_cpu_stop/`:
//!
//! - `stop`: takes a CPU list, runs a job on all of these CPUs, and waits. `ENOENT` if it ran on
//!   none of them.
//! - `hold_us`: for how long the job sleeps, and so keeps others in the queue.
//! - `cpuN/state`: `up`, `down`, or `absent` if the CPU was never online.
//! - `cpuN/submitted`, `run`, `refused`: jobs. When nobody waits, the first is the sum of the
//!   others.
//! - `cpuN/strays`: jobs that ran on another CPU. None.
//! - `cpuN/wait_max_us`: how long a job had to wait before it ran.

use kernel::{
    cpu::CpuId,
    cpumask::Cpumask,
    fmt,
    list::{
        impl_list_arc_safe,
        impl_list_item,
        List,
        ListArc,
        ListLinksSelfPtr, //
    },
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Completion,
        SetOnce,
        SpinLock, //
    },
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    },
};

#[path = "../rust/kernel/library.rs"]
mod library;

use debugfs::{
    Attribute,
    Dir,
    Number,
    Tree, //
};
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
    SchedPolicy,
    ScopedModule,
    SelfParkingRegistration,
    Threads, //
};

scoped_module! {
    type: CpuStopModule,
    name: "rust_cpu_stop",
    authors: ["The rust_smpboot developers"],
    description: "Running closures on other CPUs",
    license: "GPL",
}

/// What a stopper does with a job: one of the two, once.
trait Job: Send + Sync {
    fn run(&self, cpu: CpuId);
    fn refuse(&self);
}

#[pin_data]
struct Queued<T: ?Sized> {
    #[pin]
    links: ListLinksSelfPtr<Queued<dyn Job>>,
    #[pin]
    job: T,
}

impl_list_arc_safe! {
    impl{T: ?Sized} ListArcSafe<0> for Queued<T> { untracked; }
}

impl_list_item! {
    impl ListItem<0> for Queued<dyn Job> { using ListLinksSelfPtr { self.links }; }
}

/// A closure, and the place for its answer.
#[pin_data]
struct Call<F, R> {
    closure: F,
    answer: SetOnce<Result<R>>,
    #[pin]
    answered: Completion,
}

impl<F, R> Job for Call<F, R>
where
    F: Fn(CpuId) -> R + Send + Sync,
    R: Send + Sync,
{
    fn run(&self, cpu: CpuId) {
        self.answer.populate(Ok((self.closure)(cpu)));
        self.answered.complete_all();
    }

    fn refuse(&self) {
        self.answer.populate(Err(ENOENT));
        self.answered.complete_all();
    }
}

/// A job that is on its way. Dropping this does not take it back.
struct Ticket<F, R>(Arc<Queued<Call<F, R>>>);

impl<F, R: Copy> Ticket<F, R> {
    /// Waits for the answer: what the closure returned, or `ENOENT` if it did not run.
    fn wait(self) -> Result<R> {
        self.0.job.answered.wait_for_completion();
        self.0.job.answer.copy().unwrap_or(Err(ENOENT))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is no thread: the CPU was never online.
    Absent,
    /// The thread is parked, or about to be, or about to be unparked.
    Down,
    Up,
}

struct Queue {
    state: State,
    jobs: List<Queued<dyn Job>>,
}

/// What belongs to one CPU.
///
/// The thread itself opens and closes its queue: it is open from `setup` or `unpark` to `park`,
/// which the core calls in turns, whatever way a CPU goes. Under the lock of the queue, a job
/// either finds it open, and then the thread runs or refuses it, at the latest in `park`; or it
/// finds it closed. There is no third way, and nobody else touches the queue.
#[pin_data]
struct Stopper {
    #[pin]
    queue: SpinLock<Queue>,
    submitted: Atomic<u64>,
    run: Atomic<u64>,
    refused: Atomic<u64>,
    strays: Atomic<u64>,
    wait_max_us: Atomic<u64>,
}

impl Stopper {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            queue <- new_spinlock!(Queue {
                state: State::Absent,
                jobs: List::new(),
            }),
            submitted: Atomic::new(0),
            run: Atomic::new(0),
            refused: Atomic::new(0),
            strays: Atomic::new(0),
            wait_max_us: Atomic::new(0),
        })
    }

    fn open(&self) {
        self.queue.lock().state = State::Up;
    }

    /// Puts a job into the queue, or refuses it.
    fn submit(&self, job: ListArc<Queued<dyn Job>>) {
        self.submitted.add(1, Relaxed);

        let mut queue = self.queue.lock();
        if queue.state == State::Up {
            queue.jobs.push_back(job);
        } else {
            drop(queue);
            self.refuse(job);
        }
    }

    fn refuse(&self, job: ListArc<Queued<dyn Job>>) {
        self.refused.add(1, Relaxed);
        job.job.refuse();
    }
}

/// The threads.
struct Stoppers {
    cpus: PerCpu<Stopper>,
    hold_us: Atomic<u64>,
}

impl Stoppers {
    /// Registers the threads. The CPUs that are online are up when this returns.
    fn register(scope: &'static ModuleScope) -> Result<SelfParkingRegistration<Self>> {
        let this = SelfParkingRegistration::new(
            scope,
            Self {
                cpus: PerCpu::new(|_| Stopper::new())?,
                hold_us: Atomic::new(0),
            },
        )?;
        this.wait_until_up()?;
        Ok(this)
    }

    fn submit<F, R>((cpu, stopper): (CpuId, &Stopper), closure: F) -> Result<Ticket<F, R>>
    where
        F: Fn(CpuId) -> R + Send + Sync + 'static,
        R: Copy + Send + Sync + 'static,
    {
        let job = ListArc::pin_init(
            try_pin_init!(Queued {
                links <- ListLinksSelfPtr::new(),
                job <- pin_init!(Call {
                    closure,
                    answer: SetOnce::new(),
                    answered <- Completion::new(),
                }),
            }? Error),
            GFP_KERNEL,
        )?;
        let ticket = Ticket(job.clone_arc());

        stopper.submit(job);
        // If the CPU went down in between, the job is answered, and the wake one too many.
        Threads::<Self>::new().wake(cpu);
        Ok(ticket)
    }

    /// Runs `closure` on all the CPUs of `mask` at a time, and waits. Passes to `each` what it
    /// returned, and where. `ENOENT` if it ran nowhere.
    ///
    /// May sleep. Not to be called by a closure: the CPU would wait for itself.
    fn stop_cpus<F, R>(
        &self,
        mask: &Cpumask,
        closure: F,
        mut each: impl FnMut(CpuId, &Stopper, R), //
    ) -> Result
    where
        F: Fn(CpuId) -> R + Copy + Send + Sync + 'static,
        R: Copy + Send + Sync + 'static,
    {
        let mut tickets = KVec::with_capacity(mask.weight() as usize, GFP_KERNEL)?;
        for to in self.cpus.iter().filter(|(cpu, _)| mask.test(*cpu)) {
            tickets.push((to, Self::submit(to, closure)?), GFP_KERNEL)?;
        }

        let mut result = Err(ENOENT);
        for ((cpu, stopper), ticket) in tickets {
            if let Ok(returned) = ticket.wait() {
                each(cpu, stopper, returned);
                result = Ok(());
            }
        }
        result
    }
}

#[vtable]
impl HotplugThread for Stoppers {
    const NAME: &'static CStr = c"rust_stop";

    type Local = ();

    fn sched_policy(&self) -> SchedPolicy {
        SchedPolicy::Fifo
    }

    fn create(&self, cpu: CpuId) {
        if let Some(stopper) = self.cpus.get(cpu) {
            stopper.queue.lock().state = State::Down;
        }
    }

    fn setup(&self, cx: &Context<'_>) -> impl PinInit<()> {
        self.cpus.of(cx).open();
    }

    fn run(&self, _local: Pin<&mut ()>, cx: &Context<'_>) {
        let stopper = self.cpus.of(cx);

        // A stream of callers must not hold up a CPU that goes down.
        while !cx.should_park() {
            let Some(job) = stopper.queue.lock().jobs.pop_front() else {
                return;
            };
            stopper.run.add(1, Relaxed);
            job.job.run(cx.cpu());
        }
    }

    fn park(&self, _local: Pin<&mut ()>, cx: &Context<'_>) {
        let stopper = self.cpus.of(cx);

        let mut left = {
            let mut queue = stopper.queue.lock();
            queue.state = State::Down;
            core::mem::take(&mut queue.jobs)
        };
        while let Some(job) = left.pop_front() {
            stopper.refuse(job);
        }
    }

    fn unpark(&self, _local: Pin<&mut ()>, cx: &Context<'_>) {
        self.cpus.of(cx).open();
    }
}

hotplug_thread!(Stoppers);

type Data = SelfParkingRegistration<Stoppers>;

struct Stop;

#[vtable]
impl Attribute for Stop {
    type Data = Data;

    fn store(this: &Data, input: &CStr) -> Result {
        let mask = hotplug::parse_cpu_list(input)?;
        let hold = Delta::from_micros(this.hold_us.load(Relaxed) as i64);
        let begin = Instant::<Monotonic>::now();

        let job = move |_| {
            let waited = begin.elapsed();
            let ran_on = CpuId::current();
            fsleep(hold);
            (ran_on, waited)
        };

        this.stop_cpus(&mask, job, |cpu, stopper, (ran_on, waited)| {
            if ran_on != cpu {
                stopper.strays.add(1, Relaxed);
            }
            let waited = waited.as_micros_ceil() as u64;
            if waited > stopper.wait_max_us.load(Relaxed) {
                stopper.wait_max_us.store(waited, Relaxed);
            }
        })
    }
}

#[vtable]
impl Attribute for State {
    type Data = Stopper;

    fn show(stopper: &Stopper, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = stopper.queue.lock().state;
        f.write_str(match state {
            Self::Absent => "absent\n",
            Self::Down => "down\n",
            Self::Up => "up\n",
        })
    }
}

fn fill<'data>(this: &'data Data, dir: &Dir<'data>) {
    dir.file::<Stop>(c"stop", this);
    dir.file::<Number<0, 100_000>>(c"hold_us", &this.hold_us);

    for (cpu, stopper) in this.cpus.iter() {
        let dir = dir.dir(fmt!("cpu{}", cpu.as_u32()));
        dir.file::<State>(c"state", stopper);
        for (name, counter) in [
            (c"submitted", &stopper.submitted),
            (c"run", &stopper.run),
            (c"refused", &stopper.refused),
            (c"strays", &stopper.strays),
            (c"wait_max_us", &stopper.wait_max_us),
        ] {
            dir.file::<Atomic<u64>>(name, counter);
        }
    }
}

#[pin_data]
struct CpuStopModule {
    files: Tree<Data>,
}

impl ScopedModule for CpuStopModule {
    fn init(
        _module: &'static ThisModule,
        scope: &'static ModuleScope,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            files <- Tree::new(scope, c"rust_cpu_stop", Stoppers::register(scope), fill),
        })
    }
}
