//! Hazards 3, 4: the C functions are out of reach.
//~ ERROR module `bindings` is private
pub fn unregister() {
    let _ = surroundings::library::bindings::smpboot_unregister_percpu_thread;
}
