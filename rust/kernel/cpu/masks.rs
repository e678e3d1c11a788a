// SPDX-License-Identifier: GPL-2.0

//! The masks of CPUs.

use super::{
    super::bindings,
    hotplug::is_possible, //
};
use kernel::{
    cpu::{
        nr_cpu_ids,
        CpuId, //
    },
    cpumask::Cpumask, //
};

fn online_mask() -> &'static Cpumask {
    // SAFETY: The mask is a static. It changes bit by bit, with atomic operations, and
    // `Cpumask::test` reads it atomically.
    unsafe { Cpumask::from_raw(&raw const bindings::__cpu_online_mask) }
}

/// Returns whether `cpu` is online now. Any context.
///
/// The result means little for the threads of that CPU: it is true before they are unparked, and
/// still true after they were parked. It may change at any time unless the caller holds a
/// [`CpusReadGuard`](super::hotplug::CpusReadGuard).
#[inline]
pub fn is_online(cpu: CpuId) -> bool {
    online_mask().test(cpu)
}

fn all() -> impl Iterator<Item = CpuId> {
    (0..nr_cpu_ids()).filter_map(CpuId::from_u32)
}

/// Returns the CPUs that can ever be online, in ascending order.
///
/// # Examples
///
/// ```
/// use smpboot::hotplug;
///
/// assert!(hotplug::online_cpus().all(hotplug::is_possible));
/// assert!(hotplug::possible_cpus().count() >= hotplug::online_cpus().count());
/// ```
pub fn possible_cpus() -> impl Iterator<Item = CpuId> {
    all().filter(|cpu| is_possible(*cpu))
}

/// Returns the online CPUs. The iterator tests each CPU when it reaches it.
pub fn online_cpus() -> impl Iterator<Item = CpuId> {
    all().filter(|cpu| is_online(*cpu))
}

/// Returns the CPUs of a mask, in ascending order.
pub fn cpus_of(mask: &Cpumask) -> impl Iterator<Item = CpuId> + '_ {
    all().filter(|cpu| mask.test(*cpu))
}
