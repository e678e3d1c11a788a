/* SPDX-License-Identifier: GPL-2.0 */
/* The interface between smpboot_bench.ko and the modules that it measures. */
#ifndef _SMPBOOT_BENCH_H
#define _SMPBOOT_BENCH_H

#include <linux/types.h>

/**
 * struct smpboot_bench_ops - a mechanism that runs work on a CPU
 * @name:	the name in the commands and the results
 * @coalesces:	several wakes may share one run
 * @start:	prepares the mechanism, and may set the handle, which the others get; @arg is 1 for
 * FIFO, or the number of registrations to make
 * @stop:	undoes @start
 * @wake:	makes item number @item run on @cpu; the item calls smpboot_bench_ran(); any context
 *
 * bench/driver.rs has the same interface in Rust.
 */
struct smpboot_bench_ops {
	const char *name;
	bool coalesces;
	int (*start)(unsigned int arg, void **handle);
	void (*stop)(void *handle);
	void (*wake)(void *handle, unsigned int cpu, unsigned int item);
};

int smpboot_bench_add(const struct smpboot_bench_ops *ops);
void smpboot_bench_remove(const struct smpboot_bench_ops *ops);
void smpboot_bench_ran(void);

#endif
