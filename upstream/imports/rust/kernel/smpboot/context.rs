use crate::{
    bindings,
    cpu::CpuId,
    percpu::CpuContext,
    types::NotThreadSafe, //
};
use core::marker::PhantomData;
