// SPDX-License-Identifier: GPL-2.0

//! A state machine per CPU: a table of steps, walked up and down, and back if a step fails.
//!
//! In the shape of the hotplug threads of `kernel/cpu.c`, `cpuhp/N`. A self-parking thread per CPU
//! takes one step at a time, as long as its state is not its target. What the steps make belongs
//! to the thread alone. When a CPU goes offline, its thread goes down all the way before it parks;
//! when the CPU is back, it climbs to where it was.
//!
//! In `/sys/kernel/debug/rust_cpuhp/`:
//!
//! - `steps`: number and name of each step, and how many CPUs have taken it.
//! - `cpuN/state`: the last step that CPU N has taken. 0 at first, and while the CPU is offline.
//! - `cpuN/target`: where it is to go. A write waits until it is there, or fails with what the step
//!   failed with; then it is back where it came from. `ENODEV` if the CPU is offline, or
//!   only just coming.
//! - `cpuN/fail`: the step that fails with `EAGAIN` the next time it is asked to go, up or down.
//! - `step_us`: how long each step takes, so that one can watch.
//! - `log`: the last steps of all CPUs.
//! - `total`: what the steps are about. The last step adds `1024 * (N + 1)` for CPU N.

use kernel::{
    cpu::CpuId,
    fmt, new_condvar, new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        CondVar,
        Mutex, //
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
    AtomicContext,
    Context,
    HotplugThread,
    ModuleScope,
    PerCpu,
    ScopedModule,
    SelfParkingRegistration,
    Threads, //
};

scoped_module! {
    type: CpuhpModule,
    name: "rust_cpuhp",
    authors: ["The rust_smpboot developers"],
    description: "A table of steps that each CPU walks up and down",
    license: "GPL",
}

/// A rung of the ladder.
struct Step {
    name: &'static str,
    startup: fn(&mut Machine, &Shared) -> Result,
    teardown: fn(&mut Machine, &Shared),
}

const STEPS: [Step; 3] = [
    Step {
        name: "buffer",
        startup: |machine, _| {
            machine.buffer = KVec::from_elem(0, 1024, GFP_KERNEL)?;
            Ok(())
        },
        teardown: |machine, _| machine.buffer = KVec::new(),
    },
    Step {
        name: "pattern",
        startup: |machine, _| {
            let pattern = machine.cpu.as_u32() + 1;
            machine.buffer.iter_mut().for_each(|word| *word = pattern);
            Ok(())
        },
        teardown: |machine, _| machine.buffer.iter_mut().for_each(|word| *word = 0),
    },
    Step {
        name: "total",
        startup: |machine, shared| {
            machine.sum = machine.buffer.iter().map(|word| u64::from(*word)).sum();
            shared.total.add(machine.sum, Relaxed);
            Ok(())
        },
        teardown: |machine, shared| {
            shared.total.fetch_sub(machine.sum, Relaxed);
            machine.sum = 0;
        },
    },
];

/// What a thread owns. The state is the number of steps that it has taken.
struct Machine {
    cpu: CpuId,
    state: usize,
    walk: Option<Walk>,
    buffer: KVec<u32>,
    sum: u64,
}

struct Walk {
    from: usize,
    target: usize,
    /// Somebody waits for the answer.
    asked: bool,
    /// Why this is on its way back.
    failed: Option<Error>,
}

/// What others ask of a thread.
struct Request {
    /// The thread runs, and answers. Like all else here, changed by the thread itself only, but for
    /// what a caller asks.
    up: bool,
    /// The target of the last walk that arrived.
    reached: usize,
    asked: Option<usize>,
    answer: Option<Result>,
}

#[pin_data]
struct Cpu {
    id: CpuId,
    /// Held by the one caller that waits for an answer.
    #[pin]
    caller: Mutex<()>,
    #[pin]
    request: Mutex<Request>,
    #[pin]
    changed: CondVar,
    state: Atomic<u64>,
    fail: Atomic<u64>,
}

impl Cpu {
    fn new(id: CpuId) -> impl PinInit<Self> {
        pin_init!(Self {
            id,
            caller <- new_mutex!(()),
            request <- new_mutex!(Request {
                up: false,
                reached: 0,
                asked: None,
                answer: None,
            }),
            changed <- new_condvar!(),
            state: Atomic::new(0),
            fail: Atomic::new(0),
        })
    }

    /// Sends this CPU to `target`, and waits.
    fn go(&self, target: usize) -> Result {
        let _caller = self.caller.lock();
        let mut request = self.request.lock();
        if !request.up {
            return Err(ENODEV);
        }

        request.asked = Some(target);
        Threads::<Shared>::new().wake(self.id);
        loop {
            // From here on the thread answers: at the end of the walk, or when it parks.
            if let Some(answer) = request.answer.take() {
                return answer;
            }
            self.changed.wait(&mut request);
        }
    }

    /// The next walk, if somebody asked for one.
    fn next_walk(&self, from: usize) -> Option<Walk> {
        self.request.lock().asked.take().map(|target| Walk {
            from,
            target,
            asked: true,
            failed: None,
        })
    }

    fn end_walk(&self, walk: Walk) {
        let mut request = self.request.lock();
        let result = walk.failed.map_or(Ok(()), Err);
        if result.is_ok() {
            request.reached = walk.target;
        }
        if walk.asked {
            request.answer = Some(result);
            self.changed.notify_all();
        }
    }

    fn set_up(&self) -> usize {
        let mut request = self.request.lock();
        request.up = true;
        request.reached
    }

    /// Answers who waits, and whoever comes until the thread is up again.
    fn set_down(&self, walk: Option<Walk>) {
        let mut request = self.request.lock();
        request.up = false;
        if request.asked.take().is_some() || walk.is_some_and(|walk| walk.asked) {
            request.answer = Some(Err(ENODEV));
            self.changed.notify_all();
        }
    }
}

struct Event {
    ms: i64,
    cpu: CpuId,
    step: usize,
    up: bool,
    result: Result,
}

/// The last events, in a ring.
struct Log {
    ring: KVec<Event>,
    next: usize,
}

impl Log {
    const SIZE: usize = 256;

    fn push(&mut self, event: Event) {
        if let Err(full) = self.ring.push_within_capacity(event) {
            if let Some(oldest) = self.ring.get_mut(self.next % Self::SIZE) {
                *oldest = full.0;
            }
        }
        self.next += 1;
    }
}

/// What the threads share.
#[pin_data]
struct Shared {
    cpus: PerCpu<Cpu>,
    total: Atomic<u64>,
    step_us: Atomic<u64>,
    taken: [Atomic<u64>; STEPS.len()],
    #[pin]
    log: Mutex<Log>,
    epoch: Instant<Monotonic>,
}

impl Shared {
    fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            cpus: PerCpu::new(Cpu::new)?,
            total: Atomic::new(0),
            step_us: Atomic::new(0),
            taken: [const { Atomic::new(0) }; STEPS.len()],
            log <- new_mutex!(Log {
                ring: KVec::with_capacity(Log::SIZE, GFP_KERNEL)?,
                next: 0,
            }),
            epoch: Instant::now(),
        })
    }

    /// Registers the threads. The CPUs that are online are up when this returns.
    fn register(scope: &'static ModuleScope) -> Result<SelfParkingRegistration<Self>> {
        let this = SelfParkingRegistration::new(scope, Self::new())?;
        this.wait_until_up()?;
        Ok(this)
    }

    /// Takes the step above, or takes back the one below.
    fn step(&self, cpu: &Cpu, machine: &mut Machine, up: bool, may_fail: bool) -> Result {
        let index = if up {
            machine.state
        } else {
            machine.state.wrapping_sub(1)
        };
        let step = STEPS.get(index).ok_or(EINVAL)?;

        fsleep(Delta::from_micros(self.step_us.load(Relaxed) as i64));
        let number = index + 1;
        let inject = may_fail && cpu.fail.cmpxchg(number as u64, 0, Relaxed).is_ok();
        let result = if inject {
            Err(EAGAIN)
        } else if up {
            (step.startup)(machine, self)
        } else {
            (step.teardown)(machine, self);
            Ok(())
        };

        if result.is_ok() {
            machine.state = if up { number } else { index };
            cpu.state.store(machine.state as u64, Relaxed);
            if let Some(taken) = self.taken.get(index) {
                if up {
                    taken.fetch_add(1, Relaxed);
                } else {
                    taken.fetch_sub(1, Relaxed);
                }
            }
        }
        self.log.lock().push(Event {
            ms: self.epoch.elapsed().as_millis(),
            cpu: machine.cpu,
            step: number,
            up,
            result,
        });
        result
    }

    /// Goes on with a walk by a step. Returns whether it is over.
    fn walk_on(&self, cpu: &Cpu, machine: &mut Machine, walk: &mut Walk) -> bool {
        let (goal, back) = match walk.failed {
            None => (walk.target, false),
            Some(_) => (walk.from, true),
        };
        if machine.state == goal {
            return true;
        }

        match self.step(cpu, machine, machine.state < goal, !back) {
            Ok(()) => false,
            Err(e) if !back => {
                walk.failed = Some(e);
                false
            }
            Err(e) => {
                // Neither forward nor back. The next walk starts from here.
                pr_err!("cpu{}: rollback failed: {e:?}\n", machine.cpu.as_u32());
                true
            }
        }
    }
}

#[vtable]
impl HotplugThread for Shared {
    const NAME: &'static CStr = c"rust_cpuhp";

    type Local = Machine;

    fn setup(&self, cx: &Context<'_>) -> impl PinInit<Machine> {
        self.cpus.of(cx).set_up();
        Machine {
            cpu: cx.cpu(),
            state: 0,
            walk: None,
            buffer: KVec::new(),
            sum: 0,
        }
    }

    fn should_run(&self, machine: Pin<&mut Machine>, cx: &AtomicContext<'_>) -> bool {
        machine.walk.is_some() || cx.woken()
    }

    /// One step. The core looks between steps whether the thread shall park.
    fn run(&self, mut machine: Pin<&mut Machine>, cx: &Context<'_>) {
        let cpu = self.cpus.of(cx);
        let walk = machine.walk.take();
        let Some(mut walk) = walk.or_else(|| cpu.next_walk(machine.state)) else {
            return;
        };

        machine.walk = if self.walk_on(cpu, &mut machine, &mut walk) {
            cpu.end_walk(walk);
            // Its wake may have been before the last step.
            cpu.next_walk(machine.state)
        } else {
            Some(walk)
        };
    }

    fn park(&self, mut machine: Pin<&mut Machine>, cx: &Context<'_>) {
        let cpu = self.cpus.of(cx);
        cpu.set_down(machine.walk.take());
        while machine.state > 0 && self.step(cpu, &mut machine, false, false).is_ok() {}
    }

    fn unpark(&self, mut machine: Pin<&mut Machine>, cx: &Context<'_>) {
        let cpu = self.cpus.of(cx);
        machine.walk = Some(Walk {
            from: machine.state,
            target: cpu.set_up(),
            asked: false,
            failed: None,
        });
    }
}

hotplug_thread!(Shared);

type Data = SelfParkingRegistration<Shared>;

/// A number of steps.
type State = Number<0, { STEPS.len() as u64 }>;

struct Target;

#[vtable]
impl Attribute for Target {
    type Data = Cpu;

    fn show(cpu: &Cpu, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reached = cpu.request.lock().reached;
        writeln!(f, "{reached}")
    }

    fn store(cpu: &Cpu, input: &CStr) -> Result {
        cpu.go(State::parse(input)? as usize)
    }
}

struct Steps;

#[vtable]
impl Attribute for Steps {
    type Data = Data;

    fn show(this: &Data, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (step, taken)) in (1..).zip(STEPS.iter().zip(&this.taken)) {
            writeln!(f, "{number} {} {}", step.name, taken.load(Relaxed))?;
        }
        Ok(())
    }
}

#[vtable]
impl Attribute for Log {
    type Data = Data;

    fn show(this: &Data, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let log = this.log.lock();
        let oldest = log.next.saturating_sub(Log::SIZE);
        for event in (oldest..log.next).filter_map(|i| log.ring.get(i % Log::SIZE)) {
            write!(
                f,
                "{:>6}.{:03} cpu{} {} {}",
                event.ms / 1000,
                event.ms % 1000,
                event.cpu.as_u32(),
                if event.up { "up" } else { "down" },
                event.step,
            )?;
            match event.result {
                Ok(()) => writeln!(f)?,
                Err(e) => writeln!(f, " {e:?}")?,
            }
        }
        Ok(())
    }
}

fn fill<'data>(this: &'data Data, dir: &Dir<'data>) {
    dir.file::<Steps>(c"steps", this);
    dir.file::<Number<0, 1_000_000>>(c"step_us", &this.step_us);
    dir.file::<Log>(c"log", this);
    dir.file::<Atomic<u64>>(c"total", &this.total);

    for (id, cpu) in this.cpus.iter() {
        let dir = dir.dir(fmt!("cpu{}", id.as_u32()));
        dir.file::<Atomic<u64>>(c"state", &cpu.state);
        dir.file::<Target>(c"target", cpu);
        dir.file::<State>(c"fail", &cpu.fail);
    }
}

#[pin_data]
struct CpuhpModule {
    files: Tree<Data>,
}

impl ScopedModule for CpuhpModule {
    fn init(
        _module: &'static ThisModule,
        scope: &'static ModuleScope,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            files <- Tree::new(scope, c"rust_cpuhp", Shared::register(scope), fill),
        })
    }
}
