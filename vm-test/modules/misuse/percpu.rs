// SPDX-License-Identifier: GPL-2.0

//! Per-CPU storage.

use super::report::{
    Counts,
    Outcome,
    Tracked, //
};
use crate::smpboot::{
    hotplug,
    percpu::MAX_SIZE,
    ModuleScope,
    PerCpu, //
};
use kernel::{
    cpu::{
        nr_cpu_ids,
        CpuId, //
    },
    prelude::*, //
};

/// Construction that fails at each CPU in turn, or not at all.
pub(crate) fn construction(_: &'static ModuleScope) -> Outcome {
    let possible = hotplug::possible_cpus().count() as u32;

    for good in 0..=possible {
        let counts = Counts::new()?;
        let made = PerCpu::<Tracked>::new(|_cpu| {
            if counts.made.get() == good {
                Err(EIO)
            } else {
                Ok(Tracked::new(&counts))
            }
        });
        match made {
            Ok(values) => {
                ensure_eq!(good, possible);
                ensure_eq!(values.iter().count() as u32, possible);
                ensure_eq!(counts.dropped.get(), 0);
                drop(values);
            }
            Err(e) => {
                ensure_eq!(e, EIO);
                ensure!(good < possible, "failed for no reason");
            }
        }
        ensure_eq!(counts.made.get(), good);
        ensure_eq!(counts.dropped.get(), good);
    }

    // Size 0, alignment of a page, the largest size.
    struct Nothing;
    #[repr(align(4096))]
    struct Page;
    ensure!(PerCpu::new(|_cpu| Nothing)?.iter().count() > 0, "no CPU");
    let pages = PerCpu::new(|_cpu| Page)?;
    for (_, page) in pages.iter() {
        ensure_eq!(core::ptr::from_ref(page) as usize % 4096, 0);
    }
    let large = PerCpu::<[u32; MAX_SIZE / 4]>::new(|cpu| {
        pin_init::init_array_from_fn(move |_| cpu.as_u32())
    })?;
    for (cpu, large) in large.iter() {
        ensure!(
            large.iter().all(|n| *n == cpu.as_u32()),
            "a value of another CPU"
        );
    }

    // CPUs that are not possible have no value.
    for cpu in (0..nr_cpu_ids()).filter_map(CpuId::from_u32) {
        ensure_eq!(large.get(cpu).is_some(), hotplug::is_possible(cpu));
    }
    Ok(())
}
