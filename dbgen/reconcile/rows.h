/* The rows of the upper's database in memory, and what becomes of each. */
#pragma once

#include <sqlite3.h>

#include "common/buffer.h"
#include "common/vector.h"
#include "dbgen/reconcile/fate.h"
#include "dbgen/reconcile/lower_rows.h"
#include "dbgen/reconcile/marks.h"
#include "dbgen/reconcile/upper_store.h"
#include "dbgen/store/store_path.h"

struct ul_row {
	int64_t id;
	size_t base;              /* offset in texts: the base name, or what else the row calls itself */
	size_t deriver, sigs, ca; /* offsets in texts; 0: none */
	size_t first_ref;         /* in refs */
	uint32_t n_refs;
	bool named;    /* its path is one of the store directory */
	bool lower;    /* the lower has this path */
	bool needed;   /* the lower's: a row of the upper, or a realisation, leads to it */
	bool differs;  /* needed, and not what the lower says of it */
	bool stripped; /* metadata that Nix could not have written was left out */
	bool ultimate;
	enum ul_fate fate;
	uint8_t nar_hash[UL_NAR_HASH_SIZE];
	uint64_t nar_size;
	int64_t registered;
};

struct ul_rows {
	UL_VECTOR(struct ul_row) list; /* by id */
	UL_VECTOR(int64_t) refs;       /* ids */
	struct ul_buffer texts;        /* NUL-terminated; offset 0 is empty */
	bool damaged;                  /* some of it could not be read */
};

static inline const char *ul_rows_text(const struct ul_rows *rows, size_t offset)
{
	return (const char *)rows->texts.data + offset;
}

/* All of it; what a damaged database cannot give is left out. 0 or -UL_E_MEMORY. Free *ret also then. */
int ul_rows_load(sqlite3 *db, const char *store_dir, struct ul_rows *ret, struct ul_error *err);
void ul_rows_free(struct ul_rows *rows);

/* By id; NULL: none. */
struct ul_row *ul_rows_find(const struct ul_rows *rows, int64_t id);

/* ---- rows_judge.c ---- */

struct ul_rows_judge {
	const char *store_dir;
	struct ul_lower_rows *lower;
	struct ul_upper_store *store;
	sqlite3 *db;                   /* whose realisations need rows of the lower, too; NULL: they do not */
	int64_t checked_id;            /* NAR hashes of rows above this id are checked; of a damaged database all are */
	const struct ul_marks *before; /* of a lower whose paths this one may lack; NULL: it lacks none */
	struct ul_error *err;
};

/* Decide each row's fate. */
int ul_rows_judge(struct ul_rows *rows, const struct ul_rows_judge *by);

/* Tell the report of each row that goes or changes. */
int ul_rows_report(const struct ul_rows *rows, struct ul_upper_dir *u);

/* ---- rows_ids.c ---- */

/* The ids that are not the lower's, of a database that stays; and of the one that was written from the kept rows, m. */
void ul_rows_upper_ids(const struct ul_rows *rows, struct ul_id_ranges *ret);
int ul_rows_written_ids(const struct ul_rows *rows, struct ul_manifest *m, struct ul_id_ranges *ret,
			struct ul_error *err);

/* ---- rows_lower.c ---- */

/* Tell which rows are of the lower's paths. */
int ul_rows_find_lower(struct ul_rows *rows, const struct ul_rows_judge *by);

/* The fates are known: tell which of those are needed, and which of these differ from what the lower says. */
int ul_rows_compare_needed(struct ul_rows *rows, const struct ul_rows_judge *by);

/* ---- rows_manifest.c ---- */

struct ul_rows_source {
	const struct ul_rows *rows; /* judged */
	sqlite3 *db;                /* where they come from: outputs and realisations are read from it */
	struct ul_lower_rows *lower;
	const char *store_dir;
};

/*
 * The kept rows of the upper, and the needed ones of the lower with all that these refer to, as a manifest of their
 * own. Free both with ul_manifest_close and ul_buffer_free.
 */
int ul_rows_manifest(const struct ul_rows_source *from, struct ul_buffer *bytes, struct ul_manifest **ret,
		     struct ul_error *err);
