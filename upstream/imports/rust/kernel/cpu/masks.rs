use super::hotplug::is_possible;
use crate::{
    bindings,
    cpu::{
        nr_cpu_ids,
        CpuId, //
    },
    cpumask::Cpumask, //
};
