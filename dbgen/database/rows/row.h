/* A row of ValidPaths from a manifest's columns. */
#pragma once

#include "common/buffer.h"
#include "common/error.h"
#include "dbgen/manifest/manifest.h"
#include "dbgen/store/hash_text.h"

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
	char *path;               /* "STORE_DIR/HASH-NAME" */
	struct ul_buffer deriver; /* the same of a deriver */
	char hash[UL_HASH_TEXT_SIZE];
	size_t prefix; /* bytes of "STORE_DIR/" */
};

int ul_db_row_buffer_init(struct ul_db_row_buffer *b, const char *store_dir, struct ul_error *err);
void ul_db_row_buffer_free(struct ul_db_row_buffer *b);

/* Row i of a batch; valid until the next call with the same buffers. */
int ul_db_row(struct ul_db_row_buffer *b, const struct ul_batch *batch, uint32_t i, struct ul_db_row *ret,
	      struct ul_error *err);
