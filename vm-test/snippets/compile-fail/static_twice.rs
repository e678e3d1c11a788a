//! Hazards 1, 4: one type has one static.
//~ ERROR conflicting implementations of trait `HasThreadSlot` for type `Worker`
worker!(Worker, c"worker");
hotplug_thread!(Worker);
