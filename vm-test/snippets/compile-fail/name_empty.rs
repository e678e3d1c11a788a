//! Hazard 9: threads have a name.
//~ ERROR the name of a hotplug thread is empty
worker!(Worker, c"");
