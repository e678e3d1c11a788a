//! A per-CPU value does not outlive its storage.
//~ ERROR cannot move out of `values` because it is borrowed
pub fn use_after_free(values: smpboot::PerCpu<u32>, cpu: kernel::cpu::CpuId) -> u32 {
    let value = values.get(cpu);
    drop(values);
    value.copied().unwrap_or(0)
}
