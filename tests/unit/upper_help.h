/*
 * What the tests of reconcile share: made-up store paths, lowers of some of them, an upper with entries and a database.
 */
#pragma once

#include <stdbool.h>

#include "dbgen/reconcile/reconcile.h"
#include "tests/unit/db_help.h"

#define UPPER_PATHS 64 /* paths of a test's world, by number */
#define UPPER_REFS  6

/* What is known of one path of the world; refs by number. */
struct upper_path {
	unsigned int refs[UPPER_REFS];
	unsigned int n_refs;
	unsigned int variant; /* another one: other contents, so another hash */
};

/* "HASH-pN" and "/nix/store/HASH-pN"; valid for good. */
const char *upper_base(unsigned int i);
const char *upper_full(unsigned int i);

/* A manifest of the paths whose member[i] is set. Asserts. */
struct ul_manifest *upper_manifest(const struct upper_path *paths, const bool *member, struct ul_buffer *bytes);

/* Of another lower: paths 0 to 9, and those n that the upper built, with other contents. */
struct ul_manifest *upper_trial(const struct upper_path *paths, const unsigned int *built, size_t n,
				struct ul_buffer *bytes);

/* Make the directories of an upper; what an earlier test left is removed. */
void upper_make(const char *name);

/* The entry of a path in the kept layer: a file whose NAR hash is that of the variant. */
void upper_add(const char *name, unsigned int i, unsigned int variant);

/* A shell command in the layer of a session, which is made where it is not there. */
void upper_session(const char *name, unsigned int number, const char *command);

/* Its database holds these paths. */
void upper_database(const char *name, struct ul_manifest *m);

/* Run it. fill in the rest of *o (mode, refuse, ...); NULL: the mode only. */
int upper_reconcile(const char *name, struct ul_manifest *lower, enum ul_reconcile_mode mode,
		    const struct ul_reconcile_options *o, struct ul_reconcile_report *ret, struct ul_error *err);
/* The same; asserts that it succeeds. */
void upper_agrees(const char *name, struct ul_manifest *lower, enum ul_reconcile_mode mode,
		  struct ul_reconcile_report *ret);

/* Set the clean mark, as a shutdown does. */
void upper_shut_down(const char *name);

/* Below the upper: "NAME/var/nix/db", to open the database with. Valid until the next but one call. */
const char *upper_db(const char *name);

/* A shell command in the upper's directory succeeds. */
void upper_run(const char *name, const char *command);
bool upper_holds(const char *name, const char *command);

/* How many items of the report are of this action and have this name. */
unsigned int upper_reported(const struct ul_reconcile_report *r, enum ul_reconcile_action action, const char *name);

/* ---- a world for tests of single cases ---- */

#define UPPER_NAME "upper"

/*
 * The world: 0 to 9 are the lower's (5 refers to 4, and 4 to 3); the other one lacks 3 to 5. 20 to 29 are
 * the upper's: 21 refers to 20, 22 to 5, 23 to 22.
 */
struct upper_fixture {
	struct upper_path paths[UPPER_PATHS];
	struct ul_manifest *lower, *other;
	struct ul_buffer bytes[3];
	struct ul_reconcile_report report;
};

/* cmocka's; an empty upper. */
int upper_setup(void **state);
int upper_teardown(void **state);

/* Reconcile the upper of the fixture; f->report is of the last time. */
void upper_agree(struct upper_fixture *f, struct ul_manifest *m, enum ul_reconcile_mode mode);

/* 20 to 23 with their rows, and those of the lower that they need; reconciled with it, and shut down. */
void upper_fill(struct upper_fixture *f, enum ul_reconcile_mode mode);

/* Ask and change its database: the first value; how many paths are so; anything. */
const char *upper_query(const char *sql);
const char *upper_count(const char *where);
void upper_exec(const char *sql);
