#include "initrd/stages/database_mode.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/config.h"
#include "common/paths.h"
#include "common/version_number.h"
#include "initrd/base/boot_paths.h"

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
		why = "the policy does not say which Nix it is";
	} else {
		bool can = nix_can_attach(version);

		b->database = can ? UL_DATABASE_ATTACH : UL_DATABASE_REBUILD;
		snprintf(b->database_why, sizeof(b->database_why), "Nix %s can%s attach", version, can ? "" : "not");
		return;
	}
	snprintf(b->database_why, sizeof(b->database_why), "%s", why);
}

/* Nix opens a database read-only only if it is complete; to say so now is better than at the first nix-build. */
static int check_attached(const struct ul_boot *b, const struct ul_lower *lower, struct ul_error *err)
{
	static const char *const files[] = {UL_LOWER_DB "/db.sqlite", UL_LOWER_DB "/schema"};
	char path[PATH_MAX];

	for (size_t i = 0; i < UL_ARRAY_SIZE(files); i++) {
		ul_autoclose int fd = open(ul_lower_path(b, lower, files[i], path), O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return ul_error_errno(err, UL_E_DATABASE, "attaching the image's database", path,
					      "Build the image with a database, or set [database] "
					      "mode = rebuild.",
					      errno);
	}
	return 0;
}

int ul_database_decide(struct ul_boot *b, struct ul_error *err)
{
	const struct ul_lower *lower = &b->lowers[b->n_lowers - 1];

	decide(b, lower);
	return b->database == UL_DATABASE_ATTACH ? check_attached(b, lower, err) : 0;
}
