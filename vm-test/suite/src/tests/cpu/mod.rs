// SPDX-License-Identifier: GPL-2.0

//! Hotplug states, contexts and sleeping: `rust/kernel/cpu`.

mod context;
mod cpuhp;
mod sleep;
