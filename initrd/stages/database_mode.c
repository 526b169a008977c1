#include "initrd/stages/database_mode.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/paths.h"
#include "common/version_number.h"
#include "initrd/base/boot_paths.h"
#include "verity/lower/judge.h"

/* The local-overlay store came with Nix 2.22. */
static bool nix_can_attach(const char *version)
{
	return ul_version_at_least(version, 2, 22) == 1;
}

static void decide(struct ul_boot *b, const struct ul_lower *lower)
{
	const char *version = b->policy.nix_version, *why;

	b->database = (enum ul_database_mode)b->policy.database;
	if (!lower->manifest) {
		b->database = UL_DATABASE_NONE;
		why = "the image does not register its paths";
	} else if (b->database == UL_DATABASE_ATTACH && strcmp(lower->store, UL_LOWER_STORE) != 0) {
		b->database = UL_DATABASE_REBUILD;
		why = "the image's store is not at /nix/store, where Nix could attach it";
	} else if (b->database != UL_DATABASE_AUTO) {
		why = "the policy says so";
	} else if (!lower->info.database) {
		b->database = UL_DATABASE_REBUILD;
		why = "the image has no database";
	} else if (!version || !*version) {
		b->database = UL_DATABASE_REBUILD;
		why = "the policy does not say Nix's version";
	} else {
		bool can = nix_can_attach(version);

		b->database = can ? UL_DATABASE_ATTACH : UL_DATABASE_REBUILD;
		snprintf(b->database_why, sizeof(b->database_why), "Nix %s can%s attach", version, can ? "" : "not");
		return;
	}
	snprintf(b->database_why, sizeof(b->database_why), "%s", why);
}

int ul_database_decide(struct ul_boot *b, struct ul_error *err)
{
	const struct ul_lower *lower = &b->lowers[b->n_lowers - 1];
	char path[PATH_MAX];

	decide(b, lower);
	return b->database == UL_DATABASE_ATTACH ? ul_judge_attached(ul_boot_path(b, lower->mount, path), err) : 0;
}
