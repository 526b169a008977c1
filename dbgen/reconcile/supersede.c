/*
 * The upper built a path, and then an image comes that has it sealed. The sealed one is served, whatever the kept layer
 * has (dbgen/layers/names.h); and the database's row of it takes this lower's word. Should the machine go on to an
 * image that does not have the path, the kept entry would be seen again, behind a row that speaks of other contents. So
 * it goes, before the row changes. It goes to the quarantine, since this machine made it, and the image before may be
 * the one that it comes back to, after a trial: with its row as it is now, in a file beside it (saved_row.h), for
 * restore.c.
 *
 * The order: lower.json names no lower any more, so that whichever one is next gives back, or sets aside, what it must;
 * the rows are written, and synced; the entries are moved. Cut: what was moved has its row, what was not is still in
 * its place.
 *
 * The kept layer is looked at only over another lower than the recorded one: over the same one nothing sealed comes
 * into it. Sessions are looked at always: an older Underlay's store is one, and what of that hides a sealed path is
 * somebody's work, too. Whiteouts are nobody's work, nor are the copies that overlayfs made of what is sealed, which
 * with `nix-store --optimise` may be the whole image: those, and what the manifest does not know, the join throws
 * away (dbgen/layers/join.h). Where the quarantine takes nothing, on a disk without a free file or one that somebody
 * prepared, so does this, and the machine starts (reconcile.c). What has no row, or hides a path of the very lower that
 * is recorded, was not valid: no lower gives it back.
 */
#include "dbgen/reconcile/supersede.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/dir.h"
#include "common/names.h"
#include "common/vector.h"
#include "dbgen/layers/overlay_marks.h"
#include "dbgen/reconcile/quarantine.h"
#include "dbgen/reconcile/saved_row.h"

/* overlayfs copied it up. What cannot be opened is not known to be a copy. */
static bool is_copy(int layer, const char *name, const struct stat *st)
{
	ul_autoclose int fd = -1;
	struct ul_overlay_marks marks;

	if (!S_ISDIR(st->st_mode) && !S_ISREG(st->st_mode))
		return false;
	fd = openat(layer, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return fd >= 0 && ul_overlay_marks_read(fd, false, &marks) == 0 && marks.copied;
}

/* A name of a layer that this lower seals. */
struct found {
	int layer;
	char *name;
	bool whiteout;
	bool saved; /* it had a row, which lies in the quarantine now */
};

struct found_list {
	UL_VECTOR_MEMBERS(struct found);
};

static void free_list(struct found_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->at[i].name);
	ul_vector_free(list);
}

static int add(struct ul_agreement *a, struct found_list *list, int layer, const char *name, bool session)
{
	struct stat st = {.st_mode = 0};
	struct found one = {.layer = layer};

	/* An entry that has gone or cannot be looked at counts as neither; moving it fails with the reason. */
	(void)fstatat(layer, name, &st, AT_SYMLINK_NOFOLLOW);
	if (session && is_copy(layer, name, &st))
		return 0;
	one.whiteout = ul_overlay_is_whiteout(&st);
	one.name = strdup(name);
	if (one.name && ul_vector_push(list, one) == 0)
		return 0;
	free(one.name);
	return ul_upper_dir_nomem(&a->upper);
}

/*
 * Names are taken down first: entries leave the directory that is read. In the order of the manifest, of which a batch
 * is unpacked for those whose digest it has.
 */
static int find_in(struct ul_agreement *a, int layer, bool session, struct found_list *list)
{
	ul_autonames struct ul_names names = {0};
	int r = ul_dir_names(layer, &names), sealed;
	uint32_t number;

	if (r == -ENOMEM)
		return ul_upper_dir_nomem(&a->upper);
	if (r < 0)
		return ul_upper_dir_fail(&a->upper, "kept", -r);
	ul_names_sort(&names, false);
	for (size_t i = 0; r == 0 && i < names.n; i++) {
		sealed = ul_manifest_find(a->lower.manifest, names.at[i], &number, a->upper.err);
		r = sealed > 0 ? add(a, list, layer, names.at[i], session) : sealed;
	}
	return r;
}

static int save_row(struct ul_agreement *a, struct found *one)
{
	struct ul_saved_row row;
	int fd = -1, r = ul_saved_row_of_database(a->db.db, a->store_dir, one->name, &row);

	if (r == -ENOMEM)
		r = ul_upper_dir_nomem(&a->upper);
	if (r > 0) {
		r = ul_quarantine_open_superseded(&a->upper, &fd) < 0 ? -UL_E_UPPER : 1;
		a->cannot_aside |= r < 0;
	}
	if (r > 0) {
		r = ul_saved_row_write(fd, one->name, &row);
		a->cannot_aside |= r < 0 && r != -ENOMEM;
		if (r < 0)
			r = r == -ENOMEM ? ul_upper_dir_nomem(&a->upper) : ul_upper_dir_fail(&a->upper, one->name, -r);
	}
	one->saved = r > 0;
	ul_saved_row_free(&row);
	return r < 0 ? r : 0;
}

/* The rows of all of them, synced before the first entry moves. */
static int save_rows(struct ul_agreement *a, const struct found_list *list)
{
	bool any = false;
	int r = ul_marks_leave_lower(&a->upper, &a->marks, a->o);

	if (r == 0)
		r = ul_db_file_open(&a->db);
	for (size_t i = 0; r == 0 && a->db.db && i < list->n; i++) {
		if (!list->at[i].whiteout)
			r = save_row(a, &list->at[i]);
		any |= list->at[i].saved;
	}
	if (r == 0 && any && syncfs(a->upper.fd) < 0)
		r = ul_upper_dir_fail(&a->upper, a->upper.path, errno);
	return r;
}

/* Told once it is done: on a full disk this may be tried again. */
static int set_aside(struct ul_agreement *a, const struct found *one)
{
	struct ul_upper_dir *u = &a->upper;
	bool gone = one->whiteout || a->discard_sealed;
	int r = gone         ? ul_upper_dir_discard(u, one->layer, one->name)
		: one->saved ? ul_quarantine_supersede(u, one->layer, one->name)
			     : ul_quarantine_move(u, one->layer, one->name);

	a->cannot_aside |= r == -UL_E_UPPER && !gone;
	return r < 0 ? r
		     : ul_upper_dir_report(u, gone ? UL_RECONCILE_SWEPT : UL_RECONCILE_QUARANTINED, one->name,
					   "this lower has it");
}

int ul_supersede(struct ul_agreement *a)
{
	UL_CLEANUP(free_list) struct found_list list = {0};
	const struct ul_entries *e = &a->store.entries;
	bool changed = a->upper.report->lower_changed;
	int r = e->kept < 0 || !changed ? 0 : find_in(a, e->kept, false, &list);

	a->cannot_aside = false;
	for (size_t i = 0; r == 0 && i < e->sessions.n; i++)
		r = find_in(a, e->sessions.at[i], true, &list);
	if (r == 0 && list.n > 0 && changed && !a->upper.dry_run && !a->discard_sealed)
		r = save_rows(a, &list);
	for (size_t i = 0; r == 0 && i < list.n; i++)
		r = set_aside(a, &list.at[i]);
	return r;
}
