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
    cpumask::{
        Cpumask,
        CpumaskVar, //
    },
    error::to_result,
    prelude::*, //
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

/// Parses a CPU list as the kernel's own files do: `cpulist_parse()`.
///
/// A list has numbers and ranges (`0-3,7`), ranges with a pattern (`0-7:1/2`), `all`, or `N` for
/// the last CPU. White space around it is ignored. An empty list gives an empty mask.
///
/// # Examples
///
/// ```
/// use smpboot::hotplug;
///
/// let first = hotplug::parse_cpu_list(c"0")?;
/// assert!(hotplug::cpus_of(&first).map(|cpu| cpu.as_u32()).eq([0]));
///
/// let all = hotplug::parse_cpu_list(c" 0-N\n")?;
/// assert_eq!(hotplug::cpus_of(&all).count(), kernel::cpu::nr_cpu_ids() as usize);
///
/// assert_eq!(hotplug::parse_cpu_list(c"0-1-2").err(), Some(EINVAL));
/// ```
///
/// # Errors
///
/// - `EINVAL`: the text is not a list.
/// - `ERANGE`: a CPU number is [`nr_cpu_ids()`] or above.
/// - `EOVERFLOW`: a number does not fit into an integer.
/// - `ENOMEM`: no memory for the mask.
pub fn parse_cpu_list(list: &CStr) -> Result<CpumaskVar> {
    let mask = CpumaskVar::new_zero(GFP_KERNEL)?;

    // SAFETY: `list` is NUL-terminated, and the mask has room for `nr_cpu_ids` bits.
    to_result(unsafe {
        bindings::bitmap_parselist(
            list.as_char_ptr(),
            mask.as_raw().cast(),
            nr_cpu_ids() as c_int,
        )
    })?;

    Ok(mask)
}
