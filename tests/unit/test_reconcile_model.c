/*
 * Reconcile against a model of a few lines: random lowers, an upper with entries in its kept layer and in a session,
 * some missing and some of sealed names, and a database; afterwards the database and the kept layer hold exactly what
 * the model says, in both modes, forwards and backwards, also when paths were collected, and a run over the result
 * changes nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "tests/unit/upper_help.h"

enum in_session { NOTHING, FILE_THERE, WHITEOUT };

#define RUNS     4 /* lowers that come, one after the other */
#define VARIANTS 8

/* A row of the quarantine, and which contents lie beside it. */
struct saved {
	bool there, holds[VARIANTS];
	struct upper_path says;
};

struct world {
	uint64_t seed;
	enum ul_reconcile_mode mode;
	struct upper_path paths[UPPER_PATHS];
	/* What the second lower has of a path, where it differs. */
	struct upper_path others[UPPER_PATHS];
	bool lower[2][UPPER_PATHS];
	bool kept[UPPER_PATHS]; /* entries of the kept layer, and what they hold */
	unsigned int variant[UPPER_PATHS];
	struct saved saved[UPPER_PATHS][RUNS]; /* the newest last */
	unsigned int runs, restored;
	enum in_session session[UPPER_PATHS];
	/* Rows of the upper's database, and what they say. */
	bool row[UPPER_PATHS];
	struct upper_path says[UPPER_PATHS];
	uint64_t updated; /* rows that the next run is to tell of: they take the lower's word */
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

static bool has_entry(const struct world *w, unsigned int i)
{
	return w->session[i] == FILE_THERE || (w->session[i] == NOTHING && w->kept[i]);
}

static void make_world(struct world *w, enum ul_reconcile_mode mode, uint64_t seed)
{
	*w = (struct world){.seed = seed, .mode = mode};
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
		/* A path may refer to itself. */
		for (int k = 0; k < 2; k++) {
			w->lower[k][i] = true;
			w->lower[k][i] = below(w, 2) && all_in(k ? &w->others[i] : p, w->lower[k], NULL);
		}
		w->says[i] = *p;
		w->row[i] = true;
		w->row[i] = w->lower[0][i] ? mode == UL_RECONCILE_REBUILD || below(w, 6) == 0
					   : below(w, 3) > 0 && all_in(p, w->lower[0], w->row);
		/* Of seven with a row one is missing; some have none, or a sealed name. */
		w->kept[i] = (w->row[i] && !w->lower[0][i] && below(w, 7) > 0) || below(w, 12) == 0;
		w->session[i] = (enum in_session)(below(w, 6) == 0 ? 1 + below(w, 2) : 0);
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
static void fill_upper(struct world *w)
{
	ul_autobuffer struct ul_buffer bytes = {0};
	struct ul_manifest *m;

	upper_make("world");
	upper_session("world", 1, "true");
	close_over(w->paths, w->row);
	for (unsigned int i = 0; i < UPPER_PATHS; i++) {
		char command[200];

		snprintf(command, sizeof(command),
			 w->session[i] == WHITEOUT ? "mknod %s c 0 0" : "mv ../../../kept/%s .", upper_base(i));
		if (w->kept[i] || w->session[i] == FILE_THERE)
			upper_add("world", i, w->paths[i].variant);
		if (w->session[i])
			upper_session("world", 1, command);
		w->variant[i] = w->paths[i].variant;
		if (w->session[i] == FILE_THERE && w->kept[i]) {
			upper_add("world", i, 7);
			w->variant[i] = 7;
		}
	}
	m = upper_manifest(w->paths, w->row, &bytes);
	upper_database("world", m);
	ul_manifest_close(m);
}

/* The newest of what was superseded whose contents are those of its row. */
static struct saved *find_saved(struct world *w, unsigned int i)
{
	for (unsigned int k = RUNS; k-- > 0;)
		if (w->saved[i][k].there && w->saved[i][k].holds[w->saved[i][k].says.variant])
			return &w->saved[i][k];
	return NULL;
}

/* Another lower: what it does not seal comes back, where all that it refers to is there. */
static void restore(struct world *w, int k)
{
	bool comes[UPPER_PATHS], there[UPPER_PATHS], again = true;

	for (unsigned int i = 0; i < UPPER_PATHS; i++) {
		comes[i] = !w->lower[k][i] && !has_entry(w, i) && find_saved(w, i);
		there[i] = w->lower[k][i] || (w->row[i] && has_entry(w, i));
	}
	while (again) {
		again = false;
		for (unsigned int i = 0; i < UPPER_PATHS; i++) {
			if (!comes[i] || all_in(&find_saved(w, i)->says, there, comes))
				continue;
			comes[i] = false;
			again = true;
		}
	}
	w->restored = 0;
	for (unsigned int i = 0; i < UPPER_PATHS; i++) {
		struct saved *saved = comes[i] ? find_saved(w, i) : NULL;

		if (!saved)
			continue;
		w->kept[i] = w->row[i] = true;
		w->session[i] = NOTHING;
		w->says[i] = saved->says;
		w->variant[i] = saved->says.variant;
		saved->there = false;
		w->restored++;
	}
}

/* Then what it seals goes from the upper's layers. */
static void supersede(struct world *w, int k)
{
	restore(w, k);
	for (unsigned int i = 0; i < UPPER_PATHS; i++) {
		struct saved *saved = &w->saved[i][w->runs];

		if (!w->lower[k][i])
			continue;
		saved->says = w->says[i];
		saved->holds[w->variant[i]] |= w->kept[i];
		saved->holds[w->paths[i].variant] |= w->session[i] == FILE_THERE;
		saved->there = w->row[i] && (w->kept[i] || w->session[i] == FILE_THERE);
		w->kept[i] = false;
		w->session[i] = NOTHING;
	}
	w->runs++;
}

static uint64_t refs_of(const struct upper_path *p)
{
	uint64_t set = 0;

	for (unsigned int k = 0; k < p->n_refs; k++)
		set |= UINT64_C(1) << p->refs[k];
	return set;
}

/* The rows of the lower that rows of the upper lead to, as the database is now, and that say otherwise than it. */
static uint64_t count_updated(const struct world *w, const bool *lower, const bool *upper,
			      const struct upper_path *of_lower)
{
	bool needed[UPPER_PATHS] = {false};
	uint64_t n = 0;

	/* References go to smaller numbers. */
	for (unsigned int i = UPPER_PATHS; i-- > 0;)
		for (unsigned int k = 0; (upper[i] || needed[i]) && k < w->says[i].n_refs; k++)
			needed[w->says[i].refs[k]] |= w->row[w->says[i].refs[k]] && lower[w->says[i].refs[k]];
	for (unsigned int i = 0; i < UPPER_PATHS; i++)
		n += needed[i] &&
		     (w->says[i].variant != of_lower[i].variant || refs_of(&w->says[i]) != refs_of(&of_lower[i]));
	return n;
}

/* The rows of the model over lower k: attached, of the lower's those stay that the upper's need. */
static void expect(struct world *w, int k)
{
	const struct upper_path *of_lower = k ? w->others : w->paths;
	bool upper[UPPER_PATHS];

	for (unsigned int i = 0; i < UPPER_PATHS; i++) {
		upper[i] = true;
		upper[i] = w->row[i] && has_entry(w, i) && !w->lower[k][i] && all_in(&w->says[i], w->lower[k], upper);
	}
	w->updated = count_updated(w, w->lower[k], upper, of_lower);
	for (unsigned int i = 0; i < UPPER_PATHS; i++) {
		if (!upper[i])
			w->says[i] = of_lower[i];
		w->row[i] = upper[i] || (w->lower[k][i] && w->mode == UL_RECONCILE_REBUILD);
	}
	close_over(w->says, w->row);
}

static void assert_database(const struct world *w)
{
	ul_autobuffer struct ul_buffer bytes = {0};
	struct ul_manifest *m = upper_manifest(w->says, w->row, &bytes);
	struct ul_error err = {0};
	char path[400], sentence[1200];

	snprintf(path, sizeof(path), "%s/db.sqlite", db_help_subdir(upper_db("world")));
	if (ul_db_compare(m, path, &err) < 0)
		fail_msg("%s", ul_error_sentence(&err, sentence, sizeof(sentence)));
	ul_manifest_close(m);
	db_help_assert_sound(upper_db("world"));
}

static void assert_layers(const struct world *w)
{
	static const char *const kinds[] = {[FILE_THERE] = "regular file", [WHITEOUT] = "character special file"};
	ul_autobuffer struct ul_buffer text = {0};
	char path[300];

	for (unsigned int i = 0; i < UPPER_PATHS; i++) {
		if (w->kept[i])
			assert_int_equal(ul_buffer_printf(&text, "%s\n", upper_base(i)), 0);
		if (w->session[i])
			assert_int_equal(ul_buffer_printf(&text, "%s %s\n", upper_base(i), kinds[w->session[i]]), 0);
	}
	snprintf(path, sizeof(path), "%s/wanted", db_help_dir());
	assert_int_equal(ul_write_file(AT_FDCWD, path, 0644, text.data, text.len), 0);
	upper_run("world", "sort ../wanted >../sorted; { ls kept; cd sessions/*/up; stat -c '%n %F' *; } | sort | "
			   "diff ../sorted -");
}

/* Over lower k, and what it is after that, with or without a clean end of the system. */
static void agree(struct world *w, int k, bool changed, bool kept)
{
	struct ul_reconcile_report report;
	uint64_t n = 0;

	upper_agrees("world", w->manifest[k], w->mode, &report);
	assert_int_equal(report.lower_changed, changed);
	if (kept)
		assert_true(report.database_kept && !ul_reconcile_did_something(&report));
	assert_int_equal(report.n[UL_RECONCILE_UPDATED], w->updated);
	w->updated = 0;
	for (unsigned int i = 0; i < UPPER_PATHS; i++)
		n += w->row[i] && !w->lower[k][i];
	assert_int_equal(report.upper_paths, n);
	if (changed)
		assert_int_equal(report.n[UL_RECONCILE_RESTORED], w->restored);
	ul_reconcile_report_free(&report);
	assert_database(w);
	assert_layers(w);
	if (below(w, 3) > 0)
		upper_shut_down("world");
}

/* What no row refers to may be collected. In attach mode that may be a copy of the lower's row as well. */
static void collect(struct world *w)
{
	bool needed[UPPER_PATHS] = {false}, any = false;

	for (unsigned int i = 0; i < UPPER_PATHS; i++)
		for (unsigned int k = 0; w->row[i] && k < w->says[i].n_refs; k++)
			needed[w->says[i].refs[k]] |= w->says[i].refs[k] != i;
	for (unsigned int i = 0; i < UPPER_PATHS; i++) {
		char sql[400];

		if (!w->row[i] || needed[i] || below(w, 2) || (w->mode == UL_RECONCILE_REBUILD && w->lower[0][i]))
			continue;
		snprintf(sql, sizeof(sql),
			 "delete from Refs where referrer = (select id from ValidPaths where path = '%s'); "
			 "delete from ValidPaths where path = '%s'",
			 upper_full(i), upper_full(i));
		sqlite3 *db = db_help_open(upper_db("world"));

		db_help_exec(db, sql);
		sqlite3_close(db);
		w->row[i] = false;
		any = true;
	}
	for (unsigned int i = 0; any && i < UPPER_PATHS; i++)
		w->kept[i] &= w->row[i] || w->lower[0][i];
}

static unsigned int restored;

static void both_ways(enum ul_reconcile_mode mode, uint64_t seed)
{
	struct world w;

	make_world(&w, mode, seed);
	fill_upper(&w);
	/* The first lower: what is missing goes, the rest is right. */
	supersede(&w, 0);
	expect(&w, 0);
	agree(&w, 0, true, false);
	agree(&w, 0, false, true);
	collect(&w);
	expect(&w, 0);
	agree(&w, 0, false, false);
	agree(&w, 0, false, true);
	/* The second one, and back, and once more. */
	for (int k = 1; k >= -1; k--) {
		int lower = k < 0 ? 1 : k;

		supersede(&w, lower);
		expect(&w, lower);
		agree(&w, lower, true, false);
		restored += w.restored;
		agree(&w, lower, false, true);
	}
	free_world(&w);
}

static void attached(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 60; seed++)
		both_ways(UL_RECONCILE_ATTACH, seed);
	assert_true(restored > 60);
}

static void rebuilt(void **state)
{
	(void)state;
	restored = 0;
	for (uint64_t seed = 1000; seed < 1040; seed++)
		both_ways(UL_RECONCILE_REBUILD, seed);
	assert_true(restored > 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attached),
		cmocka_unit_test(rebuilt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
