// SPDX-License-Identifier: GPL-2.0

//! A work queue for jobs that must run on one CPU, on top of hotplug threads.
//!
//! The interface is that of [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h), for one CPU
//! at a time. The same in both:
//!
//! | here | C |
//! |---|---|
//! | [`Queue::new`], dropping it | `alloc_workqueue()`, `destroy_workqueue()` |
//! | [`Work::new`], as a `static` or in an [`Arc`](kernel::sync::Arc) | `DECLARE_WORK()`, `INIT_WORK()` |
//! | [`Queue::queue_work`], [`Queue::queue_work_on`] | `queue_work()`, `queue_work_on()` |
//! | [`Queue::queue_delayed_work`], [`Queue::mod_delayed_work`] and `_on` | the same |
//! | [`Queue::cancel`], [`Queue::cancel_sync`] | `cancel_work()`, `cancel_work_sync()` |
//! | [`Queue::flush_work`], [`Queue::flush`] | `flush_delayed_work()`, `flush_workqueue()` |
//!
//! An item that is queued twice before it runs runs once. It may sleep, and may queue itself again. It
//! never runs on two CPUs at a time.
//!
//! Different from C:
//!
//! - The items of a CPU run in one thread, one after the other: an item that sleeps delays those behind
//!   it. `WQ_PERCPU` would start a second worker.
//! - An item runs on the CPU that it was queued for. In C it runs where it is running already. When its
//!   CPU goes offline, C runs it on another one; here the creator of the queue decides: [`Offline`].
//! - A work function cannot wait for items, not even of other queues: `EDEADLK`. A CPU-down waits for the
//!   function to return, and those items may wait for the CPU-down.
//! - There is one kind of item. An item has a time when it is due, but no timer: the thread sets one per
//!   queue and CPU. So no timer of an item has to be stopped.
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
//!      any context                  thread of the CPU, or a task that cancels
//!
//!      queue_work_on --> Incoming --> Backlog, under a lock            --> Batch of the thread --> run
//!                        no lock      ready:   first in, first out         no lock
//!                                     delayed: by time, one timer per CPU
//! ```
//!
//! Queueing an item costs two atomic operations, one on the item and one on the CPU's list, with
//! interrupts off in between, and the thread's wake. The thread takes the lock once for all items that
//! came in, and once for each batch of 32. It starts an item of its batch with one more atomic operation.
//! With the same operation any other context takes the item out of the batch, to cancel or modify it.
//!
//! With [`Offline::Move`] and [`Offline::Refuse`] the thread itself opens its list when it is up. When it
//! parks, it closes the list and takes the items that are left, in one step. So an item enters the list
//! only if the thread will run it or pass it on.

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

/// What happens to the items of a CPU that goes offline, and to those that are queued for it then.
///
/// A CPU-down waits for an item that is running, whatever the choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offline {
    /// They wait until the CPU is back, however long. Flushing waits as long, so not with the hotplug
    /// lock held, without which no CPU comes online.
    Wait,
    /// They move to another CPU, in their order.
    Move,
    /// Those that are pending are given back, see [`WorkItem::refused`]; queueing is `ENODEV`.
    Refuse,
}

/// A kind of queue. There is one queue of a kind at a time.
///
/// Its static is made by [`percpu_workqueue!`](crate::percpu_workqueue).
pub trait QueueType: HasSlot + Send + Sync {
    /// The name of the threads, as in [`HotplugThread::NAME`](crate::smpboot::HotplugThread::NAME).
    const NAME: &'static CStr;
}

/// A type that has a static of its own for the threads of its queue.
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

/// Makes the static that a [`QueueType`] needs.
#[macro_export]
macro_rules! percpu_workqueue {
    ($type:ty) => {
        // SAFETY: The static is made here, inside the function, where nothing else can name it.
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

/// Where an item is to run.
#[derive(Clone, Copy)]
enum Place {
    On(CpuId),
    /// On this CPU; if that takes no items, on another one.
    Here,
}

/// A work queue: a thread per CPU, which runs items.
///
/// Dropping it runs all queued items, delayed ones too, without their delay, and ends the threads: process
/// context, with no hotplug lock held. Work functions cannot queue anything during that (`ESHUTDOWN`). Of
/// a CPU that is offline, items are [given back](WorkItem::refused). A queue that a work function drops
/// cannot wait for that function: it stays until the module ends, and an error is logged; see
/// [`Registration`]. So does a queue that is leaked; items that are pending at the module's end are given back.
///
/// Unless it says otherwise, a function may be called in any context but NMI, also with interrupts off.
/// (With `PREEMPT_RT`, those that take items back need a context in which a spinlock may be taken.)
/// All that the caller wrote before it queued an item, the run sees, also if the item was pending already.
pub struct Queue<Q: QueueType> {
    threads: Registration<Workers<Q>>,
}

impl<Q: QueueType> Queue<Q> {
    /// Makes the queue of type `Q`, and its threads.
    ///
    /// Process context. Fails as [`Registration::new`] does: `EBUSY` if there is one of this type,
    /// `EDEADLK` in a work function, `ENOMEM` and others.
    pub fn new(scope: &'static ModuleScope, offline: Offline, sched: SchedPolicy) -> Result<Self> {
        let threads = Registration::new(scope, Workers::new(scope, offline, sched)?)?;
        threads.wait_until_up()?;
        Ok(Self { threads })
    }

    fn wake(&self, cpu: CpuId) {
        // Whether the CPU takes items is up to the list, not to the wake.
        self.threads.wake(cpu);
    }

    fn submit<P>(&self, place: Place, item: P, delay: Delta) -> Result<bool>
    where
        P: Pointer<Item: WorkItem<Queue = Q>>,
    {
        self.threads
            .submit(place, item, delay, |cpu| self.wake(cpu))
    }

    /// Queues an item on this CPU, or, if the queue takes none for it at the moment, on another one.
    ///
    /// Returns whether the item was queued; if not, it was pending already, and runs once for both.
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
    /// If it is pending on another CPU, it stays there, and the result is `false`. Fails as
    /// [`queue_work`](Self::queue_work) does, with `ENODEV` also if `cpu` is down and the queue was made
    /// with [`Offline::Refuse`], and with `EINVAL` if there can be no such CPU.
    pub fn queue_work_on<P>(&self, cpu: CpuId, item: P) -> Result<bool>
    where
        P: Pointer<Item: WorkItem<Queue = Q>>,
    {
        self.submit(Place::On(cpu), item, Delta::ZERO)
    }

    /// Queues an item, like [`queue_work`](Self::queue_work), that is not to run before `delay` has
    /// passed. It is pending all the time.
    ///
    /// The time is that of [`Monotonic`](kernel::time::Monotonic). A delay that is not positive is none.
    pub fn queue_delayed_work<P>(&self, item: P, delay: Delta) -> Result<bool>
    where
        P: Pointer<Item: WorkItem<Queue = Q>>,
    {
        self.submit(Place::Here, item, delay)
    }

    /// Queues an item on `cpu`, like [`queue_work_on`](Self::queue_work_on), that is not to run before
    /// `delay` has passed.
    pub fn queue_delayed_work_on<P>(&self, cpu: CpuId, item: P, delay: Delta) -> Result<bool>
    where
        P: Pointer<Item: WorkItem<Queue = Q>>,
    {
        self.submit(Place::On(cpu), item, delay)
    }

    /// Makes an item that is pending wait for `delay` from now, on this CPU. One that is not pending is
    /// queued.
    ///
    /// Returns whether it was pending. Fails as [`queue_work`](Self::queue_work) does; then it is
    /// pending as before, if it was.
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

    /// Takes an item back that is pending. Returns whether it was; then it does not run for that.
    ///
    /// It may still be running because it was queued earlier. A thread that has taken the item together
    /// with others may drop its reference later, when it has run the items before.
    pub fn cancel<T>(&self, item: &Work<T>) -> bool
    where
        T: WorkItem<Queue = Q>,
    {
        self.threads.cancel(item)
    }

    /// Takes an item back that is pending, and waits until it is not running either. Returns whether
    /// it was pending. Until it returns, nothing can queue the item (`ECANCELED`), itself included.
    ///
    /// Process context; may sleep. `EDEADLK` in a work function, or any other callback of a hotplug
    /// thread; `EBUSY` if 4095 tasks are at this with the item.
    pub fn cancel_sync<T>(&self, item: &Work<T>) -> Result<bool>
    where
        T: WorkItem<Queue = Q>,
    {
        self.threads.cancel_sync(item)
    }

    /// Waits until an item that is pending or running has ended: run, or been taken or given back.
    /// If it is delayed, it runs now. Being queued again during the wait is not waited for. Of an item that
    /// is given back, [`WorkItem::refused`] may still be running.
    ///
    /// Process context; may sleep. `EDEADLK` in a work function, or any other callback of a hotplug
    /// thread.
    pub fn flush_work<T>(&self, item: &Work<T>) -> Result
    where
        T: WorkItem<Queue = Q>,
    {
        self.threads.flush_work(item, |cpu| self.wake(cpu))
    }

    /// Waits until all items have ended that are queued now, on all CPUs; delayed ones only if their
    /// time has come: `flush_workqueue()`. One that is modified during the wait counts as queued again. Of an
    /// item that is given back, [`WorkItem::refused`] may still be running.
    ///
    /// Process context; may sleep. `EDEADLK` in a work function, or any other callback of a hotplug
    /// thread.
    pub fn flush(&self) -> Result {
        self.threads.flush()
    }
}

impl<Q: QueueType> Drop for Queue<Q> {
    fn drop(&mut self) {
        // In a work function the registration stays, and logs that.
        if !self.threads.in_callback() {
            self.threads.drain(|cpu| self.wake(cpu));
        }
    }
}

/// The thread that runs an item, as the work function sees it.
///
/// The function may sleep. It must not wait for the CPU hotplug lock, nor for anything that may wait for
/// it, see [`Context`]. As a CPU-down waits for it, a function that takes long looks at
/// [`should_park`](Self::should_park), and sleeps by [`sleep`](Self::sleep).
pub struct Worker<'a, Q: QueueType> {
    threads: &'a Workers<Q>,
    cx: &'a Context<'a>,
}

/// Does nothing. With it, no other code can implement `Copy` or `Drop` for this.
impl<Q: QueueType> Drop for Worker<'_, Q> {
    #[inline(always)]
    fn drop(&mut self) {}
}

impl<Q: QueueType> Worker<'_, Q> {
    /// The CPU that the item is for, on which it runs.
    pub fn cpu(&self) -> CpuId {
        self.cx.cpu()
    }

    /// Returns the value of the CPU that the item is for: see [`PerCpu::of`].
    pub fn value<'a, T>(&self, values: &'a PerCpu<T>) -> &'a T {
        values.of(self.cx)
    }

    /// Whether a CPU-down waits for this thread to park.
    pub fn should_park(&self) -> bool {
        self.cx.should_park()
    }

    /// Sleeps until `duration` has passed, or until a CPU-down waits for this thread, as
    /// [`Context::sleep`] does. Returns whether all of it has passed. The end of the queue waits for
    /// the sleep.
    pub fn sleep(&self, duration: Delta) -> bool {
        self.cx.sleep(duration)
    }

    /// As [`Queue::queue_work_on`]. The item itself, too, may be queued again.
    pub fn queue_work_on<P>(&self, cpu: CpuId, item: P) -> Result<bool>
    where
        P: Pointer<Item: WorkItem<Queue = Q>>,
    {
        self.queue_delayed_work_on(cpu, item, Delta::ZERO)
    }

    /// As [`Queue::queue_delayed_work_on`].
    pub fn queue_delayed_work_on<P>(&self, cpu: CpuId, item: P, delay: Delta) -> Result<bool>
    where
        P: Pointer<Item: WorkItem<Queue = Q>>,
    {
        let wake = |cpu| self.threads.wake_from_thread(cpu);
        self.threads.submit(Place::On(cpu), item, delay, wake)
    }
}
