/*
 * References the other way round: of nodes that are numbers from 0, who refers to each. Every edge is told twice, in
 * the same order:
 *
 *     struct ul_referrers referrers = {0};
 *     r = ul_referrers_init(&referrers, n, edges);
 *     while (r == 0 && ul_referrers_pass(&referrers))
 *             for each edge
 *                     ul_referrers_add(&referrers, from, to);
 *
 * Then the referrers of i are at[first[i]] .. at[first[i + 1]), in the order in which they were told.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialise it. */
struct ul_referrers {
	size_t *first;
	uint32_t *at;
	size_t n;
	unsigned int passes;
};

/* n nodes, and at most so many edges. 0 or -ENOMEM. Free it also then. */
int ul_referrers_init(struct ul_referrers *r, size_t n, size_t edges);

/* Whether the edges are to be told (again). */
bool ul_referrers_pass(struct ul_referrers *r);

void ul_referrers_add(struct ul_referrers *r, size_t from, size_t to);

void ul_referrers_free(struct ul_referrers *r);
