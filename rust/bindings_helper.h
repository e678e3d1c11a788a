/* SPDX-License-Identifier: GPL-2.0 */
/* The input of bindgen; see Kbuild. <linux/smpboot.h> uses `__percpu` without including its home. */
#include <linux/percpu.h>
#include <linux/smpboot.h>
