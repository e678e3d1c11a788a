//! Hazard 1: all instantiations of a generic function share its statics.
//~ ERROR cannot find type `T` in this scope
struct Generic<T>(T);
hotplug_thread!(Generic<T>);
