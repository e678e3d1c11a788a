// SPDX-License-Identifier: GPL-2.0

//! Per-CPU memory without a type.

use crate::{
    bindings,
    cpu::CpuId,
    prelude::*, //
};

/// Allocates zeroed per-CPU storage of at least one byte. Process context. Returns null if the
/// allocator cannot.
#[inline]
pub(super) fn alloc_percpu(size: usize, align: usize) -> *mut c_void {
    // SAFETY: Any size and alignment are valid. The caller ensures process context.
    unsafe { bindings::__alloc_percpu(size, align) }
}

/// Returns the address of `cpu`'s copy of `ptr`. For a CPU that is not possible the address is
/// invalid.
#[inline]
pub(crate) fn per_cpu_ptr<T>(ptr: *mut T, cpu: CpuId) -> *mut T {
    // SAFETY: This only computes an address.
    unsafe { bindings::per_cpu_ptr(ptr.cast(), cpu.as_u32()) }.cast()
}
