/*
 * Nix's database schema, version 10, as data: what `sqlite_schema` of a database that Nix 2.26 made holds, row by row
 * in its order, SQL texts to the letter. Nix 2.8 made the same but for a comment and SchemaMigrations, which it
 * ignores. Both writers (dbgen/database/oracle.c, dbgen/database/pages/bulk.c) and the comparison go by these rows.
 *
 * The objects of the ca-derivations feature belong to a database only if it holds realisations: a Nix
 * in which the feature is on makes them itself where they are missing, as the row in SchemaMigrations
 * (Nix 2.19 and later) and the file `ca-schema` (earlier ones) tell it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* B-trees of the file, in the order in which Nix numbers their roots. */
enum ul_db_tree {
	UL_TREE_VALID_PATHS,
	UL_TREE_VALID_PATHS_PATH, /* (path) */
	UL_TREE_SEQUENCE,
	UL_TREE_REFS,
	UL_TREE_REFS_KEY,  /* (referrer, reference) */
	UL_TREE_REFERRER,  /* (referrer) */
	UL_TREE_REFERENCE, /* (reference): the reverse index */
	UL_TREE_OUTPUTS,
	UL_TREE_OUTPUTS_KEY,  /* (drv, id) */
	UL_TREE_OUTPUTS_PATH, /* (path) */
	UL_TREE_MIGRATIONS,
	UL_TREE_MIGRATIONS_KEY, /* (migration) */
	UL_TREE_REALISATIONS,
	UL_TREE_REALISATIONS_KEY, /* (drvPath, outputName) */
	UL_TREE_REALISATION_REFS,
	UL_TREE_REALISATION_REFS_REFERENCE, /* (realisationReference) */
	UL_TREE_REALISATION_REFS_REFERRER,  /* (referrer) */
	UL_TREE_REALISATION_OUTPUT,         /* (outputPath) */
	UL_N_TREES,
	UL_TREE_NONE = UL_N_TREES, /* a trigger has no b-tree: root page 0 */
};

/* A row of sqlite_schema. */
struct ul_db_object {
	const char *type; /* "table", "index", "trigger" */
	const char *name;
	const char *table;
	const char *sql; /* NULL: an index that a UNIQUE or PRIMARY KEY constraint implies */
	enum ul_db_tree tree;
	bool ca; /* of the ca-derivations feature */
};

extern const struct ul_db_object ul_db_objects[];
extern const size_t ul_db_n_objects;

#define UL_DB_SCHEMA_VERSION    "10" /* what the file `schema` holds */
#define UL_DB_CA_SCHEMA_VERSION "3"  /* what `ca-schema` holds: the highest that Nix 2.8 accepts */
#define UL_DB_CA_MIGRATION      "20220326-ca-derivations"
