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
 */
#include "dbgen/reconcile/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/dir.h"
#include "dbgen/reconcile/quarantine.h"
#include "dbgen/store/nar.h"

#define ROWS_MAX    100000 /* saved rows that one boot looks at */
#define ENTRIES_MAX 8      /* entries of one name in a run: of the kept layer, and of sessions over it */

struct restoring {
	struct ul_agreement *a;
	struct ul_names runs; /* the oldest first */
	struct ul_returning_list list;
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

/* A run that cannot be listed has nothing that could come back; one that can in part, that part. */
static int list_rows(struct restoring *w)
{
	int r = ul_quarantine_list_superseded(&w->a->upper, &w->runs);

	for (size_t i = w->runs.n; r == 0 && i > 0; i--) {
		int fd = ul_quarantine_open_run(&w->a->upper, w->runs.at[i - 1]);
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

/* Which of the entries of this name is the one of the row. 1: one->entry is it; 0: none; -code. */
static int find_entry(struct ul_agreement *a, int run, struct ul_returning *one)
{
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
		if (fstatat(run, one->entry, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return 0;
		a->store.checked++;
		r = ul_nar_hash(run, one->entry, hash, &size, &trouble);
		if (r == -UL_E_MEMORY)
			return ul_upper_dir_nomem(&a->upper);
		if (r == 0 && (one->row.nar_size == 0 || one->row.nar_size == size) &&
		    !memcmp(hash, one->row.nar_hash, sizeof(hash)))
			return 1;
	}
	return 0;
}

/* 1: it may come back; 0: not now; -code. */
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
	fd = ul_quarantine_open_run(&a->upper, w->runs.at[one->run]);
	if (fd < 0 || fstatat(fd, one->base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	r = ul_saved_row_read(fd, one->base, &one->row);
	if (r == -ENOMEM)
		return ul_upper_dir_nomem(&a->upper);
	if (r > 0)
		r = find_entry(a, fd, one);
	return r != 0 ? r
		      : ul_upper_dir_report(
				&a->upper, UL_RECONCILE_NOTE, one->base,
				"it was superseded, and does not come back: what the quarantine holds of it "
				"is not what its row says");
}

/* The newest that may come back of each path stays in the list. */
static int choose(struct restoring *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->list.n; i++) {
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
	return 0;
}

/* ---- what it refers to ---- */

static bool has_row(struct ul_agreement *a, const char *base)
{
	struct ul_saved_row row;
	int r = a->db.db ? ul_saved_row_of_database(a->db.db, a->store_dir, base, &row) : 1;

	if (a->db.db)
		ul_saved_row_free(&row);
	return r != 0;
}

/* 1: this lower has it, or it comes back as well, or the upper has it with its row; 0: none of these; -code. */
static int is_there(struct restoring *w, const char *base)
{
	struct ul_agreement *a = w->a;

	if (ul_returning_find(&w->list, base))
		return 1;
	if (ul_upper_store_has(&a->store, base) && has_row(a, base))
		return 1;
	return ul_lower_rows_has(&a->lower, base, a->upper.err);
}

/* Each round drops one at least, or is the last. */
static int drop_incomplete(struct restoring *w)
{
	bool again = true;

	while (again) {
		again = false;
		for (size_t i = 0; i < w->list.n; i++) {
			struct ul_returning *one = &w->list.at[i];
			int r = 1;

			for (size_t k = 0; r > 0 && !one->dropped && k < one->row.refs.n; k++)
				r = is_there(w, one->row.refs.at[k]);
			if (r < 0)
				return r;
			again |= r == 0;
			one->dropped |= r == 0;
		}
	}
	return 0;
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

static int move_back(struct restoring *w, struct ul_returning *one)
{
	struct ul_upper_dir *u = &w->a->upper;
	int fd = ul_quarantine_open_run(u, w->runs.at[one->run]), r;

	if (fd < 0)
		return ul_upper_dir_fail(u, w->runs.at[one->run], -fd);
	r = clear_name(w->a, one->base);
	if (r == 0)
		r = ul_quarantine_take_back(u, fd, one->entry, w->a->store.entries.kept, one->base);
	close(fd);
	return r < 0 ? r : ul_upper_dir_report(u, UL_RECONCILE_RESTORED, one->base, "this lower does not have it");
}

static void remove_row(struct restoring *w, const struct ul_returning *one)
{
	int fd = ul_quarantine_open_run(&w->a->upper, w->runs.at[one->run]);

	if (fd < 0)
		return;
	ul_saved_row_remove(fd, one->base);
	close(fd);
	ul_quarantine_remove_run(&w->a->upper, w->runs.at[one->run]);
}

static int bring_back(struct restoring *w)
{
	struct ul_agreement *a = w->a;
	bool clean = a->marks.clean && a->marks.clean_id == a->db.max_id;
	int r = ul_marks_leave_lower(&a->upper, &a->marks, a->o);

	if (r == 0)
		r = ul_restore_rows(a, &w->list);
	if (r == 0)
		return ul_upper_dir_report(&a->upper, UL_RECONCILE_NOTE, UL_DB_FILE_NAME,
					   "what was superseded does not come back: %s", a->upper.err->why);
	if (r > 0)
		r = ul_db_file_max_id(a->db.db, &a->db.max_id) < 0 ? ul_upper_dir_fail(&a->upper, UL_DB_FILE_NAME, EIO)
								   : 0;
	/* These rows are no registration of the system that ran. */
	if (r == 0 && clean)
		a->marks.clean_id = a->db.max_id;
	for (size_t i = 0; r == 0 && i < w->list.n; i++)
		if (!w->list.at[i].dropped)
			r = move_back(w, &w->list.at[i]);
	if (r == 0 && syncfs(a->upper.fd) < 0)
		r = ul_upper_dir_fail(&a->upper, a->upper.path, errno);
	for (size_t i = 0; r == 0 && i < w->list.n; i++)
		if (!w->list.at[i].dropped)
			remove_row(w, &w->list.at[i]);
	return r;
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

static int restore(struct restoring *w)
{
	struct ul_agreement *a = w->a;
	bool any = false;
	int r = list_rows(w);

	if (r == 0)
		r = choose(w);
	if (r < 0 || w->list.n == 0)
		return r;
	/* A dry run opens the database once, and tells what is wrong with it then. */
	if (!a->upper.dry_run)
		r = ul_db_file_open(&a->db);
	if (r == 0 && !a->upper.dry_run && (!a->db.db || !a->db.intact))
		return ul_upper_dir_report(&a->upper, UL_RECONCILE_NOTE, UL_DB_FILE_NAME,
					   "what was superseded does not come back: %s",
					   a->db.why[0] ? a->db.why : "there is none");
	if (r == 0)
		r = drop_incomplete(w);
	for (size_t i = 0; i < w->list.n; i++)
		any |= !w->list.at[i].dropped;
	if (r < 0 || !any)
		return r;
	return a->upper.dry_run ? tell_of_dry_run(w) : bring_back(w);
}

int ul_restore(struct ul_agreement *a)
{
	struct restoring w = {.a = a};
	int r;

	if (!a->upper.report->lower_changed || a->store.entries.kept < 0)
		return 0;
	r = restore(&w);
	free_list(&w.list);
	ul_names_free(&w.runs);
	return r;
}
