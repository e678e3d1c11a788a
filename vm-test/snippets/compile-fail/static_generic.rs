//! Hazard 1: a static in a generic function is shared by all its instantiations.
//~ ERROR cannot find type `T` in this scope
struct Generic<T>(T);
hotplug_thread!(Generic<T>);
