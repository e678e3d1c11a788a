// SPDX-License-Identifier: GPL-2.0
/*
 * Measures mechanisms that run work on a CPU: those of other modules (smpboot_bench_add()), and the
 * alternatives to a thread per CPU.
 *
 * A task that writes a command to /sys/kernel/debug/smpboot_bench/run executes it at once. The task
 * must be bound to a CPU:
 *
 *	<figure> <arg> <cpu> <count> <rounds> <name>...
 *
 * The command adds a line for each name to the file "results":
 *
 *	<figure> <arg> <cpu> <count> <rounds> <name> <minimum> <median>
 *
 * The unit is that of get_cycles(). Under QEMU's icount with shift=0 it counts nanoseconds: each is
 * one instruction of the guest, or time in which all CPUs were idle.
 */
#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/sort.h>
#include <linux/string.h>
#include <linux/timex.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <linux/vmstat.h>
#include <linux/workqueue.h>

#include "smpboot_bench.h"

#define MAX_OPS		16
#define MAX_COUNT	4096
#define ITEMS		(MAX_COUNT + 1)
#define MAX_ROUNDS	4096
#define RESULTS_SIZE	(64 << 10)

static DEFINE_MUTEX(bench_lock);
static const struct smpboot_bench_ops *all_ops[MAX_OPS];
static struct dentry *directory;
static char *results;
static size_t results_len;

/* Completed when all runs of the present round are done. */
static DECLARE_COMPLETION(bench_done);
static atomic_t bench_left;
static u64 bench_ran_at;

/* The cost of reading the clock, which each measurement contains once. */
static u64 overhead;

/**
 * smpboot_bench_ran() - called first by each item that runs
 */
void smpboot_bench_ran(void)
{
	WRITE_ONCE(bench_ran_at, get_cycles());
	if (atomic_dec_and_test(&bench_left))
		complete(&bench_done);
}
EXPORT_SYMBOL_GPL(smpboot_bench_ran);

int smpboot_bench_add(const struct smpboot_bench_ops *ops)
{
	int i, ret = -ENOSPC;

	mutex_lock(&bench_lock);
	for (i = 0; i < MAX_OPS; i++) {
		if (!all_ops[i]) {
			all_ops[i] = ops;
			ret = 0;
			break;
		}
	}
	mutex_unlock(&bench_lock);
	return ret;
}
EXPORT_SYMBOL_GPL(smpboot_bench_add);

void smpboot_bench_remove(const struct smpboot_bench_ops *ops)
{
	int i;

	mutex_lock(&bench_lock);
	for (i = 0; i < MAX_OPS; i++) {
		if (all_ops[i] == ops)
			all_ops[i] = NULL;
	}
	mutex_unlock(&bench_lock);
}
EXPORT_SYMBOL_GPL(smpboot_bench_remove);

/* --- bound work queues ------------------------------------------------------------------------ */

static struct workqueue_struct *bench_wq, *bench_wq_highpri;
static struct work_struct *wq_items;

static void wq_item(struct work_struct *work)
{
	smpboot_bench_ran();
}

static int wq_start(unsigned int arg, void **handle)
{
	bench_wq = alloc_workqueue("smpboot_bench", WQ_PERCPU, 0);
	return bench_wq ? 0 : -ENOMEM;
}

static void wq_stop(void *handle)
{
	destroy_workqueue(bench_wq);
}

static void wq_wake(void *handle, unsigned int cpu, unsigned int item)
{
	queue_work_on(cpu, bench_wq, &wq_items[item]);
}

static const struct smpboot_bench_ops wq_ops = {
	.name	= "wq",
	.start	= wq_start,
	.stop	= wq_stop,
	.wake	= wq_wake,
};

static int wq_highpri_start(unsigned int arg, void **handle)
{
	bench_wq_highpri = alloc_workqueue("smpboot_bench_hi", WQ_PERCPU | WQ_HIGHPRI, 0);
	return bench_wq_highpri ? 0 : -ENOMEM;
}

static void wq_highpri_stop(void *handle)
{
	destroy_workqueue(bench_wq_highpri);
}

static void wq_highpri_wake(void *handle, unsigned int cpu, unsigned int item)
{
	queue_work_on(cpu, bench_wq_highpri, &wq_items[item]);
}

static const struct smpboot_bench_ops wq_highpri_ops = {
	.name	= "wq_highpri",
	.start	= wq_highpri_start,
	.stop	= wq_highpri_stop,
	.wake	= wq_highpri_wake,
};

/* --- a kthread_worker per CPU ----------------------------------------------------------------- */

static struct kthread_worker **workers;
static struct kthread_work *kthread_items;

static void kthread_item(struct kthread_work *work)
{
	smpboot_bench_ran();
}

static void kworker_stop(void *handle)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		if (workers[cpu])
			kthread_destroy_worker(workers[cpu]);
		workers[cpu] = NULL;
	}
}

static int kworker_start(unsigned int arg, void **handle)
{
	int cpu;

	for_each_online_cpu(cpu) {
		struct kthread_worker *worker;

		worker = kthread_run_worker_on_cpu(cpu, 0, "smpboot_bench/%u");
		if (IS_ERR(worker)) {
			kworker_stop(NULL);
			return PTR_ERR(worker);
		}
		if (arg)
			sched_set_fifo(worker->task);
		workers[cpu] = worker;
	}
	return 0;
}

static void kworker_wake(void *handle, unsigned int cpu, unsigned int item)
{
	kthread_queue_work(workers[cpu], &kthread_items[item]);
}

static const struct smpboot_bench_ops kworker_ops = {
	.name	= "kthread_worker",
	.start	= kworker_start,
	.stop	= kworker_stop,
	.wake	= kworker_wake,
};

/* --- a function called on a CPU, by interrupt ------------------------------------------------- */

static void smp_call_item(void *unused)
{
	smpboot_bench_ran();
}

static int smp_call_start(unsigned int arg, void **handle)
{
	return 0;
}

static void smp_call_stop(void *handle)
{
}

static void smp_call_wake(void *handle, unsigned int cpu, unsigned int item)
{
	smp_call_function_single(cpu, smp_call_item, NULL, 0);
}

static const struct smpboot_bench_ops smp_call_ops = {
	.name	= "smp_call",
	.start	= smp_call_start,
	.stop	= smp_call_stop,
	.wake	= smp_call_wake,
};

/* --- figures ---------------------------------------------------------------------------------- */

struct command {
	char figure[16];
	unsigned int arg;
	unsigned int cpu;
	unsigned int count;
	unsigned int rounds;
	unsigned int n;
	const struct smpboot_bench_ops *ops[MAX_OPS];
	void *handles[MAX_OPS];
	/* for each mechanism, the samples of all rounds, and the index of the next one */
	u64 *samples[MAX_OPS];
	unsigned int taken[MAX_OPS];
};

static void sample(struct command *c, unsigned int i, u64 ticks)
{
	if (c->taken[i] < c->rounds)
		c->samples[i][c->taken[i]++] = ticks > overhead ? ticks - overhead : 0;
}

static int compare(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static void expect(unsigned int runs)
{
	reinit_completion(&bench_done);
	atomic_set(&bench_left, runs);
}

/*
 * Waits for the expected runs, and then until all threads sleep again.
 *
 * For runs on another CPU this CPU spins: QEMU gives a spinning CPU's turn to the next CPU, so only
 * the wake is measured on this one.
 */
static int settle(struct command *c)
{
	if (c->cpu != raw_smp_processor_id()) {
		u64 start = get_cycles();

		while (!completion_done(&bench_done) && get_cycles() - start < NSEC_PER_SEC)
			cpu_relax();
	}
	if (!wait_for_completion_timeout(&bench_done, 10 * HZ))
		return -ETIMEDOUT;
	usleep_range(200, 210);
	return 0;
}

/* The time from before the wake to the first instructions of the item. */
static int latency(struct command *c, unsigned int i)
{
	u64 start;
	int ret;

	expect(1);
	start = get_cycles();
	c->ops[i]->wake(c->handles[i], c->cpu, 0);
	ret = settle(c);
	sample(c, i, bench_ran_at - start);
	return ret;
}

/* The cost of a wake for the waker, if the thread does not run before the call returns. */
static int waker(struct command *c, unsigned int i)
{
	u64 start, end;

	expect(1);
	preempt_disable();
	start = get_cycles();
	c->ops[i]->wake(c->handles[i], c->cpu, 0);
	end = get_cycles();
	preempt_enable();
	sample(c, i, end - start);
	return settle(c);
}

/* The cost of a wake while one is pending. */
static int pending(struct command *c, unsigned int i)
{
	u64 start, end;

	expect(1);
	preempt_disable();
	c->ops[i]->wake(c->handles[i], c->cpu, 0);
	start = get_cycles();
	c->ops[i]->wake(c->handles[i], c->cpu, 0);
	end = get_cycles();
	preempt_enable();
	sample(c, i, end - start);
	return settle(c);
}

/* The time from the first of @count wakes to the last item. All wakes precede the first run. */
static int burst(struct command *c, unsigned int i)
{
	unsigned int item;
	u64 start;
	int ret;

	expect(c->ops[i]->coalesces ? 1 : c->count);
	preempt_disable();
	start = get_cycles();
	for (item = 0; item < c->count; item++)
		c->ops[i]->wake(c->handles[i], c->cpu, item);
	preempt_enable();
	ret = settle(c);
	sample(c, i, bench_ran_at - start);
	return ret;
}

struct crowd {
	struct command *c;
	unsigned int i;
	unsigned int cpus;
	atomic_t here;
	u64 start;
};

/* The part of one CPU, in an interrupt. */
static void crowd_part(void *data)
{
	struct crowd *crowd = data;
	struct command *c = crowd->c;
	unsigned int item, part = atomic_inc_return(&crowd->here) - 1;

	if (part == crowd->cpus - 1)
		WRITE_ONCE(crowd->start, get_cycles());
	while (!READ_ONCE(crowd->start))
		cpu_relax();
	for (item = part; item < c->count; item += crowd->cpus) {
		c->ops[crowd->i]->wake(c->handles[crowd->i], c->cpu, item);
		/* Makes QEMU run the next CPU, so that they queue in turns. */
		cpu_relax();
	}
}

/* The time of a burst in which all CPUs concurrently queue parts of the items, for one CPU. */
static int crowd(struct command *c, unsigned int i)
{
	struct crowd crowd = { .c = c, .i = i, .cpus = num_online_cpus() };
	int ret;

	expect(c->count);
	on_each_cpu(crowd_part, &crowd, 1);
	ret = settle(c);
	sample(c, i, bench_ran_at - crowd.start);
	return ret;
}

/* The cost of the function alone, which may repeat its work @count times. */
static int call(struct command *c, unsigned int i)
{
	u64 start, end;

	preempt_disable();
	start = get_cycles();
	c->ops[i]->wake(c->handles[i], c->cpu, c->count);
	end = get_cycles();
	preempt_enable();
	sample(c, i, end - start);
	return 0;
}

/* The time from a wake to the end of @count turns of the woken thread. */
static int turns(struct command *c, unsigned int i)
{
	u64 start;
	int ret;

	expect(c->count);
	start = get_cycles();
	c->ops[i]->wake(c->handles[i], c->cpu, c->count);
	ret = settle(c);
	sample(c, i, bench_ran_at - start);
	return ret;
}

/* The time to take a CPU offline and bring it online. */
static int hotplug(struct command *c, unsigned int i)
{
	u64 start = get_cycles();
	int ret;

	ret = remove_cpu(c->cpu);
	if (!ret)
		ret = add_cpu(c->cpu);
	sample(c, i, get_cycles() - start);
	usleep_range(5000, 5100);
	return ret;
}

/* The time to register and unregister. */
static int registering(struct command *c, unsigned int i)
{
	u64 start = get_cycles();
	int ret;

	ret = c->ops[i]->start(c->arg, &c->handles[i]);
	if (ret)
		return ret;
	c->ops[i]->stop(c->handles[i]);
	sample(c, i, get_cycles() - start);
	usleep_range(5000, 5100);
	return 0;
}

/* The bytes of free memory that a start takes. */
static int memory(struct command *c, unsigned int i)
{
	unsigned long before, after;
	int ret;

	/* Tasks that have ended are freed some time later. */
	msleep(1000);
	before = global_zone_page_state(NR_FREE_PAGES);
	ret = c->ops[i]->start(c->arg, &c->handles[i]);
	if (ret)
		return ret;
	msleep(1000);
	after = global_zone_page_state(NR_FREE_PAGES);
	c->ops[i]->stop(c->handles[i]);
	sample(c, i, after < before ? (before - after) * PAGE_SIZE + overhead : 0);
	return 0;
}

static const struct figure {
	const char *name;
	int (*round)(struct command *c, unsigned int i);
	/* The round itself starts and stops what it measures. */
	bool starts;
	/* Only one mechanism may be started at a time: the figure must not measure several. */
	bool alone;
} figures[] = {
	{ "latency", latency },
	{ "waker", waker },
	{ "pending", pending },
	{ "burst", burst },
	{ "crowd", crowd },
	{ "call", call },
	{ "turns", turns },
	{ "hotplug", hotplug, .alone = true },
	{ "register", registering, .starts = true },
	{ "memory", memory, .starts = true },
};

static int do_rounds(struct command *c, const struct figure *figure)
{
	unsigned int i, round;
	int ret;

	for (round = 0; round < c->rounds; round++) {
		for (i = 0; i < c->n; i++) {
			if (figure->alone) {
				ret = c->ops[i]->start(c->arg, &c->handles[i]);
				if (ret)
					return ret;
				usleep_range(5000, 5100);
			}
			ret = figure->round(c, i);
			if (figure->alone)
				c->ops[i]->stop(c->handles[i]);
			if (ret)
				return ret;
		}
	}
	return 0;
}

static int measure(struct command *c, const struct figure *figure)
{
	bool together = !figure->starts && !figure->alone;
	unsigned int i, started = 0;
	int ret = 0;

	for (; together && started < c->n; started++) {
		ret = c->ops[started]->start(c->arg, &c->handles[started]);
		if (ret)
			goto stop;
	}
	if (together)
		usleep_range(5000, 5100);

	/* The first pass finds cold caches and allocators. */
	for (i = 0; i < c->n; i++)
		c->taken[i] = c->rounds;
	if (!figure->alone)
		ret = do_rounds(c, figure);
	for (i = 0; i < c->n; i++)
		c->taken[i] = 0;
	if (!ret)
		ret = do_rounds(c, figure);
stop:
	while (started--)
		c->ops[started]->stop(c->handles[started]);
	return ret;
}

static void report(struct command *c)
{
	unsigned int i;

	for (i = 0; i < c->n; i++) {
		u64 *samples = c->samples[i];

		sort(samples, c->taken[i], sizeof(*samples), compare, NULL);
		results_len += scnprintf(results + results_len, RESULTS_SIZE - results_len,
					 "%s %u %u %u %u %s %llu %llu\n", c->figure, c->arg, c->cpu,
					 c->count, c->taken[i], c->ops[i]->name, samples[0],
					 samples[c->taken[i] / 2]);
	}
}

static const struct smpboot_bench_ops *find(const char *name)
{
	int i;

	for (i = 0; i < MAX_OPS; i++) {
		if (all_ops[i] && !strcmp(all_ops[i]->name, name))
			return all_ops[i];
	}
	return NULL;
}

static int parse(struct command *c, char *text)
{
	char *word;
	int used;

	if (sscanf(text, "%15s %u %u %u %u%n", c->figure, &c->arg, &c->cpu, &c->count, &c->rounds,
		   &used) != 5)
		return -EINVAL;
	if (!cpu_online(c->cpu) || c->cpu >= nr_cpu_ids || c->count > MAX_COUNT || !c->rounds ||
	    c->rounds > MAX_ROUNDS)
		return -ERANGE;
	text = strim(text + used);
	while ((word = strsep(&text, " "))) {
		if (!*word)
			continue;
		if (c->n == MAX_OPS)
			return -E2BIG;
		c->ops[c->n] = find(word);
		if (!c->ops[c->n])
			return -ENOENT;
		c->samples[c->n] = kvcalloc(c->rounds, sizeof(u64), GFP_KERNEL);
		if (!c->samples[c->n])
			return -ENOMEM;
		c->n++;
	}
	return c->n ? 0 : -EINVAL;
}

static int run(char *text)
{
	struct command *c;
	int i, ret;

	c = kzalloc(sizeof(*c), GFP_KERNEL);
	if (!c)
		return -ENOMEM;
	ret = parse(c, text);
	if (ret)
		goto free;
	ret = -ENOENT;
	for (i = 0; i < ARRAY_SIZE(figures); i++) {
		if (!strcmp(figures[i].name, c->figure))
			ret = measure(c, &figures[i]);
	}
	if (!ret)
		report(c);
free:
	for (i = 0; i < c->n; i++)
		kvfree(c->samples[i]);
	kfree(c);
	return ret;
}

static ssize_t run_write(struct file *file, const char __user *buf, size_t count, loff_t *ppos)
{
	char *text = memdup_user_nul(buf, count);
	int ret;

	if (IS_ERR(text))
		return PTR_ERR(text);
	mutex_lock(&bench_lock);
	ret = run(text);
	mutex_unlock(&bench_lock);
	kfree(text);
	return ret ?: count;
}

static const struct file_operations run_fops = {
	.owner	= THIS_MODULE,
	.open	= simple_open,
	.write	= run_write,
};

static int results_show(struct seq_file *seq, void *unused)
{
	mutex_lock(&bench_lock);
	seq_write(seq, results, results_len);
	mutex_unlock(&bench_lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(results);

static const struct smpboot_bench_ops *const own_ops[] = {
	&wq_ops, &wq_highpri_ops, &kworker_ops, &smp_call_ops,
};

static void free_all(void)
{
	kvfree(results);
	kvfree(wq_items);
	kvfree(kthread_items);
	kfree(workers);
}

static int __init bench_init(void)
{
	u64 reads[101];
	int i;

	results = kvzalloc(RESULTS_SIZE, GFP_KERNEL);
	wq_items = kvcalloc(ITEMS, sizeof(*wq_items), GFP_KERNEL);
	kthread_items = kvcalloc(ITEMS, sizeof(*kthread_items), GFP_KERNEL);
	workers = kcalloc(nr_cpu_ids, sizeof(*workers), GFP_KERNEL);
	if (!results || !wq_items || !kthread_items || !workers) {
		free_all();
		return -ENOMEM;
	}
	for (i = 0; i < ITEMS; i++) {
		INIT_WORK(&wq_items[i], wq_item);
		kthread_init_work(&kthread_items[i], kthread_item);
	}
	for (i = 0; i < ARRAY_SIZE(own_ops); i++)
		smpboot_bench_add(own_ops[i]);

	for (i = 0; i < ARRAY_SIZE(reads); i++) {
		u64 start = get_cycles();

		reads[i] = get_cycles() - start;
	}
	sort(reads, ARRAY_SIZE(reads), sizeof(*reads), compare, NULL);
	overhead = reads[ARRAY_SIZE(reads) / 2];
	results_len = scnprintf(results, RESULTS_SIZE, "clock 0 0 0 %zu read %llu %llu\n",
				ARRAY_SIZE(reads), reads[0], overhead);

	directory = debugfs_create_dir("smpboot_bench", NULL);
	debugfs_create_file("run", 0200, directory, NULL, &run_fops);
	debugfs_create_file("results", 0400, directory, NULL, &results_fops);
	return 0;
}
module_init(bench_init);

static void __exit bench_exit(void)
{
	debugfs_remove(directory);
	free_all();
}
module_exit(bench_exit);

MODULE_DESCRIPTION("Measures per-CPU threads and their alternatives");
MODULE_LICENSE("GPL");
