/*
 * Stage reconcile. Before: lower and upper are mounted. After: Nix's database in the upper is right for this lower
 * (dbgen/reconcile/reconcile.h tells how, and in which order), what earlier sessions built is in the kept layer, and
 * this boot has a session of its own to write to. Where the policy says so, a lower that would cost the upper valid
 * paths is refused before anything was written: the next slot is tried.
 *
 * The rows are judged first, over the sessions as they lie: should this lower be refused, or turn out to be damaged,
 * nothing was thrown away for its sake. An upper on tmpfs was made a moment ago: there is nothing to join or reconcile.
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
#include "initrd/stages/stages.h"
#include "initrd/upper/upper.h"

#define LOGGED 10 /* names of one action on the console; all are in report.json */

static void tell_item(const struct ul_reconcile_item *item)
{
	switch (item->action) {
	case UL_RECONCILE_QUARANTINED:
		ul_log(UL_LOG_WARNING, "reconcile: moved to quarantine: %s: %s", item->name, item->why);
		break;
	case UL_RECONCILE_RESTORED:
		ul_log(UL_LOG_INFO, "reconcile: back from the quarantine: %s: %s", item->name, item->why);
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
	       "reconcile: %s lower, %s shutdown: %llu quarantined, %llu restored, %llu invalidated, %llu "
	       "updated, %llu checked; the database %s%s",
	       r->lower_changed ? "another" : "the same", r->was_clean ? "clean" : "no clean",
	       (unsigned long long)r->n[UL_RECONCILE_QUARANTINED], (unsigned long long)r->n[UL_RECONCILE_RESTORED],
	       (unsigned long long)r->n[UL_RECONCILE_INVALIDATED], (unsigned long long)r->n[UL_RECONCILE_UPDATED],
	       (unsigned long long)r->checked,
	       r->database_kept ? "stays" : "is written anew: ", r->database_kept ? "" : r->database_reason);
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
		return ul_upper_new_session(b, err);
	if (!lower->manifest)
		return ul_error_set(err, UL_E_MANIFEST, "checking the upper against the lower", lower->device,
				    "Put a registration into the image, or set [upper] type = tmpfs.",
				    "an upper on a disk can only be compared with an image that "
				    "registers its paths");
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
	if (r == 0)
		r = ul_upper_join(b, err);
	if (r == 0)
		r = ul_upper_new_session(b, err);
	/* Full, or failing: the machine starts without it, and says so, where the policy wants that. */
	if (r == -UL_E_UPPER && ul_upper_give_up(b, err) == 0)
		return 0;
	b->reconciled = r == 0;
	b->database_us = b->reconcile.database_us;
	if (r < 0)
		return r;
	tell(&b->reconcile);
	return 0;
}
