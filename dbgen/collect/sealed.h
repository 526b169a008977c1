/* What of the upper's paths the sealed layers keep alive: asked one path at a time, of those that no root has. */
#pragma once

#include <sqlite3.h>

#include "dbgen/collect/collect.h"
#include "dbgen/collect/graph.h"

struct ul_sealed {
	UL_VECTOR(int) stores; /* sealed store directories */
	UL_VECTOR(sqlite3 *) databases;
};

/* Open what is sealed. Close it also after a failure. -UL_E_SYSTEM, -UL_E_DATABASE, -UL_E_CORRUPT, -UL_E_MEMORY. */
int ul_sealed_open(const struct ul_collect_layout *at, struct ul_sealed *ret, struct ul_error *err);
void ul_sealed_close(struct ul_sealed *s);

/*
 * Mark what is alive for what is sealed: the upper's copies of sealed paths and of their rows; with keep-derivations
 * the derivers of sealed paths; with keep-outputs what sealed derivations have as outputs. To be called when all roots
 * are marked. db: the upper's. -UL_E_CORRUPT, -UL_E_SYSTEM: a sealed store cannot be read; -UL_E_DATABASE;
 * -UL_E_MEMORY.
 */
int ul_sealed_mark(const struct ul_sealed *s, const struct ul_collect_options *o, sqlite3 *db, struct ul_graph *g,
		   struct ul_error *err);
