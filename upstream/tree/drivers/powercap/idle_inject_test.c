// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of the idle injection framework.
 */
#include <kunit/test.h>

#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/idle_inject.h>
#include <linux/math64.h>
#include <linux/sched.h>
#include <linux/sched/cputime.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#define IDLE_US	8000
#define RUN_US	2000

/* Number of injections for which the tests wait, and of periods without any */
#define INJECTIONS	5
#define PERIODS		20

static atomic_t updates;
static bool inject;
static struct task_struct *thread;
static unsigned long before;
static DECLARE_COMPLETION(done);

/* The thread sleeps after each injection */
static unsigned long idle_inject_test_runs(void)
{
	return READ_ONCE(thread->nvcsw) - before;
}

static bool idle_inject_test_update(void)
{
	int periods = atomic_inc_return(&updates);

	if (inject && thread ? idle_inject_test_runs() >= INJECTIONS : periods >= PERIODS)
		complete(&done);
	return inject;
}

/* The last CPU that is online: it can go offline, unless it is the only one */
static unsigned int idle_inject_test_cpu(void)
{
	return cpumask_last(cpu_online_mask);
}

static struct idle_inject_device *idle_inject_test_device(struct kunit *test)
{
	struct idle_inject_device *ii_dev;
	struct cpumask *mask = kunit_kzalloc(test, cpumask_size(), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, mask);
	cpumask_set_cpu(idle_inject_test_cpu(), mask);
	atomic_set(&updates, 0);
	reinit_completion(&done);
	ii_dev = idle_inject_register_full(mask, idle_inject_test_update);
	return ii_dev;
}

static void idle_inject_test_durations(struct kunit *test)
{
	struct idle_inject_device *ii_dev = idle_inject_test_device(test);
	unsigned int run = 1, idle = 1;

	KUNIT_ASSERT_NOT_NULL(test, ii_dev);
	idle_inject_get_duration(ii_dev, &run, &idle);
	KUNIT_EXPECT_EQ(test, run, 0);
	KUNIT_EXPECT_EQ(test, idle, 0);
	KUNIT_EXPECT_EQ(test, idle_inject_start(ii_dev), -EINVAL);

	idle_inject_set_duration(ii_dev, RUN_US, IDLE_US);
	/* Two durations of zero are ignored */
	idle_inject_set_duration(ii_dev, 0, 0);
	idle_inject_get_duration(ii_dev, &run, &idle);
	KUNIT_EXPECT_EQ(test, run, RUN_US);
	KUNIT_EXPECT_EQ(test, idle, IDLE_US);

	idle_inject_unregister(ii_dev);
}

static void idle_inject_test_one_device_per_cpu(struct kunit *test)
{
	struct idle_inject_device *ii_dev = idle_inject_test_device(test);

	KUNIT_ASSERT_NOT_NULL(test, ii_dev);
	KUNIT_EXPECT_NULL(test, idle_inject_test_device(test));
	idle_inject_unregister(ii_dev);

	ii_dev = idle_inject_test_device(test);
	KUNIT_ASSERT_NOT_NULL(test, ii_dev);
	idle_inject_unregister(ii_dev);
}

/* The thread that injects idle time on the CPU */
static struct task_struct *idle_inject_test_thread(unsigned int cpu)
{
	struct task_struct *p, *found = NULL;
	char comm[TASK_COMM_LEN];

	snprintf(comm, sizeof(comm), "idle_inject/%u", cpu);
	rcu_read_lock();
	for_each_process(p) {
		if (!strcmp(p->comm, comm)) {
			found = get_task_struct(p);
			break;
		}
	}
	rcu_read_unlock();
	return found;
}

/* Injects, if update() allows it, and checks that nothing happens after the stop */
static void idle_inject_test_inject(struct kunit *test, bool answer, unsigned long *runs, u64 *ns)
{
	struct idle_inject_device *ii_dev = idle_inject_test_device(test);
	u64 start, stop;
	int periods;

	KUNIT_ASSERT_NOT_NULL(test, ii_dev);
	thread = idle_inject_test_thread(idle_inject_test_cpu());
	KUNIT_ASSERT_NOT_NULL(test, thread);
	KUNIT_EXPECT_EQ(test, thread->policy, SCHED_FIFO);

	inject = answer;
	before = thread->nvcsw;
	start = task_sched_runtime(thread);
	idle_inject_set_latency(ii_dev, USEC_PER_SEC);
	idle_inject_set_duration(ii_dev, RUN_US, IDLE_US);
	KUNIT_EXPECT_EQ(test, idle_inject_start(ii_dev), 0);
	KUNIT_EXPECT_NE(test, wait_for_completion_timeout(&done, 60 * HZ), 0);
	idle_inject_stop(ii_dev);
	stop = task_sched_runtime(thread);
	*runs = idle_inject_test_runs();
	*ns = stop - start;

	/* The timer is off, and the thread injects no more */
	periods = atomic_read(&updates);
	usleep_range(3 * (RUN_US + IDLE_US), 4 * (RUN_US + IDLE_US));
	KUNIT_EXPECT_EQ(test, atomic_read(&updates), periods);
	KUNIT_EXPECT_LT(test, task_sched_runtime(thread) - stop, IDLE_US * NSEC_PER_USEC);

	idle_inject_unregister(ii_dev);
	put_task_struct(thread);
	thread = NULL;
}

static void idle_inject_test_injects(struct kunit *test)
{
	unsigned long runs;
	u64 ns;

	idle_inject_test_inject(test, true, &runs, &ns);
	kunit_info(test, "%lu injections, %llu us\n", runs, div_u64(ns, NSEC_PER_USEC));
	KUNIT_EXPECT_GE(test, runs, INJECTIONS);
	/* The thread counts as running while it injects; the last run may have been too late */
	KUNIT_EXPECT_GE(test, ns, (u64)(runs - 1) * IDLE_US * NSEC_PER_USEC);
}

static void idle_inject_test_update_skips(struct kunit *test)
{
	unsigned long runs;
	u64 ns;

	idle_inject_test_inject(test, false, &runs, &ns);
	kunit_info(test, "%lu injections\n", runs);
	/* idle_inject_start() does not ask; it may find the thread on its way to sleep */
	KUNIT_EXPECT_LE(test, runs, 2);
}

#ifdef CONFIG_HOTPLUG_CPU
static void idle_inject_test_cpu_goes_offline(struct kunit *test)
{
	struct idle_inject_device *ii_dev;
	unsigned int cpu = idle_inject_test_cpu();

	if (num_online_cpus() == 1)
		kunit_skip(test, "there is no CPU to spare");
	ii_dev = idle_inject_test_device(test);
	KUNIT_ASSERT_NOT_NULL(test, ii_dev);

	inject = true;
	idle_inject_set_duration(ii_dev, RUN_US, IDLE_US);
	KUNIT_EXPECT_EQ(test, idle_inject_start(ii_dev), 0);
	KUNIT_EXPECT_EQ(test, remove_cpu(cpu), 0);
	/* Periods go on without the CPU */
	KUNIT_EXPECT_NE(test, wait_for_completion_timeout(&done, 60 * HZ), 0);
	KUNIT_EXPECT_EQ(test, add_cpu(cpu), 0);

	/* A device may be stopped and unregistered while its CPU is offline */
	KUNIT_EXPECT_EQ(test, remove_cpu(cpu), 0);
	idle_inject_stop(ii_dev);
	idle_inject_unregister(ii_dev);
	KUNIT_EXPECT_EQ(test, add_cpu(cpu), 0);
}
#endif

static struct kunit_case idle_inject_test_cases[] = {
	KUNIT_CASE(idle_inject_test_durations),
	KUNIT_CASE(idle_inject_test_one_device_per_cpu),
	KUNIT_CASE(idle_inject_test_injects),
	KUNIT_CASE(idle_inject_test_update_skips),
#ifdef CONFIG_HOTPLUG_CPU
	KUNIT_CASE(idle_inject_test_cpu_goes_offline),
#endif
	{}
};

static struct kunit_suite idle_inject_test_suite = {
	.name = "idle_inject",
	.test_cases = idle_inject_test_cases,
};

kunit_test_suite(idle_inject_test_suite);
