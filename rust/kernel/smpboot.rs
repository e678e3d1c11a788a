// SPDX-License-Identifier: GPL-2.0

//! Per-CPU threads that follow CPU hotplug.
//!
//! Some work belongs to a CPU: it uses that CPU's data, or must run there. For such work the kernel
//! has one thread per CPU: `ksoftirqd`, `migration`, `rcuc`, `cpuhp`. The thread is created when
//! its CPU first comes online, *parked* while the CPU is offline, and *unparked* when the CPU is
//! online again. A client describes its threads in a table of callbacks,
//! `struct smp_hotplug_thread`. The core in `kernel/smpboot.c` does the rest. This module is that
//! interface for Rust.
//!
//! C header: [`include/linux/smpboot.h`](srctree/include/linux/smpboot.h)
//!
//! - Implement [`HotplugThread`] for a type. All threads share its value. Each thread also owns a
//!   `Local`, which needs no lock.
//! - Make the type's static with [`hotplug_thread!`](crate::hotplug_thread), and declare the module
//!   with [`scoped_module!`](crate::scoped_module).
//! - [`Registration::new`] creates the threads; dropping the registration stops them.
//! - [`Registration::wake`] and [`Threads::wake`] make a thread run, from nearly any context.
//!
//! Three modules are usable without threads: [`cpuhp`] (hotplug states), [`percpu`] (storage per
//! CPU) and [`hotplug`] (the CPU masks and the hotplug lock).
//!
//! # Examples
//!
//! A module with one thread per CPU that counts its runs:
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
//!     type Local = u32;
//!
//!     fn setup(&self, _cx: &Context<'_>) -> impl PinInit<u32> {
//!         0
//!     }
//!
//!     fn run(&self, mut count: Pin<&mut u32>, cx: &Context<'_>) {
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
//! # Life cycle of a thread
//!
//! ```text
//!        registration, or first CPU-up                        unregistration
//!                   |                                               |
//!                create                                          cleanup ---> exit
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
//! - **Registration.** `smpboot_register_percpu_thread()` takes the hotplug lock for reading, and
//!   the mutex `smpboot_threads_lock`. For each online CPU, `__smpboot_create_thread()` makes a
//!   kthread that is bound to the CPU and parked; then the core unparks it. The table enters a
//!   list. Each later CPU-up (`cpu_up()`) walks the list, in `smpboot_create_threads()`, and makes
//!   the missing threads.
//! - **The loop.** Each thread runs `smpboot_thread_fn()`. It tests in this order: stop, park,
//!   `setup` or `unpark` due, `should_run`. So a thread that is stopped before its first run calls
//!   neither `setup` nor `cleanup`.
//! - **Unregistration.** `smpboot_unregister_percpu_thread()` stops the threads of all CPUs. A
//!   thread that is parked because its CPU is offline calls `cleanup` without `unpark`, on another
//!   CPU.
//!
//! | callback | runs in | on | the waiter holds |
//! |---|---|---|---|
//! | [`create`](HotplugThread::create) | the task that registers or onlines the CPU | any CPU | both locks, itself |
//! | [`setup`](HotplugThread::setup) | the thread, once | its CPU | |
//! | [`should_run`](HotplugThread::should_run) | the thread, preemption off, before each sleep | its CPU | |
//! | [`run`](HotplugThread::run) | the thread, when `should_run` is true | its CPU | |
//! | [`park`](HotplugThread::park) | the thread, during a CPU-down | its CPU, still online | both locks |
//! | [`unpark`](HotplugThread::unpark) | the thread, after `park` | its CPU | |
//! | [`cleanup`](HotplugThread::cleanup) | the thread, last, if `setup` ran | its CPU, or any if that is offline | both locks |
//!
//! # Parking is part of taking a CPU offline
//!
//! To come online or go offline, a CPU passes through a sequence of hotplug states, listed in
//! `/sys/devices/system/cpu/hotplug/states`:
//!
//! ```text
//!    online                                                          offline
//!        |   CREATE_THREADS       missing threads are created, parked    ^
//!        |   ...                  the CPU starts                         |
//!        |   AP_SMPBOOT_THREADS   threads are unparked  /  parked        |
//!        |   AP_WORKQUEUE_ONLINE  workqueues                             |
//!        |   AP_ONLINE_DYN        cpuhp::Registration, self-parking      |
//!        v   AP_ACTIVE            the scheduler uses the CPU             |
//! ```
//!
//! In a CPU-down (`cpu_down()`), `smpboot_park_threads()` walks the list from the oldest client to
//! the newest. For each, `kthread_park()` sets a flag, wakes the thread, and waits until it is off
//! the CPU in the state `TASK_PARKED`. That wait has no limit, and no signal ends it. During the
//! wait, the task that takes the CPU offline holds the hotplug lock for writing. Hence two rules
//! for every callback, `run` included:
//!
//! - It must not wait for the hotplug lock, nor for a task that may wait for that lock.
//! - It must return soon, or look at [`Context::should_park`] and [`Context::should_stop`] while it
//!   waits.
//!
//! Consequences of the order:
//!
//! - A module's thread parks after `ksoftirqd`. It is unparked before the workqueues of its CPU and
//!   before all `ONLINE_DYN` states, and parks after their teardown.
//! - [`hotplug::is_online`] is true before `unpark` and after `park`.
//! - Suspend to RAM and hibernation take all CPUs but one offline; suspend to idle parks no thread.
//! - Isolated CPUs (`isolcpus=`, `nohz_full=`) have threads too, which disturb them only when
//!   woken.
//! - A CPU that is removed physically is first taken offline. Its thread stays parked until it is
//!   unregistered.
//!
//! # Pending wakes
//!
//! `wake_up_process()` has no effect on a parked thread, and the kernel does not record the wake.
//! So each wake of this module first sets the CPU's flag. The loop tests the flag before each
//! sleep, clears it, and then calls `run`. A wake of an offline CPU stays pending until the CPU is
//! online again.
//!
//! The waker stores its work, sets the flag with a full barrier, and loads the thread's state. The
//! thread stores its state, executes a full barrier, and loads the flag. One of the two sees the
//! store of the other, so no wake is lost. A wake during `run` leads to another `run`. Several
//! wakes may share one `run`.
//!
//! # Misconceptions
//!
//! - *"A self-parking thread is unparked by the core and parks itself."* The core neither unparks
//!   it, after creation or at CPU-up, nor parks it: see [`SelfParkingRegistration`].
//! - *"setup is called when the CPU comes online."* It is called once per thread. When the CPU is
//!   online again, it still has its thread, and `unpark` is called.
//! - *"unpark is called when the CPU comes online."* In C only if the table has a `park`, because
//!   only `park` moves a thread to `HP_THREAD_PARKED`. Here it is called in any case.
//! - *"park means that the CPU goes offline."* When a later step of a CPU-down fails, the CPU-down
//!   is rolled back: `unpark` follows, and the CPU was never offline.
//! - *"When register returns, the threads are running."* They exist: see
//!   [`Registration::wait_until_up`].
//! - *"Waking a parked thread wakes it later."* In C the wake is lost; here it is pending.
//!
//! `doc/hazards.md` lists the hazards of the C interface, what prevents each one here, and the test
//! that shows it. `doc/mechanisms.md` has the costs of wakes and callbacks.

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
