// SPDX-License-Identifier: GPL-2.0

//! Per-CPU threads that follow CPU hotplug.
//!
//! Some work belongs to a CPU: it touches that CPU's data, or has to run there. The kernel gives
//! such work a thread per CPU, created when the CPU first comes online, *parked* (kept, asleep)
//! while it is offline, and *unparked* when it is back: `ksoftirqd`, `migration`, `rcuc`, `cpuhp`
//! and others. A client describes its threads with a `struct smp_hotplug_thread`, a table of
//! callbacks, and the core in `kernel/smpboot.c` does the rest. This module is that interface for
//! Rust.
//!
//! C header: [`include/linux/smpboot.h`](srctree/include/linux/smpboot.h)
//!
//! # In short
//!
//! - Implement [`HotplugThread`] for a type. Its value is what the threads share; what one thread
//!   has for itself is its `Local`, which needs no lock because nobody else can reach it.
//! - Make the type's static with [`hotplug_thread!`](crate::hotplug_thread), and declare the module
//!   with [`scoped_module!`](crate::scoped_module).
//! - [`Registration::new`] creates the threads; dropping the registration stops them.
//! - [`Registration::wake`] makes a thread run, from nearly any context; [`Threads::wake`] does so at
//!   any time, also where no registration is at hand.
//!
//! Beside that there are, each usable without the threads: [`cpuhp`], callbacks for CPUs that come
//! and go; [`percpu`], storage for each CPU; [`hotplug`], the CPUs that there are and the lock that
//! keeps it so.
//!
//! # Examples
//!
//! A module with one thread per CPU that counts how often it was woken:
//!
//! ```
//! use kernel::prelude::*;
//! use smpboot::{
//!     Context,
//!     HotplugThread,
//!     ModuleScope,
//!     Registration,
//!     ScopedModule, //
//! };
//!
//! struct Counter;
//!
//! #[vtable]
//! impl HotplugThread for Counter {
//!     const NAME: &'static CStr = c"counter";
//!
//!     type Local = u64;
//!
//!     fn setup(&self, _cx: &Context<'_>) -> impl PinInit<u64> {
//!         0
//!     }
//!
//!     fn run(&self, mut count: Pin<&mut u64>, cx: &Context<'_>) {
//!         *count += 1;
//!         pr_info!("CPU {}: {} times\n", cx.cpu().as_u32(), *count);
//!     }
//! }
//!
//! hotplug_thread!(Counter);
//!
//! struct CounterModule {
//!     _threads: Registration<Counter>,
//! }
//!
//! impl ScopedModule for CounterModule {
//!     fn init(
//!         _module: &'static ThisModule,
//!         scope: &'static ModuleScope,
//!     ) -> impl PinInit<Self, Error> {
//!         let threads = Registration::new(scope, Counter)?;
//!         threads.threads().wake_all();
//!         Ok(Self { _threads: threads })
//!     }
//! }
//!
//! scoped_module! {
//!     type: CounterModule,
//!     name: "counter",
//!     authors: ["A. N. Author"],
//!     description: "Counts its wakes",
//!     license: "GPL",
//! }
//! ```
//!
//! # The life of a thread
//!
//! ```text
//!        registration, or first CPU-up                        unregistration
//!                   |                                               |
//!                create                                          cleanup ---> gone
//!                   |                                               ^
//!                   v         the CPU is online                     | stop, from any state
//!              (parked, NONE) ------- setup ------> ACTIVE ---------+
//!                                                   |    ^          |
//!                                CPU-down:   park   |    |  unpark  |   CPU-up
//!                                                   v    |          |
//!                                                   PARKED ---------+
//!
//!              ACTIVE:  should_run? -- yes --> run --+
//!                         ^   |                      |
//!                         |   no: sleep until woken  |
//!                         +----------<---------------+
//! ```
//!
//! The loop of each thread, `smpboot_thread_fn()`, asks in this order: am I to stop, am I to park,
//! did I not do my setup or my unpark yet, is there something to do. So a thread that is stopped
//! before it ever ran goes from NONE to its end with neither setup nor cleanup. One that is stopped
//! while its CPU is offline goes from PARKED to cleanup with no unpark, on some other CPU.
//!
//! | callback | runs in | on | holds | called |
//! |---|---|---|---|---|
//! | [`create`](HotplugThread::create) | the task that registers, or that onlines the CPU | any CPU | the hotplug lock and the core's mutex | once per thread |
//! | [`setup`](HotplugThread::setup) | the thread | its CPU | nothing | once per thread, not once per online |
//! | [`should_run`](HotplugThread::should_run) | the thread, preemption off | its CPU | nothing | before every sleep |
//! | [`run`](HotplugThread::run) | the thread | its CPU | nothing | when there is something to do |
//! | [`park`](HotplugThread::park) | the thread | its CPU, still online | nothing, but the waiter holds the hotplug lock | CPU-down, also one that is rolled back |
//! | [`unpark`](HotplugThread::unpark) | the thread | its CPU | nothing | after `park` |
//! | [`cleanup`](HotplugThread::cleanup) | the thread | its CPU, or another one if that is offline | nothing, but the waiter holds both locks | last and once, if `setup` was |
//!
//! What "holds nothing" is worth: a CPU-down waits, for as long as it takes and with the hotplug lock
//! held for writing, until the thread has come out of its callback and parked; unregistration waits
//! alike. So a callback that waits for that lock waits for ever, and one that does not come back
//! hangs all of CPU hotplug. See [`Context`].
//!
//! # Where hotplug threads stand
//!
//! A CPU that comes up climbs a ladder of hotplug states, `/sys/devices/system/cpu/hotplug/states`.
//!
//! ```text
//!       up                                                              down
//!        |   CREATE_THREADS       threads are created, parked            ^
//!        |   ...                  the CPU starts                         |
//!        |   AP_SMPBOOT_THREADS   threads are unparked  /  parked        |
//!        |   AP_WORKQUEUE_ONLINE  workqueues                             |
//!        |   AP_ONLINE_DYN        cpuhp::Registration, self-parking      |
//!        v   AP_ACTIVE            the scheduler uses the CPU             |
//! ```
//!
//! So when a normal thread is unparked, workqueues and all `ONLINE_DYN` states of its CPU are still
//! to come, and when it is parked, they are gone already. Among hotplug threads, the newest is
//! unparked first, and the oldest parked first: a module's thread parks after `ksoftirqd` did.
//! [`hotplug::is_online`] is true before `unpark` and after `park`: it does not tell whether the
//! thread can run.
//!
//! Suspend to RAM and hibernation take all CPUs but the boot CPU offline, and park their threads;
//! suspend to idle parks nothing. There is a thread on every online CPU, also on isolated ones
//! (`isolcpus=`, `nohz_full=`): as long as nobody wakes it, it does not disturb them. A CPU that is
//! removed physically goes offline first; its thread stays parked until it is unregistered.
//!
//! # What others say, and what the kernel does
//!
//! - *"A self-parking thread is unparked by the core and parks itself."* The core neither unparks
//!   it, after creation or at CPU-up, nor parks it: see [`SelfParkingRegistration`].
//! - *"setup is called when the CPU comes online."* Once in the thread's life: a CPU that comes back
//!   keeps its thread, and `unpark` is called.
//! - *"unpark is called when the CPU comes online."* Only if the table has a `park`. Here it is
//!   called in any case.
//! - *"park means that the CPU goes away."* A CPU-down that fails in a later step is rolled back, and
//!   `unpark` follows with the CPU online all the time.
//! - *"When register returns, the threads are running."* They exist. Registering and unregistering at
//!   once may call no callback at all.
//! - *"Waking a parked thread wakes it later."* The wake is not remembered by the kernel. The flag of
//!   this module is: see [`Threads::wake`].
//!
//! # Cost
//!
//! The callbacks that the core gets are monomorphic functions that find their state at a link-time
//! address, as a C callback finds its per-CPU variable: there is no lookup and no indirect call.
//! What is not written is NULL in the table, except `setup`, where `Local` comes from, and `cleanup`
//! if `Local` needs dropping.
//!
//! Instructions that a callback executes, for the twins in `bench/`: the same thread in C, with
//! static per-CPU variables, and in Rust. (x86-64, Debian's 7.3.4 configuration, gcc 14.2 and rustc
//! 1.85.1; `endbr64`, the call that ftrace turns into a nop, the call into the driver of the bench and
//! padding are not counted.)
//!
//! | callback | C | Rust | |
//! |---|---|---|---|
//! | `thread_should_run` | 11 | 7 | reads the flag |
//! | `thread_fn` | 17 | 9 | clears the flag, counts |
//! | `park`, `unpark` | 11 | 5 | counts |
//!
//! What C has more are the checks of the CPU number against the length of `__per_cpu_offset`, which
//! Debian's `UBSAN_BOUNDS` adds; here the core vouches for it. Safety itself costs no instruction in
//! a callback. It costs in `setup`, once per thread: telling [`Registration::wait_until_up`].
//!
//! A wake by the registration, [`Registration::wake`], costs what it costs in C, and less if the thread
//! is awake: it is safe because the registration is borrowed. A wake without one, [`Threads::wake`],
//! pays for an RCU read-side section and a look at the registration's state, and makes unregistration
//! wait for a grace period. `make bench` measures it all; `doc/mechanisms.md` has figures.
//!
//! Registration allocates what C does, the task and the core's own data for each thread, with one
//! piece of per-CPU storage for task pointers, flags and local states, and the memory of the shared
//! value.
//!
//! # Hazards
//!
//! What can go wrong with the C interface, and what becomes of it here. *type*: it cannot be
//! written; *run*: an error at run time; *doc*: documented, and a test shows what happens.
//!
//! | # | hazard | here |
//! |---|---|---|
//! | 1 | Callbacks have no context pointer, and a static in a generic function is one for all. | *type*: one static per type, made by [`hotplug_thread!`](crate::hotplug_thread) and found through a trait that only the macro implements |
//! | 2 | The descriptor is linked into a list: it must not move or go away. | *type*: it is that static |
//! | 3 | `store` must be NULL before registration. | *type*: zeroed storage is made for each registration |
//! | 4 | Registering twice, unregistering what is not registered. | *run*: `EBUSY`; *type*: only a [`Registration`] unregisters, by being dropped |
//! | 5 | Registration fails, also with `EINTR` when the task is killed. | *run*: [`Registration::new`] lists the errors, and undoes what was done |
//! | 6 | A failure half-way stops the threads made so far; which of them ran is a race. | *type*: `Local` exists from `setup` to `cleanup`, whatever the order; *doc*: `create` has no inverse |
//! | 7 | Success does not mean that any thread has run. | *run*: [`Registration::wait_until_up`]; *type*: nothing but the thread itself can see `Local` |
//! | 8 | Registering or unregistering in a callback, or with the hotplug lock held, deadlocks. | *run*: `EDEADLK` in callbacks, and a drop there leaves the threads to the module's end; with the lock held: *doc*, lockdep reports it ([`hotplug::CpusReadGuard`]) |
//! | 9 | `thread_comm` is a format string; a `comm` is cut at 15 characters. | *type*: [`HotplugThread::NAME`] is checked while building |
//! | 10 | There is no thread for a CPU that was never online. | *run*: the wake stays pending, and [`Threads::info`] is `None` |
//! | 11 | There is no `.owner`: a leaked registration runs freed code. | *type*: registering takes a [`ModuleScope`], which ends with the module: see [`module_scope`] |
//! | 12 | Wakers must be gone before the threads. | *type*: [`Threads::wake`] is safe at any time |
//! | 13 | Static per-CPU data of modules comes from 8 KiB. | *type*: storage is allocated; too large a `Local` is an error while building |
//! | 14 | The hotplug lock in a callback deadlocks; there are hidden takers. | *run*: [`hotplug::CpusReadGuard::new`] returns `EDEADLK`; for others *doc*: [`Context`], lockdep reports it |
//! | 15 | A callback that does not come back hangs hotplug. | *doc*: [`Context::should_park`] and [`Context::should_stop`] are there to be asked |
//! | 16 | A failure to create any client's thread fails the CPU-up. | *doc*: here; nothing of this module's can fail there |
//! | 17 | A lost wakeup. | *type*: the flag is the abstraction's, with its barriers: [`Threads::wake`] |
//! | 18 | Clearing the flag after the work. | *type*: it is cleared before [`HotplugThread::run`] |
//! | 19 | Waking a parked thread does nothing. | *type*: the flag is kept, and the thread runs when its CPU is back |
//! | 20 | A wake while the threads are being stopped uses a freed task. | *type*: wakers have the registration, or are RCU readers, for whom unregistration waits first |
//! | 21 | Not from NMI, nor under a run-queue lock. | *doc*: [`Threads`] |
//! | 22 | Online does not mean that the thread can run. | *doc*: [`hotplug::is_online`], and above |
//! | 23 | The thread must not be moved to another CPU. | *type*: its task is never handed out |
//! | 24 | A self-parking thread that nobody parks. | *type*: [`SelfParkingRegistration`] has the callback that does |
//! | 25 | A panic in a callback is a BUG. | *doc*: [`HotplugThread`]; nothing here panics |
//! | 26 | Threads are unparked before `ONLINE_DYN` startups, and parked after the teardowns. | *doc*: above |
//! | 27 | The newest is unparked first, the oldest parked first. | *doc*: above |
//! | 28 | `park` without an offline. | *doc*: [`HotplugThread::park`], [`cpuhp::Callbacks::teardown`] |
//! | 29 | `setup` is called once, not per online. | *doc*: [`HotplugThread::setup`] |
//! | 30 | Suspend. | *doc*: above |
//! | 31 | Isolated CPUs have threads too. | *doc*: above |
//! | 32 | Hot-remove. | *doc*: above |
//! | 33 | Without SMP. | *type*: a build error, see [`percpu`] |
//! | 34 | Registering while a CPU is stopped half-way up: it gets no thread, which is then unparked. | *doc*: only a kernel with `CONFIG_CPU_HOTPLUG_STATE_CONTROL`, for debugging, can stop there |
//! | 35 | Where interrupts are forced into threads (`PREEMPT_RT`, `threadirqs`) a callback that sleeps for some time while its CPU goes down is not woken: `ktimers` has parked. | *run*: [`Context::sleep`]; for other sleeps *doc*: there |

mod atomic_context;
mod registration;
mod sched;
mod self_parking;
mod table;
mod thread;
mod untyped;
mod wake;

#[doc(hidden)]
pub use super::cpu::slot::Access as SlotAccess;
pub(crate) use super::seam;
pub use super::{
    cpu::{
        cpuhp,
        hotplug,
        Context, //
    },
    module_scope::{
        self,
        ModuleScope,
        ScopedModule, //
    },
    percpu::{
        self,
        PerCpu, //
    }, //
};
pub use atomic_context::AtomicContext;
pub use registration::Registration;
pub use sched::{
    Nice,
    SchedPolicy, //
};
pub use self_parking::SelfParkingRegistration;
#[doc(hidden)]
pub use table::ThreadSlot;
pub use thread::{
    HasThreadSlot,
    HotplugThread, //
};
pub use wake::{
    ThreadInfo,
    ThreadState,
    Threads, //
};
