//! Hazard 9: the name is a format string of C's.
//~ ERROR the name of a hotplug thread contains a `%`
worker!(Worker, c"w%s");
