/* The upper's own paths, what each needs, and which of them are alive. Nothing here reads a file but the database. */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "common/names.h"
#include "common/vector.h"
#include "dbgen/store/store_path.h"

struct ul_node {
	size_t name;        /* offset in the graph's texts: the base name, or the entry's */
	size_t deriver;     /* likewise; 0: none */
	int64_t id;         /* of its row; 0: it has none */
	int64_t registered; /* seconds since 1970; of an entry without a row 0 */
	uint64_t nar_size;
	bool alive;
	bool entry;    /* a layer of the upper has an entry of this name */
	bool foreign;  /* its name is not that of a store path */
	bool realised; /* it is the output of a derivation that is not known by its name alone */
};

enum ul_edge_kind { UL_EDGE_REFERENCE, UL_EDGE_OTHER };

struct ul_edge {
	uint32_t from, to; /* nodes; to is alive where from is */
	enum ul_edge_kind kind;
};

/* A derivation among the nodes has an output that is not among them: a sealed path, or one that was never built. */
struct ul_output {
	uint32_t drv;
	size_t path; /* offset in texts: its base name */
};

struct ul_graph {
	const char *store_dir;
	UL_VECTOR(struct ul_node) nodes; /* those with a row first, by id */
	UL_VECTOR(uint32_t) by_name;     /* all of them, in the order of strcmp */
	UL_VECTOR(struct ul_edge) edges; /* by `from` */
	UL_VECTOR(size_t) first_edge;    /* of each node, and the end */
	UL_VECTOR(struct ul_output) outputs;
	struct ul_buffer texts; /* offset 0 is empty */
	size_t n_rows;          /* nodes with a row */
	UL_VECTOR(uint32_t) todo;
};

struct ul_graph_options {
	const char *store_dir;
	int64_t sealed_id; /* rows up to this one are not read */
	bool keep_outputs, keep_derivations;
};

/*
 * Read the rows, add the entries (sorted, each once), and draw the edges. Free *ret also after a failure. A row that
 * cannot be read is -UL_E_DATABASE: nothing may go then.
 */
int ul_graph_load(sqlite3 *db, const struct ul_names *entries, const struct ul_graph_options *o, struct ul_graph *ret,
		  struct ul_error *err);
void ul_graph_free(struct ul_graph *g);

static inline const char *ul_graph_name(const struct ul_graph *g, const struct ul_node *node)
{
	return (const char *)g->texts.data + node->name;
}

/* By name; NULL: none. */
struct ul_node *ul_graph_find(const struct ul_graph *g, const char *name);

/* The node, and all that it needs, is alive. 0 or -ENOMEM. */
int ul_graph_mark(struct ul_graph *g, struct ul_node *node);

/*
 * Mark every node as alive, with all that it needs, whose name begins with these UL_HASH_DIGITS digits: a path, its
 * lock, its temporary files.
 */
int ul_graph_mark_hash(struct ul_graph *g, const char *hash);

/*
 * The numbers of the nodes that are not alive, in the order in which they may go: a path after all that refer to it,
 * and of those that may go the oldest first. 0 or -ENOMEM. The vector is the caller's to free.
 */
struct ul_node_list {
	UL_VECTOR_MEMBERS(uint32_t);
};
int ul_graph_order(const struct ul_graph *g, struct ul_node_list *ret);
