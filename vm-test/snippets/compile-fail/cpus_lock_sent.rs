//! The task that took the hotplug lock releases it.
//~ ERROR cannot be sent between threads safely
fn send<T: Send>(_: T) {}

pub fn leak(guard: smpboot::hotplug::CpusReadGuard) {
    send(guard);
}
