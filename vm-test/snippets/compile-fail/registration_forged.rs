//! Hazard 4: unregistering needs a registration.
//~ ERROR cannot construct `surroundings::smpboot::Registration<_>` with struct literal syntax due to private fields
worker!(Worker, c"worker");

pub fn forge() -> Registration<Worker> {
    Registration {}
}
