// SPDX-License-Identifier: GPL-2.0

//! Per-CPU storage.
//!
//! [`PerCpu<T>`] is the kernel's `alloc_percpu()` with Rust's construction and drop: one `T` for
//! each possible CPU, in memory that is local to that CPU. It is independent of hotplug threads.
//!
//! The values exist also for CPUs that are offline or were never online. The state of a CPU does
//! not restrict access to its value: as for any other shared value, `T` allows access from several
//! tasks by being [`Sync`] (atomics, locks).
//!
//! Static per-CPU variables of modules share a reserve of 8 KiB. This storage is allocated, and
//! only [`MAX_SIZE`] limits it.
//!
//! C header: [`include/linux/percpu.h`](srctree/include/linux/percpu.h)

mod access;

use super::{
    bindings,
    cpu::hotplug,
    seam::{
        alloc_percpu,
        per_cpu_ptr,
        raw_try_init, //
    }, //
};
use core::{
    alloc::Layout,
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    cpu::CpuId,
    prelude::*, //
};

/// The largest size, in bytes, that the kernel allocates per CPU (`PCPU_MIN_UNIT_SIZE`).
pub const MAX_SIZE: usize = 32 << 10;

/// Fails to build if the per-CPU allocator cannot allocate a value of `layout`.
#[inline]
pub(super) const fn assert_fits(layout: Layout) {
    assert!(layout.size() <= MAX_SIZE, "too large for per-CPU storage");
    assert!(layout.align() <= 4096, "alignment exceeds a page");
}

/// Storage for one value per possible CPU.
///
/// # Invariants
///
/// The pointer comes from the per-CPU allocator, and the value owns it.
pub(super) struct RawPerCpu(NonNull<c_void>);

impl RawPerCpu {
    /// Allocates zeroed storage.
    ///
    /// Process context. May sleep. Returns `ENOMEM` if there is not enough memory, or if
    /// [`assert_fits`] fails.
    #[inline]
    pub(super) fn new_zeroed(layout: Layout) -> Result<Self> {
        // The allocator refuses a size of 0 with a warning.
        let ptr = alloc_percpu(layout.size().max(1), layout.align());

        // INVARIANT: Allocated just now.
        Ok(Self(NonNull::new(ptr).ok_or(ENOMEM)?))
    }

    /// Returns the per-CPU base address, `__percpu` in C, which must not be dereferenced.
    #[inline(always)]
    pub(super) fn base(&self) -> *mut c_void {
        self.0.as_ptr()
    }
}

impl Drop for RawPerCpu {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant. The memory is not used after its owner was dropped.
        unsafe { bindings::free_percpu(self.base()) };
    }
}

/// A possible CPU.
///
/// # Invariants
///
/// The CPU is possible.
#[derive(Clone, Copy)]
pub(super) struct PossibleCpu(CpuId);

impl PossibleCpu {
    #[inline(always)]
    pub(super) fn new(cpu: CpuId) -> Option<Self> {
        // INVARIANT: Tested just now.
        hotplug::is_possible(cpu).then_some(Self(cpu))
    }

    #[inline(always)]
    pub(super) fn get(self) -> CpuId {
        self.0
    }
}

/// A context that belongs to one CPU: see [`PerCpu::of`](PerCpu::of).
///
/// # Safety
///
/// [`cpu`](Self::cpu) must return a possible CPU.
pub unsafe trait CpuContext {
    /// Returns the CPU.
    fn cpu(&self) -> CpuId;
}

// SAFETY: By the type invariant.
unsafe impl CpuContext for PossibleCpu {
    #[inline(always)]
    fn cpu(&self) -> CpuId {
        self.get()
    }
}

/// One `T` for each possible CPU.
///
/// It owns the values, as a box does, and drops them. A forgotten `PerCpu` leaks its memory with
/// the values, which are pinned.
///
/// # Examples
///
/// ```
/// use kernel::{cpu::CpuId, sync::atomic::{Atomic, Relaxed}};
/// use smpboot::PerCpu;
///
/// let hits = PerCpu::new(|_cpu| Atomic::<u64>::new(0))?;
///
/// if let Some(hits) = hits.get(CpuId::current()) {
///     hits.add(1, Relaxed);
/// }
///
/// let total: u64 = hits.iter().map(|(_cpu, hits)| hits.load(Relaxed)).sum();
/// assert_eq!(total, 1);
/// ```
///
/// # Invariants
///
/// The storage of every possible CPU holds an initialized `T`, which is pinned there.
pub struct PerCpu<T> {
    raw: RawPerCpu,
    _owns: PhantomData<T>,
}

// SAFETY: The storage belongs to no task: any task may use and free it.
unsafe impl<T: Send> Send for PerCpu<T> {}
// SAFETY: `&PerCpu<T>` gives access only to `&T`.
unsafe impl<T: Sync> Sync for PerCpu<T> {}

impl<T> PerCpu<T> {
    /// Allocates the storage and initializes it with what `init` returns for each possible CPU: a
    /// `T`, or an initializer of one.
    ///
    /// Process context. May sleep. Returns `ENOMEM` if there is not enough memory, which the
    /// kernel's allocator also logs, or the error of an initializer, after dropping the values made
    /// so far.
    pub fn new<I, E>(mut init: impl FnMut(CpuId) -> I) -> Result<Self>
    where
        I: PinInit<T, E>,
        Error: From<E>,
    {
        const { assert_fits(Layout::new::<T>()) };

        let raw = RawPerCpu::new_zeroed(Layout::new::<T>())?;

        for cpu in hotplug::possible_cpus() {
            // SAFETY: `cpu` is possible, so it has storage of the size of a `T`, which is not
            // initialized yet, stays in place, and counts as uninitialized on error.
            let result = unsafe { raw_try_init(per_cpu_ptr(raw.base().cast(), cpu), init(cpu)) };

            if let Err(e) = result {
                for made in hotplug::possible_cpus().take_while(|c| *c != cpu) {
                    // SAFETY: A previous iteration of the outer loop initialized it: the possible
                    // CPUs do not change after boot.
                    unsafe { core::ptr::drop_in_place(per_cpu_ptr::<T>(raw.base().cast(), made)) };
                }
                return Err(e.into());
            }
        }

        // INVARIANT: Initialized for every possible CPU above, and never moved.
        Ok(Self {
            raw,
            _owns: PhantomData,
        })
    }

    /// Returns the address of the value of `cpu`, if that CPU is possible.
    #[inline(always)]
    fn ptr(&self, cpu: CpuId) -> *mut T {
        per_cpu_ptr(self.raw.base().cast(), cpu)
    }

    /// Returns the value of the CPU of a callback, online or not.
    #[inline]
    pub fn of(&self, cx: &impl CpuContext) -> &T {
        // SAFETY: The CPU is possible, by the requirements of the trait, so it has a `T`, by the
        // type invariant.
        unsafe { &*self.ptr(cx.cpu()) }
    }

    /// Returns the value of `cpu`, or `None` if the CPU is not possible.
    ///
    /// Any context. For the value of the current CPU, pass [`CpuId::current()`]. Unless the caller
    /// is bound to its CPU, it may run on another CPU by the time it uses the value.
    #[inline]
    pub fn get(&self, cpu: CpuId) -> Option<&T> {
        let cpu = PossibleCpu::new(cpu)?;
        Some(self.of(&cpu))
    }

    /// Returns the values of all possible CPUs.
    pub fn iter(&self) -> impl Iterator<Item = (CpuId, &T)> {
        hotplug::possible_cpus().filter_map(|cpu| Some((cpu, self.get(cpu)?)))
    }
}

impl<T> Drop for PerCpu<T> {
    fn drop(&mut self) {
        if core::mem::needs_drop::<T>() {
            for cpu in hotplug::possible_cpus() {
                // SAFETY: Initialized, by the type invariant, and dropped only here.
                unsafe { core::ptr::drop_in_place(self.ptr(cpu)) };
            }
        }
    }
}
