/*
 * The schema that this program writes, version 10, as data: the rows of `sqlite_schema` in their order, SQL texts to
 * the letter. It is the union of what the released versions of Nix (2.0 to 2.36, Determinate Nix to 3.22, Lix to 2.95)
 * make, each migration done and named in SchemaMigrations, so that none of them has anything left to write, be it that
 * the database is on a read-only filesystem. tests/samples/schemas tells what each of them makes.
 *
 *   Realisations, RealisationsRefs   of the ca-derivations feature of Nix 2.4 to 2.34, migration 20220326
 *   BuildTraceV3                     of the same feature from 2.35 on, migration 20251017
 *   ValidPaths.provenance            of Determinate Nix, migration 20241024: a column added behind the others, so that
 *                                    rows do not have it, which is NULL
 *   IndexReferrer                    is not there: the primary key of Refs serves all that it did, and Nix 2.35 drops
 *                                    it, migration 20260309
 *
 * There is no file `ca-schema`, in which Nix 2.4 to 2.25 keeps the version of the first two: each of them takes its
 * absence for an own first start, finds the tables, and writes its own number, where most would refuse another's.
 *
 * Both writers (dbgen/database/oracle.c, dbgen/database/pages/bulk.c) and the comparison go by these rows.
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
	UL_TREE_TRACES,
	UL_TREE_TRACES_KEY, /* (drvPath, outputName) */
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
};

extern const struct ul_db_object ul_db_objects[];
extern const size_t ul_db_n_objects;

/* What `alter table ValidPaths add column` leaves in place of the parenthesis that ended the table's text. */
#define UL_DB_ADDED_COLUMN ", provenance text)"

/* The rows of SchemaMigrations, in ascending order. */
extern const char *const ul_db_migrations[];
extern const size_t ul_db_n_migrations;

#define UL_DB_SCHEMA_VERSION "10" /* what the file `schema` holds */

/*
 * A realisation of Nix 2.4 to 2.34 names its derivation by a hash ("sha256:..."), one of Nix 2.35 and later, a build
 * trace, by the derivation's base name ("HASH-NAME.drv"). Each has its own table.
 */
bool ul_db_is_trace(const char *drv_path);
