// SPDX-License-Identifier: GPL-2.0
/*
 * The C twin of smpboot_twin_rust.rs: the same threads, written like the kernel's own users of
 * smp_hotplug_thread, to compare the compiled code and its cost.
 */
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/smpboot.h>

#include "smpboot_bench.h"

static DEFINE_PER_CPU(struct task_struct *, twin_task);
static DEFINE_PER_CPU(int, twin_pending);
static DEFINE_PER_CPU(u64, twin_runs);
static DEFINE_PER_CPU(u64, twin_parks);

static bool twin_fifo;

static int twin_should_run(unsigned int cpu)
{
	return READ_ONCE(per_cpu(twin_pending, cpu));
}

static void twin_run(unsigned int cpu)
{
	xchg(&per_cpu(twin_pending, cpu), 0);
	smpboot_bench_ran();
	per_cpu(twin_runs, cpu)++;
}

static void twin_setup(unsigned int cpu)
{
	if (twin_fifo)
		sched_set_fifo(current);
	per_cpu(twin_runs, cpu) = 0;
	per_cpu(twin_parks, cpu) = 0;
}

static void twin_park(unsigned int cpu)
{
	per_cpu(twin_parks, cpu)++;
}

static void twin_unpark(unsigned int cpu)
{
	per_cpu(twin_runs, cpu)++;
}

static struct smp_hotplug_thread twin_threads = {
	.store			= &twin_task,
	.thread_should_run	= twin_should_run,
	.thread_fn		= twin_run,
	.setup			= twin_setup,
	.park			= twin_park,
	.unpark			= twin_unpark,
	.thread_comm		= "twin_c/%u",
};

static int twin_start(unsigned int fifo, void **handle)
{
	twin_fifo = fifo;
	return smpboot_register_percpu_thread(&twin_threads);
}

static void twin_stop(void *handle)
{
	smpboot_unregister_percpu_thread(&twin_threads);
}

/* A wake after twin_stop() is lost: C's users do not prevent that. */
static void twin_wake(void *handle, unsigned int cpu, unsigned int item)
{
	struct task_struct *task = per_cpu(twin_task, cpu);

	WRITE_ONCE(per_cpu(twin_pending, cpu), 1);
	if (task)
		wake_up_process(task);
}

static const struct smpboot_bench_ops twin_ops = {
	.name		= "c",
	.coalesces	= true,
	.start		= twin_start,
	.stop		= twin_stop,
	.wake		= twin_wake,
};

static int __init twin_init(void)
{
	return smpboot_bench_add(&twin_ops);
}
module_init(twin_init);

static void __exit twin_exit(void)
{
	smpboot_bench_remove(&twin_ops);
}
module_exit(twin_exit);

MODULE_DESCRIPTION("C twin of smpboot_twin_rust");
MODULE_LICENSE("GPL");
