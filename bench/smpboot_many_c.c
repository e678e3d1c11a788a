// SPDX-License-Identifier: GPL-2.0
/*
 * The C twin of smpboot_many_rust.rs: up to 64 registrations, whose threads follow CPU hotplug and
 * do no other work. A wake makes a thread of the first registration call run() so many times.
 */
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/smpboot.h>

#include "smpboot_bench.h"

#define MANY 64

static DEFINE_PER_CPU(struct task_struct *, many_task[MANY]);
static DEFINE_PER_CPU(u64, many_parks);

static unsigned int registered;

/* The CPU whose thread runs, and how many runs are left. */
static unsigned int turns_cpu;
static unsigned int turns_left;

static int many_should_run(unsigned int cpu)
{
	return READ_ONCE(turns_left) && cpu == turns_cpu;
}

static void many_run(unsigned int cpu)
{
	turns_left--;
	smpboot_bench_ran();
}

static void many_park(unsigned int cpu)
{
	per_cpu(many_parks, cpu)++;
}

static void many_unpark(unsigned int cpu)
{
	per_cpu(many_parks, cpu)++;
}

static struct smp_hotplug_thread many_threads[MANY];

static void many_stop(void *handle)
{
	while (registered)
		smpboot_unregister_percpu_thread(&many_threads[--registered]);
}

static int many_start(unsigned int count, void **handle)
{
	int ret;

	for (; registered < min(count, MANY); registered++) {
		struct smp_hotplug_thread *ht = &many_threads[registered];

		*ht = (struct smp_hotplug_thread) {
			.store			= &many_task[registered],
			.thread_should_run	= many_should_run,
			.thread_fn		= many_run,
			.park			= many_park,
			.unpark			= many_unpark,
			.thread_comm		= "many_c/%u",
		};
		ret = smpboot_register_percpu_thread(ht);
		if (ret) {
			many_stop(NULL);
			return ret;
		}
	}
	return 0;
}

static void many_wake(void *handle, unsigned int cpu, unsigned int item)
{
	turns_cpu = cpu;
	WRITE_ONCE(turns_left, item);
	wake_up_process(per_cpu(many_task[0], cpu));
}

static const struct smpboot_bench_ops many_ops = {
	.name	= "many_c",
	.start	= many_start,
	.stop	= many_stop,
	.wake	= many_wake,
};

static int __init many_init(void)
{
	return smpboot_bench_add(&many_ops);
}
module_init(many_init);

static void __exit many_exit(void)
{
	smpboot_bench_remove(&many_ops);
}
module_exit(many_exit);

MODULE_DESCRIPTION("C twin of smpboot_many_rust");
MODULE_LICENSE("GPL");
