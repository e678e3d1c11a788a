//! The user's crate, which owns the library's types, cannot make a token, witness or guard `Copy`.
//~ IN THE LIBRARY'S CRATE
//~ ERROR cannot be implemented for this type .. impl Copy for ModuleScope
//~ ERROR cannot be implemented for this type .. impl Copy for smpboot::SlotAccess
//~ ERROR cannot be implemented for this type .. impl Copy for Context<'_>
//~ ERROR cannot be implemented for this type .. impl Copy for smpboot::AtomicContext<'_>
//~ ERROR cannot be implemented for this type .. impl<T: HotplugThread> Copy for Registration<T>
//~ ERROR cannot be implemented for this type .. impl<T: HotplugThread> Copy for smpboot::ThreadSlot<T>
//~ ERROR cannot be implemented for this type .. impl<T: Callbacks> Copy for cpuhp::Registration<T>
//~ ERROR cannot be implemented for this type .. impl<T: Callbacks> Copy for cpuhp::StateSlot<T>
//~ ERROR cannot be implemented for this type .. impl Copy for hotplug::CpusReadGuard
//~ ERROR cannot be implemented for this type .. impl<T> Copy for smpboot::PerCpu<T>
//~ ERROR cannot be implemented for this type .. impl<T> Copy for debugfs::Tree<T>
//~ ERROR cannot be implemented for this type .. impl Copy for debugfs::Dir<'_>
//~ ERROR cannot be implemented for this type .. impl Copy for wait::WaitQueue
//~ ERROR cannot be implemented for this type .. impl<Q: QueueType> Copy for percpu_workqueue::Queue<Q>
//~ ERROR cannot be implemented for this type .. impl<Q: QueueType> Copy for percpu_workqueue::Worker<'_, Q>
//~ ERROR cannot be implemented for this type .. impl<Q: QueueType> Copy for percpu_workqueue::Workers<Q>
//~ ERROR cannot be implemented for this type .. impl<T: WorkItem> Copy for percpu_workqueue::Work<T>
use percpu_workqueue::{QueueType, WorkItem};
use smpboot::{cpuhp, cpuhp::Callbacks, hotplug};

impl Copy for ModuleScope {}
impl Clone for ModuleScope {
    fn clone(&self) -> Self {
        todo!()
    }
}

impl Copy for smpboot::SlotAccess {}
impl Clone for smpboot::SlotAccess {
    fn clone(&self) -> Self {
        todo!()
    }
}

impl Copy for Context<'_> {}
impl Clone for Context<'_> {
    fn clone(&self) -> Self {
        todo!()
    }
}

impl Copy for smpboot::AtomicContext<'_> {}
impl Clone for smpboot::AtomicContext<'_> {
    fn clone(&self) -> Self {
        todo!()
    }
}

impl<T: HotplugThread> Copy for Registration<T> {}
impl<T: HotplugThread> Clone for Registration<T> {
    fn clone(&self) -> Self {
        todo!()
    }
}

impl<T: HotplugThread> Copy for smpboot::ThreadSlot<T> {}
impl<T: HotplugThread> Clone for smpboot::ThreadSlot<T> {
    fn clone(&self) -> Self {
        todo!()
    }
}

impl<T: Callbacks> Copy for cpuhp::Registration<T> {}
impl<T: Callbacks> Clone for cpuhp::Registration<T> {
    fn clone(&self) -> Self {
        todo!()
    }
}

impl<T: Callbacks> Copy for cpuhp::StateSlot<T> {}
impl<T: Callbacks> Clone for cpuhp::StateSlot<T> {
    fn clone(&self) -> Self {
        todo!()
    }
}

impl Copy for hotplug::CpusReadGuard {}
impl Clone for hotplug::CpusReadGuard {
    fn clone(&self) -> Self {
        todo!()
    }
}

impl<T> Copy for smpboot::PerCpu<T> {}
impl<T> Clone for smpboot::PerCpu<T> {
    fn clone(&self) -> Self {
        todo!()
    }
}

impl<T> Copy for debugfs::Tree<T> {}
impl<T> Clone for debugfs::Tree<T> {
    fn clone(&self) -> Self {
        todo!()
    }
}

impl Copy for debugfs::Dir<'_> {}
impl Clone for debugfs::Dir<'_> {
    fn clone(&self) -> Self {
        todo!()
    }
}

impl Copy for wait::WaitQueue {}
impl Clone for wait::WaitQueue {
    fn clone(&self) -> Self {
        todo!()
    }
}

impl<Q: QueueType> Copy for percpu_workqueue::Queue<Q> {}
impl<Q: QueueType> Clone for percpu_workqueue::Queue<Q> {
    fn clone(&self) -> Self {
        todo!()
    }
}

impl<Q: QueueType> Copy for percpu_workqueue::Worker<'_, Q> {}
impl<Q: QueueType> Clone for percpu_workqueue::Worker<'_, Q> {
    fn clone(&self) -> Self {
        todo!()
    }
}

impl<Q: QueueType> Copy for percpu_workqueue::Workers<Q> {}
impl<Q: QueueType> Clone for percpu_workqueue::Workers<Q> {
    fn clone(&self) -> Self {
        todo!()
    }
}

impl<T: WorkItem> Copy for percpu_workqueue::Work<T> {}
impl<T: WorkItem> Clone for percpu_workqueue::Work<T> {
    fn clone(&self) -> Self {
        todo!()
    }
}
