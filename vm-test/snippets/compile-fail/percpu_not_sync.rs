//! Per-CPU storage does not make its values safe to share.
//~ ERROR Cell<u32>` cannot be shared between threads safely
fn share<T: Sync>(_: &T) {}

pub fn leak(values: &smpboot::PerCpu<core::cell::Cell<u32>>) {
    share(values);
}
