//! The task that took the hotplug lock gives it back.
//~ ERROR cannot be sent between threads safely
fn send<T: Send>(_: T) {}

pub fn leak(guard: smpboot::hotplug::CpusReadGuard) {
    send(guard);
}
