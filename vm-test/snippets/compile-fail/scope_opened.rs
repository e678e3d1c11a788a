//! Hazard 11: opening a scope is a promise to close it.
//~ ERROR call to unsafe function `ModuleScope::new` is unsafe and requires unsafe
use kernel::sync::atomic::AtomicFlag;

pub fn open(claimed: &'static AtomicFlag) -> impl PinInit<ModuleScope, Error> {
    ModuleScope::new(claimed)
}
