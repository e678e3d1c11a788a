// SPDX-License-Identifier: GPL-2.0

//! The parts of the kernel crate that the simulated files use. One access to shared state is one
//! step.

#![allow(
    non_camel_case_types,
    non_upper_case_globals,
    unsafe_op_in_unsafe_fn,
    static_mut_refs,
    clippy::missing_safety_doc,
    clippy::not_unsafe_ptr_arg_deref,
    clippy::new_ret_no_self,
    reason = "this is the C side"
)]

extern crate pinned_init as pin_init;

pub mod alloc;
pub mod bindings;
mod c;
pub mod sync;
pub mod time;
pub mod world;

pub use c::cpu::{boot, cpu_down, cpu_up};

pub mod ffi {
    pub use core::ffi::{c_char, c_int, c_long, c_uint, c_void};
    pub type c_ulong = usize;
}

#[macro_export]
macro_rules! pr_err { ($($t:tt)*) => { $crate::world::log(format!($($t)*)) } }
#[macro_export]
macro_rules! build_error {
    ($e:expr) => {
        panic!("{}", $e)
    };
}
#[macro_export]
macro_rules! static_lock_class {
    () => {
        ::core::pin::Pin::static_ref(&$crate::sync::LockClassKey)
    };
}

#[macro_export]
macro_rules! current {
    () => {
        $crate::task::CurrentTask
    };
}

pub mod error {
    use core::ffi::c_int;
    use core::num::NonZeroI32;

    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Error(NonZeroI32);

    pub type Result<T = (), E = Error> = core::result::Result<T, E>;

    impl Error {
        pub const fn from_errno(errno: c_int) -> Self {
            Self(NonZeroI32::new(errno).unwrap())
        }
        pub fn to_errno(self) -> c_int {
            self.0.get()
        }
    }

    impl From<core::convert::Infallible> for Error {
        fn from(e: core::convert::Infallible) -> Self {
            match e {}
        }
    }

    pub mod code {
        use super::Error;
        pub const EINTR: Error = Error::from_errno(-4);
        pub const EPERM: Error = Error::from_errno(-1);
        pub const EAGAIN: Error = Error::from_errno(-11);
        pub const ENOMEM: Error = Error::from_errno(-12);
        pub const EBUSY: Error = Error::from_errno(-16);
        pub const ENODEV: Error = Error::from_errno(-19);
        pub const EINVAL: Error = Error::from_errno(-22);
        pub const ENOSPC: Error = Error::from_errno(-28);
        pub const ERESTARTSYS: Error = Error::from_errno(-512);
    }

    pub const VTABLE_DEFAULT_ERROR: &str = "the callback is not implemented";

    pub fn to_result(errno: c_int) -> Result {
        match errno {
            0.. => Ok(()),
            _ => Err(Error::from_errno(errno)),
        }
    }

    pub fn from_result(f: impl FnOnce() -> Result<c_int>) -> c_int {
        f().unwrap_or_else(|e| e.to_errno())
    }
}

pub trait CStrExt {
    fn as_char_ptr(&self) -> *const core::ffi::c_char;
}

impl CStrExt for core::ffi::CStr {
    fn as_char_ptr(&self) -> *const core::ffi::c_char {
        self.as_ptr()
    }
}

pub struct ThisModule;

pub mod prelude {
    pub use crate::alloc::{Flags, KBox, KVec, GFP_KERNEL};
    pub use crate::error::{code::*, Error, Result};
    pub use crate::{build_error, pr_err, CStrExt, ThisModule};
    pub use core::ffi::{c_char, c_int, c_long, c_uint, c_void, CStr};
    pub use core::pin::Pin;
    pub use macros::{pin_data, vtable};
    pub use pin_init::{init, pin_init, pinned_drop, try_pin_init, Init, PinInit, PinnedDrop};
}

pub mod types {
    use crate::world::touch;
    use core::cell::UnsafeCell;
    use core::marker::{PhantomData, PhantomPinned};
    use core::mem::MaybeUninit;
    use pin_init::PinInit;

    pub use crate::alloc::ForeignOwnable;

    pub type NotThreadSafe = PhantomData<*mut ()>;
    pub const NotThreadSafe: NotThreadSafe = PhantomData;

    /// A type whose contents only C uses.
    #[repr(transparent)]
    pub struct Opaque<T> {
        value: UnsafeCell<MaybeUninit<T>>,
        _pin: PhantomPinned,
    }

    impl<T> Opaque<T> {
        pub const fn uninit() -> Self {
            Self { value: UnsafeCell::new(MaybeUninit::uninit()), _pin: PhantomPinned }
        }

        pub fn ffi_init(init: impl FnOnce(*mut T)) -> impl PinInit<Self> {
            // SAFETY: `init` initializes it.
            unsafe {
                pin_init::pin_init_from_closure(move |slot: *mut Self| {
                    init(slot.cast());
                    Ok(())
                })
            }
        }

        pub fn get(&self) -> *mut T {
            let at: *mut T = self.value.get().cast();
            touch(at);
            at
        }
    }
}

pub mod fs {
    pub struct File;
    impl File {
        pub fn as_ptr(&self) -> *mut crate::bindings::file {
            core::ptr::null_mut()
        }
    }
}

pub mod module_param {
    pub struct ModuleParamAccess<T>(T);
    impl<T> ModuleParamAccess<T> {
        pub fn value(&self) -> &T {
            &self.0
        }
    }
}

pub mod processor {
    /// Lets other tasks run, for a task that waits without sleeping.
    pub fn cpu_relax() {
        shuttle::thread::yield_now();
        crate::world::step();
    }
}

pub mod interrupt {
    pub struct LocalInterruptDisabled;

    pub fn local_interrupt_disable() -> LocalInterruptDisabled {
        crate::world::irqs(true);
        LocalInterruptDisabled
    }

    impl Drop for LocalInterruptDisabled {
        fn drop(&mut self) {
            crate::world::irqs(false);
        }
    }
}

pub mod task {
    pub const TASK_NORMAL: u32 = crate::bindings::TASK_NORMAL;
    pub type Pid = i32;
    pub struct CurrentTask;
    impl CurrentTask {
        pub fn as_ptr(&self) -> *mut crate::bindings::task_struct {
            crate::world::current()
        }
    }

    #[repr(transparent)]
    pub struct Task(core::cell::UnsafeCell<crate::bindings::task_struct>);

    impl Task {
        pub fn current_raw() -> *mut crate::bindings::task_struct {
            crate::world::current()
        }
        pub fn as_ptr(&self) -> *mut crate::bindings::task_struct {
            self.0.get()
        }
        pub fn pid(&self) -> Pid {
            // SAFETY: Tasks take turns.
            unsafe { (*self.as_ptr()).pid }
        }
        pub fn wake_up(&self) {
            // SAFETY: The caller ensures that the task is valid, which this checks.
            unsafe { crate::bindings::wake_up_process(self.as_ptr()) };
        }
    }
}

pub mod cpu {
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct CpuId(u32);

    pub fn nr_cpu_ids() -> u32 {
        crate::world::CPUS as u32
    }

    impl CpuId {
        pub fn from_u32(cpu: u32) -> Option<Self> {
            (cpu < nr_cpu_ids()).then_some(Self(cpu))
        }
        pub unsafe fn from_u32_unchecked(cpu: u32) -> Self {
            Self(cpu)
        }
        pub fn as_u32(self) -> u32 {
            self.0
        }
        pub fn current() -> Self {
            // SAFETY: The current task exists.
            Self(unsafe { (*crate::world::current()).on_cpu() } as u32)
        }
    }
}

pub mod cpumask {
    use crate::{alloc::Flags, bindings, cpu::CpuId, error::Result};

    #[repr(transparent)]
    pub struct Cpumask(core::cell::UnsafeCell<bindings::cpumask>);

    impl Cpumask {
        pub unsafe fn from_raw<'a>(raw: *const bindings::cpumask) -> &'a Self {
            &*raw.cast()
        }
        pub fn as_raw(&self) -> *mut bindings::cpumask {
            self.0.get()
        }
        pub fn test(&self, cpu: CpuId) -> bool {
            crate::world::step();
            // SAFETY: Tasks take turns.
            unsafe { (*self.0.get()).bits[0] >> cpu.as_u32() & 1 != 0 }
        }
    }

    pub struct CpumaskVar(Box<Cpumask>);

    impl CpumaskVar {
        pub fn new_zero(_: Flags) -> Result<Self> {
            let mask = bindings::cpumask { bits: [0] };
            Ok(Self(Box::new(Cpumask(core::cell::UnsafeCell::new(mask)))))
        }
    }

    impl core::ops::Deref for CpumaskVar {
        type Target = Cpumask;
        fn deref(&self) -> &Cpumask {
            &self.0
        }
    }
}
