mod raw;

use crate::{
    bindings,
    cpu::{
        hotplug,
        CpuId, //
    },
    prelude::*, //
};
use core::{
    alloc::Layout,
    marker::PhantomData,
    ptr::NonNull, //
};
use pin_init::raw_try_init;
use raw::alloc_percpu;
pub(crate) use raw::per_cpu_ptr;
