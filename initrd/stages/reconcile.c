/*
 * Stage reconcile. Before: lower and upper are mounted. After: nothing in the upper hides a sealed path, and Nix's
 * database in it is right for this lower (dbgen/reconcile/reconcile.h tells how, and in which order). Where the policy
 * says so, a lower that would cost the upper valid paths is refused before anything was written: the next slot is
 * tried.
 *
 * An upper on tmpfs was made by stage upper a moment ago: it is shown to be empty, so there is nothing to reconcile.
 * Should it not be, it is not the upper that we made.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/dir.h"
#include "common/encoding.h"
#include "common/paths.h"
#include "initrd/base/boot.h"
#include "initrd/base/boot_paths.h"
#include "initrd/base/log.h"
#include "initrd/stages/database_mode.h"
#include "initrd/stages/stages.h"
#include "initrd/upper/upper.h"

#define LOGGED 10 /* names of one action on the console; all are in report.json */

static int check_empty(struct ul_boot *b, struct ul_error *err)
{
	static const char what[] = "checking the upper against the lower";
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	char path[PATH_MAX];
	int r = ul_dir_open(AT_FDCWD, ul_boot_path(b, UL_PATH_UPPER_STORE, path), &dir);

	if (r == 0)
		r = ul_dir_next(dir, &entry);
	if (r < 0)
		return ul_error_errno(err, UL_E_RECONCILE, what, path, NULL, -r);
	if (r > 0)
		return ul_error_set(err, UL_E_RECONCILE, what, entry->d_name, NULL, "a new upper must be empty");
	return 0;
}

static void tell_item(const struct ul_reconcile_item *item)
{
	switch (item->action) {
	case UL_RECONCILE_QUARANTINED:
		ul_log(UL_LOG_WARNING, "reconcile: moved to quarantine: %s: %s", item->name, item->why);
		break;
	case UL_RECONCILE_INVALIDATED:
		ul_log(UL_LOG_WARNING, "reconcile: not valid any more: %s: %s", item->name, item->why);
		break;
	case UL_RECONCILE_DANGLING:
		ul_log(UL_LOG_WARNING, "reconcile: leads nowhere: %s: %s", item->name, item->why);
		break;
	case UL_RECONCILE_NOTE:
		ul_log(UL_LOG_WARNING, "reconcile: %s: %s", item->name, item->why);
		break;
	default:
		ul_log(UL_LOG_DEBUG, "reconcile: %s: %s: %s", ul_reconcile_action_name(item->action), item->name,
		       item->why);
	}
}

static void tell(const struct ul_reconcile_report *r)
{
	unsigned int told[UL_RECONCILE_N_ACTIONS] = {0};
	size_t n;
	const struct ul_reconcile_item *items = ul_reconcile_items(r, &n);

	for (size_t i = 0; i < n; i++)
		if (told[items[i].action]++ < LOGGED)
			tell_item(&items[i]);
	ul_log(UL_LOG_INFO,
	       "reconcile: %s lower, %s shutdown: %llu quarantined, %llu invalidated, %llu updated, "
	       "%llu checked; the database %s",
	       r->lower_changed ? "another" : "the same", r->was_clean ? "clean" : "no clean",
	       (unsigned long long)r->n[UL_RECONCILE_QUARANTINED], (unsigned long long)r->n[UL_RECONCILE_INVALIDATED],
	       (unsigned long long)r->n[UL_RECONCILE_UPDATED], (unsigned long long)r->checked,
	       r->database_kept ? "stays" : "was written");
}

int ul_stage_reconcile(struct ul_boot *b, struct ul_error *err)
{
	const struct ul_lower *lower = &b->lowers[b->n_lowers - 1];
	char upper[PATH_MAX], database[PATH_MAX], identity[2 * UL_ROOT_HASH_MAX + 1];
	const struct ul_policy *p = &b->policy;
	struct ul_reconcile_options o = {
		.upper_fd = b->upper.fd,
		.upper_path = ul_boot_path(b, UL_PATH_UPPER, upper),
		.lower = {.manifest = lower->manifest, .name = lower->info.name, .version = lower->info.version},
		.refuse = p->vanished == UL_VANISHED_REFUSE,
		.check_always = p->database_check == UL_DATABASE_CHECK_ALWAYS,
		.quarantine_age = p->quarantine_age_us / 1000000,
		.quarantine_size = p->quarantine_size_bytes,
	};
	int r;

	if (!b->upper.persistent)
		return check_empty(b, err);
	if (!lower->manifest)
		return ul_error_set(err, UL_E_MANIFEST, "checking the upper against the lower", lower->device,
				    "Put a registration into the image, or set [upper] type = tmpfs.",
				    "an upper on a disk can only be compared with an image that "
				    "registers its paths");
	r = ul_database_decide(b, err);
	if (r < 0)
		return r;
	if (lower->sealed) {
		ul_hex_encode(lower->seal.d.root_hash, lower->seal.d.root_hash_len, identity);
		o.lower.identity = identity;
	}
	o.mode = UL_RECONCILE_REBUILD;
	if (b->database == UL_DATABASE_ATTACH) {
		o.mode = UL_RECONCILE_ATTACH;
		ul_lower_path(b, lower, UL_LOWER_DB "/db.sqlite", database);
		o.lower.database = database;
	}
	ul_reconcile_report_free(&b->reconcile);
	r = ul_reconcile(&o, &b->reconcile, err);
	/* Full, or failing: the machine starts without it, and says so, where the policy wants that. */
	if (r == -UL_E_UPPER && ul_upper_give_up(b, err) == 0)
		return check_empty(b, err);
	b->reconciled = r == 0;
	b->database_us = b->reconcile.database_us;
	b->upper.was_clean = b->reconcile.was_clean;
	if (r == 0)
		tell(&b->reconcile);
	return r;
}
