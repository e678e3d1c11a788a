// SPDX-License-Identifier: GPL-2.0

//! What `rust/kernel/cpu` offers beside the threads: hotplug states, contexts, sleeping.

mod context;
mod cpuhp;
mod sleep;
