//! Hazard 9: C uses the name as a format string.
//~ ERROR the name of a hotplug thread contains a `%`
worker!(Worker, c"w%s");
