//! Hazard 4: the static of a registration is the library's alone.
//~ ERROR associated function `new` is private
//~ ERROR field `0` of struct `ThreadSlot` is private
worker!(Worker, c"worker");

pub fn look() {
    let _ = &Worker::slot(smpboot::SlotAccess::new()).0;
}
