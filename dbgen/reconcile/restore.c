/*
 * The way back. An image came that has a path sealed which this machine had built: its entry went to the quarantine
 * with its row (supersede.c), and the database took that image's word. Then comes a lower that does not seal the path:
 * the image before, after a trial that failed, or a third one. The entry is moved back into the kept layer, and the row
 * is what it was; what was built meanwhile and refers to the path stays valid.
 *
 * Nothing of it is believed for lying there: the entry's NAR hash must be the saved row's before either moves. So no
 * contents come back that the machine did not register, nothing is to be judged afterwards, and a dry run, which asks
 * what this lower would cost (vanished = refuse), gives the answer of the run. A path that refers to one that is
 * nowhere stays in the quarantine: an image that has that one may follow.
 *
 * The order, and what a cut leaves behind each step:
 *   1. lower.json names no lower (marks.h). Cut: whichever lower is next, it is another one; all this is done again, or
 *      supersede.c takes back what was moved.
 *   2. The rows, in one transaction. Cut: a row may stand without files; what is in the quarantine still comes at the
 *      next boot, or that lower's word is taken for the path.
 *   3. The entries are moved. Cut: some are where they belong; the others come at the next boot.
 *   4. After a sync the files of the rows are removed. Cut: a row without its entry says nothing to anybody, and goes
 *      with its run.
 *
 * Over the lower that is recorded nothing is listed. Over another one the names of what was superseded are.
 *
 * It is a convenience: no failure of it fails a boot (reconcile.c), no work of it is without bound, and what of it is
 * not as it should be is told and left where it is. References are looked at before files, of which only those are read
 * that would come back, and no further than the row's size.
 */
#include "dbgen/reconcile/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "common/dir.h"
#include "dbgen/layers/reserve.h"
#include "dbgen/reconcile/quarantine.h"
#include "dbgen/reconcile/report.h"
#include "dbgen/store/nar.h"

#define ROWS_MAX        100000     /* saved rows that one boot looks at */
#define ROW_BYTES       (16 << 20) /* of those that it reads: each may be as large as it likes, and be there often */
#define ENTRIES_MAX     8          /* entries of one name in a run: of the kept layer, and of sessions over it */
#define DENSEST         4          /* bytes of files in one of the disk */
#define HASHED_AT_LEAST (64 << 20) /* bytes */

struct restoring {
	struct ul_agreement *a;
	struct ul_names runs; /* the oldest first */
	struct ul_returning_list list;
	struct ul_returning_refs refs;
	uint64_t row_bytes, hash_bytes; /* that may still be read, and hashed */
};

static void free_list(struct ul_returning_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free(list->at[i].base);
		ul_saved_row_free(&list->at[i].row);
	}
	ul_vector_free(list);
}

static int by_base(const void *a, const void *b)
{
	const struct ul_returning *x = a, *y = b;
	int order = strcmp(x->base, y->base);

	/* The newest run first: what it has was superseded last. */
	return order ? order : (x->run < y->run) - (x->run > y->run);
}

/* ---- what there is ---- */

static int add_row(struct restoring *w, unsigned int run, const char *name)
{
	const char *base = name + strlen(UL_SAVED_ROW_PREFIX);
	struct ul_returning one = {.run = run};
	uint8_t digest[UL_DIGEST_SIZE];

	if (strncmp(name, UL_SAVED_ROW_PREFIX, strlen(UL_SAVED_ROW_PREFIX)) != 0 ||
	    !ul_store_base_parse(base, strlen(base), digest))
		return 0;
	if (w->list.n == ROWS_MAX)
		return 1;
	one.base = strdup(base);
	if (one.base && ul_vector_push(&w->list, one) == 0)
		return 0;
	free(one.base);
	return -ENOMEM;
}

/* From a subvolume of its own nothing is renamed to where it came from. */
static bool is_beside(const struct ul_agreement *a, int run)
{
	struct stat st, kept;

	return fstat(run, &st) == 0 && fstat(a->store.entries.kept, &kept) == 0 && st.st_dev == kept.st_dev;
}

static int open_run(const struct ul_agreement *a, const char *run)
{
	int fd = ul_quarantine_open_run(&a->upper, run);

	if (fd < 0 || is_beside(a, fd))
		return fd;
	close(fd);
	return -EXDEV;
}

/* A run that cannot be listed has nothing that could come back; one that can in part, that part. */
static int list_rows(struct restoring *w)
{
	int r = ul_quarantine_list_superseded(&w->a->upper, &w->runs);

	for (size_t i = w->runs.n; r == 0 && i > 0; i--) {
		int fd = open_run(w->a, w->runs.at[i - 1]);
		ul_autodir DIR *dir = NULL;
		struct dirent *entry;

		if (fd < 0 || ul_dir_of(fd, &dir) < 0)
			continue;
		while (r == 0 && ul_dir_next_readable(dir, &entry))
			r = add_row(w, (unsigned int)(i - 1), entry->d_name);
	}
	if (r == -ENOMEM)
		return ul_upper_dir_nomem(&w->a->upper);
	ul_vector_sort(&w->list, by_base);
	return r < 0 ? r : 0;
}

static int tell_of_other(struct ul_agreement *a, const char *base)
{
	return ul_upper_dir_report(&a->upper, UL_RECONCILE_NOTE, base,
				   "it was superseded, and does not come back: what the quarantine holds of it "
				   "is not what its row says");
}

/* 1: it may come back, by what its row says; 0: not now; -code. */
static int may_return(struct restoring *w, struct ul_returning *one)
{
	struct ul_agreement *a = w->a;
	ul_autoclose int fd = -1;
	uint32_t number;
	struct stat st;
	int r = ul_manifest_find(a->lower.manifest, one->base, &number, a->upper.err);

	/* What the upper has now is what Nix knows, or will make room for. */
	if (r != 0 || ul_entries_find(&a->store.entries, one->base, NULL) != 0)
		return r < 0 ? r : 0;
	fd = open_run(a, w->runs.at[one->run]);
	if (fd < 0 || fstatat(fd, one->base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	r = ul_saved_row_read(fd, one->base, &w->row_bytes, &one->row);
	if (r == -ENOMEM)
		return ul_upper_dir_nomem(&a->upper);
	return r > 0 || w->row_bytes == 0 ? r : tell_of_other(a, one->base);
}

/* The newest that may come back of each path stays in the list. */
static int choose(struct restoring *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->list.n && w->row_bytes > 0; i++) {
		struct ul_returning *one = &w->list.at[i];
		int r = n > 0 && !strcmp(w->list.at[n - 1].base, one->base) ? 0 : may_return(w, one);

		if (r < 0)
			return r;
		if (r > 0) {
			struct ul_returning chosen = *one;

			*one = w->list.at[n];
			w->list.at[n++] = chosen;
		}
	}
	while (w->list.n > n) {
		free(w->list.at[--w->list.n].base);
		ul_saved_row_free(&w->list.at[w->list.n].row);
	}
	return w->row_bytes > 0 ? 0
				: ul_upper_dir_report(&w->a->upper, UL_RECONCILE_NOTE, "quarantine",
						      "it has more rows of what was superseded than one boot reads: "
						      "not all of that comes back");
}

/* ---- its files ---- */

/*
 * Bytes that may be hashed: a file can claim any number for the few blocks that it has, so what the disk holds is the
 * measure, which a filesystem that compresses holds in less.
 */
static uint64_t hash_bytes(const struct ul_agreement *a)
{
	struct statvfs fs;
	uint64_t bytes;

	if (fstatvfs(a->upper.fd, &fs) < 0 || fs.f_bfree > fs.f_blocks ||
	    __builtin_mul_overflow((uint64_t)fs.f_blocks - fs.f_bfree, (uint64_t)fs.f_frsize * DENSEST, &bytes))
		return HASHED_AT_LEAST;
	return bytes > HASHED_AT_LEAST ? bytes : HASHED_AT_LEAST;
}

/* Which of the entries of this name is the one of the row. 1: one->entry is it; 0: none; -code. */
static int find_entry(struct restoring *w, int run, struct ul_returning *one)
{
	struct ul_agreement *a = w->a;

	for (unsigned int i = 0; i < ENTRIES_MAX; i++) {
		uint8_t hash[UL_NAR_HASH_SIZE];
		struct ul_error trouble;
		uint64_t size = 0;
		struct stat st;
		int r;

		if (i == 0)
			snprintf(one->entry, sizeof(one->entry), "%s", one->base);
		else
			snprintf(one->entry, sizeof(one->entry), "%.240s-%u", one->base, i);
		if (fstatat(run, one->entry, &st, AT_SYMLINK_NOFOLLOW) < 0 || one->row.nar_size > w->hash_bytes)
			return 0;
		w->hash_bytes -= one->row.nar_size;
		a->store.checked++;
		r = ul_nar_hash_of_size(run, one->entry, one->row.nar_size, hash, &size, &trouble);
		if (r == -UL_E_MEMORY)
			return ul_upper_dir_nomem(&a->upper);
		if (r == 0 && one->row.nar_size == size && !memcmp(hash, one->row.nar_hash, sizeof(hash)))
			return 1;
	}
	return 0;
}

static int check_files(struct restoring *w)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < w->list.n; i++) {
		struct ul_returning *one = &w->list.at[i];
		ul_autoclose int fd = -1;

		if (one->dropped)
			continue;
		fd = open_run(w->a, w->runs.at[one->run]);
		r = fd < 0 ? 0 : find_entry(w, fd, one);
		if (r == 0) {
			ul_returning_drop(&w->list, &w->refs, i);
			r = tell_of_other(w->a, one->base);
		} else if (r > 0) {
			r = 0;
		}
	}
	return r;
}

struct claim {
	struct ul_returning *by;
};

static int by_entry(const void *a, const void *b)
{
	const struct ul_returning *x = ((const struct claim *)a)->by, *y = ((const struct claim *)b)->by;

	return x->run != y->run ? (x->run < y->run ? -1 : 1) : strcmp(x->entry, y->entry);
}

/* Two rows may find the same entry, the one by its name, the other by a number behind its own: one of them has it. */
static int give_entries_once(struct restoring *w)
{
	ul_autofree struct claim *claims = malloc((w->list.n + 1) * sizeof(*claims));
	size_t n = 0;
	int r = 0;

	if (!claims)
		return ul_upper_dir_nomem(&w->a->upper);
	for (size_t i = 0; i < w->list.n; i++)
		if (!w->list.at[i].dropped)
			claims[n++].by = &w->list.at[i];
	qsort(claims, n, sizeof(*claims), by_entry);
	for (size_t i = 1; r == 0 && i < n; i++)
		if (by_entry(&claims[i - 1], &claims[i]) == 0) {
			ul_returning_drop(&w->list, &w->refs, (size_t)(claims[i].by - w->list.at));
			r = tell_of_other(w->a, claims[i].by->base);
		}
	return r;
}

/* ---- the way back ---- */

/*
 * Whiteouts of the image's path, and what overlayfs copied of it, were no entry of the upper's; the join would take
 * them for changes of what comes back.
 */
static int clear_name(struct ul_agreement *a, const char *base)
{
	const struct ul_entries *e = &a->store.entries;
	int r = ul_upper_dir_discard(&a->upper, e->kept, base);

	for (size_t i = 0; r == 0 && i < e->sessions.n; i++)
		r = ul_upper_dir_discard(&a->upper, e->sessions.at[i], base);
	return r;
}

/* What cannot be moved stays, and its row goes when rows are judged. Only for room it is worth to try again. */
static int move_back(struct restoring *w, struct ul_returning *one)
{
	struct ul_upper_dir *u = &w->a->upper;
	ul_autoclose int fd = open_run(w->a, w->runs.at[one->run]);
	int r = fd < 0 ? ul_upper_dir_fail(u, w->runs.at[one->run], -fd) : clear_name(w->a, one->base);

	if (r == 0)
		r = ul_quarantine_take_back(u, fd, one->entry, w->a->store.entries.kept, one->base);
	one->moved = r == 0;
	if (r == -UL_E_UPPER && !ul_errno_is_full(u->err->errnum))
		return ul_upper_dir_report(u, UL_RECONCILE_NOTE, one->base,
					   "it was superseded, and does not come back: %s", u->err->why);
	return r < 0 ? r : ul_upper_dir_report(u, UL_RECONCILE_RESTORED, one->base, "this lower does not have it");
}

static void remove_row(struct restoring *w, const struct ul_returning *one)
{
	int fd = open_run(w->a, w->runs.at[one->run]);

	if (fd < 0)
		return;
	ul_saved_row_remove(fd, one->base);
	close(fd);
	ul_quarantine_remove_run(&w->a->upper, w->runs.at[one->run]);
}

static int tell_of_database(struct ul_agreement *a, const char *why)
{
	a->not_restored = true;
	return ul_upper_dir_report(&a->upper, UL_RECONCILE_NOTE, UL_DB_FILE_NAME,
				   "what was superseded does not come back: %s", why);
}

static int move_all(struct restoring *w)
{
	struct ul_agreement *a = w->a;
	int r = 0;

	for (size_t i = 0; r == 0 && i < w->list.n; i++)
		if (!w->list.at[i].dropped)
			r = move_back(w, &w->list.at[i]);
	if (r == 0 && syncfs(a->upper.fd) < 0)
		r = ul_upper_dir_fail(&a->upper, a->upper.path, errno);
	for (size_t i = 0; r == 0 && i < w->list.n; i++)
		if (w->list.at[i].moved)
			remove_row(w, &w->list.at[i]);
	return r;
}

static int bring_back(struct restoring *w)
{
	struct ul_agreement *a = w->a;
	bool clean = a->marks.clean && a->marks.clean_id == a->db.max_id;
	int r = ul_marks_leave_lower(&a->upper, &a->marks, a->o);

	if (r < 0)
		return r;
	r = ul_restore_rows(a, &w->list);
	if (r == 0)
		return tell_of_database(a, a->upper.err->why);
	if (r < 0)
		return r;
	if (ul_db_file_max_id(a->db.db, &a->db.max_id) < 0)
		return ul_upper_dir_fail(&a->upper, UL_DB_FILE_NAME, EIO);
	/* These rows are no registration of the system that ran. */
	if (clean)
		a->marks.clean_id = a->db.max_id;
	return move_all(w);
}

static int tell_of_dry_run(struct restoring *w)
{
	struct ul_agreement *a = w->a;
	int r = 0;

	for (size_t i = 0; r == 0 && i < w->list.n; i++) {
		const char *base = w->list.at[i].base;

		if (w->list.at[i].dropped)
			continue;
		r = ul_upper_dir_report(&a->upper, UL_RECONCILE_RESTORED, base, "this lower does not have it");
		if (r == 0 && ul_names_add(&a->store.coming, base) < 0)
			r = ul_upper_dir_nomem(&a->upper);
	}
	ul_names_sort(&a->store.coming, false);
	return r;
}

/* A dry run opens the database once more, and tells what is wrong with it then. */
static int open_database(struct ul_agreement *a)
{
	struct ul_report_mark mark = ul_report_mark(a->upper.report);
	int r = ul_db_file_open(&a->db);

	if (a->upper.dry_run)
		ul_report_forget(a->upper.report, &mark);
	return r;
}

static bool any_returns(const struct restoring *w)
{
	bool any = false;

	for (size_t i = 0; i < w->list.n; i++)
		any |= !w->list.at[i].dropped;
	return any;
}

static int restore(struct restoring *w)
{
	struct ul_agreement *a = w->a;
	int r = list_rows(w);

	if (r == 0)
		r = choose(w);
	if (r < 0 || w->list.n == 0)
		return r;
	r = open_database(a);
	if (r == 0 && (!a->db.db || !a->db.intact))
		return tell_of_database(a, a->db.why[0] ? a->db.why : "there is none");
	if (r == 0)
		r = ul_returning_judge(a, &w->list, &w->refs);
	if (r == 0)
		r = check_files(w);
	if (r == 0)
		r = give_entries_once(w);
	if (r < 0 || !any_returns(w))
		return r;
	return a->upper.dry_run ? tell_of_dry_run(w) : bring_back(w);
}

int ul_restore(struct ul_agreement *a)
{
	struct restoring w = {.a = a, .row_bytes = ROW_BYTES, .hash_bytes = hash_bytes(a)};
	int r;

	a->not_restored = false;
	if (!a->upper.report->lower_changed || a->store.entries.kept < 0)
		return 0;
	r = restore(&w);
	free_list(&w.list);
	ul_returning_refs_free(&w.refs);
	ul_names_free(&w.runs);
	return r;
}
