//! The contexts of callbacks: only a callback gets one.
//~ ERROR associated function `new` is private
pub fn forge(cpu: kernel::cpu::CpuId) {
    let _ = Context::new(cpu);
}
