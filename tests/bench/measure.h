/* What the programs that measure share: clocks, medians, and the end where a step fails. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/compare.h"

static inline double measure_seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline double measure_ms(clockid_t clock)
{
	return measure_seconds(clock) * 1e3;
}

static inline int measure_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return ul_order(x, y);
}

/* Sorts the times; of an even number of them, the later of the middle two. */
static inline double measure_median(double *times, size_t n)
{
	qsort(times, n, sizeof(*times), measure_compare);
	return times[n / 2];
}

/* r: below 0 where `what` failed, with errno. */
static inline void measure_done(int r, const char *what)
{
	if (r >= 0)
		return;
	perror(what);
	exit(3);
}
