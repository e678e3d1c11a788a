// SPDX-License-Identifier: GPL-2.0
/*
 * Exports the functions of the Rust reference driver for idle injection.
 */
#include <linux/export.h>
#include <linux/idle_inject.h>

EXPORT_SYMBOL_NS_GPL(idle_inject_set_duration, "IDLE_INJECT");
EXPORT_SYMBOL_NS_GPL(idle_inject_get_duration, "IDLE_INJECT");
EXPORT_SYMBOL_NS_GPL(idle_inject_set_latency, "IDLE_INJECT");
EXPORT_SYMBOL_NS_GPL(idle_inject_start, "IDLE_INJECT");
EXPORT_SYMBOL_NS_GPL(idle_inject_stop, "IDLE_INJECT");
EXPORT_SYMBOL_NS_GPL(idle_inject_register_full, "IDLE_INJECT");
EXPORT_SYMBOL_NS_GPL(idle_inject_register, "IDLE_INJECT");
EXPORT_SYMBOL_NS_GPL(idle_inject_unregister, "IDLE_INJECT");
