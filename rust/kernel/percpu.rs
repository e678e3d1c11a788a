// SPDX-License-Identifier: GPL-2.0

//! Per-CPU storage.
//!
//! [`PerCpu<T>`] is the kernel's `alloc_percpu()` with Rust's construction and drop: one `T` for
//! each possible CPU, in memory that is local to that CPU. It is not tied to hotplug threads.
//!
//! The values exist for CPUs that are offline, and for CPUs that were never online, too. Whether
//! a CPU is online says nothing about who may access its value: that is for `T` to say, by being
//! [`Sync`] (atomics, locks), as for any other shared value.
//!
//! Static per-CPU variables of modules come out of a reserve of 8 KiB that all modules share; this
//! storage is allocated, and limited by [`MAX_SIZE`] only.
//!
//! C header: [`include/linux/percpu.h`](srctree/include/linux/percpu.h)

use super::{
    bindings,
    cpu::hotplug,
    seam::{
        per_cpu_ptr,
        raw_try_init, //
    }, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    cpu::CpuId,
    prelude::*, //
};

/// The largest size, in bytes, that the kernel's allocator hands out per CPU
/// (`PCPU_MIN_UNIT_SIZE`).
pub const MAX_SIZE: usize = 32 << 10;

/// Uninitialized storage for one `T` per possible CPU.
///
/// # Invariants
///
/// `ptr` comes from the per-CPU allocator, with the layout of `T`, and is owned.
pub(super) struct RawPerCpu<T> {
    ptr: NonNull<T>,
}

impl<T> RawPerCpu<T> {
    /// Fails to build if the allocator would refuse a `T`.
    pub(super) const FITS: () = {
        assert!(size_of::<T>() <= MAX_SIZE, "too large for per-CPU storage");
        assert!(align_of::<T>() <= 4096, "alignment exceeds a page");
    };

    /// Allocates zeroed storage.
    ///
    /// Process context; may sleep. Returns `ENOMEM` if there is not enough memory.
    pub(super) fn new_zeroed() -> Result<Self> {
        let () = Self::FITS;

        // The allocator refuses a size of 0 with a warning.
        let size = if size_of::<T>() == 0 {
            1
        } else {
            size_of::<T>()
        };

        // SAFETY: Size and alignment are within the allocator's limits, as asserted above. The
        // context is the caller's promise.
        let ptr = unsafe {
            bindings::pcpu_alloc_noprof(size, align_of::<T>(), false, bindings::GFP_KERNEL)
        };

        // INVARIANT: Allocated just now.
        Ok(Self {
            ptr: NonNull::new(ptr.cast()).ok_or(ENOMEM)?,
        })
    }

    /// The per-CPU base address, `T __percpu *` in C: not to be dereferenced.
    #[inline(always)]
    pub(super) fn base(&self) -> *mut T {
        self.ptr.as_ptr()
    }
}

impl<T> Drop for RawPerCpu<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; nobody uses the memory after its owner is gone.
        unsafe { bindings::free_percpu(self.ptr.as_ptr().cast()) };
    }
}

/// One `T` for each possible CPU.
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
/// # let _ = total;
/// ```
///
/// # Invariants
///
/// The storage of every possible CPU holds an initialized `T`, which is pinned there.
pub struct PerCpu<T> {
    raw: RawPerCpu<T>,
    _owns: PhantomData<T>,
}

// SAFETY: The storage is memory like any other: it may be used and freed by another task.
unsafe impl<T: Send> Send for PerCpu<T> {}
// SAFETY: `&PerCpu<T>` gives out nothing but `&T`.
unsafe impl<T: Sync> Sync for PerCpu<T> {}

impl<T> PerCpu<T> {
    /// Allocates the storage and initializes it with what `init` returns for each possible CPU: a
    /// `T`, or an initializer of one.
    ///
    /// Process context; may sleep. Returns `ENOMEM` if there is not enough memory, or the error of
    /// an initializer that failed, after dropping the values that were made before it.
    pub fn new<I, E>(mut init: impl FnMut(CpuId) -> I) -> Result<Self>
    where
        I: PinInit<T, E>,
        Error: From<E>,
    {
        let raw = RawPerCpu::<T>::new_zeroed()?;

        for cpu in hotplug::possible_cpus() {
            // SAFETY: `cpu` is possible, hence there is storage of the size of a `T`, which is not
            // initialized yet, stays where it is, and counts as uninitialized on error.
            let result = unsafe { raw_try_init(per_cpu_ptr(raw.base(), cpu.as_u32()), init(cpu)) };

            if let Err(e) = result {
                for made in hotplug::possible_cpus().take_while(|c| *c != cpu) {
                    // SAFETY: Initialized by a previous turn of the outer loop: the possible CPUs
                    // do not change after boot.
                    unsafe { core::ptr::drop_in_place(per_cpu_ptr(raw.base(), made.as_u32())) };
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

    /// The value of `cpu`, or `None` if no such CPU is possible.
    ///
    /// Any context. For the value of the CPU that runs this, pass [`CpuId::current()`]: unless
    /// the caller is bound to its CPU, it may be another CPU's by the time that it is used.
    #[inline]
    pub fn get(&self, cpu: CpuId) -> Option<&T> {
        if !hotplug::is_possible(cpu) {
            return None;
        }
        // SAFETY: `cpu` is possible, so there is a `T`, by the type invariant.
        Some(unsafe { &*per_cpu_ptr(self.raw.base(), cpu.as_u32()) })
    }

    /// The value of `cpu`, to be changed.
    pub fn get_mut(&mut self, cpu: CpuId) -> Option<Pin<&mut T>> {
        if !hotplug::is_possible(cpu) {
            return None;
        }
        // SAFETY: As in `get`; the borrow of `self` is exclusive. The value is pinned by the type
        // invariant.
        Some(unsafe { Pin::new_unchecked(&mut *per_cpu_ptr(self.raw.base(), cpu.as_u32())) })
    }

    /// The values of all possible CPUs.
    pub fn iter(&self) -> impl Iterator<Item = (CpuId, &T)> {
        hotplug::possible_cpus().filter_map(|cpu| Some((cpu, self.get(cpu)?)))
    }

    /// The values of the CPUs that are online, each at the moment when the iterator comes by.
    ///
    /// With a [`CpusReadGuard`](hotplug::CpusReadGuard) held, of all that are online.
    pub fn iter_online(&self) -> impl Iterator<Item = (CpuId, &T)> {
        hotplug::online_cpus().filter_map(|cpu| Some((cpu, self.get(cpu)?)))
    }
}

impl<T> Drop for PerCpu<T> {
    fn drop(&mut self) {
        if core::mem::needs_drop::<T>() {
            for cpu in hotplug::possible_cpus() {
                // SAFETY: Initialized by the type invariant, and dropped only here.
                unsafe { core::ptr::drop_in_place(per_cpu_ptr(self.raw.base(), cpu.as_u32())) };
            }
        }
    }
}
