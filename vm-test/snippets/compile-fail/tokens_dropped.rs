//! The user's crate, which owns the library's types, cannot add a destructor to a token, witness or
//! guard.
//~ IN THE LIBRARY'S CRATE
//~ ERROR conflicting implementations of trait .. MustNotImplDrop` for type `ModuleScope`
//~ ERROR conflicting implementations of trait .. impl Drop for smpboot::SlotAccess
//~ ERROR conflicting implementations of trait .. impl Drop for Context<'_>
//~ ERROR conflicting implementations of trait .. impl Drop for smpboot::AtomicContext<'_>
//~ ERROR conflicting implementations of trait .. impl<T: HotplugThread> Drop for Registration<T>
//~ ERROR conflicting implementations of trait .. impl<T: HotplugThread> Drop for smpboot::SelfParkingRegistration<T>
//~ ERROR conflicting implementations of trait .. impl<T: Callbacks> Drop for cpuhp::Registration<T>
//~ ERROR conflicting implementations of trait .. impl Drop for hotplug::CpusReadGuard
//~ ERROR conflicting implementations of trait .. impl<T> Drop for smpboot::PerCpu<T>
//~ ERROR conflicting implementations of trait .. impl<T> Drop for debugfs::Tree<T>
//~ ERROR conflicting implementations of trait .. impl Drop for debugfs::Dir<'_>
//~ ERROR conflicting implementations of trait `wait::_::MustNotImplDrop` for type `WaitQueue` .. #[pin_data]
//~ ERROR conflicting implementations of trait .. impl<Q: QueueType> Drop for percpu_workqueue::Queue<Q>
//~ ERROR conflicting implementations of trait .. impl<Q: QueueType> Drop for percpu_workqueue::Worker<'_, Q>
//~ ERROR conflicting implementations of trait .. impl<Q: QueueType> Drop for percpu_workqueue::Workers<Q>
use percpu_workqueue::QueueType;
use smpboot::{cpuhp, cpuhp::Callbacks, hotplug};

impl Drop for ModuleScope {
    fn drop(&mut self) {}
}

impl Drop for smpboot::SlotAccess {
    fn drop(&mut self) {}
}

impl Drop for Context<'_> {
    fn drop(&mut self) {}
}

impl Drop for smpboot::AtomicContext<'_> {
    fn drop(&mut self) {}
}

impl<T: HotplugThread> Drop for Registration<T> {
    fn drop(&mut self) {}
}

impl<T: HotplugThread> Drop for smpboot::SelfParkingRegistration<T> {
    fn drop(&mut self) {}
}

impl<T: Callbacks> Drop for cpuhp::Registration<T> {
    fn drop(&mut self) {}
}

impl Drop for hotplug::CpusReadGuard {
    fn drop(&mut self) {}
}

impl<T> Drop for smpboot::PerCpu<T> {
    fn drop(&mut self) {}
}

impl<T> Drop for debugfs::Tree<T> {
    fn drop(&mut self) {}
}

impl Drop for debugfs::Dir<'_> {
    fn drop(&mut self) {}
}

impl Drop for wait::WaitQueue {
    fn drop(&mut self) {}
}

impl<Q: QueueType> Drop for percpu_workqueue::Queue<Q> {
    fn drop(&mut self) {}
}

impl<Q: QueueType> Drop for percpu_workqueue::Worker<'_, Q> {
    fn drop(&mut self) {}
}

impl<Q: QueueType> Drop for percpu_workqueue::Workers<Q> {
    fn drop(&mut self) {}
}
