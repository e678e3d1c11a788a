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
//! Implement [`HotplugThread`] for a type. All threads share its value. Each thread also owns a
//! `Local`, which needs no lock. A [`Registration`] creates the threads; dropping it stops them.
//!
//! [`Documentation/core-api/cpu_hotplug.rst`] describes when the core calls the callbacks.
//!
//! C header: [`include/linux/smpboot.h`](srctree/include/linux/smpboot.h)
//!
//! [`Documentation/core-api/cpu_hotplug.rst`]: srctree/Documentation/core-api/cpu_hotplug.rst

mod context;
mod flag;
mod registration;
mod thread;

pub use context::Context;
pub use registration::Registration;
pub use thread::HotplugThread;
