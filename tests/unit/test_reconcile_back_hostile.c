/*
 * The way back fails no boot, ends, and follows what the disk holds, whoever wrote the quarantine and the database: a
 * machine builds on lower A, tries B, which seals 20, 21 and 22, and somebody writes to the disk before it is A's turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "dbgen/reconcile/saved_row.h"
#include "dbgen/store/nar.h"
#include "tests/unit/upper_help.h"

#define U                         UPPER_NAME
#define RUN                       "quarantine/*-superseded"
#define reported(f, action, name) upper_reported(&(f)->report, UL_RECONCILE_##action, name)
#define number(f, action)         ((f)->report.n[UL_RECONCILE_##action])
#define ENDLESS                   300 /* seconds: whoever runs into it would not end in days */

static struct ul_manifest *trial;
static struct ul_buffer trial_bytes;

static int setup(void **state)
{
	static const unsigned int built[] = {20, 21, 22};
	struct upper_fixture *f;

	if (upper_setup(state) < 0)
		return -1;
	f = *state;
	trial = upper_trial(f->paths, built, UL_ARRAY_SIZE(built), &trial_bytes);
	return 0;
}

static int teardown(void **state)
{
	ul_manifest_close(trial);
	ul_buffer_free(&trial_bytes);
	return upper_teardown(state);
}

/* A, and then B. A command in the upper; p20, p21 and p22 are base names, run is the run's directory. */
static void build(struct upper_fixture *f, enum ul_reconcile_mode mode)
{
	upper_make(U);
	upper_fill(f, mode);
	upper_agree(f, f->lower, mode);
	upper_shut_down(U);
	upper_agree(f, trial, mode);
	assert_int_equal(number(f, QUARANTINED), 3);
}

static void tamper(const char *command)
{
	ul_autofree char *text = NULL;

	assert_true(asprintf(&text, "p20=%s; p21=%s; p22=%s; run=$(echo " RUN "); %s", upper_base(20), upper_base(21),
			     upper_base(22), command) > 0);
	upper_run(U, text);
}

static bool came_back(struct upper_fixture *f, unsigned int i)
{
	return reported(f, RESTORED, upper_base(i)) == 1;
}

/* ---- what the database does ---- */

/* A damaged one is written anew, and then it is not too late. */
static void damaged(void **state)
{
	struct upper_fixture *f = *state;

	for (enum ul_reconcile_mode mode = 0; mode <= UL_RECONCILE_REBUILD; mode++) {
		build(f, mode);
		upper_run(U, "rm var/nix/db/schema");
		upper_agree(f, f->lower, mode);
		assert_int_equal(number(f, RESTORED), 0);
		assert_int_equal(reported(f, NOTE, "db.sqlite") > 0, true);
		upper_agree(f, f->lower, mode);
		assert_int_equal(number(f, RESTORED), 3);
		upper_agree(f, f->lower, mode);
		assert_false(f->report.lower_changed);
	}
}

static const struct {
	const char *title, *command;
} unwritable[] = {
	{"numbers that are used up",
	 "sqlite3 var/nix/db/db.sqlite \"update sqlite_sequence set seq = 9223372036854775807;"
	 "delete from ValidPaths where path like '%-p20' or path like '%-p21'\""},
	{"a version for readers only",
	 "printf '\\3' | dd of=var/nix/db/db.sqlite bs=1 seek=18 conv=notrunc status=none"},
};

static void cannot_be_written(void **state)
{
	struct upper_fixture *f = *state;

	for (size_t i = 0; i < sizeof(unwritable) / sizeof(unwritable[0]); i++) {
		build(f, UL_RECONCILE_ATTACH);
		tamper(unwritable[i].command);
		upper_run(U, "mkdir quarantine/00000009-x; echo >reserve");
		upper_agree(f, f->lower, UL_RECONCILE_ATTACH);
		if (number(f, RESTORED) != 0 || number(f, NOTE) == 0)
			fail_msg("%s", unwritable[i].title);
		/* For which no room was wanted. */
		upper_run(U, "test -d quarantine/00000009-x -a $(ls " RUN " | wc -l) = 6");
		/* The next boot tries again, the one after that does not. */
		upper_agree(f, f->lower, UL_RECONCILE_ATTACH);
		upper_agree(f, f->lower, UL_RECONCILE_ATTACH);
		assert_false(f->report.lower_changed);
	}
}

/* ---- an index whose pages lead to each other ---- */

#define LEVELS 4

static void write_page(uint8_t *page, size_t size, uint32_t child, const uint8_t *record, size_t len)
{
	size_t head = child ? 12 : 8, cell = (child ? 4 : 0) + 1 + len, n = (size - head) / (cell + 2),
	       start = size - n * cell;

	memset(page, 0, size);
	for (size_t i = 0; i < n; i++) {
		uint8_t *at = page + start + i * cell;

		if (child)
			ul_put_be32(at, child);
		at += child ? 4 : 0;
		*at = (uint8_t)len;
		memcpy(at + 1, record, len);
		page[head + 2 * i] = (uint8_t)((start + i * cell) >> 8);
		page[head + 2 * i + 1] = (uint8_t)(start + i * cell);
	}
	page[0] = child ? 2 : 10;
	page[3] = (uint8_t)(n >> 8);
	page[4] = (uint8_t)n;
	page[5] = (uint8_t)(start >> 8);
	page[6] = (uint8_t)start;
	if (child)
		ul_put_be32(page + 8, child);
}

/* The index of Refs becomes 10^12 rows that say that the path refers to itself. */
static void lead_in_circles(unsigned int path)
{
	char sql[200];
	sqlite3 *db = db_help_open(upper_db(U));
	uint8_t id, page[65536], count[4];
	size_t root, size;
	uint32_t n;
	int fd;

	(void)sqlite3_exec(db, "pragma journal_mode = delete", NULL, NULL, NULL);
	snprintf(sql, sizeof(sql), "select id from ValidPaths where path = '%s'", upper_full(path));
	id = (uint8_t)atoi(db_help_text(db, sql));
	assert_in_range(id, 1, 127);
	root = (size_t)atoi(
		db_help_text(db, "select rootpage from sqlite_schema where name = 'sqlite_autoindex_Refs_1'"));
	size = (size_t)atoi(db_help_text(db, "pragma page_size"));
	n = (uint32_t)atoi(db_help_text(db, "pragma page_count"));
	sqlite3_close(db);
	assert_in_range(size, 512, sizeof(page));
	fd = open(db_help_subdir(U "/var/nix/db/db.sqlite"), O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0 && root > 1);
	for (uint32_t level = 0; level <= LEVELS; level++) {
		const uint8_t record[] = {3, 1, 1, id, id};
		size_t at = level == LEVELS ? (root - 1) * size : n * size;

		write_page(page, size, level ? n : 0, record, sizeof(record));
		assert_int_equal(pwrite(fd, page, size, (off_t)at), size);
		n += level < LEVELS;
	}
	ul_put_be32(count, n);
	assert_int_equal(pwrite(fd, count, 4, 28), 4);
	assert_int_equal(pread(fd, count, 4, 24), 4);
	assert_int_equal(pwrite(fd, count, 4, 92), 4);
	close(fd);
}

static void circles(void **state)
{
	struct upper_fixture *f = *state;

	for (enum ul_reconcile_mode mode = 0; mode <= UL_RECONCILE_REBUILD; mode++) {
		/* Where its row is to be saved. */
		upper_make(U);
		upper_fill(f, mode);
		lead_in_circles(20);
		upper_agree(f, trial, mode);
		assert_true(f->report.database_trouble || mode == UL_RECONCILE_REBUILD);
		/* Where it is to be written over, and where what is built on it is judged. */
		build(f, mode);
		lead_in_circles(22);
		upper_agree(f, f->lower, mode);
		assert_true(number(f, NOTE) > 0);
		build(f, mode);
		lead_in_circles(23);
		upper_agree(f, f->other, mode);
		assert_true(number(f, NOTE) > 0);
	}
}

/* ---- what the quarantine holds ---- */

static const struct {
	const char *title, *command;
	bool back[3]; /* 20, 21, 22 */
} quarantines[] = {
	{"nothing is wrong", "true", {true, true, true}},
	/* 21 refers to 20. */
	{"other files", "echo other >$run/$p20", {false, false, true}},
	{"a row of another path", "rm $run/row-$p20; ln $run/row-$p22 $run/row-$p20", {false, false, true}},
	{"a row that is another path's, too",
	 "p=00000000000000000000000000000000-x; ln $run/$p20 $run/$p; ln $run/row-$p20 $run/row-$p",
	 {true, true, true}},
	{"a row without a size", "sed -i 's/\"narSize\": *[0-9]*/\"narSize\": 0/' $run/row-$p20", {false, false, true}},
	/* Read to its end it would take hours. */
	{"a file of 8 TB for a row of a few bytes", "truncate -s 8T $run/$p20", {false, false, true}},
	{"a file of 8 TB for a row that says so",
	 "truncate -s 8T $run/$p20; sed -i 's/\"narSize\": *[0-9]*/\"narSize\": 8796093022320/' $run/row-$p20",
	 {false, false, true}},
	{"more rows than are read",
	 "truncate -s 1000000 row; for i in $(seq 100000 100050); do "
	 "p=00000000000000000000000000$i-x; ln row $run/row-$p; ln $run/$p20 $run/$p; done",
	 {false, false, false}},
	{"an entry that two rows find",
	 "mv $run/$p20 $run/$p20-1; echo >$run/$p20; sed \"s/$p20/$p20-1/\" $run/row-$p20 >$run/row-$p20-1",
	 {true, true, true}},
	{"a run of another filesystem", "cp -a $run x; mount -t tmpfs none $run; cp -a x/* $run", {false}},
	{"a quarantine of another filesystem",
	 "cp -a quarantine x; mount -t tmpfs none quarantine; cp -a x/* quarantine",
	 {false}},
};

static void held(void **state)
{
	struct upper_fixture *f = *state;

	for (enum ul_reconcile_mode mode = 0; mode <= UL_RECONCILE_REBUILD; mode++)
		for (size_t i = 0; i < sizeof(quarantines) / sizeof(quarantines[0]); i++) {
			build(f, mode);
			tamper(quarantines[i].command);
			upper_agree(f, f->lower, mode);
			if (number(f, RESTORED) > 3)
				fail_msg("%s: more than there was", quarantines[i].title);
			for (unsigned int k = 0; k < 3; k++)
				if (came_back(f, 20 + k) != quarantines[i].back[k])
					fail_msg("%s: %u", quarantines[i].title, 20 + k);
			db_help_assert_sound(upper_db(U));
			/* Whatever it was, that was all. */
			upper_agree(f, f->lower, mode);
			upper_agree(f, f->lower, mode);
			assert_false(f->report.lower_changed);
			(void)umount2(db_help_subdir(U "/quarantine"), MNT_DETACH);
			upper_run(U, "umount quarantine/* 2>/dev/null || true");
		}
}

/* A quarantine that takes nothing, nor can be set aside: the machine starts, and what this lower has goes for good. */
static void takes_nothing(void **state)
{
	struct upper_fixture *f = *state;

	for (enum ul_reconcile_mode mode = 0; mode <= UL_RECONCILE_REBUILD; mode++) {
		upper_make(U);
		upper_fill(f, mode);
		upper_run(U, "mkdir quarantine; mount -t tmpfs none quarantine");
		upper_agree(f, trial, mode);
		assert_int_equal(reported(f, NOTE, "quarantine"), 1);
		assert_int_equal(number(f, SWEPT), 3);
		assert_int_equal(number(f, INVALIDATED), 0);
		upper_run(U, "test $(ls kept | wc -l) = 1; umount quarantine");
	}
}

/* What lies there and cannot be thrown away. */
static void stays(void **state)
{
	struct upper_fixture *f = *state;

	upper_run(U, "mkdir -p quarantine/junk quarantine/00000001-x; mount -t tmpfs none quarantine/junk;"
		     "touch -d 2026-02-01 quarantine/00000001-x");
	upper_agree(f, f->lower, UL_RECONCILE_ATTACH);
	assert_int_equal(reported(f, NOTE, "junk"), 1);
	upper_run(U, "umount quarantine/junk");
}

/* Any number of sessions hold the same name. */
static void same_names(void **state)
{
	struct upper_fixture *f = *state;

	upper_fill(f, UL_RECONCILE_ATTACH);
	for (unsigned int i = 1; i < 130; i++) {
		char command[100];

		snprintf(command, sizeof(command), "echo %u >%s", i, upper_base(20));
		upper_session(U, i, command);
	}
	upper_agree(f, trial, UL_RECONCILE_ATTACH);
	assert_int_equal(number(f, NOTE), 0);
	upper_run(U, "test $(ls quarantine/* | wc -l) -ge 100; test $(find sessions kept -name '*-p20' | wc -l) = 0");
}

/* ---- vanished = refuse asks before it ---- */

static const char *const refused[] = {
	"rm var/nix/db/schema",
	/* 22 refers to what is there, and has no row; 23 refers to 22. */
	"sed -i \"s/\\\"references\\\": *\\[/&\\\"$p24\\\",/\" $run/row-$p22",
};

static void refuses(void **state)
{
	const struct ul_reconcile_options refuse = {.refuse = true};
	struct upper_fixture *f = *state;

	for (enum ul_reconcile_mode mode = 0; mode <= UL_RECONCILE_REBUILD; mode++)
		for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
			ul_autofree char *command = NULL;
			struct ul_error err = {0};

			build(f, mode);
			upper_add(U, 24, 0);
			assert_true(asprintf(&command, "p24=%s; %s", upper_base(24), refused[i]) > 0);
			tamper(command);
			ul_reconcile_report_free(&f->report);
			if (upper_reconcile(U, f->lower, mode, &refuse, &f->report, &err) != -UL_E_RECONCILE)
				fail_msg("%d, %s", (int)mode, refused[i]);
			/* It was right. */
			upper_agree(f, f->lower, mode);
			assert_true(reported(f, INVALIDATED, upper_base(23)));
		}
}

/* ---- parts ---- */

static void nar_of_size(void **state)
{
	uint8_t hash[2][UL_NAR_HASH_SIZE];
	uint64_t size, again;
	struct ul_error err;

	(void)state;
	upper_run(U, "mkdir -p tree/a; echo x >tree/a/b; ln -s x tree/c");
	assert_int_equal(ul_nar_hash(AT_FDCWD, db_help_subdir(U "/tree"), hash[0], &size, &err), 0);
	for (uint64_t most = 1; most <= size; most++) {
		int r = ul_nar_hash_of_size(AT_FDCWD, db_help_subdir(U "/tree"), most, hash[1], &again, &err);

		/* What follows the contents of the last file is only counted in whole nodes. */
		assert_true(r == 0 || (r == -UL_E_CHECK && most < size));
		if (most + 256 < size)
			assert_int_equal(r, -UL_E_CHECK);
	}
	assert_int_equal(again, size);
	assert_memory_equal(hash[0], hash[1], sizeof(hash[0]));
}

static int own_mounts(void **state)
{
	(void)state;
	alarm(ENDLESS);
	return unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? -1 : 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(damaged), TEST(cannot_be_written), TEST(circles), TEST(held),        TEST(takes_nothing),
		TEST(stays),   TEST(same_names),        TEST(refuses), TEST(nar_of_size),
	};

	return cmocka_run_group_tests(tests, own_mounts, NULL);
}
