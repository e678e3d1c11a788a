// SPDX-License-Identifier: GPL-2.0
/*
 * kernel/rcu/update.c exports this function to locktorture in a kernel that is configured for it.
 * locktorture calls it only for its parameters bind_readers and bind_writers, which are not used
 * here.
 */

#include <linux/module.h>
#include <linux/torture.h>

long torture_sched_setaffinity(pid_t pid, const struct cpumask *in_mask, bool dowarn);

long torture_sched_setaffinity(pid_t pid, const struct cpumask *in_mask, bool dowarn)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_GPL(torture_sched_setaffinity);

MODULE_DESCRIPTION("Function that locktorture needs and a kernel built without it lacks");
MODULE_LICENSE("GPL");
