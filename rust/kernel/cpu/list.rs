// SPDX-License-Identifier: GPL-2.0

//! Lists of CPUs, as text.

use super::super::bindings;
use kernel::{
    cpu::nr_cpu_ids,
    cpumask::CpumaskVar,
    error::to_result,
    prelude::*, //
};

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
