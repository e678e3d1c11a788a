// SPDX-License-Identifier: GPL-2.0

//! Exclusive access to per-CPU storage, and access to the values of the online CPUs.

use super::{
    super::cpu::hotplug,
    PerCpu, //
};
use kernel::{
    cpu::CpuId,
    prelude::*, //
};

impl<T> PerCpu<T> {
    /// Returns the value of `cpu` for modification, or `None` if the CPU is not possible.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::cpu::CpuId;
    /// use smpboot::PerCpu;
    ///
    /// let cpu = CpuId::current();
    /// let mut values = PerCpu::new(|_cpu| 0u64)?;
    /// if let Some(mut value) = values.get_mut(cpu) {
    ///     *value += 1;
    /// }
    /// assert!(values.iter_online().all(|(id, value)| *value == u64::from(id == cpu)));
    /// ```
    pub fn get_mut(&mut self, cpu: CpuId) -> Option<Pin<&mut T>> {
        if !hotplug::is_possible(cpu) {
            return None;
        }
        // SAFETY: The CPU is possible, so it has a `T`, by the type invariant, which also pins it.
        // The borrow of `self` is exclusive.
        Some(unsafe { Pin::new_unchecked(&mut *self.ptr(cpu)) })
    }

    /// Returns the values of the online CPUs. The iterator tests each CPU when it reaches it.
    ///
    /// If the caller holds a [`CpusReadGuard`](hotplug::CpusReadGuard), that is exactly the online
    /// CPUs.
    pub fn iter_online(&self) -> impl Iterator<Item = (CpuId, &T)> {
        hotplug::online_cpus().filter_map(|cpu| Some((cpu, self.get(cpu)?)))
    }
}
