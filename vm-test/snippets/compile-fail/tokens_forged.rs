//! No literal makes a token, witness or guard, not even in the library's own crate.
//~ IN THE LIBRARY'S CRATE
//~ ERROR struct literal syntax due to private fields .. Context {}
//~ ERROR struct literal syntax due to private fields .. smpboot::AtomicContext {}
//~ ERROR struct literal syntax due to private fields .. smpboot::SlotAccess {}
//~ ERROR struct literal syntax due to private fields .. ModuleScope {}
//~ ERROR struct literal syntax due to private fields .. hotplug::CpusReadGuard {}
//~ ERROR struct literal syntax due to private fields .. debugfs::Dir {}
//~ ERROR struct literal syntax due to private fields .. wait::WaitQueue {}
//~ ERROR struct literal syntax due to private fields .. debugfs::Tree {}
//~ ERROR struct literal syntax due to private fields .. smpboot::PerCpu {}
//~ ERROR struct literal syntax due to private fields .. Registration {}
//~ ERROR struct literal syntax due to private fields .. smpboot::SelfParkingRegistration {}
//~ ERROR struct literal syntax due to private fields .. cpuhp::Registration {}
//~ ERROR struct literal syntax due to private fields .. percpu_workqueue::Queue {}
//~ ERROR struct literal syntax due to private fields .. percpu_workqueue::Worker {}
use percpu_workqueue::QueueType;
use smpboot::{cpuhp, cpuhp::Callbacks, hotplug};

worker!(Threads, c"worker");

pub struct State;

#[vtable]
impl Callbacks for State {
    const NAME: &'static CStr = c"test:online";
}
cpuhp_state!(State);

pub struct Events;

impl QueueType for Events {
    const NAME: &'static CStr = c"events";
}
percpu_workqueue!(Events);

pub fn forge_0() -> Context<'static> {
    Context {}
}

pub fn forge_1() -> smpboot::AtomicContext<'static> {
    smpboot::AtomicContext {}
}

pub fn forge_2() -> smpboot::SlotAccess {
    smpboot::SlotAccess {}
}

pub fn forge_3() -> ModuleScope {
    ModuleScope {}
}

pub fn forge_4() -> hotplug::CpusReadGuard {
    hotplug::CpusReadGuard {}
}

pub fn forge_5() -> debugfs::Dir<'static> {
    debugfs::Dir {}
}

pub fn forge_6() -> wait::WaitQueue {
    wait::WaitQueue {}
}

pub fn forge_7() -> debugfs::Tree<u64> {
    debugfs::Tree {}
}

pub fn forge_8() -> smpboot::PerCpu<u64> {
    smpboot::PerCpu {}
}

pub fn forge_9() -> Registration<Threads> {
    Registration {}
}

pub fn forge_10() -> smpboot::SelfParkingRegistration<Threads> {
    smpboot::SelfParkingRegistration {}
}

pub fn forge_11() -> cpuhp::Registration<State> {
    cpuhp::Registration {}
}

pub fn forge_12() -> percpu_workqueue::Queue<Events> {
    percpu_workqueue::Queue {}
}

pub fn forge_13() -> percpu_workqueue::Worker<'static, Events> {
    percpu_workqueue::Worker {}
}
