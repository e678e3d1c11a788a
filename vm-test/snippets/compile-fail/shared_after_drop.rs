//! Hazard 12: the shared value does not outlive the registration.
//~ ERROR cannot move out of `registration` because it is borrowed
worker!(Worker, c"worker");

pub fn use_after_drop(registration: Registration<Worker>) {
    let shared: &Worker = &registration;
    drop(registration);
    let _used: &Worker = shared;
}
