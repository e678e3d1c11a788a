//! Hazards 3, 4: user code cannot call the C functions.
//~ ERROR module `bindings` is private
pub fn unregister() {
    let _ = surroundings::library::bindings::smpboot_unregister_percpu_thread;
}
