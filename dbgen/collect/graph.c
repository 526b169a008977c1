/*
 * What is needed by what, as Nix has it (computeFSClosure in src/libstore/misc.cc): a path needs its references; with
 * keep-derivations its deriver, where that is valid; with keep-outputs a derivation needs its valid outputs.
 */
#include "dbgen/collect/graph.h"

#include <errno.h>
#include <string.h>

#include "common/compare.h"
#include "common/sqlite.h"
#include "dbgen/database/rows/foreign.h"

static const char what[] = "reading Nix's database";

struct loader {
	struct ul_graph *g;
	const struct ul_graph_options *o;
	sqlite3 *db;
	struct ul_error *err;
};

static int nomem(struct loader *l)
{
	return ul_error_nomem(l->err, what);
}

static int fail(struct loader *l)
{
	return ul_sqlite_error(l->err, l->db, what, sqlite3_db_filename(l->db, "main"));
}

static int add_text(struct ul_graph *g, const char *text, size_t *ret)
{
	size_t at = g->texts.len;

	*ret = at;
	return ul_buffer_append(&g->texts, text, strlen(text) + 1);
}

/* ---- nodes ---- */

static int take_row(struct loader *l, sqlite3_stmt *q)
{
	struct ul_node node = {.entry = false};
	uint8_t digest[UL_DIGEST_SIZE];
	const char *base, *deriver;

	if (!ul_db_foreign_id(q, 0, &node.id) || node.id <= 0)
		return ul_error_set(l->err, UL_E_DATABASE, what, "ValidPaths", NULL,
				    "a row's id is not a number above 0");
	base = ul_db_foreign_base(q, 1, l->o->store_dir, digest);
	if (!base)
		return ul_error_set(l->err, UL_E_DATABASE, what, ul_db_foreign_path(q, 1),
				    "Look at it with `nix-store --verify`.",
				    "a row of ValidPaths has this path, which is not a store path");
	if (add_text(l->g, base, &node.name) < 0)
		return nomem(l);
	deriver = ul_db_foreign_base(q, 2, l->o->store_dir, digest);
	if (deriver && add_text(l->g, deriver, &node.deriver) < 0)
		return nomem(l);
	node.registered = sqlite3_column_int64(q, 3);
	node.nar_size = (uint64_t)sqlite3_column_int64(q, 4);
	return ul_vector_push(&l->g->nodes, node) < 0 ? nomem(l) : 0;
}

/* For each row of a query with one parameter, the id after which it begins. */
static int for_each(struct loader *l, const char *sql, int (*take)(struct loader *l, sqlite3_stmt *q))
{
	ul_autostatement sqlite3_stmt *q = NULL;
	int code, r = 0;

	if (sqlite3_prepare_v2(l->db, sql, -1, &q, NULL) != SQLITE_OK)
		return fail(l);
	sqlite3_bind_int64(q, 1, l->o->sealed_id);
	while (r == 0 && (code = sqlite3_step(q)) != SQLITE_DONE)
		r = code == SQLITE_ROW ? take(l, q) : fail(l);
	return r;
}

static int add_entry(struct loader *l, const char *name)
{
	struct ul_node node = {.entry = true};
	uint8_t digest[UL_DIGEST_SIZE];

	node.foreign = !ul_store_base_parse(name, strlen(name), digest);
	return add_text(l->g, name, &node.name) < 0 || ul_vector_push(&l->g->nodes, node) < 0 ? nomem(l) : 0;
}

static int compare_names(const void *a, const void *b, void *graph)
{
	const struct ul_graph *g = graph;

	return strcmp(ul_graph_name(g, &g->nodes.at[*(const uint32_t *)a]),
		      ul_graph_name(g, &g->nodes.at[*(const uint32_t *)b]));
}

static int sort_by_name(struct ul_graph *g)
{
	g->by_name.n = 0;
	if (ul_vector_reserve(&g->by_name, g->nodes.n) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < g->nodes.n; i++)
		g->by_name.at[i] = i;
	g->by_name.n = g->nodes.n;
	if (g->by_name.n > 1)
		qsort_r(g->by_name.at, g->by_name.n, sizeof(*g->by_name.at), compare_names, g);
	return 0;
}

/* The first place in by_name whose name is not before this one; of the name only `len` bytes count. */
static size_t lower_bound(const struct ul_graph *g, const char *name, size_t len)
{
	size_t low = 0, high = g->by_name.n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strncmp(ul_graph_name(g, &g->nodes.at[g->by_name.at[middle]]), name, len) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct ul_node *ul_graph_find(const struct ul_graph *g, const char *name)
{
	size_t at = lower_bound(g, name, SIZE_MAX);
	struct ul_node *node = at < g->by_name.n ? &g->nodes.at[g->by_name.at[at]] : NULL;

	return node && !strcmp(ul_graph_name(g, node), name) ? node : NULL;
}

static int load_nodes(struct loader *l, const struct ul_names *entries)
{
	struct ul_graph *g = l->g;
	struct ul_node *node;
	size_t n;
	int r = for_each(l,
			 "select id, path, deriver, registrationTime, narSize from ValidPaths where id > ? order by id",
			 take_row);

	if (r < 0)
		return r;
	g->n_rows = n = g->nodes.n;
	if (sort_by_name(g) < 0)
		return nomem(l);
	for (size_t i = 0; r == 0 && i < entries->n; i++) {
		/* by_name knows the rows alone for now. */
		node = ul_graph_find(g, entries->at[i]);
		if (node)
			node->entry = true;
		else
			r = add_entry(l, entries->at[i]);
	}
	if (r == 0 && g->nodes.n > UINT32_MAX)
		return nomem(l);
	return r == 0 && g->nodes.n > n && sort_by_name(g) < 0 ? nomem(l) : r;
}

/* ---- edges ---- */

static int compare_ids(const void *a, const void *b)
{
	int64_t x = ((const struct ul_node *)a)->id, y = ((const struct ul_node *)b)->id;

	return ul_order(x, y);
}

static struct ul_node *find_id(const struct ul_graph *g, int64_t id)
{
	const struct ul_node key = {.id = id};

	return g->n_rows == 0 ? NULL : bsearch(&key, g->nodes.at, g->n_rows, sizeof(key), compare_ids);
}

static int add_edge(struct loader *l, const struct ul_node *from, const struct ul_node *to, enum ul_edge_kind kind)
{
	struct ul_graph *g = l->g;
	const struct ul_edge edge = {(uint32_t)(from - g->nodes.at), (uint32_t)(to - g->nodes.at), kind};

	return from == to || ul_vector_push(&g->edges, edge) == 0 ? 0 : nomem(l);
}

static int take_reference(struct loader *l, sqlite3_stmt *q)
{
	const struct ul_node *from = find_id(l->g, sqlite3_column_int64(q, 0));
	const struct ul_node *to = find_id(l->g, sqlite3_column_int64(q, 1));

	/* A reference to a row that was not read is one to a sealed path. */
	return from && to ? add_edge(l, from, to, UL_EDGE_REFERENCE) : 0;
}

static int take_output(struct loader *l, sqlite3_stmt *q)
{
	struct ul_graph *g = l->g;
	struct ul_node *drv = find_id(g, sqlite3_column_int64(q, 0)), *output;
	uint8_t digest[UL_DIGEST_SIZE];
	const char *base = ul_db_foreign_base(q, 1, l->o->store_dir, digest);
	struct ul_output sealed = {0};

	if (!drv || !base)
		return 0;
	output = ul_graph_find(g, base);
	if (output && output->id)
		return l->o->keep_outputs ? add_edge(l, drv, output, UL_EDGE_OTHER) : 0;
	sealed.drv = (uint32_t)(drv - g->nodes.at);
	return add_text(g, base, &sealed.path) < 0 || ul_vector_push(&g->outputs, sealed) < 0 ? nomem(l) : 0;
}

static int take_realisation(struct loader *l, sqlite3_stmt *q)
{
	struct ul_node *node = find_id(l->g, sqlite3_column_int64(q, 0));

	if (node)
		node->realised = true;
	return 0;
}

/*
 * What keeps a deriver. The outputs of a derivation whose output paths are not known in advance stand in no table
 * under its name: there the deriver of a path is believed, which may keep more than Nix would.
 */
static int add_derivers(struct loader *l)
{
	struct ul_graph *g = l->g;
	int r = 0;

	for (size_t i = 0; r == 0 && i < g->n_rows; i++) {
		const struct ul_node *node = &g->nodes.at[i], *drv = NULL;

		if (node->deriver)
			drv = ul_graph_find(g, (const char *)g->texts.data + node->deriver);
		if (!drv || !drv->id)
			continue;
		if (l->o->keep_derivations)
			r = add_edge(l, node, drv, UL_EDGE_OTHER);
		if (r == 0 && l->o->keep_outputs && node->realised)
			r = add_edge(l, drv, node, UL_EDGE_OTHER);
	}
	return r;
}

static int compare_edges(const void *a, const void *b)
{
	uint32_t x = ((const struct ul_edge *)a)->from, y = ((const struct ul_edge *)b)->from;

	return ul_order(x, y);
}

static int load_edges(struct loader *l)
{
	struct ul_graph *g = l->g;
	size_t at = 0;
	int r = for_each(l, "select referrer, reference from Refs where referrer > ?", take_reference);

	if (r == 0)
		r = for_each(l, "select drv, path from DerivationOutputs where drv > ?", take_output);
	if (r == 0 && ul_sqlite_has_table(l->db, "Realisations"))
		r = for_each(l, "select outputPath from Realisations where outputPath > ?", take_realisation);
	if (r == 0)
		r = add_derivers(l);
	if (r < 0)
		return r;
	ul_vector_sort(&g->edges, compare_edges);
	if (ul_vector_reserve(&g->first_edge, g->nodes.n + 1) < 0)
		return nomem(l);
	for (size_t i = 0; i <= g->nodes.n; i++) {
		while (at < g->edges.n && g->edges.at[at].from < i)
			at++;
		g->first_edge.at[i] = at;
	}
	g->first_edge.n = g->nodes.n + 1;
	return 0;
}

int ul_graph_load(sqlite3 *db, const struct ul_names *entries, const struct ul_graph_options *o, struct ul_graph *ret,
		  struct ul_error *err)
{
	struct loader l = {ret, o, db, err};
	size_t empty;
	int r;

	*ret = (struct ul_graph){.store_dir = o->store_dir};
	r = add_text(ret, "", &empty) < 0 ? nomem(&l) : load_nodes(&l, entries);
	return r < 0 ? r : load_edges(&l);
}

void ul_graph_free(struct ul_graph *g)
{
	ul_vector_free(&g->nodes);
	ul_vector_free(&g->by_name);
	ul_vector_free(&g->edges);
	ul_vector_free(&g->first_edge);
	ul_vector_free(&g->outputs);
	ul_vector_free(&g->todo);
	ul_buffer_free(&g->texts);
}

/* ---- liveness ---- */

int ul_graph_mark(struct ul_graph *g, struct ul_node *node)
{
	int r = 0;

	if (node->alive)
		return 0;
	g->todo.n = 0;
	node->alive = true;
	r = ul_vector_push(&g->todo, (uint32_t)(node - g->nodes.at));
	while (r == 0 && g->todo.n > 0) {
		uint32_t from = g->todo.at[--g->todo.n];

		for (size_t i = g->first_edge.at[from]; r == 0 && i < g->first_edge.at[from + 1]; i++) {
			struct ul_node *to = &g->nodes.at[g->edges.at[i].to];

			if (to->alive)
				continue;
			to->alive = true;
			r = ul_vector_push(&g->todo, g->edges.at[i].to);
		}
	}
	return r;
}

int ul_graph_mark_hash(struct ul_graph *g, const char *hash)
{
	int r = 0;

	for (size_t i = lower_bound(g, hash, UL_HASH_DIGITS); r == 0 && i < g->by_name.n; i++) {
		struct ul_node *node = &g->nodes.at[g->by_name.at[i]];

		if (strncmp(ul_graph_name(g, node), hash, UL_HASH_DIGITS) != 0)
			break;
		r = ul_graph_mark(g, node);
	}
	return r;
}
