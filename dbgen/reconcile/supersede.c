/*
 * The upper built a path, and then an image comes that has it sealed. The sealed one is served, whatever the kept layer
 * has (dbgen/layers/names.h); and the database's row of it takes this lower's word. Should the machine go on to an
 * image that does not have the path, the kept entry would be seen again, behind a row that speaks of other contents. So
 * it goes, before the row changes: a cut in between costs nothing that is not sealed. It goes to the quarantine, since
 * this machine made it, and the image before may be the one that it comes back to.
 *
 * The kept layer is looked at only over another lower than the recorded one: over the same one nothing sealed comes
 * into it. Sessions are looked at always: an older Underlay's store is one, and what of that hides a sealed path is
 * somebody's work, too. Whiteouts are nobody's work, nor are the copies that overlayfs made of what is sealed, which
 * with `nix-store --optimise` may be the whole image: those, and what the manifest does not know, the join throws
 * away (dbgen/layers/join.h).
 */
#include "dbgen/reconcile/supersede.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/dir.h"
#include "common/names.h"
#include "dbgen/layers/overlay_marks.h"
#include "dbgen/reconcile/quarantine.h"

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

static int set_aside(struct ul_agreement *a, int layer, const char *name, bool session)
{
	struct stat st = {.st_mode = 0};
	bool whiteout;
	int r;

	/* An entry that has gone or cannot be looked at counts as neither; moving it fails with the reason. */
	(void)fstatat(layer, name, &st, AT_SYMLINK_NOFOLLOW);
	if (session && is_copy(layer, name, &st))
		return 0;
	whiteout = ul_overlay_is_whiteout(&st);
	r = ul_upper_dir_report(&a->upper, whiteout ? UL_RECONCILE_SWEPT : UL_RECONCILE_QUARANTINED, name,
				"this lower has it");
	if (r < 0)
		return r;
	return whiteout ? ul_upper_dir_discard(&a->upper, layer, name) : ul_quarantine_move(&a->upper, layer, name);
}

/*
 * Names are taken down first: entries leave the directory that is read. In the order of the manifest, of which a batch
 * is unpacked for those whose digest it has.
 */
static int supersede_in(struct ul_agreement *a, int layer, bool session)
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
		r = sealed > 0 ? set_aside(a, layer, names.at[i], session) : sealed;
	}
	return r;
}

int ul_supersede(struct ul_agreement *a)
{
	const struct ul_entries *e = &a->store.entries;
	int r = e->kept < 0 || !a->upper.report->lower_changed ? 0 : supersede_in(a, e->kept, false);

	for (size_t i = 0; r == 0 && i < e->sessions.n; i++)
		r = supersede_in(a, e->sessions.at[i], true);
	return r;
}
