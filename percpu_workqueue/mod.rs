// SPDX-License-Identifier: GPL-2.0

//! A work queue for items that must run on one CPU, on top of hotplug threads.
//!
//! The interface is that of [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h), for
//! one CPU at a time. The same in both:
//!
//! | here | C |
//! |---|---|
//! | [`Queue::new`], dropping the queue | `alloc_workqueue()`, `destroy_workqueue()` |
//! | [`Work::new`], as a `static` or in an [`Arc`](kernel::sync::Arc) | `DECLARE_WORK()`, `INIT_WORK()` |
//! | [`Queue::queue_work`], [`Queue::queue_work_on`] | `queue_work()`, `queue_work_on()` |
//! | [`Queue::queue_delayed_work`], [`Queue::mod_delayed_work`] and `_on` | the same |
//! | [`Queue::cancel`], [`Queue::cancel_sync`] | `cancel_work()`, `cancel_work_sync()` |
//! | [`Queue::flush_work`], [`Queue::flush`] | `flush_delayed_work()`, `flush_workqueue()` |
//!
//! An item that is queued twice before it runs is run once. It may sleep and may queue itself
//! again. It never runs on two CPUs at a time.
//!
//! Different from C:
//!
//! - The items of a CPU run in one thread, one after the other: an item that sleeps delays the
//!   items behind it. A `WQ_PERCPU` queue would start a second worker.
//! - An item runs on the CPU that it was queued for. In C, an item that is running is run on the
//!   same CPU again. When its CPU goes offline, C runs it on another CPU; here the creator of the
//!   queue decides ([`Offline`]).
//! - A work function cannot wait for items, not even of other queues (`EDEADLK`). A CPU-down waits
//!   for the function to return, and those items may wait for the CPU-down.
//! - There is one kind of item. An item has a due time, but no timer: the thread sets one timer per
//!   queue and CPU. So no item has a timer to stop.
//! - Destroying the queue runs delayed items at once; C leaves their timers to the caller.
//!
//! # Examples
//!
//! ```
//! use percpu_workqueue::{Offline, Queue, QueueType, Work, WorkItem, Worker};
//! # use kernel::sync::atomic::{Atomic, Relaxed};
//! # use smpboot::SchedPolicy;
//!
//! struct Events;
//!
//! impl QueueType for Events {
//!     const NAME: &'static CStr = c"events";
//! }
//!
//! percpu_workqueue!(Events);
//!
//! struct Hello;
//! # static RUNS: Atomic<u32> = Atomic::new(0);
//!
//! impl WorkItem for Hello {
//!     type Queue = Events;
//!     type Pointer = &'static Work<Self>;
//!
//!     fn run(_this: &&'static Work<Self>, worker: &Worker<'_, Events>) {
//!         pr_info!("hello from CPU {}\n", worker.cpu().as_u32());
//! #       RUNS.add(1, Relaxed);
//!     }
//! }
//!
//! static HELLO: Work<Hello> = Work::new(Hello);
//!
//! let queue = Queue::<Events>::new(scope, Offline::Move, SchedPolicy::Fifo)?;
//! queue.queue_work(&HELLO)?;
//! queue.flush_work(&HELLO)?;
//! # assert_eq!(RUNS.load(Relaxed), 1);
//! ```
//!
//! # How it works
//!
//! ```text
//!   any context                  thread of the CPU, or a task that cancels
//!
//!   queue_work_on --> Incoming --> Backlog, under a lock          --> Batch of the thread --> run
//!                     no lock      ready:   first in, first out       no lock
//!                                  delayed: by time, one timer per CPU
//! ```
//!
//! Queueing an item costs two atomic operations and the thread's wake. One operation is on the
//! item, the other on the CPU's list; interrupts are off in between. The thread takes the lock once
//! for all incoming items, and once for each batch of 32. It starts an item of its batch with one
//! more atomic operation. Any other context takes an item out of the batch with the same operation,
//! to cancel or modify it.
//!
//! With [`Offline::Move`] and [`Offline::Refuse`], the thread itself opens its list when it is up.
//! When it parks, it closes the list and takes the remaining items, in one step. So an item enters
//! the list only if the thread will run it or pass it on.

use kernel::{
    cpu::CpuId,
    prelude::*,
    time::Delta, //
};

mod atomic;
mod irq;
mod list;
mod work;
mod workers;

use crate::smpboot::{
    Context,
    ModuleScope,
    PerCpu,
    Registration,
    SchedPolicy,
    SlotAccess,
    ThreadSlot, //
};
pub use work::{
    Pointer,
    Work,
    WorkItem, //
};
pub use workers::Workers;

/// The fate of the items of a CPU that goes offline, and of items queued for it while it is
/// offline.
///
/// With each choice, a CPU-down waits for an item that is running.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offline {
    /// Items wait until the CPU is online again, without a limit. Flushing waits as long: do not
    /// flush with the hotplug lock held, without which no CPU comes online.
    Wait,
    /// Items move to another CPU, in their order.
    Move,
    /// Pending items are given back, see [`WorkItem::refused`]; queueing fails with `ENODEV`.
    Refuse,
}

/// A kind of queue. There is one queue of a kind at a time.
///
/// [`percpu_workqueue!`](crate::percpu_workqueue) creates its static.
pub trait QueueType: HasSlot + Send + Sync {
    /// The name of the threads, as in [`HotplugThread::NAME`](crate::smpboot::HotplugThread::NAME).
    const NAME: &'static CStr;
}

/// A type with a static of its own for the threads of its queue.
///
/// # Safety
///
/// As for [`HasThreadSlot`](crate::smpboot::HasThreadSlot).
pub unsafe trait HasSlot: Sized + 'static {
    #[doc(hidden)]
    fn slot(_: SlotAccess) -> &'static ThreadSlot<Workers<Self>>
    where
        Self: QueueType;
}

/// Creates the static that a [`QueueType`] needs.
#[macro_export]
macro_rules! percpu_workqueue {
    ($type:ty) => {
        // SAFETY: The static is created here, inside the function, where no other code can name it.
        unsafe impl $crate::percpu_workqueue::HasSlot for $type {
            #[inline(always)]
            fn slot(
                _: $crate::smpboot::SlotAccess,
            ) -> &'static $crate::smpboot::ThreadSlot<$crate::percpu_workqueue::Workers<Self>> {
                static SLOT: $crate::smpboot::ThreadSlot<$crate::percpu_workqueue::Workers<$type>> =
                    $crate::smpboot::ThreadSlot::new();
                &SLOT
            }
        }
    };
}

/// The CPU that an item is queued for.
#[derive(Clone, Copy)]
enum Place {
    On(CpuId),
    /// This CPU, or another one if this one takes no items.
    Here,
}

/// A work queue: a thread per CPU, which runs items.
///
/// Dropping it runs all queued items and ends the threads. Delayed items run without their delay.
/// Drop it in process context, with no hotplug lock held. During that, work functions cannot queue
/// items (`ESHUTDOWN`). Items of a CPU that is offline are [given back](WorkItem::refused). A queue
/// that a work function drops cannot wait for that function: it stays until the module ends, and an
/// error is logged; see [`Registration`]. A leaked queue stays as long. Items that are pending at
/// the module's end are given back.
///
/// Unless documented otherwise, a function may be called in any context but NMI, also with
/// interrupts off. (With `PREEMPT_RT`, functions that take items back need a context in which a
/// spinlock may be taken.) The run sees all that the caller wrote before it queued the item, also
/// if the item was pending already.
pub struct Queue<Q: QueueType> {
    threads: Registration<Workers<Q>>,
}

impl<Q: QueueType> Queue<Q> {
    /// Creates the queue of type `Q`, and its threads.
    ///
    /// Process context. Fails as [`Registration::new`] does: `EBUSY` if a queue of this type
    /// exists, `EDEADLK` in a work function, `ENOMEM` and others.
    pub fn new(scope: &'static ModuleScope, offline: Offline, sched: SchedPolicy) -> Result<Self> {
        let threads = Registration::new(scope, Workers::new(scope, offline, sched)?)?;
        threads.wait_until_up()?;
        Ok(Self { threads })
    }

    fn wake(&self, cpu: CpuId) {
        // The list decides whether the CPU takes items, not the wake.
        self.threads.wake(cpu);
    }

    fn submit<P>(&self, place: Place, item: P, delay: Delta) -> Result<bool>
    where
        P: Pointer<Item: WorkItem<Queue = Q>>,
    {
        self.threads
            .submit(place, item, delay, |cpu| self.wake(cpu))
    }

    /// Queues an item on this CPU. If this CPU takes no items at the moment, queues it on another
    /// one.
    ///
    /// Returns whether the item was queued. If not, it was pending already, and runs once for both
    /// calls.
    ///
    /// # Errors
    ///
    /// - `ECANCELED`: a task is in [`cancel_sync`](Self::cancel_sync) with this item.
    /// - `ESHUTDOWN`: the queue is being destroyed.
    /// - `ENODEV`: no CPU takes items at the moment.
    pub fn queue_work<P>(&self, item: P) -> Result<bool>
    where
        P: Pointer<Item: WorkItem<Queue = Q>>,
    {
        self.submit(Place::Here, item, Delta::ZERO)
    }

    /// Queues an item on `cpu`.
    ///
    /// An item that is pending on another CPU stays there, and the result is `false`. Fails as
    /// [`queue_work`](Self::queue_work) does. Also fails with `ENODEV` if `cpu` is offline and the
    /// queue has [`Offline::Refuse`], and with `EINVAL` if `cpu` is not possible.
    pub fn queue_work_on<P>(&self, cpu: CpuId, item: P) -> Result<bool>
    where
        P: Pointer<Item: WorkItem<Queue = Q>>,
    {
        self.submit(Place::On(cpu), item, Delta::ZERO)
    }

    /// Queues an item, like [`queue_work`](Self::queue_work), that does not run before `delay` has
    /// passed. It is pending all the time.
    ///
    /// The clock is [`Monotonic`](kernel::time::Monotonic). A delay that is not positive counts as
    /// none.
    pub fn queue_delayed_work<P>(&self, item: P, delay: Delta) -> Result<bool>
    where
        P: Pointer<Item: WorkItem<Queue = Q>>,
    {
        self.submit(Place::Here, item, delay)
    }

    /// Queues an item on `cpu`, like [`queue_work_on`](Self::queue_work_on), that does not run
    /// before `delay` has passed.
    pub fn queue_delayed_work_on<P>(&self, cpu: CpuId, item: P, delay: Delta) -> Result<bool>
    where
        P: Pointer<Item: WorkItem<Queue = Q>>,
    {
        self.submit(Place::On(cpu), item, delay)
    }

    /// Makes a pending item wait for `delay` from now, on this CPU. Queues an item that is not
    /// pending.
    ///
    /// Returns whether the item was pending. Fails as [`queue_work`](Self::queue_work) does; then a
    /// pending item stays as it was.
    pub fn mod_delayed_work<P>(&self, item: P, delay: Delta) -> Result<bool>
    where
        P: Pointer<Item: WorkItem<Queue = Q>>,
    {
        let wake = |cpu| self.wake(cpu);
        self.threads.modify(Place::Here, item, delay, wake)
    }

    /// The same on `cpu`. Fails as [`queue_work_on`](Self::queue_work_on) does.
    pub fn mod_delayed_work_on<P>(&self, cpu: CpuId, item: P, delay: Delta) -> Result<bool>
    where
        P: Pointer<Item: WorkItem<Queue = Q>>,
    {
        let wake = |cpu| self.wake(cpu);
        self.threads.modify(Place::On(cpu), item, delay, wake)
    }

    /// Takes back a pending item. Returns whether it was pending; if so, that run does not happen.
    ///
    /// The item may still be running because it was queued earlier. A thread that has the item in
    /// its batch may drop its reference later, after it has run the items before it.
    pub fn cancel<T>(&self, item: &Work<T>) -> bool
    where
        T: WorkItem<Queue = Q>,
    {
        self.threads.cancel(item)
    }

    /// Takes back a pending item, and waits until it is not running either. Returns whether it was
    /// pending. During the call no context can queue the item (`ECANCELED`), nor can the item
    /// itself.
    ///
    /// Process context; may sleep. `EDEADLK` in a work function, or any other callback of a hotplug
    /// thread; `EBUSY` if 4095 tasks are in this call for the item.
    pub fn cancel_sync<T>(&self, item: &Work<T>) -> Result<bool>
    where
        T: WorkItem<Queue = Q>,
    {
        self.threads.cancel_sync(item)
    }

    /// Waits until a pending or running item has ended: it has run, or was taken or given back. A
    /// delayed item runs now. Does not wait for runs that are queued during the wait. For an item
    /// that is given back, [`WorkItem::refused`] may still be running.
    ///
    /// Process context; may sleep. `EDEADLK` in a work function, or any other callback of a hotplug
    /// thread.
    pub fn flush_work<T>(&self, item: &Work<T>) -> Result
    where
        T: WorkItem<Queue = Q>,
    {
        self.threads.flush_work(item, |cpu| self.wake(cpu))
    }

    /// Waits until all items that are queued now have ended, on all CPUs, like `flush_workqueue()`.
    /// A delayed item counts only if it is due. An item that is modified during the wait counts as
    /// queued again. An item that is queued for another CPU while it runs makes the wait begin
    /// again. For an item that is given back, [`WorkItem::refused`] may still be running.
    ///
    /// Process context; may sleep. `EDEADLK` in a work function, or any other callback of a hotplug
    /// thread.
    pub fn flush(&self) -> Result {
        self.threads.flush()
    }
}

impl<Q: QueueType> Drop for Queue<Q> {
    fn drop(&mut self) {
        // Dropped by a work function, the registration stays and logs an error.
        if !self.threads.in_callback() {
            self.threads.drain(|cpu| self.wake(cpu));
        }
    }
}

/// The thread that runs an item, as the work function sees it.
///
/// The function may sleep. It must not wait for the CPU hotplug lock, nor for anything that may
/// wait for that lock, see [`Context`]. A CPU-down waits for the function: a long one checks
/// [`should_park`](Self::should_park) and sleeps with [`sleep`](Self::sleep).
pub struct Worker<'a, Q: QueueType> {
    threads: &'a Workers<Q>,
    cx: &'a Context<'a>,
}

/// Does nothing. Keeps other code from implementing `Copy` or `Drop` for this type.
impl<Q: QueueType> Drop for Worker<'_, Q> {
    #[inline(always)]
    fn drop(&mut self) {}
}

impl<Q: QueueType> Worker<'_, Q> {
    /// Returns the CPU that the item was queued for, on which it runs.
    pub fn cpu(&self) -> CpuId {
        self.cx.cpu()
    }

    /// Returns the value of the CPU that the item was queued for: see [`PerCpu::of`].
    pub fn value<'a, T>(&self, values: &'a PerCpu<T>) -> &'a T {
        values.of(self.cx)
    }

    /// Returns whether a CPU-down waits for this thread to park.
    pub fn should_park(&self) -> bool {
        self.cx.should_park()
    }

    /// Sleeps for `duration`, like [`Context::sleep`]. Wakes early if a CPU-down waits for this
    /// thread; the end of the queue waits for the sleep. Returns whether all of `duration` has
    /// passed.
    pub fn sleep(&self, duration: Delta) -> bool {
        self.cx.sleep(duration)
    }

    /// Queues an item, like [`Queue::queue_work_on`]. A work function may queue its own item again.
    pub fn queue_work_on<P>(&self, cpu: CpuId, item: P) -> Result<bool>
    where
        P: Pointer<Item: WorkItem<Queue = Q>>,
    {
        self.queue_delayed_work_on(cpu, item, Delta::ZERO)
    }

    /// Queues an item, like [`Queue::queue_delayed_work_on`].
    pub fn queue_delayed_work_on<P>(&self, cpu: CpuId, item: P, delay: Delta) -> Result<bool>
    where
        P: Pointer<Item: WorkItem<Queue = Q>>,
    {
        let wake = |cpu| self.threads.wake_from_thread(cpu);
        self.threads.submit(Place::On(cpu), item, delay, wake)
    }
}
