//! Hazard 11: opening a scope is a promise to close it.
//~ ERROR call to unsafe function `surroundings::smpboot::ScopeGuard::new` is unsafe and requires unsafe
pub fn open() -> Result<smpboot::ScopeGuard> {
    smpboot::ScopeGuard::new()
}
