/* The two writers behind ul_db_build, and what they share with ul_db_compare. */
#pragma once

#include <sqlite3.h>

#include "common/sqlite.h"
#include "dbgen/database/rows/options.h"
#include "dbgen/database/rows/schema.h"
#include "dbgen/database/rows/source.h"

/*
 * dbgen/database/oracle.c: through SQLite's own API, into a new file `name` of the directory. Slow, and right by
 * construction: what the bulk writer is compared with.
 */
int ul_db_write_sqlite(const struct ul_db_source *s, int dirfd, const char *name, const struct ul_db_options *options,
		       struct ul_error *err);

/* dbgen/database/pages/bulk.c: page by page into the empty file fd; name is for messages. */
int ul_db_write_bulk(const struct ul_db_source *s, int fd, const char *name, const struct ul_db_options *options,
		     struct ul_error *err);

/* A row of ValidPaths as SQLite's API takes it. NULL texts are NULL in the database. */
struct ul_db_row {
	int64_t id;
	const char *path, *hash, *deriver, *sigs, *ca; /* not terminated */
	int path_len, hash_len, deriver_len, sigs_len, ca_len;
	int64_t registered;
	int64_t nar_size; /* 0: NULL */
	bool ultimate;    /* false: NULL */
};

/* Buffers that the texts of a row stand in. */
struct ul_db_row_buffer {
	char *path;    /* "STORE_DIR/HASH-NAME" */
	char *deriver; /* the same of a deriver */
	size_t deriver_size;
	char hash[80]; /* "sha256:HEX" */
	size_t prefix; /* bytes of "STORE_DIR/" */
};

int ul_db_row_buffer_init(struct ul_db_row_buffer *b, const char *store_dir, struct ul_error *err);
void ul_db_row_buffer_free(struct ul_db_row_buffer *b);

/* Row i of a batch; valid until the next call with the same buffers. */
int ul_db_row(struct ul_db_row_buffer *b, const struct ul_batch *batch, uint32_t i, struct ul_db_row *ret,
	      struct ul_error *err);
