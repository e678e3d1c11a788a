// SPDX-License-Identifier: GPL-2.0

//! The queue of `percpu_workqueue`, to compare it with the kernel's workqueues.

use kernel::{
    cpu::CpuId,
    prelude::*,
    sync::Arc, //
};

mod driver;
#[path = "../rust/kernel/library.rs"]
mod library;
#[path = "../percpu_workqueue/mod.rs"]
pub mod percpu_workqueue;

use driver::{
    Added,
    Mechanism, //
};
use library::{
    smpboot,
    wait, //
};
use percpu_workqueue::{
    Offline,
    Queue,
    QueueType,
    Work,
    WorkItem,
    Worker, //
};
use smpboot::{
    ModuleScope,
    Nice,
    SchedPolicy,
    ScopedModule, //
};

scoped_module! {
    type: WorkqueueModule,
    name: "smpboot_workqueue_rust",
    authors: ["The rust_smpboot developers"],
    description: "The sample work queue, for smpboot_bench",
    license: "GPL",
}

/// `ITEMS` of `smpboot_bench.c`.
const ITEM_COUNT: usize = 4097;

fn sched(arg: u32) -> SchedPolicy {
    match arg {
        0 => SchedPolicy::Normal(Nice::new::<0>()),
        _ => SchedPolicy::Fifo,
    }
}

/// Items that exist as long as the module, like those of the kernel's queue in `smpboot_bench.c`.
struct Fixed;

impl QueueType for Fixed {
    const NAME: &'static CStr = c"wq_rust";
}

percpu_workqueue!(Fixed);

struct FixedItem;

impl WorkItem for FixedItem {
    type Queue = Fixed;
    type Pointer = &'static Work<Self>;

    fn run(_this: &&'static Work<Self>, _worker: &Worker<'_, Fixed>) {
        driver::ran();
    }
}

static ITEMS: [Work<FixedItem>; ITEM_COUNT] = [const { Work::new(FixedItem) }; ITEM_COUNT];

impl Mechanism for Fixed {
    const NAME: &'static CStr = c"rust_workqueue";

    type Handle = KBox<Queue<Fixed>>;

    #[inline]
    fn start(scope: &'static ModuleScope, arg: u32) -> Result<Self::Handle> {
        Ok(KBox::new(
            Queue::new(scope, Offline::Move, sched(arg))?,
            GFP_KERNEL,
        )?)
    }

    #[inline]
    fn wake(queue: &Queue<Fixed>, cpu: CpuId, item: u32) {
        if let Some(item) = ITEMS.get(item as usize) {
            let _ = queue.queue_work_on(cpu, item);
        }
    }
}

/// Items with a reference count, which the queue holds while they are pending or running.
struct Counted;

impl QueueType for Counted {
    const NAME: &'static CStr = c"wq_arc";
}

percpu_workqueue!(Counted);

struct CountedItem;

impl WorkItem for CountedItem {
    type Queue = Counted;
    type Pointer = Arc<Work<Self>>;

    fn run(_this: &Arc<Work<Self>>, _worker: &Worker<'_, Counted>) {
        driver::ran();
    }
}

/// A queue with its items. The queue is dropped first.
struct StartedCounted {
    queue: Queue<Counted>,
    items: KVec<Arc<Work<CountedItem>>>,
}

impl Mechanism for Counted {
    const NAME: &'static CStr = c"rust_workqueue_arc";

    type Handle = KBox<StartedCounted>;

    #[inline]
    fn start(scope: &'static ModuleScope, arg: u32) -> Result<Self::Handle> {
        let mut items = KVec::with_capacity(ITEM_COUNT, GFP_KERNEL)?;
        for _ in 0..ITEM_COUNT {
            let item = Arc::new(Work::new(CountedItem), GFP_KERNEL)?;
            items.push(item, GFP_KERNEL)?;
        }
        let queue = Queue::new(scope, Offline::Move, sched(arg))?;
        Ok(KBox::new(StartedCounted { queue, items }, GFP_KERNEL)?)
    }

    #[inline]
    fn wake(this: &StartedCounted, cpu: CpuId, item: u32) {
        if let Some(item) = this.items.get(item as usize) {
            let _ = this.queue.queue_work_on(cpu, item.clone());
        }
    }
}

struct WorkqueueModule {
    _fixed: Added<Fixed>,
    _counted: Added<Counted>,
}

impl ScopedModule for WorkqueueModule {
    #[inline]
    fn init(
        _module: &'static ThisModule,
        scope: &'static ModuleScope,
    ) -> impl PinInit<Self, Error> {
        Ok::<_, Error>(Self {
            _fixed: Added::new(scope)?,
            _counted: Added::new(scope)?,
        })
    }
}
