//! Hazard 4: only the library uses the static of a registration.
//~ ERROR associated function `new` is private
//~ ERROR ThreadSlot` is private
worker!(Worker, c"worker");

pub fn look() {
    let _ = &Worker::slot(smpboot::SlotAccess::new()).0;
}
