// SPDX-License-Identifier: GPL-2.0

//! Per-CPU hotplug threads.
//!
//! C header: [`include/linux/smpboot.h`](srctree/include/linux/smpboot.h)

#[path = "smpboot/bindings.rs"]
mod bindings;
#[path = "smpboot/compat.rs"]
mod compat;
#[path = "smpboot/context.rs"]
mod context;
#[path = "smpboot/cpuhp.rs"]
pub mod cpuhp;
#[path = "smpboot/hotplug.rs"]
pub mod hotplug;
#[path = "smpboot/percpu.rs"]
pub mod percpu;
#[path = "smpboot/registration.rs"]
mod registration;
#[path = "smpboot/sched.rs"]
mod sched;
#[path = "smpboot/scope.rs"]
pub mod scope;
#[path = "smpboot/slot.rs"]
mod slot;
#[path = "smpboot/thread.rs"]
mod thread;

pub use context::{
    AtomicContext,
    Context, //
};
pub use percpu::PerCpu;
#[doc(hidden)]
pub use registration::ThreadSlot;
pub use registration::{
    Registration,
    SelfParkingRegistration,
    ThreadInfo,
    ThreadState,
    Threads,
    Wake, //
};
pub use sched::{
    Nice,
    SchedPolicy, //
};
#[doc(hidden)]
pub use scope::ScopeGuard;
pub use scope::{
    ModuleScope,
    ScopedModule, //
};
pub use thread::{
    HasThreadSlot,
    HotplugThread, //
};
