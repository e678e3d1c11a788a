// SPDX-License-Identifier: GPL-2.0

//! One run: its tasks, its memory and its waits, on top of shuttle.

use crate::bindings::{smp_hotplug_thread, task_struct};
use core::cell::RefCell;
use core::task::{Poll, Waker};
use std::time::Duration;

/// Possible CPUs. CPU 0 is always online.
pub const CPUS: usize = 2;
/// The distance between the per-CPU data of two CPUs, in bytes.
pub const STRIDE: usize = 1024;

/// A condition that a task waits for, on that task's stack.
type Condition = *mut dyn FnMut() -> bool;

/// A dynamic hotplug state.
#[derive(Clone, Copy)]
pub struct Step {
    pub startup: Option<unsafe extern "C" fn(u32) -> i32>,
    pub teardown: Option<unsafe extern "C" fn(u32) -> i32>,
}

/// A timer that is set, or whose function runs.
pub struct Timer {
    pub id: usize,
    pub expires: i64,
    pub cpu: usize,
    pub running: bool,
    pub fire: unsafe fn(usize),
}

#[derive(Default)]
pub struct World {
    run: u64,
    /// The `task_struct` of each of shuttle's tasks.
    current: Vec<*mut task_struct>,
    #[allow(clippy::vec_box, reason = "other code has their addresses")]
    tasks: Vec<Box<task_struct>>,
    waiting: Vec<(usize, Waker, Condition)>,
    readers: Vec<(usize, u64)>,
    sections: u64,
    freed: Vec<(usize, usize)>,
    kept: Vec<(*mut u8, core::alloc::Layout)>,
    /// The number of allocations in use.
    pub allocated: usize,
    /// The allocation that fails, counted from now on.
    pub fail_alloc: Option<usize>,
    /// The creation of a thread that fails, counted from now on.
    pub fail_create: Option<usize>,
    pub irqs_off: [usize; CPUS],
    pub in_interrupt: [bool; CPUS],
    pub now: i64,
    pub timers: Vec<Timer>,
    pub horizon: i64,
    over: bool,
    // kernel/cpu.c
    pub cpu_add_remove_lock: bool,
    pub cpu_hotplug_readers: usize,
    pub cpu_hotplug_writer: bool,
    pub cpu_hotplug_disabled: usize,
    pub cpuhp_state_mutex: bool,
    pub cpuhp_hp_states: [Option<Step>; 4],
    /// The number of these states that each CPU has reached: none or all, except during a change.
    pub cpuhp_reached: [usize; CPUS],
    // kernel/smpboot.c
    pub smpboot_threads_lock: bool,
    pub hotplug_threads: Vec<*mut smp_hotplug_thread>,
    pub threads_alive: usize,
    pub log: Vec<String>,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::default());
    static TRACE: bool = std::env::var_os("SIM_TRACE").is_some();
}

pub fn with<R>(f: impl FnOnce(&mut World) -> R) -> R {
    WORLD.with(|world| f(&mut world.borrow_mut()))
}

/// Begins a run, in shuttle's first task.
pub fn begin() {
    with(|w| {
        for (at, layout) in core::mem::take(&mut w.kept) {
            // SAFETY: From `alloc`, and its owner has freed it.
            unsafe { std::alloc::dealloc(at, layout) };
        }
        let run = w.run + 1;
        *w = World { run, horizon: i64::MAX, ..World::default() };
    });
    crate::bindings::reset();
}

/// Prints a line of the trace, in a replay.
pub fn note(what: impl FnOnce() -> String) {
    if TRACE.with(|trace| *trace) {
        let task = current();
        // SAFETY: The current task exists.
        println!("{:>12}: {}", unsafe { &(*task).name }, what());
    }
}

fn me() -> usize {
    usize::from(shuttle::current::me())
}

/// Returns the current task.
pub fn current() -> *mut task_struct {
    let me = me();
    if let Some(task) = with(|w| w.current.get(me).copied()) {
        if !task.is_null() {
            return task;
        }
    }
    let task = new_task(task_struct::new("init", 0));
    set_current(task);
    task
}

/// Makes the current flow of control another task, and returns the previous one.
pub fn set_current(task: *mut task_struct) {
    let me = me();
    with(|w| {
        if w.current.len() <= me {
            w.current.resize(me + 1, core::ptr::null_mut());
        }
        w.current[me] = task;
    });
}

pub fn new_task(task: task_struct) -> *mut task_struct {
    with(|w| {
        w.tasks.push(Box::new(task));
        let pid = w.tasks.len() as i32;
        let task = w.tasks.last_mut().unwrap();
        task.pid = pid;
        &raw mut **task
    })
}

/// Starts a task of a scenario on that CPU.
pub fn spawn(name: &'static str, cpu: usize, f: impl FnOnce() + 'static) -> JoinHandle {
    let f = Sendable(f);
    JoinHandle(shuttle::thread::spawn(move || {
        let f = f;
        set_current(new_task(task_struct::new(name, cpu as u32)));
        (f.0)();
    }))
}

pub struct JoinHandle(shuttle::thread::JoinHandle<()>);

impl JoinHandle {
    pub fn join(self) {
        might_sleep();
        self.0.join().unwrap();
    }
}

/// A value that only the tasks of a run use, which share one thread.
pub struct Sendable<T>(pub T);
// SAFETY: All tasks of a run share one thread.
unsafe impl<T> Send for Sendable<T> {}

/// Lets shuttle switch to another task.
pub fn step() {
    if std::thread::panicking() {
        return;
    }
    // Only a switch.
    shuttle::thread::sleep(Duration::ZERO);
    while stopped() {
        block_until(|| !stopped());
    }
}

/// Returns whether an interrupt runs on the CPU of the current task.
fn stopped() -> bool {
    let task = current();
    // SAFETY: The current task exists.
    let (cpu, interrupt) = unsafe { ((*task).on_cpu(), (*task).interrupt) };
    !interrupt && with(|w| w.in_interrupt[cpu])
}

/// Executes the step of an access to shared memory.
pub fn touch<T>(at: *mut T) {
    step();
    check(at);
}

/// Ends the run if that memory was freed.
pub fn check<T>(at: *mut T) {
    let at = at as usize;
    if with(|w| w.freed.iter().any(|(from, to)| (*from..*to).contains(&at)))
        && !std::thread::panicking()
    {
        panic!("memory is used after it was freed");
    }
}

/// Ends the run in atomic context. Functions that may sleep call this.
#[track_caller]
pub fn might_sleep() {
    let task = current();
    // SAFETY: The current task exists.
    if unsafe { (*task).atomic } != 0 && !std::thread::panicking() {
        panic!("sleeps in atomic context");
    }
}

/// Enters atomic contexts, or leaves them if `more` is negative.
pub fn atomic(more: i32) {
    let task = current();
    // SAFETY: The current task exists.
    unsafe { (*task).atomic += more };
}

/// Sleeps until `done` returns true. No other task runs between that and the return.
#[track_caller]
pub fn wait_until(done: impl FnMut() -> bool) {
    might_sleep();
    block_until(done);
}

/// Waits like [`wait_until`], but without sleeping.
pub fn block_until(mut done: impl FnMut() -> bool) {
    if std::thread::panicking() || done() {
        return;
    }
    let me = me();
    let condition: *mut (dyn FnMut() -> bool + '_) = &mut done;
    // SAFETY: `condition` is used only as long as it is in `waiting`, which is until this returns.
    let condition: Condition = unsafe { core::mem::transmute(condition) };
    shuttle::future::block_on(core::future::poll_fn(|cx| {
        // SAFETY: Tasks take turns.
        if unsafe { (*condition)() } {
            with(|w| w.waiting.retain(|(task, ..)| *task != me));
            return Poll::Ready(());
        }
        with(|w| {
            if !w.waiting.iter().any(|(task, ..)| *task == me) {
                w.waiting.push((me, cx.waker().clone(), condition));
            }
        });
        Poll::Pending
    }));
}

/// Evaluates the conditions of waiting tasks again. Call this after each change of their state.
pub fn changed() {
    if std::thread::panicking() {
        return;
    }
    let mut at = 0;
    while let Some((waker, condition)) =
        with(|w| w.waiting.get(at).map(|(_, waker, c)| (waker.clone(), *c)))
    {
        // SAFETY: The condition is in the list only as long as it is valid.
        if unsafe { (*condition)() } {
            waker.wake();
        }
        at += 1;
    }
}

/// Takes a lock, which `which` finds.
#[track_caller]
pub fn lock(which: fn(&mut World) -> &mut bool) {
    step();
    wait_until(|| with(|w| !*which(w)));
    with(|w| *which(w) = true);
}

pub fn unlock(which: fn(&mut World) -> &mut bool) {
    with(|w| *which(w) = false);
    changed();
}

/// Returns whether interrupts are enabled on that CPU, so that it may also go offline.
pub fn interruptible(cpu: usize) -> bool {
    with(|w| w.irqs_off[cpu] == 0 && !w.in_interrupt[cpu])
}

/// Runs `f` as an interrupt on that CPU, or on another one if it is offline.
pub fn interrupt(cpu: usize, f: impl FnOnce()) {
    step();
    let on = || if crate::bindings::online(cpu as u32) { cpu } else { 0 };
    block_until(|| interruptible(on()));
    let cpu = on();
    with(|w| w.in_interrupt[cpu] = true);
    let before = current();
    let mut task = task_struct::new("interrupt", cpu as u32);
    (task.interrupt, task.atomic) = (true, 1);
    set_current(new_task(task));
    f();
    set_current(before);
    with(|w| w.in_interrupt[cpu] = false);
    changed();
}

/// Disables interrupts on the task's CPU, which the task then does not leave, or enables them
/// again.
pub fn irqs(off: bool) {
    let task = current();
    // SAFETY: The current task exists.
    let irqs = unsafe { &mut (*task).irqs_off };
    if off {
        // SAFETY: The same.
        let (depth, cpu) = irqs.unwrap_or((0, unsafe { (*task).on_cpu() }));
        *irqs = Some((depth + 1, cpu));
        with(|w| w.irqs_off[cpu] += 1);
        atomic(1);
    } else {
        let (depth, cpu) = irqs.unwrap();
        *irqs = (depth > 1).then_some((depth - 1, cpu));
        with(|w| w.irqs_off[cpu] -= 1);
        atomic(-1);
        changed();
    }
}

/// Starts the clock, which fires timers: each at any time after it was set, the earliest first,
/// none after the horizon. [`over`] ends it.
pub fn clock() -> JoinHandle {
    fn next(w: &World) -> Option<(i64, usize)> {
        let set = w.timers.iter().filter(|t| !t.running && t.expires <= w.horizon);
        set.map(|t| (t.expires, t.id)).min()
    }
    spawn("clock", 0, || loop {
        block_until(|| with(|w| w.over || next(w).is_some()));
        if with(|w| w.over) {
            return;
        }
        step();
        let Some((_, id)) = with(|w| next(w)) else {
            continue;
        };
        let cpu = with(|w| w.timers.iter().find(|t| t.id == id).unwrap().cpu);
        interrupt(cpu, || {
            let fire = with(|w| {
                let t = w.timers.iter_mut().find(|t| t.id == id && !t.running)?;
                t.running = true;
                w.now = w.now.max(t.expires);
                Some(t.fire)
            });
            if let Some(fire) = fire {
                note(|| "a timer expires".into());
                // SAFETY: A timer that is set.
                unsafe { fire(id) };
                with(|w| w.timers.retain(|t| t.id != id || !t.running));
                changed();
            }
        });
    })
}

/// Ends the clock.
pub fn over() {
    with(|w| w.over = true);
    changed();
}

/// Stops a timer, and waits for its function.
pub fn stop_timer(id: usize) {
    step();
    block_until(|| with(|w| !w.timers.iter().any(|t| t.id == id && t.running)));
    with(|w| w.timers.retain(|t| t.id != id));
}

pub fn rcu_lock() {
    step();
    atomic(1);
    let me = me();
    with(|w| {
        w.sections += 1;
        let section = w.sections;
        w.readers.push((me, section));
    });
}

pub fn rcu_unlock() {
    step();
    atomic(-1);
    let me = me();
    with(|w| {
        let last = w.readers.iter().rposition(|(task, _)| *task == me).unwrap();
        w.readers.remove(last);
    });
    changed();
}

pub fn synchronize_rcu() {
    might_sleep();
    step();
    let now = with(|w| w.sections);
    wait_until(|| with(|w| w.readers.iter().all(|(_, section)| *section > now)));
}

/// Returns zeroed memory, or null if this allocation must fail.
pub fn alloc(layout: core::alloc::Layout) -> *mut u8 {
    if with(|w| countdown(&mut w.fail_alloc)) {
        return core::ptr::null_mut();
    }
    with(|w| w.allocated += 1);
    // SAFETY: The layout is not empty.
    unsafe { std::alloc::alloc_zeroed(layout) }
}

/// Frees memory. It is kept until the next run, so that later uses are detected.
pub fn free(at: *mut u8, layout: core::alloc::Layout) {
    step();
    with(|w| {
        w.allocated -= 1;
        w.freed.push((at as usize, at as usize + layout.size()));
        w.kept.push((at, layout));
    });
}

/// Returns whether this call must fail.
pub fn countdown(turns: &mut Option<usize>) -> bool {
    match turns {
        Some(0) => {
            *turns = None;
            true
        }
        Some(n) => {
            *n -= 1;
            false
        }
        None => false,
    }
}

pub fn log(line: String) {
    note(|| format!("log: {line}"));
    with(|w| w.log.push(line));
}
