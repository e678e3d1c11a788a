/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The input of bindgen: see smpboot.mk. <linux/smpboot.h> uses `__percpu` without including its
 * header.
 */
#include <linux/percpu.h>
#include <linux/smpboot.h>
