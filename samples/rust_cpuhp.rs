// SPDX-License-Identifier: GPL-2.0

//! A state machine per CPU: its thread takes steps one at a time, and takes them back if one fails.
//!
//! A self-parking thread per CPU walks to the state that a caller requests. It alone owns the data
//! that the steps create. It walks down before it parks, and back up when its CPU is online again.
//! In `/sys/kernel/debug/rust_cpuhp/`:
//!
//! - `cpuN/state`: number of steps that CPU N has taken. 0 at first, and while the CPU is offline.
//! - `cpuN/target`: the state that CPU N walks to. A write waits for the walk. It fails with a
//!   step's error; then the state is as before. `ENODEV`: the thread is not up.
//! - `cpuN/fail`: the step that fails with `EAGAIN` the next time that CPU N takes it, up or down.
//! - `cpuN/steps`: number of steps taken up in all. `step_us`: time that each step takes.
//!
//! Mirrors `cpuhp_threads` in [`kernel/cpu.c`](srctree/kernel/cpu.c).

use kernel::{
    cpu::CpuId,
    fmt,
    new_condvar,
    new_mutex,
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
        Delta, //
    }, //
};

#[path = "../rust/kernel/library.rs"]
mod library;

use library::{
    debugfs::{
        Attribute,
        Dir,
        Number,
        Tree, //
    },
    smpboot::{
        self,
        Context,
        HotplugThread,
        ModuleScope,
        PerCpu,
        ScopedModule,
        SelfParkingRegistration,
        Threads, //
    }, //
};

scoped_module! {
    type: Tree<SelfParkingRegistration<Cpuhp>>,
    name: "rust_cpuhp",
    authors: ["The rust_smpboot developers"],
    description: "A table of steps that each CPU walks up and down",
    license: "GPL",
}

/// Bytes that each step allocates for its CPU.
const STEPS: [usize; 3] = [64, 1024, 4096];

/// Data that a thread owns: the memory of the steps that it has taken.
type Taken = KVec<KVec<u8>>;

static STEP_US: Atomic<u64> = Atomic::new(0);

/// A caller's request to a thread.
#[derive(Default)]
struct Request {
    /// Whether the thread is up and answers requests.
    up: bool,
    /// The target of the last walk that succeeded.
    target: usize,
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
    answered: CondVar,
    state: Atomic<u64>,
    steps: Atomic<u64>,
    fail: Atomic<u64>,
}

impl Cpu {
    fn go(&self, target: usize) -> Result {
        let _caller = self.caller.lock();
        let mut request = self.request.lock();
        if !request.up {
            return Err(ENODEV);
        }
        request.asked = Some(target);
        Threads::<Cpuhp>::new().wake(self.id);
        while request.answer.is_none() {
            self.answered.wait(&mut request);
        }
        request.answer.take().unwrap_or(Err(ENODEV))
    }

    fn step(&self, taken: &mut Taken, up: bool, may_fail: bool) -> Result {
        fsleep(Delta::from_micros(STEP_US.load(Relaxed) as i64));
        let number = taken.len() + usize::from(up);
        if may_fail && self.fail.cmpxchg(number as u64, 0, Relaxed).is_ok() {
            return Err(EAGAIN);
        }
        if up {
            let size = STEPS.get(taken.len()).ok_or(EINVAL)?;
            taken.push(KVec::from_elem(0, *size, GFP_KERNEL)?, GFP_KERNEL)?;
            self.steps.add(1, Relaxed);
        } else {
            taken.pop();
        }
        self.state.store(taken.len() as u64, Relaxed);
        Ok(())
    }

    /// Walks to `target`, or back if a step fails. Stops at the present state when the CPU goes
    /// offline.
    fn walk(&self, taken: &mut Taken, cx: &Context<'_>, target: usize) -> Result {
        let from = taken.len();
        while taken.len() != target {
            if cx.should_park() || cx.should_stop() {
                return Err(ENODEV);
            }
            if let Err(e) = self.step(taken, taken.len() < target, true) {
                while taken.len() != from {
                    self.step(taken, taken.len() < from, false)?;
                }
                return Err(e);
            }
        }
        Ok(())
    }
}

struct Cpuhp(PerCpu<Cpu>);

#[vtable]
impl HotplugThread for Cpuhp {
    const NAME: &'static CStr = c"rust_cpuhp";

    type Local = Taken;

    fn setup(&self, cx: &Context<'_>) -> impl PinInit<Taken> {
        self.0.of(cx).request.lock().up = true;
        Taken::new()
    }

    fn run(&self, mut taken: Pin<&mut Taken>, cx: &Context<'_>) {
        let cpu = self.0.of(cx);
        let asked = cpu.request.lock().asked.take();
        if let Some(target) = asked {
            let result = cpu.walk(&mut taken, cx, target);
            let mut request = cpu.request.lock();
            request.answer = Some(result.map(|()| request.target = target));
            cpu.answered.notify_all();
        }
    }

    fn park(&self, mut taken: Pin<&mut Taken>, cx: &Context<'_>) {
        let cpu = self.0.of(cx);
        let mut request = cpu.request.lock();
        request.up = false;
        if request.asked.take().is_some() {
            request.answer = Some(Err(ENODEV));
            cpu.answered.notify_all();
        }
        drop(request);
        while !taken.is_empty() && cpu.step(&mut taken, false, false).is_ok() {}
    }

    /// Callers may send requests during this walk.
    fn unpark(&self, mut taken: Pin<&mut Taken>, cx: &Context<'_>) {
        let cpu = self.0.of(cx);
        let mut request = cpu.request.lock();
        request.up = true;
        let target = request.target;
        drop(request);
        // If a step fails, the CPU stays at 0 until the next write.
        let _ = cpu.walk(&mut taken, cx, target);
    }
}

hotplug_thread!(Cpuhp);

/// A number of steps.
type State = Number<0, { STEPS.len() as u64 }>;

struct Target;

#[vtable]
impl Attribute for Target {
    type Data = Cpu;

    fn show(cpu: &Cpu, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", cpu.request.lock().target)
    }

    fn store(cpu: &Cpu, input: &CStr) -> Result {
        cpu.go(State::parse(input)? as usize)
    }
}

fn fill<'data>(this: &'data SelfParkingRegistration<Cpuhp>, dir: &Dir<'data>) {
    dir.file::<Number<0, 1_000_000>>(c"step_us", &STEP_US);
    for (id, cpu) in this.0.iter() {
        let dir = dir.dir(fmt!("cpu{}", id.as_u32()));
        dir.file::<Atomic<u64>>(c"state", &cpu.state);
        dir.file::<Target>(c"target", cpu);
        dir.file::<State>(c"fail", &cpu.fail);
        dir.file::<Atomic<u64>>(c"steps", &cpu.steps);
    }
}

impl ScopedModule for Tree<SelfParkingRegistration<Cpuhp>> {
    fn init(_: &'static ThisModule, scope: &'static ModuleScope) -> impl PinInit<Self, Error> {
        let cpus = PerCpu::new(|id| {
            pin_init!(Cpu {
                id,
                caller <- new_mutex!(()),
                request <- new_mutex!(Request::default()),
                answered <- new_condvar!(),
                state: Atomic::new(0),
                fail: Atomic::new(0),
                steps: Atomic::new(0),
            })
        });
        let threads = cpus
            .and_then(|cpus| SelfParkingRegistration::new(scope, Cpuhp(cpus)))
            // The CPUs that are online take targets when the module is loaded.
            .and_then(|threads| threads.wait_until_up().map(|()| threads));
        Tree::new(scope, c"rust_cpuhp", threads, fill)
    }
}
