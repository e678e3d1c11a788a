// SPDX-License-Identifier: GPL-2.0

//! The interface of `smpboot_bench.ko` for the Rust modules that it measures.
//!
//! C header: `bench/smpboot_bench.h`

#![allow(dead_code, reason = "not every mechanism calls all of it")]

use crate::smpboot::ModuleScope;
use core::{
    marker::PhantomData,
    ptr::{
        from_ref,
        null_mut, //
    }, //
};
use kernel::{
    cpu::CpuId,
    error::{
        from_result,
        to_result, //
    },
    ffi::{
        c_char,
        c_void, //
    },
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    types::ForeignOwnable, //
};

/// A mechanism that runs work on a CPU: `struct smpboot_bench_ops`.
pub(crate) trait Mechanism: Sync + 'static {
    /// The name in the commands and the results.
    const NAME: &'static CStr;

    /// Several wakes may share one run.
    const COALESCES: bool = false;

    /// The state between start and stop.
    type Handle: ForeignOwnable + 'static;

    /// Prepares the mechanism. `arg` is 1 for FIFO, or the number of registrations to make.
    fn start(scope: &'static ModuleScope, arg: u32) -> Result<Self::Handle>;

    /// Makes the item run on `cpu`. The item calls [`ran`]. Any context.
    fn wake(handle: <Self::Handle as ForeignOwnable>::Borrowed<'_>, cpu: CpuId, item: u32);
}

#[repr(C)]
struct Ops {
    name: *const c_char,
    coalesces: bool,
    start: unsafe extern "C" fn(c_uint, *mut *mut c_void) -> c_int,
    stop: unsafe extern "C" fn(*mut c_void),
    wake: unsafe extern "C" fn(*mut c_void, c_uint, c_uint),
}

extern "C" {
    fn smpboot_bench_add(ops: *const Ops) -> c_int;
    fn smpboot_bench_remove(ops: *const Ops);
    fn smpboot_bench_ran();
}

/// Records the start of an item. Each item calls this first.
#[inline(always)]
pub(crate) fn ran() {
    // SAFETY: This C function may be called at any time, in any context.
    unsafe { smpboot_bench_ran() }
}

struct Callbacks<M>(PhantomData<M>);

impl<M: Mechanism> Callbacks<M> {
    const OPS: Ops = Ops {
        name: M::NAME.to_bytes_with_nul().as_ptr().cast(),
        coalesces: M::COALESCES,
        start: Self::start,
        stop: Self::stop,
        wake: Self::wake,
    };

    /// # Safety
    ///
    /// `handle` must be valid for writing.
    unsafe extern "C" fn start(arg: c_uint, handle: *mut *mut c_void) -> c_int {
        from_result(|| {
            // SAFETY: Null, or from a `&'static ModuleScope`.
            let scope = unsafe { SCOPE.load(Relaxed).as_ref() };
            let started = M::start(scope.ok_or(ENODEV)?, arg)?;
            // SAFETY: By the requirements of this function.
            unsafe { *handle = started.into_foreign() };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `handle` is from a `start` that no other `stop` has undone, and is in no other call.
    unsafe extern "C" fn stop(handle: *mut c_void) {
        // SAFETY: By the requirements of this function.
        drop(unsafe { M::Handle::from_foreign(handle) });
    }

    /// # Safety
    ///
    /// `handle` is from a `start` that no `stop` undoes during the call, and `cpu` is possible.
    unsafe extern "C" fn wake(handle: *mut c_void, cpu: c_uint, item: c_uint) {
        // SAFETY: By the requirements of this function.
        let (handle, cpu) = unsafe { (M::Handle::borrow(handle), CpuId::from_u32_unchecked(cpu)) };
        M::wake(handle, cpu, item);
    }
}

trait HasOps {
    /// The table, which has one address.
    const OPS: &'static Ops;
}

impl<M: Mechanism> HasOps for M {
    const OPS: &'static Ops = &Callbacks::<M>::OPS;
}

/// Null, or from a `&'static ModuleScope`.
static SCOPE: Atomic<*mut ModuleScope> = Atomic::new(null_mut());

/// A mechanism that is added to the driver until this is dropped.
pub(crate) struct Added<M: Mechanism>(PhantomData<M>);

impl<M: Mechanism> Added<M> {
    /// Adds `M` to the driver.
    #[inline]
    pub(crate) fn new(scope: &'static ModuleScope) -> Result<Self> {
        SCOPE.store(from_ref(scope).cast_mut(), Relaxed);
        // SAFETY: The table and its functions are static, so they exist as long as the module. The
        // module holds this value, whose drop removes the table. The driver passes the arguments
        // that the functions require.
        to_result(unsafe { smpboot_bench_add(<M as HasOps>::OPS) })?;
        Ok(Self(PhantomData))
    }
}

impl<M: Mechanism> Drop for Added<M> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: Added by `new`. After this the driver does not call back.
        unsafe { smpboot_bench_remove(<M as HasOps>::OPS) };
    }
}
