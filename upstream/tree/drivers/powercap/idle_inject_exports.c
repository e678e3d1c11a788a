// SPDX-License-Identifier: GPL-2.0
/*
 * Starts the Rust reference driver for idle injection, and exports its functions.
 */
#include <linux/export.h>
#include <linux/idle_inject.h>
#include <linux/init.h>

early_initcall(idle_inject_rust_init);

EXPORT_SYMBOL_NS_GPL(idle_inject_set_duration, "IDLE_INJECT");
EXPORT_SYMBOL_NS_GPL(idle_inject_get_duration, "IDLE_INJECT");
EXPORT_SYMBOL_NS_GPL(idle_inject_set_latency, "IDLE_INJECT");
EXPORT_SYMBOL_NS_GPL(idle_inject_start, "IDLE_INJECT");
EXPORT_SYMBOL_NS_GPL(idle_inject_stop, "IDLE_INJECT");
EXPORT_SYMBOL_NS_GPL(idle_inject_register_full, "IDLE_INJECT");
EXPORT_SYMBOL_NS_GPL(idle_inject_register, "IDLE_INJECT");
EXPORT_SYMBOL_NS_GPL(idle_inject_unregister, "IDLE_INJECT");
