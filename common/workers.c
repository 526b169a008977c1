#include "common/workers.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>

#define WORKERS_MAX 256

struct worker {
	pthread_t thread;
	void (*work)(void *context, unsigned int i);
	void *context;
	unsigned int i;
	const cpu_set_t *allowed; /* NULL: it starts where the kernel puts it */
};

unsigned int ul_workers_count(unsigned int wanted)
{
	cpu_set_t set;

	if (wanted == 0)
		wanted = sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned int)CPU_COUNT(&set) : 1;
	return wanted < 1 ? 1 : wanted > WORKERS_MAX ? WORKERS_MAX : wanted;
}

static void *start(void *arg)
{
	struct worker *w = arg;

	if (w->allowed)
		sched_setaffinity(0, sizeof(*w->allowed), w->allowed);
	w->work(w->context, w->i);
	return NULL;
}

/*
 * A new thread is often put on the processor of the one that made it, and waits there until the scheduler's next tick
 * moves one of the two: milliseconds, of work that takes a few tens. So it starts on any other, and the one that
 * makes it, which waits for that, wakes up where it was; afterwards both may run anywhere. false: there is no other.
 */
static bool start_elsewhere(pthread_attr_t *attr, cpu_set_t *allowed)
{
	int cpu = sched_getcpu();
	cpu_set_t here, others;

	if (cpu < 0 || cpu >= CPU_SETSIZE || sched_getaffinity(0, sizeof(*allowed), allowed) < 0)
		return false;
	others = *allowed;
	CPU_CLR(cpu, &others);
	CPU_ZERO(&here);
	CPU_SET(cpu, &here);
	return CPU_COUNT(&others) > 0 && pthread_attr_setaffinity_np(attr, sizeof(others), &others) == 0 &&
	       sched_setaffinity(0, sizeof(here), &here) == 0;
}

void ul_workers_run(unsigned int n, void (*work)(void *context, unsigned int i), void *context)
{
	struct worker workers[WORKERS_MAX];
	unsigned int started = 1;
	pthread_attr_t attr;
	cpu_set_t allowed;
	sigset_t all, old;
	bool elsewhere;

	if (n > WORKERS_MAX)
		n = WORKERS_MAX;
	/* Signals are the main thread's matter. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	elsewhere = n > 1 && start_elsewhere(&attr, &allowed);
	for (unsigned int i = 1; i < n; i++) {
		workers[i] = (struct worker){
			.work = work, .context = context, .i = i, .allowed = elsewhere ? &allowed : NULL};
		if (pthread_create(&workers[i].thread, elsewhere ? &attr : NULL, start, &workers[i]) != 0)
			break;
		started++;
	}
	if (elsewhere)
		sched_setaffinity(0, sizeof(allowed), &allowed);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	work(context, 0);
	for (unsigned int i = 1; i < started; i++)
		pthread_join(workers[i].thread, NULL);
}
