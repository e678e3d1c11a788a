// SPDX-License-Identifier: GPL-2.0
/*
 * What kernel/rcu/update.c exports to locktorture in a kernel that is configured for it. It is only
 * called for its parameters bind_readers and bind_writers, which are not used here.
 */

#include <linux/module.h>
#include <linux/torture.h>

long torture_sched_setaffinity(pid_t pid, const struct cpumask *in_mask, bool dowarn);

long torture_sched_setaffinity(pid_t pid, const struct cpumask *in_mask, bool dowarn)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_GPL(torture_sched_setaffinity);

MODULE_DESCRIPTION("What locktorture needs of a kernel that is not configured for it");
MODULE_LICENSE("GPL");
