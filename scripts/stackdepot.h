/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Read before lib/stackdepot.c when scripts/debug-kernel builds it.
 *
 * With KASAN it makes a table for a million stacks, of 16 MB of pointers. kmemleak looks each of them up, and that is most of
 * what a scan takes. As many as without KASAN, by the size of the memory, are enough for the stacks of a small VM.
 */
#include <linux/kasan.h>
#define kasan_enabled() false
