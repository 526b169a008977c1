/* The content of a sealed image: judged as at boot, and its documents compared. */
#include "verity/image/lower_content.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/paths.h"
#include "dbgen/database/db.h"
#include "dbgen/layers/names.h"
#include "dbgen/manifest/check.h"
#include "dbgen/store/store_path.h"

static const char WHAT[] = "checking the content";

/* ---- as the boot does it ---- */

/* Where the store is not at nix/store: a root that has nothing but room for it, while the system is looked at. */
static int judge_system_elsewhere(const struct ul_content_question *q, const struct ul_lower_root *root,
				  struct ul_judged *judged, struct ul_error *err)
{
	struct ul_lower_root beneath = *root;
	const char *place = q->lower->path;
	ul_autoclose int fd = -1;
	char path[64];
	int r;

	/* On top of the lower, in a mount namespace that is ours: the descriptor still leads to the lower. */
	if (mount("place", place, "tmpfs", MS_NODEV | MS_NOSUID | MS_NOEXEC, "size=64k,mode=0755") < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, place, NULL, errno);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", root->fd);
	beneath.path = path;
	fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = fd < 0 ? -errno : ul_mkdir_parents(fd, UL_LOWER_STORE, 0755);
	if (r < 0)
		r = ul_error_errno(err, UL_E_SYSTEM, WHAT, place, NULL, -r);
	else
		r = ul_judge_system(&beneath, q->demands, place, judged, err);
	if (umount2(place, MNT_DETACH) < 0 && r == 0)
		r = ul_error_errno(err, UL_E_SYSTEM, WHAT, place, NULL, errno);
	return r;
}

static int judge(const struct ul_content_question *q, struct ul_judged *judged, struct ul_error *err)
{
	struct ul_lower_root root = {
		.fd = q->lower->fd,
		.path = q->lower->path,
		.device = q->slot->data.device,
		.slot = q->slot,
		.seal = q->seal,
	};
	int r = ul_judge_content(&root, q->demands, judged, err);

	if (r == 0 && judged->manifest && q->demands->attach && !strcmp(judged->store, UL_LOWER_STORE))
		r = ul_judge_attached(q->lower->path, err);
	if (r < 0 || (q->system_may_be_elsewhere && !q->demands->system && !judged->info.system))
		return r;
	if (strcmp(judged->store, UL_LOWER_STORE) != 0)
		return judge_system_elsewhere(q, &root, judged, err);
	return ul_judge_system(&root, q->demands, NULL, judged, err);
}

/* ---- what the boot takes the signer's word for ---- */

static int differs(const char *what, struct ul_error *err)
{
	return ul_error_set(err, UL_E_IMAGE_INFO, WHAT, UL_LOWER_INFO, NULL, "%s", what);
}

static int check_manifest(const struct ul_descriptor *d, const struct ul_judged *judged, struct ul_error *err)
{
	uint8_t hash[32];
	int r = ul_manifest_hash(judged->manifest, hash, err);

	if (r < 0)
		return r;
	if (d && (!d->has_manifest || memcmp(hash, d->manifest_hash, 32) != 0))
		return ul_error_set(err, UL_E_MANIFEST, WHAT, UL_LOWER_MANIFEST, NULL,
				    "its hash is not the one of the signed descriptor");
	return 0;
}

static int check_info(const struct ul_descriptor *d, const struct ul_judged *judged, struct ul_error *err)
{
	const struct ul_image_info *info = &judged->info;
	uint32_t number;
	int r;

	if (d && (strcmp(info->name, d->name) != 0 || strcmp(info->version, d->version) != 0))
		return differs("its name and version are not those of the signed descriptor", err);
	if (info->paths != ul_manifest_n_paths(judged->manifest))
		return differs("its number of paths is not the manifest's", err);
	if (!info->system)
		return 0;
	/* The parser holds it against the store directory. */
	r = ul_manifest_find(judged->manifest, ul_store_base_of(info->store_dir, info->system), &number, err);
	if (r < 0)
		return r;
	return r ? 0 : ul_error_set(err, UL_E_NO_SYSTEM, WHAT, info->system, NULL, "it is not in the manifest");
}

/* *ret false: an image of an older Underlay, whose names layer is made at boot. */
static int check_names(int root_fd, bool *ret, struct ul_error *err)
{
	ul_autoclose int store = -1,
			 names = openat(root_fd, UL_LOWER_NAMES, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (names < 0 && errno == ENOENT) {
		*ret = false;
		return 0;
	}
	if (names < 0)
		return ul_error_errno(err, UL_E_CHECK, WHAT, UL_LOWER_NAMES, NULL, errno);
	store = openat(root_fd, UL_LOWER_STORE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (store < 0)
		return ul_error_errno(err, UL_E_CHECK, WHAT, UL_LOWER_STORE, NULL, errno);
	r = ul_layer_names_check(store, names, WHAT, err);
	if (r == 0)
		*ret = true;
	return r;
}

static int check_database(const struct ul_lower_view *lower, const struct ul_judged *judged, struct ul_error *err)
{
	char path[128];
	int r = ul_judge_attached(lower->path, err);

	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/" UL_LOWER_DB "/db.sqlite", lower->path);
	return ul_db_compare(judged->manifest, path, err);
}

/* The first finding is the one that is told. */
struct first_finding {
	bool any;
	enum ul_check_finding kind;
	char path[256], detail[256];
};

static void found(void *user, enum ul_check_finding kind, const char *path, const char *detail)
{
	struct first_finding *first = user;

	if (first->any)
		return;
	first->any = true;
	first->kind = kind;
	snprintf(first->path, sizeof(first->path), "%s", path);
	snprintf(first->detail, sizeof(first->detail), "%s", detail ? detail : "");
}

static int check_store(const struct ul_content_question *q, const struct ul_judged *judged, uint64_t *ret_bytes,
		       struct ul_error *err)
{
	static const char *const kinds[] = {
		[UL_CHECK_BAD] = "its contents differ from the manifest",
		[UL_CHECK_MISSING] = "it is in the manifest, but not in the store",
		[UL_CHECK_EXTRA] = "it is in the store, but not in the manifest",
	};
	struct first_finding first = {0};
	struct ul_check_options options = {
		.threads = q->contents->threads,
		.progress = q->contents->progress,
		.ignore_extra = judged->foreign, /* the registration lies among the paths */
		.found = found,
		.user = &first,
	};
	struct ul_check_result result = {0};
	ul_autoclose int store = openat(q->lower->fd, judged->store, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (store < 0)
		return ul_error_errno(err, UL_E_CHECK, WHAT, judged->store, NULL, errno);
	r = ul_store_check(judged->manifest, store, &options, &result, err);
	if (r < 0)
		return r;
	if (first.any)
		return ul_error_set(err, UL_E_CHECK, WHAT, first.path, NULL, "%s%s%s", kinds[first.kind],
				    first.detail[0] ? ": " : "", first.detail);
	*ret_bytes = result.bytes;
	return 0;
}

static int check_documents(const struct ul_content_question *q, struct ul_content_result *result, struct ul_error *err)
{
	/* Only a descriptor that was believed has a name. */
	const struct ul_descriptor *d = q->seal->d.name[0] ? &q->seal->d : NULL;
	const struct ul_judged *judged = &result->judged;
	int r = check_manifest(d, judged, err);

	if (r == 0)
		r = check_info(d, judged, err);
	if (r == 0)
		r = check_names(q->lower->fd, &result->names, err);
	if (r == 0 && judged->info.database)
		r = check_database(q->lower, judged, err);
	if (r == 0)
		result->database = judged->info.database;
	return r;
}

int ul_content_check(const struct ul_content_question *question, struct ul_content_result *ret, struct ul_error *err)
{
	struct ul_content_result result = {0};
	int r = judge(question, &result.judged, err);

	if (r == 0 && !result.judged.foreign)
		r = check_documents(question, &result, err);
	if (r == 0 && question->contents && result.judged.manifest)
		r = check_store(question, &result.judged, &result.nar_bytes, err);
	if (r < 0) {
		ul_judged_free(&result.judged);
		return r;
	}
	*ret = result;
	return 0;
}
