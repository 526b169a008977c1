#include "common/workers.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#define WORKERS_MAX 256

struct worker {
	pthread_t thread;
	void (*work)(void *context, unsigned int i);
	void *context;
	unsigned int i;
};

unsigned int ul_workers_count(unsigned int wanted)
{
	cpu_set_t set;

	if (wanted == 0)
		wanted = sched_getaffinity(0, sizeof(set), &set) == 0
				 ? (unsigned int)CPU_COUNT(&set)
				 : 1;
	return wanted < 1 ? 1 : wanted > WORKERS_MAX ? WORKERS_MAX : wanted;
}

static void *start(void *arg)
{
	struct worker *w = arg;

	w->work(w->context, w->i);
	return NULL;
}

void ul_workers_run(unsigned int n, void (*work)(void *context, unsigned int i), void *context)
{
	struct worker workers[WORKERS_MAX];
	unsigned int started = 1;
	sigset_t all, old;

	if (n > WORKERS_MAX)
		n = WORKERS_MAX;
	/* Signals are the main thread's matter. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (unsigned int i = 1; i < n; i++) {
		workers[i] = (struct worker){.work = work, .context = context, .i = i};
		if (pthread_create(&workers[i].thread, NULL, start, &workers[i]) != 0)
			break;
		started++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	work(context, 0);
	for (unsigned int i = 1; i < started; i++)
		pthread_join(workers[i].thread, NULL);
}
