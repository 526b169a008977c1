/*
 * The bulk writer against the oracle (SQLite's API): random stores, sizes around page boundaries, chains,
 * hubs; the same bytes for any number of threads. UL_DB_LONG=1 runs thousands of stores and a database
 * that reaches past the lock page (`make check-db-long`).
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
#include <unistd.h>

#include "common/cleanup.h"
#include "common/encoding.h"
#include "common/file.h"
#include "dbgen/database/pages/sqlite_file.h"
#include "tests/unit/db_help.h"

static bool is_long(void)
{
	const char *value = getenv("UL_DB_LONG");

	return value && *value;
}

static const struct ul_db_options oracle = {.use_sqlite = true};
static const struct ul_db_options one_thread = {.threads = 1};
static const struct ul_db_options two_threads = {.threads = 2};
static const struct ul_db_options five_threads = {.threads = 5};
static const struct ul_db_options low_memory = {.low_memory = true};

static void check(struct ul_manifest *m)
{
	db_help_build(m, "oracle", &oracle);
	db_help_build(m, "bulk", &two_threads);
	db_help_assert_sound("bulk");
	db_help_assert_same("oracle", "bulk");
}

static void random_stores(void **state)
{
	UL_CLEANUP(ul_buffer_free) struct ul_buffer bytes = {0};
	uint64_t numbers = 2026;
	int rounds = is_long() ? 5000 : 150;

	(void)state;
	for (int round = 0; round < rounds; round++) {
		struct random_store_options o = {
			.signed_share = (unsigned int)(random_next(&numbers) % 101),
			.drv_share = (unsigned int)(random_next(&numbers) % 3 * 30),
			.mean_refs = (unsigned int)(random_next(&numbers) % 12),
			.odd_share = (unsigned int)(random_next(&numbers) % 101),
		};
		size_t n = random_next(&numbers) % (round % 10 == 0 ? 2000 : 60);
		struct random_store *s;
		struct ul_manifest *m;

		if (round % 3 == 0)
			o.realisations = (unsigned int)(random_next(&numbers) % (n + 1));
		s = random_store_new(random_next(&numbers), n, &o);
		assert_non_null(s);
		m = db_help_manifest(s, &bytes);
		check(m);
		ul_manifest_close(m);
		random_store_free(s);
	}
}

/* Several batches: the bytes are the same whatever the threads, also with little memory. */
static void bytes_of_threads(void **state)
{
	static const size_t sizes[] = {4096, 4097, 13000};
	UL_CLEANUP(ul_buffer_free) struct ul_buffer bytes = {0};

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(sizes); i++) {
		struct random_store_options o = random_store_real;
		struct random_store *s;
		struct ul_manifest *m;

		o.drv_share = 20;
		o.realisations = 50;
		s = random_store_new(i, sizes[i], &o);
		assert_non_null(s);
		m = db_help_manifest(s, &bytes);
		check(m);
		db_help_build(m, "one", &one_thread);
		db_help_assert_identical("bulk", "one");
		db_help_build(m, "five", &five_threads);
		db_help_assert_identical("bulk", "five");
		db_help_build(m, "low", &low_memory);
		db_help_assert_identical("bulk", "low");
		ul_manifest_close(m);
		random_store_free(s);
	}
}

/* ---- stores made by hand ---- */

struct made {
	struct ul_path_info *paths;
	char (*texts)[96];
	size_t n;
};

/* n paths in path order, without references. */
static struct made make(size_t n)
{
	struct made made = {calloc(n, sizeof(*made.paths)), calloc(n, sizeof(*made.texts)), n};

	assert_true(made.paths && made.texts);
	for (size_t i = 0; i < n; i++) {
		uint8_t digest[20] = {0};
		char digits[33];

		for (size_t k = 0; k < 4; k++)
			digest[19 - k] = (uint8_t)(i >> (24 - 8 * k));
		ul_nix32_encode(digest, sizeof(digest), digits);
		snprintf(made.texts[i], sizeof(made.texts[i]), "/nix/store/%s-p%zu", digits, i);
		made.paths[i].path = made.texts[i];
		made.paths[i].registered = (int64_t)i;
		made.paths[i].nar_size = i * 8;
	}
	return made;
}

static void check_made(const struct made *made)
{
	UL_CLEANUP(ul_buffer_free) struct ul_buffer bytes = {0};
	struct ul_manifest *m = db_help_manifest_of(made->paths, made->n, &bytes);

	check(m);
	db_help_build(m, "low", &low_memory);
	db_help_assert_identical("bulk", "low");
	ul_manifest_close(m);
}

static void free_made(struct made *made)
{
	free(made->paths);
	free(made->texts);
}

static void few_paths(void **state)
{
	(void)state;
	for (size_t n = 0; n <= 60; n++) {
		struct made made = make(n + 1);

		made.n = n;
		check_made(&made);
		free_made(&made);
	}
}

/*
 * Signatures of every length from one that leaves room for many rows in a page to chains of several
 * pages: payloads just below and above what a page keeps, cells that fill a page to the byte.
 */
static void every_length(void **state)
{
	static char sigs[16384];
	size_t n = 1600;
	struct made made = make(n);
	char **own = calloc(n, sizeof(*own));

	(void)state;
	assert_non_null(own);
	memset(sigs, 's', sizeof(sigs) - 1);
	for (size_t i = 0; i < n; i++) {
		/* 600 to 1,400; 3,500 to 4,100; then the ends of chains around multiples of 4,092 */
		size_t len = i < 800 ? 600 + i : i < 1400 ? 3500 + i - 800 : 0;

		if (len == 0)
			len = 4092 * (1 + (i - 1400) % 3) + 3600 + (i - 1400) * 2;
		if (len > 16000)
			len = 16000;
		own[i] = strndup(sigs, len);
		made.paths[i].sigs = own[i];
	}
	check_made(&made);
	for (size_t i = 0; i < n; i++)
		free(own[i]);
	free(own);
	free_made(&made);
}

/* One size of row in every page: the last cell fits to the byte, or misses by one. */
static void exact_fill(void **state)
{
	static char sigs[4096];
	struct made made = make(64);

	(void)state;
	/* A row without signatures takes some 140 bytes, so these lengths pass page / k for k = 3 to 12. */
	for (size_t len = 200; len < 1250; len += is_long() ? 1 : 13) {
		memset(sigs, 'x', len);
		sigs[len] = '\0';
		for (size_t i = 0; i < made.n; i++)
			made.paths[i].sigs = sigs;
		check_made(&made);
	}
	free_made(&made);
}

/* Runs of an index with 0, 1, 2, ... cells in each of three units, and pages that just fill. */
static void few_references(void **state)
{
	static const size_t counts[] = {0, 1, 2, 3, 290, 291, 315, 316, 317, 330, 331, 2000};
	struct made made = make(3 * 4096);
	const char **refs = calloc(4096, sizeof(*refs));
	uint64_t numbers = 7;

	(void)state;
	assert_non_null(refs);
	for (size_t i = 0; i < 4096; i++)
		refs[i] = made.paths[i * 3].path;
	for (int round = 0; round < (is_long() ? 200 : 12); round++) {
		for (size_t u = 0; u < 3; u++) {
			/* The first rounds: one reference in a unit, or none, in all ways. */
			size_t n = round < 8 ? (size_t)round >> u & 1
					     : counts[random_next(&numbers) % UL_ARRAY_SIZE(counts)];

			made.paths[u * 4096 + 17].refs = refs;
			made.paths[u * 4096 + 17].n_refs = n;
		}
		check_made(&made);
	}
	free(refs);
	free_made(&made);
}

/* One path that all refer to, one that refers to all, and self-references. */
static void hubs(void **state)
{
	struct made made = make(5000);
	const char **all = calloc(made.n, sizeof(*all));
	const char *pair[5000][2];

	(void)state;
	assert_non_null(all);
	for (size_t i = 0; i < made.n; i++) {
		all[i] = made.paths[i].path;
		pair[i][0] = made.paths[2500].path;
		pair[i][1] = made.paths[i].path;
		made.paths[i].refs = pair[i];
		made.paths[i].n_refs = i == 2500 ? 1 : 2;
	}
	made.paths[4999].refs = all;
	made.paths[4999].n_refs = made.n;
	check_made(&made);
	free(all);
	free_made(&made);
}

static void all_or_nothing(void **state)
{
	char name[UL_NAME_MAX + 64], deriver[300];
	uint8_t digest[20] = {1};
	struct made made = make(3);
	char digits[33];

	(void)state;
	/* Everything null but what must be there; then everything set, at the limits. */
	made.paths[0].registered = 0;
	made.paths[0].nar_size = 0;
	ul_nix32_encode(digest, sizeof(digest), digits);
	snprintf(name, sizeof(name), "/nix/store/%s-%0*d", digits, UL_NAME_MAX, 7);
	snprintf(deriver, sizeof(deriver), "/nix/store/%s-%0*d.drv", digits, UL_NAME_MAX - 4, 9);
	made.paths[1] = (struct ul_path_info){
		.path = name,
		.deriver = deriver,
		.nar_size = INT64_MAX - 7,
		.registered = INT64_MAX,
		.ultimate = true,
		.sigs = "a:b c:d",
		.ca = "fixed:r:sha256:1xmr8jicvzszfzpz46g37mlpvbzjl2wpwvl2b05psipssyp1sm8h",
		.refs = &made.paths[1].path,
		.n_refs = 1,
	};
	made.paths[2].registered = INT64_MIN;
	made.paths[2].nar_size = 8;
	check_made(&made);
	free_made(&made);
}

static void vacuum_and_reindex(void **state)
{
	UL_CLEANUP(ul_buffer_free) struct ul_buffer bytes = {0};
	struct random_store_options o = random_store_real;
	struct random_store *s;
	struct ul_manifest *m;
	sqlite3 *db;

	(void)state;
	o.drv_share = 30;
	o.realisations = 300;
	o.odd_share = 30;
	s = random_store_new(5, 3000, &o);
	assert_non_null(s);
	m = db_help_manifest(s, &bytes);
	check(m);
	db = db_help_open("bulk");
	db_help_exec(db, "reindex");
	db_help_exec(db, "vacuum");
	sqlite3_close(db);
	db_help_assert_sound("bulk");
	db_help_assert_same("oracle", "bulk");
	ul_manifest_close(m);
	random_store_free(s);
}

/* What Nix does to a database: add, refer, delete; the checks still find nothing. */
static void lives_on(void **state)
{
	static const char script[] =
		"pragma foreign_keys = on; pragma journal_mode = wal; begin;"
		"insert into ValidPaths (path, hash, registrationTime) values"
		" ('/nix/store/00000000000000000000000000000000-new', 'sha256:00', 1);"
		"insert into Refs select max(id), 1 from ValidPaths;"
		"insert or replace into Refs select id, id from ValidPaths;"
		"commit; begin;"
		"delete from ValidPaths where id not in (select reference from Refs where reference <>"
		" referrer);"
		"insert into ValidPaths (path, hash, registrationTime) select path || 'x', hash, 5 from"
		" ValidPaths; commit; pragma journal_mode = delete;";
	UL_CLEANUP(ul_buffer_free) struct ul_buffer bytes = {0};
	struct random_store *s = random_store_new(11, 4000, &random_store_real);
	struct ul_manifest *m;
	static const char *const names[] = {"oracle", "bulk"};

	(void)state;
	assert_non_null(s);
	m = db_help_manifest(s, &bytes);
	check(m);
	for (size_t i = 0; i < 2; i++) {
		sqlite3 *db = db_help_open(names[i]);

		db_help_exec(db, script);
		sqlite3_close(db);
		db_help_assert_sound(names[i]);
	}
	db_help_assert_same("oracle", "bulk");
	ul_manifest_close(m);
	random_store_free(s);
}

/* Runs that reach, cross and follow the page on whose bytes SQLite locks. */
static void lock_page(void **state)
{
	uint8_t pages[4 * UL_SQLITE_PAGE], page[UL_SQLITE_PAGE];
	uint64_t gib = 1ULL << 30;
	struct ul_sqlite_file f;
	struct ul_error err;
	char path[300];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/sparse", db_help_dir());
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	ul_sqlite_file_init(&f, fd, "sparse");
	for (size_t i = 0; i < 4; i++)
		memset(pages + i * UL_SQLITE_PAGE, (int)i + 1, UL_SQLITE_PAGE);
	assert_int_equal(ul_sqlite_page_number(0), 1);
	assert_int_equal(ul_sqlite_page_number(262143), 262144);
	assert_int_equal(ul_sqlite_page_number(262144), 262146);
	assert_int_equal(ul_sqlite_write(&f, 262142, pages, 4, &err), 0);
	for (uint64_t i = 0; i < 5; i++) {
		uint8_t expected = (uint8_t)(i < 2 ? i + 1 : i > 2 ? i : 0);

		assert_int_equal(ul_pread_full(fd, page, sizeof(page), gib + (i - 2) * 4096), 0);
		for (size_t k = 0; k < sizeof(page); k++)
			assert_int_equal(page[k], expected);
	}
	assert_int_equal(ul_sqlite_write(&f, 262144, pages, 1, &err), 0);
	assert_int_equal(ul_pread_full(fd, page, sizeof(page), gib + 4096), 0);
	assert_int_equal(page[0], 1);
	close(fd);
	unlink(path);
}

/* A real database past 1 GiB. */
static void past_the_lock_page(void **state)
{
	UL_CLEANUP(ul_buffer_free) struct ul_buffer bytes = {0};
	struct random_store *s;
	struct ul_manifest *m;
	sqlite3 *db;

	(void)state;
	s = random_store_new(3, 1600000, &random_store_real);
	assert_non_null(s);
	m = db_help_manifest(s, &bytes);
	random_store_free(s);
	db_help_build(m, "big", NULL);
	db = db_help_open("big");
	assert_true(atoll(db_help_text(db, "pragma page_count")) > 262146);
	assert_string_equal(db_help_text(db, "pragma integrity_check"), "ok");
	assert_string_equal(db_help_text(db, "select count(*) from ValidPaths"), "1600000");
	sqlite3_close(db);
	ul_manifest_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_stores),
		cmocka_unit_test(bytes_of_threads),
		cmocka_unit_test(few_paths),
		cmocka_unit_test(every_length),
		cmocka_unit_test(exact_fill),
		cmocka_unit_test(few_references),
		cmocka_unit_test(hubs),
		cmocka_unit_test(all_or_nothing),
		cmocka_unit_test(vacuum_and_reindex),
		cmocka_unit_test(lives_on),
		cmocka_unit_test(lock_page),
	};
	const struct CMUnitTest long_tests[] = {cmocka_unit_test(past_the_lock_page)};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	if (is_long())
		failed += cmocka_run_group_tests(long_tests, NULL, NULL);
	return failed;
}
