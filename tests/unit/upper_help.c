/* See upper_help.h. */
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
#include "common/file.h"
#include "dbgen/store/nar.h"
#include "tests/unit/upper_help.h"

#define SIZE (64 * (size_t)UPPER_PATHS)

static char fulls[UPPER_PATHS][64];

const char *upper_full(unsigned int i)
{
	static const char digits[] = "0123456789abcdfghijklmnpqrsvwxyz";

	/* Spread over the order of hashes, so that numbers are no order of paths. */
	snprintf(fulls[i], sizeof(fulls[i]), "/nix/store/%c%c%030u-p%u", digits[i * 7 % 32], digits[i * 13 % 32], i, i);
	return fulls[i];
}

const char *upper_base(unsigned int i)
{
	return upper_full(i) + strlen("/nix/store/");
}

static void write_entry(int dirfd, const char *name, unsigned int i, unsigned int variant)
{
	char text[64];

	snprintf(text, sizeof(text), "path %u, variant %u\n", i, variant);
	assert_int_equal(ul_write_file(dirfd, name, 0444, text, strlen(text)), 0);
}

/* The hash of what write_entry writes. */
static void hash_of(unsigned int i, unsigned int variant, struct ul_path_info *info)
{
	const char *dir = db_help_subdir("hashed");
	struct ul_error err;
	char path[300];

	snprintf(path, sizeof(path), "%s/%u-%u", dir, i, variant);
	if (access(path, F_OK) < 0)
		write_entry(AT_FDCWD, path, i, variant);
	assert_int_equal(ul_nar_hash(AT_FDCWD, path, info->nar_hash, &info->nar_size, &err), 0);
}

struct ul_manifest *upper_manifest(const struct upper_path *paths, const bool *member, struct ul_buffer *bytes)
{
	static struct ul_path_info infos[UPPER_PATHS];
	static const char *refs[UPPER_PATHS][UPPER_REFS];
	size_t n = 0;

	for (unsigned int i = 0; i < UPPER_PATHS; i++) {
		struct ul_path_info *info = &infos[n];

		if (!member[i])
			continue;
		for (unsigned int k = 0; k < paths[i].n_refs; k++)
			refs[n][k] = upper_full(paths[i].refs[k]);
		*info = (struct ul_path_info){.path = upper_full(i),
					      .registered = 1000 + i,
					      .ultimate = i % 3 == 0,
					      .sigs = i % 4 == 0 ? "key-1:c2ln" : NULL,
					      .refs = refs[n],
					      .n_refs = paths[i].n_refs};
		hash_of(i, paths[i].variant, info);
		n++;
	}
	ul_buffer_free(bytes);
	*bytes = (struct ul_buffer){0};
	return db_help_manifest_of(infos, n, bytes);
}

struct ul_manifest *upper_trial(const struct upper_path *paths, const unsigned int *built, size_t n,
				struct ul_buffer *bytes)
{
	struct upper_path others[UPPER_PATHS];
	bool member[UPPER_PATHS] = {false};

	memcpy(others, paths, sizeof(others));
	for (unsigned int i = 0; i < 10; i++)
		member[i] = true;
	for (size_t i = 0; i < n; i++) {
		member[built[i]] = true;
		others[built[i]].variant = 1;
	}
	return upper_manifest(others, member, bytes);
}

void upper_make(const char *name)
{
	const char *dir = db_help_subdir(name);
	char path[300];

	assert_int_equal(ul_remove_tree(AT_FDCWD, dir), 0);
	for (const char *const *part = (const char *const[]){"kept", "sessions", "trash", "var/nix/db", NULL}; *part;
	     part++) {
		snprintf(path, sizeof(path), "%s/%s", dir, *part);
		assert_int_equal(ul_mkdir_parents(AT_FDCWD, path, 0755), 0);
	}
}

void upper_add(const char *name, unsigned int i, unsigned int variant)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/kept/%s", db_help_subdir(name), upper_base(i));
	write_entry(AT_FDCWD, path, i, variant);
}

void upper_session(const char *name, unsigned int number, const char *command)
{
	char up[300];

	snprintf(up, sizeof(up), "%s/sessions/%08u-0123456789abcdef/up", name, number);
	assert_int_equal(ul_mkdir_parents(AT_FDCWD, db_help_subdir(up), 0755), 0);
	upper_run(up, command);
}

const char *upper_db(const char *name)
{
	static char paths[2][300];
	static unsigned int turn;
	char *path = paths[turn++ % 2];

	snprintf(path, sizeof(paths[0]), "%s/var/nix/db", name);
	return path;
}

void upper_database(const char *name, struct ul_manifest *m)
{
	db_help_build(m, upper_db(name), NULL);
}

int upper_reconcile(const char *name, struct ul_manifest *lower, enum ul_reconcile_mode mode,
		    const struct ul_reconcile_options *options, struct ul_reconcile_report *ret, struct ul_error *err)
{
	struct ul_reconcile_options o = {0};
	const char *dir = db_help_subdir(name);
	ul_autoclose int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	if (options)
		o = *options;
	o.upper_fd = fd;
	o.upper_path = dir;
	o.mode = mode;
	o.lower.manifest = lower;
	return ul_reconcile(&o, ret, err);
}

void upper_agrees(const char *name, struct ul_manifest *lower, enum ul_reconcile_mode mode,
		  struct ul_reconcile_report *ret)
{
	struct ul_error err = {0};
	char sentence[1200];

	if (upper_reconcile(name, lower, mode, NULL, ret, &err) < 0)
		fail_msg("%s", ul_error_sentence(&err, sentence, sizeof(sentence)));
}

void upper_shut_down(const char *name)
{
	const char *dir = db_help_subdir(name);
	ul_autoclose int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct ul_error err = {0};
	bool marked = false;

	assert_int_equal(ul_reconcile_mark_clean(fd, dir, &marked, &err), 0);
	assert_true(marked);
}

bool upper_holds(const char *name, const char *command)
{
	char text[1000];

	snprintf(text, sizeof(text), "cd %s && { %s; }", db_help_subdir(name), command);
	return system(text) == 0;
}

void upper_run(const char *name, const char *command)
{
	if (!upper_holds(name, command))
		fail_msg("failed: %s", command);
}

unsigned int upper_reported(const struct ul_reconcile_report *r, enum ul_reconcile_action action, const char *name)
{
	size_t n;
	const struct ul_reconcile_item *items = ul_reconcile_items(r, &n);
	unsigned int found = 0;

	for (size_t i = 0; i < n; i++)
		found += items[i].action == action && !strcmp(items[i].name, name);
	return found;
}

/* ---- the fixture ---- */

static void refer(struct upper_fixture *f, unsigned int from, unsigned int to)
{
	f->paths[from].refs[f->paths[from].n_refs++] = to;
}

int upper_setup(void **state)
{
	struct upper_fixture *f = calloc(1, sizeof(*f));
	bool member[UPPER_PATHS] = {false};

	assert_non_null(f);
	*state = f;
	refer(f, 5, 4);
	refer(f, 4, 3);
	refer(f, 21, 20);
	refer(f, 22, 5);
	refer(f, 23, 22);
	for (unsigned int i = 0; i < 10; i++)
		member[i] = true;
	f->lower = upper_manifest(f->paths, member, &f->bytes[0]);
	member[3] = member[4] = member[5] = false;
	f->other = upper_manifest(f->paths, member, &f->bytes[1]);
	upper_make(UPPER_NAME);
	return 0;
}

int upper_teardown(void **state)
{
	struct upper_fixture *f = *state;

	ul_reconcile_report_free(&f->report);
	ul_manifest_close(f->lower);
	ul_manifest_close(f->other);
	for (size_t i = 0; i < UL_ARRAY_SIZE(f->bytes); i++)
		ul_buffer_free(&f->bytes[i]);
	free(f);
	return 0;
}

void upper_agree(struct upper_fixture *f, struct ul_manifest *m, enum ul_reconcile_mode mode)
{
	ul_reconcile_report_free(&f->report);
	upper_agrees(UPPER_NAME, m, mode, &f->report);
}

/* 20 to 23 with their rows, and those of the lower that they need. */
void upper_fill(struct upper_fixture *f, enum ul_reconcile_mode mode)
{
	bool rows[UPPER_PATHS] = {false};
	struct ul_manifest *m;

	for (unsigned int i = 20; i < 24; i++) {
		rows[i] = true;
		upper_add(UPPER_NAME, i, 0);
	}
	for (unsigned int i = 0; i < 10; i++)
		rows[i] = mode == UL_RECONCILE_REBUILD || (i >= 3 && i <= 5);
	m = upper_manifest(f->paths, rows, &f->bytes[2]);
	upper_database(UPPER_NAME, m);
	ul_manifest_close(m);
	upper_agree(f, f->lower, mode);
	upper_shut_down(UPPER_NAME);
}

const char *upper_query(const char *sql)
{
	static char text[1000];
	sqlite3 *db = db_help_open(upper_db(UPPER_NAME));

	snprintf(text, sizeof(text), "%s", db_help_text(db, sql));
	sqlite3_close(db);
	return text;
}

void upper_exec(const char *sql)
{
	sqlite3 *db = db_help_open(upper_db(UPPER_NAME));

	db_help_exec(db, sql);
	sqlite3_close(db);
}

const char *upper_count(const char *where)
{
	char sql[200];

	snprintf(sql, sizeof(sql), "select count(*) from ValidPaths where %s", where);
	return upper_query(sql);
}
