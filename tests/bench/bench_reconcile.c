/*
 * bench_reconcile DIR [ROUNDS]: what reconcile costs in attach mode, with a kept layer of 0, 1,000 and 10,000 paths,
 * against lowers of 10,000, 100,000 and 1,000,000 paths: with another lower, with the same one and a database that
 * nobody wrote to, with one that somebody wrote to, after a collection that took every second path, and after one of
 * Nix's own, which copies every row of the lower into the upper's database: at the next boot, which throws them away,
 * and at those after it. DIR: where lowers and uppers are written; on a tmpfs, so that the disk is not what is
 * measured. Prints JSON; the times are medians.
 *
 * Each path of the upper refers to others of the upper and to the same 200 paths that every lower has; a reconcile
 * with a lower that is new to it writes its database anew.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "dbgen/database/db.h"
#include "dbgen/reconcile/reconcile.h"
#include "tests/bench/measure.h"
#include "tests/unit/random_store.h"

#define SHARED     200 /* paths of each lower that the upper refers to */
#define MAX_ROUNDS 99

static void check(int r, const struct ul_error *err)
{
	char sentence[1200];

	if (r == 0)
		return;
	fprintf(stderr, "bench_reconcile: %s\n", ul_error_sentence(err, sentence, sizeof(sentence)));
	exit(3);
}

/* Paths of the world that all lowers share: "s" and a number; the upper's: "u". */
static const char *path_of(char kind, unsigned int i)
{
	static char paths[4][80];
	static unsigned int turn;
	char *path = paths[turn++ % 4];

	snprintf(path, sizeof(paths[0]), "/nix/store/%032u-%c", i * 2654435761U % 4000000000U, kind);
	return path;
}

static void add(struct ul_builder *b, const char *path, const char *const *refs, size_t n)
{
	struct ul_path_info info = {.path = path, .nar_size = 120, .refs = refs, .n_refs = n};
	struct ul_error err;

	check(ul_builder_add(b, &info, &err), &err);
}

static struct ul_manifest *finish(struct ul_builder *b, struct ul_buffer *bytes)
{
	struct ul_manifest *m = NULL;
	struct ul_error err;

	check(ul_builder_finish(b, bytes, &err), &err);
	check(ul_manifest_open_memory(bytes->data, bytes->len, &m, &err), &err);
	ul_builder_free(b);
	return m;
}

/* n paths: the shared ones, and a generated store. Its database goes to DIR. */
static struct ul_manifest *make_lower(size_t n, struct ul_buffer *bytes)
{
	struct random_store *s = random_store_new(n, n - SHARED, &random_store_real);
	struct ul_builder *b = ul_builder_new("/nix/store");
	struct ul_manifest *m;
	struct ul_error err;

	if (!s || !b)
		exit(3);
	check(random_store_fill(s, b, &err), &err);
	random_store_free(s);
	for (unsigned int i = 0; i < SHARED; i++) {
		const char *ref = path_of('s', i / 2);

		add(b, path_of('s', i), &ref, i > 0);
	}
	m = finish(b, bytes);
	measure_done(ul_remove_tree(AT_FDCWD, "lower"), "lower");
	measure_done(mkdir("lower", 0755), "lower");
	check(ul_db_build(m, AT_FDCWD, "lower", NULL, &err), &err);
	return m;
}

static void make_upper(unsigned int n)
{
	ul_autobuffer struct ul_buffer bytes = {0};
	struct ul_builder *b = ul_builder_new("/nix/store");
	struct ul_manifest *m;
	struct ul_error err;

	measure_done(ul_remove_tree(AT_FDCWD, "upper"), "upper");
	measure_done(ul_mkdir_parents(AT_FDCWD, "upper/var/nix/db", 0755), "upper");
	measure_done(mkdir("upper/kept", 0755), "upper/kept");
	for (unsigned int i = 0; i < n; i++) {
		char name[120];

		snprintf(name, sizeof(name), "upper/kept/%s", path_of('u', i) + strlen("/nix/store/"));
		measure_done(mkdir(name, 0755), name);
	}
	for (unsigned int i = 0; i < SHARED; i++)
		add(b, path_of('s', i), NULL, 0);
	for (unsigned int i = 0; i < n; i++) {
		const char *refs[] = {path_of('s', i % SHARED), path_of('s', i * 7 % SHARED), path_of('u', i / 2)};

		/* The second half is what is collected: nothing refers to it. */
		if (i >= n / 2)
			refs[2] = path_of('u', i - n / 2);
		add(b, path_of('u', i), refs, 3);
	}
	m = finish(b, &bytes);
	check(ul_db_build(m, AT_FDCWD, "upper/var/nix/db", NULL, &err), &err);
	ul_manifest_close(m);
}

static void collect(unsigned int n)
{
	sqlite3 *db = NULL;
	char sql[400] = "begin; delete from Refs where referrer in (select id from temp.gone);"
			" delete from ValidPaths where id in (select id from temp.gone); commit";
	char text[120];

	if (sqlite3_open("upper/var/nix/db/db.sqlite", &db) != SQLITE_OK ||
	    sqlite3_exec(db, "create temp table gone (id integer primary key)", NULL, NULL, NULL) != SQLITE_OK)
		exit(3);
	sqlite3_exec(db, "begin", NULL, NULL, NULL);
	for (unsigned int i = n / 2; i < n; i++) {
		snprintf(text, sizeof(text), "insert into temp.gone select id from ValidPaths where path = '%s'",
			 path_of('u', i));
		if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
			exit(3);
	}
	sqlite3_exec(db, "commit", NULL, NULL, NULL);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK || sqlite3_close(db) != SQLITE_OK)
		exit(3);
}

static bool is_there(void *user, const char *path)
{
	(void)user;
	(void)path;
	return true;
}

/* A row for each path of the lower, and those that are there. */
static void copy_rows(struct ul_manifest *lower)
{
	const struct ul_db_options options = {.merge_from = "upper/var/nix/db/db.sqlite", .exists = is_there};
	struct ul_error err;

	check(ul_db_build(lower, AT_FDCWD, "upper/var/nix/db", &options, &err), &err);
}

static double reconcile(struct ul_manifest *lower, uint64_t wanted_updates, uint64_t wanted_swept)
{
	ul_autoclose int fd = open("upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct ul_reconcile_options o = {
		.upper_fd = fd,
		.upper_path = "upper",
		.mode = UL_RECONCILE_ATTACH,
		.lower = {.manifest = lower, .database = "lower/db.sqlite", .identity = "this"}};
	struct ul_reconcile_report report;
	double start = measure_ms(CLOCK_MONOTONIC), took;
	struct ul_error err;

	check(ul_reconcile(&o, &report, &err), &err);
	took = measure_ms(CLOCK_MONOTONIC) - start;
	if (report.n[UL_RECONCILE_INVALIDATED] > 0 || report.n[UL_RECONCILE_QUARANTINED] > 0 ||
	    report.n[UL_RECONCILE_UPDATED] != wanted_updates || report.n[UL_RECONCILE_SWEPT] != wanted_swept) {
		fputs("bench_reconcile: it did not do what was to be measured\n", stderr);
		exit(3);
	}
	ul_reconcile_report_free(&report);
	return took;
}

static void mark(void)
{
	ul_autoclose int fd = open("upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct ul_error err;
	bool marked;

	check(ul_reconcile_mark_clean(fd, "upper", &marked, &err), &err);
}

/* lower.json of another image on which the upper was last used. */
static void forget(void)
{
	static const char text[] = "{\"format\": 1, \"identity\": \"other\", \"database\": \"attach\", "
				   "\"checkedId\": 1000000}";

	measure_done(ul_write_file(AT_FDCWD, "upper/lower.json", 0644, text, strlen(text)), "lower.json");
}

static void measure(struct ul_manifest *lower, size_t n, unsigned int kept, unsigned int rounds)
{
	double changed[MAX_ROUNDS], same[MAX_ROUNDS], written[MAX_ROUNDS], collected[MAX_ROUNDS];
	double copied[MAX_ROUNDS], later[MAX_ROUNDS];

	for (unsigned int i = 0; i < rounds; i++) {
		make_upper(kept);
		forget();
		/* All shared paths but the first refer to others in the lower, and did not before. */
		changed[i] = reconcile(lower, kept > 0 ? SHARED - 1 : 0, 0);
		mark();
		same[i] = reconcile(lower, 0, 0);
		mark();
		measure_done(utimensat(AT_FDCWD, "upper/var/nix/db/db.sqlite", NULL, 0), "db.sqlite");
		written[i] = reconcile(lower, 0, 0);
		collect(kept);
		mark();
		collected[i] = reconcile(lower, 0, kept - kept / 2);
		copy_rows(lower);
		mark();
		copied[i] = reconcile(lower, 0, 0);
		mark();
		later[i] = reconcile(lower, 0, 0);
	}
	printf("  {\"lower\": %zu, \"kept\": %u, \"another_ms\": %.2f, \"unchanged_ms\": %.2f, \"written_ms\": %.2f, "
	       "\"collected_ms\": %.2f, \"copied_ms\": %.2f, \"later_ms\": %.2f}",
	       n, kept, measure_median(changed, rounds), measure_median(same, rounds), measure_median(written, rounds),
	       measure_median(collected, rounds), measure_median(copied, rounds), measure_median(later, rounds));
	fflush(stdout);
}

static void measure_lower(size_t n, unsigned int rounds)
{
	static const unsigned int kept[] = {0, 1000, 10000};
	ul_autobuffer struct ul_buffer bytes = {0};
	struct ul_manifest *lower = make_lower(n, &bytes);

	for (size_t i = 0; i < UL_ARRAY_SIZE(kept); i++) {
		measure(lower, n, kept[i], rounds);
		puts(n == 1000000 && i + 1 == UL_ARRAY_SIZE(kept) ? "" : ",");
	}
	ul_manifest_close(lower);
}

int main(int argc, char **argv)
{
	unsigned int rounds = argc > 2 ? (unsigned int)strtoul(argv[2], NULL, 10) : 7;

	if (argc < 2 || rounds < 1 || rounds > MAX_ROUNDS) {
		fputs("usage: bench_reconcile DIR [ROUNDS]\n", stderr);
		return 2;
	}
	measure_done(chdir(argv[1]), argv[1]);
	puts("[");
	measure_lower(10000, rounds);
	measure_lower(100000, rounds);
	measure_lower(1000000, rounds);
	puts("]");
	return 0;
}
