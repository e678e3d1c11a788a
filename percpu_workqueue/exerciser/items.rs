// SPDX-License-Identifier: GPL-2.0

//! Items, and their counters.

use crate::{
    debugfs::Decimal,
    percpu_workqueue::{
        Queue,
        QueueType,
        Work,
        WorkItem,
        Worker, //
    },
    smpboot::{
        seam::EDEADLK,
        PerCpu, //
    },
    Moving, //
};
use core::marker::PhantomData;
use kernel::{
    cpu::CpuId,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    },
    time::Delta, //
};

pub(crate) type Counter = Atomic<u64>;

/// Counts of the outcomes of a CPU's items.
pub(crate) struct Counts {
    pub(crate) queued: Counter,
    pub(crate) merged: Counter,
    pub(crate) run: Counter,
    pub(crate) cancelled: Counter,
    pub(crate) refused: Counter,
    /// Runs of any item on this CPU.
    pub(crate) here: Counter,
}

impl Counts {
    fn new() -> Self {
        Self {
            queued: Atomic::new(0),
            merged: Atomic::new(0),
            run: Atomic::new(0),
            cancelled: Atomic::new(0),
            refused: Atomic::new(0),
            here: Atomic::new(0),
        }
    }

    pub(crate) fn count(&self, queued: bool) {
        let counter = if queued { &self.queued } else { &self.merged };
        counter.add(1, Relaxed);
    }
}

/// Data that the items of a queue share. Logged when the last item is dropped.
pub(crate) struct Shared {
    pub(crate) name: &'static CStr,
    pub(crate) cpus: PerCpu<Arc<Counts>>,
    pub(crate) hold: Counter,
    pub(crate) hold_us: Counter,
    pub(crate) again: Counter,
    pub(crate) deadlocks: Counter,
    pub(crate) strays: Counter,
    pub(crate) overlaps: Counter,
    dropped: Counter,
    seed: Atomic<u64>,
}

impl Shared {
    pub(crate) fn new(name: &'static CStr) -> Result<Self> {
        Ok(Self {
            name,
            cpus: PerCpu::new(|_cpu| Arc::new(Counts::new(), GFP_KERNEL))?,
            hold: Atomic::new(0),
            hold_us: Atomic::new(0),
            again: Atomic::new(0),
            deadlocks: Atomic::new(0),
            strays: Atomic::new(0),
            overlaps: Atomic::new(0),
            dropped: Atomic::new(0),
            seed: Atomic::new(1),
        })
    }

    pub(crate) fn random(&self) -> u64 {
        self.seed
            .fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
            >> 24
    }

    /// Returns whether an item has to queue itself again now.
    fn take_again(&self) -> bool {
        let mut left = self.again.load(Relaxed);
        while left > 0 {
            match self.again.cmpxchg(left, left - 1, Relaxed) {
                Ok(_) => return true,
                Err(now) => left = now,
            }
        }
        false
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let sum = |counter: fn(&Counts) -> &Counter| {
            let all = self.cpus.iter();
            Decimal(all.map(|(_, counts)| counter(counts).load(Relaxed)).sum())
        };
        pr_info!(
            "{}: {} queued, {} run, {} cancelled, {} refused, {} dropped, {} overlaps, {} strays\n",
            self.name.to_str().unwrap_or_default(),
            sum(|counts| &counts.queued),
            sum(|counts| &counts.run),
            sum(|counts| &counts.cancelled),
            sum(|counts| &counts.refused),
            Decimal(self.dropped.load(Relaxed)),
            Decimal(self.overlaps.load(Relaxed)),
            Decimal(self.strays.load(Relaxed)),
        );
    }
}

/// An item that counts.
pub(crate) struct Item<Q: QueueType> {
    pub(crate) cpu: CpuId,
    pub(crate) counts: Arc<Counts>,
    shared: Arc<Shared>,
    is_running: Atomic<bool>,
    _queue: PhantomData<fn() -> Q>,
}

impl<Q: QueueType> Item<Q> {
    pub(crate) fn new(cpu: CpuId, shared: &Arc<Shared>) -> Result<Self> {
        Ok(Self {
            cpu,
            counts: shared.cpus.get(cpu).ok_or(EINVAL)?.clone(),
            shared: shared.clone(),
            is_running: Atomic::new(false),
            _queue: PhantomData,
        })
    }
}

impl<Q: QueueType> Drop for Item<Q> {
    fn drop(&mut self) {
        self.shared.dropped.add(1, Relaxed);
    }
}

impl<Q: QueueType> WorkItem for Item<Q> {
    type Queue = Q;
    type Pointer = Arc<Work<Self>>;

    fn run(this: &Arc<Work<Self>>, worker: &Worker<'_, Q>) {
        let shared = &this.shared;
        if this.is_running.xchg(true, Full) {
            shared.overlaps.add(1, Relaxed);
        }
        worker.value(&shared.cpus).here.add(1, Relaxed);

        worker.sleep(Delta::from_micros(shared.hold_us.load(Relaxed) as i64));
        while shared.hold.load(Relaxed) != 0 && worker.sleep(Delta::from_millis(1)) {}

        if worker.cpu() != CpuId::current() {
            shared.strays.add(1, Relaxed);
        }
        this.counts.run.add(1, Relaxed);
        if shared.take_again() {
            if let Ok(queued) = worker.queue_work_on(worker.cpu(), this.clone()) {
                this.counts.count(queued);
            }
        }
        this.is_running.store(false, Relaxed);
    }

    fn refused(this: &Arc<Work<Self>>) {
        this.counts.refused.add(1, Relaxed);
    }
}

/// An item that tries to wait for itself.
pub(crate) struct Selfish<Q: QueueType> {
    pub(crate) queue: Arc<Queue<Q>>,
    pub(crate) shared: Arc<Shared>,
}

impl<Q: QueueType> WorkItem for Selfish<Q> {
    type Queue = Q;
    type Pointer = Arc<Work<Self>>;

    fn run(this: &Arc<Work<Self>>, _worker: &Worker<'_, Q>) {
        for result in [
            this.queue.flush_work(this),
            this.queue.flush(),
            this.queue.cancel_sync(this).map(drop),
        ] {
            if result == Err(EDEADLK) {
                this.shared.deadlocks.add(1, Relaxed);
            }
        }
    }
}

/// An item created at compile time.
pub(crate) struct Hello {
    pub(crate) greeted: Counter,
}

impl Hello {
    pub(crate) const fn new() -> Self {
        Self {
            greeted: Atomic::new(0),
        }
    }
}

impl WorkItem for Hello {
    type Queue = Moving;
    type Pointer = &'static Work<Self>;

    fn run(this: &&'static Work<Self>, _worker: &Worker<'_, Moving>) {
        this.greeted.add(1, Relaxed);
    }
}
