//! Hazard 9: the name, `/` and the number of any possible CPU fit into a comm.
//~ ERROR the name of a hotplug thread does not leave room for `/` and a CPU number
worker!(Worker, c"fourteen_chars");
