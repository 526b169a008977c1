/*
 * Stage system. Before: the new root is complete but for the API mounts. After: b->profile is the system that the
 * upper's profile leads to, if the policy wants that one and it can be started; else the image's system is, and
 * b->profile_why tells why. A bad profile is not a failure: the device must boot.
 *
 * The links are followed by hand, from a descriptor and by names that are ours: /nix/var/nix/profiles/system ->
 * system-N-link -> a store path. Valid is what the lower's manifest or the upper's database has.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/paths.h"
#include "common/sqlite.h"
#include "dbgen/store/store_path.h"
#include "initrd/base/boot.h"
#include "initrd/base/boot_paths.h"
#include "initrd/base/log.h"
#include "initrd/stages/stages.h"
#include "verity/lower/system_path.h"

#define PROFILES  UL_PATH_VAR "/nix/profiles"
#define HOPS_MAX  4        /* links of the profile */
#define STEPS_MAX 10000000 /* of SQLite's machine: an index is walked in hundreds */

static const char what[] = "following the system's profile";

/* Where the profile leads, in path. */
static int follow(int root_fd, char path[PATH_MAX], struct ul_error *err)
{
	ul_autoclose int dir = ul_open_in_root(root_fd, PROFILES);
	char name[NAME_MAX + 1] = "system";

	if (dir < 0)
		return ul_error_errno(err, UL_E_NO_SYSTEM, what, PROFILES, NULL, errno);
	for (int hop = 0; hop < HOPS_MAX; hop++) {
		int r = ul_read_link(dir, name, path);
		const char *rest = path;

		if (r < 0)
			return ul_error_errno(err, UL_E_NO_SYSTEM, what, name, NULL, -r);
		if (ul_is_store_path(path))
			return 0;
		if (!strncmp(path, PROFILES "/", strlen(PROFILES "/")))
			rest += strlen(PROFILES "/");
		if (!*rest || *rest == '.' || strchr(rest, '/') || strlen(rest) > NAME_MAX)
			return ul_error_set(err, UL_E_NO_SYSTEM, what, name, NULL,
					    "it leads to %.150s, which is neither a generation nor a store path", path);
		memmove(name, rest, strlen(rest) + 1);
	}
	return ul_error_set(err, UL_E_NO_SYSTEM, what, "system", NULL, "it has more than %d links", HOPS_MAX);
}

static int give_up(void *unused)
{
	(void)unused;
	return 1;
}

/* 1: the upper's database calls the path valid; 0: it does not; -1: it cannot be read. */
static int database_has(const struct ul_boot *b, const char *path)
{
	char file[PATH_MAX];
	sqlite3 *db = NULL;
	sqlite3_stmt *query = NULL;
	struct stat st;
	int r = -1;

	ul_boot_path(b, UL_PATH_VAR "/nix/db/db.sqlite", file);
	/* SQLite would wait for the other end of a pipe. */
	if (lstat(file, &st) < 0 || !S_ISREG(st.st_mode))
		return errno == ENOENT ? 0 : -1;
	if (ul_sqlite_open(file, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOFOLLOW, &db) == SQLITE_OK) {
		sqlite3_progress_handler(db, STEPS_MAX, give_up, NULL);
		if (sqlite3_prepare_v2(db, "SELECT 1 FROM ValidPaths WHERE path = ?", -1, &query, NULL) == SQLITE_OK &&
		    sqlite3_bind_text(query, 1, path, -1, SQLITE_STATIC) == SQLITE_OK) {
			int step = sqlite3_step(query);

			r = step == SQLITE_ROW ? 1 : step == SQLITE_DONE ? 0 : -1;
		}
	}
	sqlite3_finalize(query);
	sqlite3_close(db);
	return r;
}

static int check_valid(struct ul_boot *b, const char *path, struct ul_error *err)
{
	const char *base = ul_store_base_of(UL_PATH_STORE, path);
	struct ul_manifest *m = b->lowers[b->n_lowers - 1].manifest;
	uint32_t number;
	int has;

	if (m && base && ul_manifest_find(m, base, &number, err) == 1)
		return 0;
	has = database_has(b, path);
	if (has == 1)
		return 0;
	return ul_error_set(err, UL_E_NO_SYSTEM, what, path, NULL, "%s",
			    has == 0 ? "Nix's database does not call it valid" : "Nix's database cannot be read");
}

static int choose(struct ul_boot *b, char path[PATH_MAX], struct ul_error *err)
{
	const char *init = b->policy.init;
	ul_autoclose int root_fd = open(b->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (root_fd < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, b->root, NULL, errno);
	r = follow(root_fd, path, err);
	if (r == 0)
		r = check_valid(b, path, err);
	return r < 0 ? r : ul_system_check(root_fd, path, init, err);
}

int ul_stage_system(struct ul_boot *b, struct ul_error *err)
{
	char path[PATH_MAX], sentence[1200];

	if (b->policy.system_from != UL_SYSTEM_FROM_PROFILE)
		return 0;
	if (choose(b, path, &b->profile_why) < 0) {
		ul_log(UL_LOG_WARNING, "system: %s The image's system is started.",
		       ul_error_sentence(&b->profile_why, sentence, sizeof(sentence)));
		return 0;
	}
	b->profile = strdup(path);
	if (!b->profile)
		return ul_error_nomem(err, what);
	ul_log(UL_LOG_INFO, "system: %s, of the upper's profile", path);
	return 0;
}
