// SPDX-License-Identifier: GPL-2.0

//! A queue with its items, and the files that use them.

use super::items::{
    Counter,
    Item,
    Selfish,
    Shared, //
};
use crate::{
    debugfs::{
        Attribute,
        Dir,
        Number, //
    },
    percpu_workqueue::{
        Offline,
        Queue,
        QueueType,
        Work, //
    },
    smpboot::{
        hotplug,
        ModuleScope,
        Nice,
        PerCpu,
        SchedPolicy, //
    }, //
};
use core::marker::PhantomData;
use kernel::{
    cpu::CpuId,
    prelude::*,
    str::CString,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
    time::Delta, //
};

/// Items per CPU.
const ITEMS: usize = 8;

const NORMAL: SchedPolicy = SchedPolicy::Normal(Nice::new::<0>());

pub(crate) type Items<Q> = KVec<Arc<Work<Item<Q>>>>;

/// A queue with items for each CPU. The queue is dropped first.
pub(crate) struct Trial<Q: QueueType> {
    pub(crate) queue: Arc<Queue<Q>>,
    pub(crate) items: PerCpu<Items<Q>>,
    pub(crate) shared: Arc<Shared>,
}

impl<Q: QueueType> Trial<Q> {
    pub(crate) fn new(
        scope: &'static ModuleScope,
        name: &'static CStr,
        offline: Offline,
    ) -> Result<Arc<Self>> {
        let shared = Arc::new(Shared::new(name)?, GFP_KERNEL)?;
        let items = PerCpu::new(|cpu| -> Result<_> {
            let mut items = KVec::with_capacity(ITEMS, GFP_KERNEL)?;
            for _ in 0..ITEMS {
                let item = Work::new(Item::new(cpu, &shared)?);
                items.push(Arc::new(item, GFP_KERNEL)?, GFP_KERNEL)?;
            }
            Ok(items)
        })?;
        let trial = Self {
            queue: Arc::new(Queue::new(scope, offline, NORMAL)?, GFP_KERNEL)?,
            items,
            shared,
        };
        Ok(Arc::new(trial, GFP_KERNEL)?)
    }

    /// Counts the result of queueing an item.
    pub(crate) fn queueing(&self, item: &Work<Item<Q>>, queued: Result<bool>) -> Result {
        item.counts.count(queued?);
        Ok(())
    }

    /// Counts the result of modifying an item.
    pub(crate) fn modifying(&self, item: &Work<Item<Q>>, was_pending: Result<bool>) -> Result {
        self.queueing(item, was_pending.map(|was_pending| !was_pending))
    }

    pub(crate) fn cancelled(&self, item: &Work<Item<Q>>, cancelled: bool) -> Result {
        if cancelled {
            item.counts.cancelled.add(1, Relaxed);
        }
        Ok(())
    }

    pub(crate) fn fill<'data>(&'data self, dir: &Dir<'data>) {
        let dir = dir.dir(fmt!("{}", self.shared.name.to_str().unwrap_or_default()));
        dir.file::<Each<Q, QueueThere>>(c"queue", self);
        dir.file::<Each<Q, QueueHere>>(c"queue_here", self);
        dir.file::<Each<Q, QueueOn>>(c"queue_on", self);
        dir.file::<Each<Q, QueueDelayed>>(c"queue_delayed", self);
        dir.file::<Each<Q, ModDelayed>>(c"mod_delayed", self);
        dir.file::<Each<Q, Cancel>>(c"cancel", self);
        dir.file::<Each<Q, CancelSync>>(c"cancel_sync", self);
        dir.file::<Each<Q, FlushWork>>(c"flush_work", self);
        dir.file::<Flush<Q>>(c"flush", self);
        dir.file::<Misuse<Q>>(c"misuse", self);
        dir.file::<super::storm::Random<Q>>(c"random", self);

        let shared = &*self.shared;
        for (name, setting) in [
            (c"hold", &shared.hold),
            (c"hold_us", &shared.hold_us),
            (c"again", &shared.again),
        ] {
            dir.file::<Setting>(name, setting);
        }
        for (name, counter) in [
            (c"deadlocks", &shared.deadlocks),
            (c"strays", &shared.strays),
            (c"overlaps", &shared.overlaps),
        ] {
            dir.file::<Counter>(name, counter);
        }
        for (cpu, counts) in shared.cpus.iter() {
            let dir = dir.dir(fmt!("cpu{}", cpu.as_u32()));
            for (name, counter) in [
                (c"queued", &counts.queued),
                (c"merged", &counts.merged),
                (c"run", &counts.run),
                (c"cancelled", &counts.cancelled),
                (c"refused", &counts.refused),
                (c"here", &counts.here),
            ] {
                dir.file::<Counter>(name, counter);
            }
        }
    }
}

impl<Q: QueueType> Drop for Trial<Q> {
    fn drop(&mut self) {
        // The queue waits for running items.
        self.shared.hold.store(0, Relaxed);
    }
}

type Setting = Number<0, { u32::MAX as u64 }>;

/// An operation on an item.
trait Act: 'static {
    /// Whether the file takes a number before the CPU list.
    const NUMBER: bool;

    fn act<Q: QueueType>(trial: &Trial<Q>, item: &Arc<Work<Item<Q>>>, number: u32) -> Result;
}

/// A file that takes a CPU list and applies an operation to each item of these CPUs.
struct Each<Q, A>(PhantomData<fn() -> (Q, A)>);

#[vtable]
impl<Q: QueueType, A: Act> Attribute for Each<Q, A> {
    type Data = Trial<Q>;

    fn store(trial: &Trial<Q>, input: &CStr) -> Result {
        let input = input.to_str()?;
        let (number, list) = match A::NUMBER {
            true => input.split_once(' ').ok_or(EINVAL)?,
            false => ("0", input),
        };
        let copy = |part: &str| CString::try_from_fmt(fmt!("{part}"));
        let number = Setting::parse(&copy(number)?)? as u32;
        let cpus = hotplug::parse_cpu_list(&copy(list)?)?;

        let mut result = Ok(());
        for (_, items) in trial.items.iter().filter(|(cpu, _)| cpus.test(*cpu)) {
            for item in items {
                result = result.and(A::act(trial, item, number));
            }
        }
        result
    }
}

macro_rules! acts {
    ($($name:ident($trial:ident, $item:ident $(, $number:ident)?) => $act:expr;)*) => {$(
        struct $name;

        impl Act for $name {
            const NUMBER: bool = {
                let numbers: &[&str] = &[$(stringify!($number))?];
                !numbers.is_empty()
            };

            fn act<Q: QueueType>(
                $trial: &Trial<Q>,
                $item: &Arc<Work<Item<Q>>>,
                _number: u32,
            ) -> Result {
                $(let $number = _number;)?
                $act
            }
        }
    )*};
}

acts! {
    QueueThere(trial, item) => {
        trial.queueing(item, trial.queue.queue_work_on(item.cpu, item.clone()))
    };
    QueueHere(trial, item) => trial.queueing(item, trial.queue.queue_work(item.clone()));
    QueueOn(trial, item, cpu) => {
        let cpu = CpuId::from_u32(cpu).ok_or(ERANGE)?;
        trial.queueing(item, trial.queue.queue_work_on(cpu, item.clone()))
    };
    QueueDelayed(trial, item, ms) => {
        let queued = trial.queue.queue_delayed_work_on(item.cpu, item.clone(), delay(ms));
        trial.queueing(item, queued)
    };
    ModDelayed(trial, item, ms) => {
        let was_pending = trial.queue.mod_delayed_work_on(item.cpu, item.clone(), delay(ms));
        trial.modifying(item, was_pending)
    };
    Cancel(trial, item) => trial.cancelled(item, trial.queue.cancel(item));
    CancelSync(trial, item) => trial.cancelled(item, trial.queue.cancel_sync(item)?);
    FlushWork(trial, item) => trial.queue.flush_work(item);
}

fn delay(ms: u32) -> Delta {
    Delta::from_millis(ms.into())
}

struct Flush<Q>(PhantomData<fn() -> Q>);

#[vtable]
impl<Q: QueueType> Attribute for Flush<Q> {
    type Data = Trial<Q>;

    fn store(trial: &Trial<Q>, _: &CStr) -> Result {
        trial.queue.flush()
    }
}

struct Misuse<Q>(PhantomData<fn() -> Q>);

#[vtable]
impl<Q: QueueType> Attribute for Misuse<Q> {
    type Data = Trial<Q>;

    fn store(trial: &Trial<Q>, _: &CStr) -> Result {
        let selfish = Selfish {
            queue: trial.queue.clone(),
            shared: trial.shared.clone(),
        };
        let selfish = Arc::new(Work::new(selfish), GFP_KERNEL)?;
        trial.queue.queue_work(selfish.clone())?;
        trial.queue.flush_work(&selfish)
    }
}
