/*
 * Reconcile against a model of a few lines: random lowers, an upper with entries, missing ones and shadows, and a
 * database; afterwards the database holds exactly what the model says, in both modes, forwards and backwards, and a run
 * over the result changes nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "tests/unit/upper_help.h"

struct world {
	uint64_t seed;
	struct upper_path paths[UPPER_PATHS];
	/* What the second lower has of a path, where it differs. */
	struct upper_path others[UPPER_PATHS];
	bool lower[2][UPPER_PATHS];
	bool built[UPPER_PATHS];  /* registered as valid in the upper */
	bool entry[UPPER_PATHS];  /* in store/ */
	bool copied[UPPER_PATHS]; /* rows of the first lower in the upper's database */
	struct ul_buffer bytes[2];
	struct ul_manifest *manifest[2];
};

static unsigned int below(struct world *w, unsigned int n)
{
	return (unsigned int)(random_next(&w->seed) % n);
}

static bool all_in(const struct upper_path *p, const bool *a, const bool *b)
{
	for (unsigned int k = 0; k < p->n_refs; k++)
		if (!a[p->refs[k]] && (!b || !b[p->refs[k]]))
			return false;
	return true;
}

static void close_over(const struct upper_path *paths, bool *set)
{
	for (unsigned int i = UPPER_PATHS; i-- > 0;)
		for (unsigned int k = 0; set[i] && k < paths[i].n_refs; k++)
			set[paths[i].refs[k]] = true;
}

static void make_world(struct world *w, uint64_t seed)
{
	*w = (struct world){.seed = seed};
	for (unsigned int i = 0; i < UPPER_PATHS; i++) {
		struct upper_path *p = &w->paths[i];

		/* References go to smaller numbers, or to the path itself. */
		while (p->n_refs < UPPER_REFS && below(w, 3) > 0)
			p->refs[p->n_refs++] = i > 8 ? below(w, i + 1) : i;
		w->others[i] = *p;
		if (below(w, 5) == 0) {
			w->others[i].variant = 1;
			w->others[i].n_refs = below(w, p->n_refs + 1);
		}
		w->lower[0][i] = below(w, 2) && all_in(p, w->lower[0], NULL);
		w->lower[1][i] = below(w, 2) && all_in(&w->others[i], w->lower[1], NULL);
		/* A path may refer to itself. */
		w->built[i] = true;
		w->built[i] = !w->lower[0][i] && below(w, 3) > 0 && all_in(p, w->lower[0], w->built);
		w->entry[i] = (w->built[i] && below(w, 8) > 0) || below(w, 12) == 0;
	}
	for (int k = 0; k < 2; k++)
		w->manifest[k] = upper_manifest(k ? w->others : w->paths, w->lower[k], &w->bytes[k]);
}

static void free_world(struct world *w)
{
	for (int k = 0; k < 2; k++) {
		ul_manifest_close(w->manifest[k]);
		ul_buffer_free(&w->bytes[k]);
	}
}

/* The upper as a system on the first lower left it. */
static void fill_upper(struct world *w, enum ul_reconcile_mode mode)
{
	ul_autobuffer struct ul_buffer bytes = {0};
	bool rows[UPPER_PATHS];
	struct ul_manifest *m;

	upper_make("world");
	for (unsigned int i = 0; i < UPPER_PATHS; i++) {
		if (w->entry[i])
			upper_add("world", i, w->paths[i].variant);
		rows[i] = w->built[i] || (w->lower[0][i] && (mode == UL_RECONCILE_REBUILD || below(w, 6) == 0));
	}
	close_over(w->paths, rows);
	for (unsigned int i = 0; i < UPPER_PATHS; i++)
		w->copied[i] = rows[i] && !w->built[i];
	m = upper_manifest(w->paths, rows, &bytes);
	upper_database("world", m);
	ul_manifest_close(m);
}

/* What should be valid on lower k, of paths with rows; what[i]: it is what the lower says. */
static void expect(const struct world *w, int k, enum ul_reconcile_mode mode, const bool *built, const bool *copied,
		   const bool *entry, bool *valid, struct upper_path *what)
{
	const struct upper_path *of_lower = k ? w->others : w->paths;
	bool upper[UPPER_PATHS];

	for (unsigned int i = 0; i < UPPER_PATHS; i++) {
		upper[i] = true;
		upper[i] = built[i] && entry[i] && !w->lower[k][i] && all_in(&w->paths[i], w->lower[k], upper);
		what[i] = upper[i] ? w->paths[i] : of_lower[i];
		valid[i] = upper[i] || (w->lower[k][i] && (mode == UL_RECONCILE_REBUILD || built[i] || copied[i]));
	}
	close_over(what, valid);
}

static void assert_database(const bool *valid, const struct upper_path *what)
{
	ul_autobuffer struct ul_buffer bytes = {0};
	struct ul_manifest *m = upper_manifest(what, valid, &bytes);
	struct ul_error err = {0};
	char path[400], sentence[1200];

	snprintf(path, sizeof(path), "%s/db.sqlite", db_help_subdir(upper_db("world")));
	if (ul_db_compare(m, path, &err) < 0)
		fail_msg("%s", ul_error_sentence(&err, sentence, sizeof(sentence)));
	ul_manifest_close(m);
	db_help_assert_sound(upper_db("world"));
}

static void agree(struct world *w, int k, enum ul_reconcile_mode mode, bool changed, bool kept)
{
	struct ul_reconcile_report report;

	upper_agrees("world", w->manifest[k], mode, &report);
	assert_int_equal(report.lower_changed, changed);
	if (kept)
		assert_true(report.database_kept);
	ul_reconcile_report_free(&report);
}

static void both_ways(enum ul_reconcile_mode mode, uint64_t seed)
{
	bool valid[UPPER_PATHS], again[UPPER_PATHS], entry[UPPER_PATHS], built[UPPER_PATHS];
	struct upper_path what[UPPER_PATHS], back[UPPER_PATHS];
	struct world w;

	make_world(&w, seed);
	fill_upper(&w, mode);
	/* The first lower: what is missing goes, the rest is right. */
	expect(&w, 0, mode, w.built, w.copied, w.entry, valid, what);
	agree(&w, 0, mode, true, false);
	if (mode == UL_RECONCILE_REBUILD)
		assert_database(valid, what);
	upper_shut_down("world");
	agree(&w, 0, mode, false, true);
	upper_shut_down("world");
	/* What was pruned as not needed when nothing was known may be missing from here on. */
	for (unsigned int i = 0; i < UPPER_PATHS; i++) {
		built[i] = valid[i] && w.built[i];
		entry[i] = w.entry[i] && !w.lower[0][i];
		w.copied[i] = false;
	}
	expect(&w, 0, mode, built, w.copied, entry, valid, what);
	assert_database(valid, what);
	/* The second one, and back. */
	expect(&w, 1, mode, built, valid, entry, again, back);
	agree(&w, 1, mode, true, false);
	assert_database(again, back);
	upper_shut_down("world");
	agree(&w, 1, mode, false, true);
	for (unsigned int i = 0; i < UPPER_PATHS; i++) {
		built[i] = built[i] && again[i] && !w.lower[1][i];
		entry[i] = entry[i] && !w.lower[1][i];
	}
	upper_shut_down("world");
	expect(&w, 0, mode, built, again, entry, valid, what);
	agree(&w, 0, mode, true, false);
	assert_database(valid, what);
	free_world(&w);
}

static void attached(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 60; seed++)
		both_ways(UL_RECONCILE_ATTACH, seed);
}

static void rebuilt(void **state)
{
	(void)state;
	for (uint64_t seed = 1000; seed < 1040; seed++)
		both_ways(UL_RECONCILE_REBUILD, seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attached),
		cmocka_unit_test(rebuilt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
