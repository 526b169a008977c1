/*
 * In which order garbage goes: a path after all that refer to it, so that whoever stops half-way leaves a store in
 * which nothing valid refers to what is gone; and of all that may go the oldest.
 */
#include <errno.h>
#include <string.h>

#include "dbgen/collect/graph.h"

struct heap {
	const struct ul_graph *g;
	UL_VECTOR(uint32_t) at;
};

/* What has no row is garbage for longest. Of equal age the name decides, so that two runs agree. */
static bool is_before(const struct heap *h, uint32_t a, uint32_t b)
{
	const struct ul_node *x = &h->g->nodes.at[a], *y = &h->g->nodes.at[b];

	if (x->registered != y->registered)
		return x->registered < y->registered;
	return strcmp(ul_graph_name(h->g, x), ul_graph_name(h->g, y)) < 0;
}

static void swap(struct heap *h, size_t a, size_t b)
{
	uint32_t kept = h->at.at[a];

	h->at.at[a] = h->at.at[b];
	h->at.at[b] = kept;
}

static int push(struct heap *h, uint32_t node)
{
	size_t i = h->at.n;
	int r = ul_vector_push(&h->at, node);

	for (; r == 0 && i > 0 && is_before(h, h->at.at[i], h->at.at[(i - 1) / 2]); i = (i - 1) / 2)
		swap(h, i, (i - 1) / 2);
	return r;
}

static uint32_t pop(struct heap *h)
{
	uint32_t first = h->at.at[0];
	size_t i = 0, least;

	h->at.at[0] = h->at.at[--h->at.n];
	for (;; i = least) {
		least = i;
		for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < h->at.n; child++)
			if (is_before(h, h->at.at[child], h->at.at[least]))
				least = child;
		if (least == i)
			return first;
		swap(h, i, least);
	}
}

static bool counts(const struct ul_graph *g, const struct ul_edge *edge)
{
	return edge->kind == UL_EDGE_REFERENCE && !g->nodes.at[edge->from].alive && !g->nodes.at[edge->to].alive;
}

static int take_in_order(const struct ul_graph *g, struct heap *h, uint32_t *referrers, struct ul_node_list *ret)
{
	int r = 0;

	for (size_t i = 0; i < g->edges.n; i++)
		if (counts(g, &g->edges.at[i]))
			referrers[g->edges.at[i].to]++;
	for (uint32_t i = 0; r == 0 && i < g->nodes.n; i++)
		if (!g->nodes.at[i].alive && referrers[i] == 0)
			r = push(h, i);
	while (r == 0 && h->at.n > 0) {
		uint32_t node = pop(h);

		r = ul_vector_push(ret, node);
		for (size_t i = g->first_edge.at[node]; r == 0 && i < g->first_edge.at[node + 1]; i++) {
			const struct ul_edge *edge = &g->edges.at[i];

			if (counts(g, edge) && --referrers[edge->to] == 0)
				r = push(h, edge->to);
		}
	}
	return r;
}

int ul_graph_order(const struct ul_graph *g, struct ul_node_list *ret)
{
	ul_autofree uint32_t *referrers = calloc(g->nodes.n + 1, sizeof(*referrers));
	struct heap h = {.g = g};
	int r = referrers ? take_in_order(g, &h, referrers, ret) : -ENOMEM;

	/* Paths that refer to each other in a circle, which Nix does not make: none of them can go. */
	ul_vector_free(&h.at);
	return r;
}
