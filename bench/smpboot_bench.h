/* SPDX-License-Identifier: GPL-2.0 */
/* What smpboot_bench.ko measures, and how the modules that are measured tell it of themselves. */
#ifndef _SMPBOOT_BENCH_H
#define _SMPBOOT_BENCH_H

#include <linux/types.h>

/**
 * struct smpboot_bench_ops - a way to have something done on a CPU
 * @name:	as in the commands and the results
 * @coalesces:	several wakes may lead to one run
 * @start:	makes it usable, and may set the handle, which the others get; the argument is 1 for FIFO,
 *		or how many registrations to make
 * @stop:	undoes @start
 * @wake:	has item number @item run on @cpu; the item calls smpboot_bench_ran(). Any context.
 *
 * bench/driver.rs has the same in Rust.
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
