/* The database as files in a directory: what surrounds the writers, so that a cut or a failure leaves no half. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/leftover.h"
#include "dbgen/database/db.h"
#include "dbgen/database/merge/carry.h"
#include "dbgen/database/merge/load.h"
#include "dbgen/database/rows/schema.h"
#include "dbgen/database/rows/writers.h"

static const char what[] = "writing Nix's database";

#define DB_NAME      "db.sqlite"
#define DB_TEMPORARY "db.sqlite.tmp"

static int fail_errno(struct ul_error *err, const char *dir, const char *name, int errnum)
{
	const char *todo = ul_errno_is_full(errnum) ? "Make room there, or give the machine more memory." : NULL;
	char object[256];

	snprintf(object, sizeof(object), "%s/%s", dir, name);
	return ul_error_errno(err, UL_E_SYSTEM, what, object, todo, errnum);
}

static int remove_files(int dirfd, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (unlinkat(dirfd, names[i], 0) < 0 && errno != ENOENT)
			return -errno;
	return 0;
}

/* SQLite would replay a log that belongs to another file: "database disk image is malformed". */
static int remove_logs(int dirfd)
{
	static const char *const names[] = {DB_NAME "-wal", DB_NAME "-shm", DB_NAME "-journal"};

	return remove_files(dirfd, names, UL_ARRAY_SIZE(names));
}

static int write_text(int dirfd, const char *name, const char *text, bool durable)
{
	return durable ? ul_write_file_atomic(dirfd, name, 0644, text, strlen(text))
		       : ul_write_file(dirfd, name, 0644, text, strlen(text));
}

/* Write `schema`, which tells Nix what tables to expect; remove `ca-schema`, which tells it wrongly: rows/schema.h. */
static int write_versions(int dirfd, bool durable)
{
	static const char *const stale[] = {"ca-schema"};
	int r = write_text(dirfd, "schema", UL_DB_SCHEMA_VERSION, durable);

	return r == 0 ? remove_files(dirfd, stale, UL_ARRAY_SIZE(stale)) : r;
}

/* Where the database goes. */
struct output {
	int dirfd;
	const char *dir; /* its name, for messages */
	const struct ul_db_options *options;
};

static int write_database(const struct ul_db_source *s, struct ul_db_carry *carry, const struct output *o,
			  const char *name, struct ul_error *err)
{
	const struct ul_db_options *options = o->options;
	ul_autoclose int fd = -1;
	int r;

	fd = openat(o->dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return fail_errno(err, o->dir, name, errno);
	r = options->use_sqlite ? ul_db_write_sqlite(s, o->dirfd, name, err)
				: ul_db_write_bulk(s, fd, name, options, err);
	if (r == 0)
		r = ul_db_carry_write(carry, o->dirfd, name, options->carry_all ? 0 : s->n_manifest, err);
	if (r == 0 && options->durable && fsync(fd) < 0)
		r = fail_errno(err, o->dir, name, errno);
	return r;
}

static int build(const struct ul_db_source *s, struct ul_db_carry *carry, const struct output *o, struct ul_error *err)
{
	bool durable = o->options->durable;
	const char *name = durable ? DB_TEMPORARY : DB_NAME;
	int dirfd = o->dirfd;
	struct ul_leftover *leftover = NULL;
	int r = remove_files(dirfd, &name, 1);

	if (r == 0 && !durable)
		r = remove_logs(dirfd);
	if (r < 0)
		return fail_errno(err, o->dir, name, -r);
	leftover = ul_leftover_add(dirfd, name);
	r = write_database(s, carry, o, name, err);
	if (r == 0) {
		r = write_versions(dirfd, durable);
		if (r == 0 && durable) {
			r = remove_logs(dirfd);
			if (r == 0 && renameat(dirfd, name, dirfd, DB_NAME) < 0)
				r = -errno;
			if (r == 0)
				r = ul_sync_dir(dirfd, ".");
		}
		if (r < 0)
			r = fail_errno(err, o->dir, name, -r);
	}
	if (r < 0)
		unlinkat(dirfd, name, 0);
	ul_leftover_drop(leftover);
	return r;
}

/* The manifest's rows and those that are merged in. Close *s also after a failure. */
static int open_source(struct ul_db_source *s, struct ul_manifest *m, const struct ul_db_options *options,
		       struct ul_error *err)
{
	struct ul_db_added *added = NULL;
	int r = ul_db_source_open(s, m, err);

	if (r == 0 && options->merge_from)
		r = ul_db_added_load(s, options, &added, err);
	return r < 0 ? r : ul_db_source_add(s, added, err);
}

int ul_db_try_merge(struct ul_manifest *m, const struct ul_db_options *options, struct ul_error *err)
{
	struct ul_db_options look = *options;
	struct ul_db_source source;
	int r;

	look.look_only = true;
	r = open_source(&source, m, &look, err);
	ul_db_source_close(&source);
	return r;
}

int ul_db_build(struct ul_manifest *m, int dirfd, const char *dir, const struct ul_db_options *options,
		struct ul_error *err)
{
	static const struct ul_db_options defaults;
	ul_autoclose int fd = openat(dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct ul_db_carry *carry = NULL;
	struct ul_db_source source;
	int r;

	if (fd < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, dir, NULL, errno);
	if (!options)
		options = &defaults;
	r = open_source(&source, m, options, err);
	/* Opened before the file that it reads is replaced. */
	if (r == 0)
		r = ul_db_carry_open(options, &carry, err);
	if (r == 0)
		r = build(&source, carry, &(struct output){fd, dir, options}, err);
	ul_db_carry_close(carry);
	ul_db_source_close(&source);
	return r;
}
