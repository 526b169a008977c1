/* The content of a sealed image: mounted out of everybody's sight, and its documents compared. */
#include "verity/image/lower_content.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/leftover.h"
#include "common/paths.h"
#include "dbgen/database/db.h"
#include "dbgen/manifest/check.h"
#include "dbgen/manifest/manifest.h"
#include "verity/format/image_info.h"
#include "verity/locate/image_view.h"
#include "verity/open/loop_device.h"

static const char WHAT[] = "checking the content";

static int mount_error(const char *what, const char *object, int errnum, struct ul_error *err)
{
	static const char todo[] = "Run as root, or check the seal alone (--seal-only).";

	if (errnum == EPERM || errnum == EACCES)
		return ul_error_set(err, UL_E_SYSTEM, what, object, todo, "mounting the image read-only needs root");
	return ul_error_errno(err, UL_E_SYSTEM, what, object, todo, errnum);
}

static int open_loop(const struct ul_extent *data, int *ret_fd, char path[UL_LOOP_PATH], struct ul_error *err)
{
	ul_autoclose int image = open(data->device, O_RDONLY | O_CLOEXEC);
	int r;

	if (image < 0)
		return mount_error(WHAT, data->device, errno, err);
	r = ul_loop_attach("/dev", image, data->offset, data->size, path, ret_fd);
	return r < 0 ? mount_error(WHAT, path, -r, err) : 0;
}

static int mount_detached(const char *type, const char *device, int *ret_fd)
{
	ul_autoclose int fs = fsopen(type, FSOPEN_CLOEXEC);
	int mnt;

	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "source", device, 0) < 0 ||
	    fsconfig(fs, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0 ||
	    /* A read-only ext4 would still replay its journal. */
	    (strcmp(type, "ext4") == 0 && fsconfig(fs, FSCONFIG_SET_FLAG, "noload", NULL, 0) < 0) ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	mnt = fsmount(fs, FSMOUNT_CLOEXEC,
		      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	if (mnt < 0)
		return -errno;
	*ret_fd = mnt;
	return 0;
}

static const char *tmp_dir(void)
{
	const char *dir = getenv("TMPDIR");

	return dir && strlen(dir) < 32 ? dir : "/tmp";
}

/* Hang the mount into a namespace that is ours alone. 0 or -errno. */
static int attach(int mnt, char path[64], struct ul_leftover **ret_leftover)
{
	int errnum;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	snprintf(path, 64, "%s/underlay-lower-XXXXXX", tmp_dir());
	if (!mkdtemp(path))
		return -errno;
	*ret_leftover = ul_leftover_add(AT_FDCWD, path);
	if (move_mount(mnt, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) == 0)
		return 0;
	errnum = errno;
	rmdir(path);
	ul_leftover_drop(*ret_leftover);
	return -errnum;
}

int ul_lower_mount(const struct ul_extent *data, struct ul_lower_view *ret, struct ul_error *err)
{
	ul_autoclose int loop = -1, mnt = -1;
	struct ul_lower_view view;
	char type[32], path[UL_LOOP_PATH];
	int r = open_loop(data, &loop, path, err);

	if (r < 0)
		return r;
	ul_filesystem_type(loop, 0, data->size, type);
	if (!type[0])
		return ul_error_set(err, UL_E_FILESYSTEM, WHAT, data->device, NULL,
				    "the data partition holds neither erofs nor squashfs nor ext4");
	r = mount_detached(type, path, &mnt);
	if (r == -ENODEV)
		return ul_error_set(err, UL_E_SYSTEM, WHAT, data->device,
				    "Load its module, or check the seal alone (--seal-only).",
				    "this machine's kernel has no %s", type);
	if (r < 0 && r != -EPERM && r != -EACCES)
		return ul_error_errno(err, UL_E_FILESYSTEM, WHAT, data->device, NULL, -r);
	if (r == 0)
		r = attach(mnt, view.path, &view.leftover);
	if (r < 0)
		return mount_error(WHAT, data->device, -r, err);
	view.fd = ul_steal_fd(&mnt);
	*ret = view;
	return 0;
}

void ul_lower_unmount(struct ul_lower_view *view)
{
	close(view->fd);
	umount2(view->path, MNT_DETACH);
	rmdir(view->path);
	ul_leftover_drop(view->leftover);
}

/* ---- the documents ---- */

struct content {
	const struct ul_lower_view *lower;
	int rootfd; /* the view's */
	const struct ul_descriptor *d;
	struct ul_manifest *manifest;
	struct ul_image_info info;
};

static void content_free(struct content *c)
{
	if (c->manifest)
		ul_manifest_close(c->manifest);
	ul_image_info_free(&c->info);
}

static int check_manifest(struct content *c, struct ul_error *err)
{
	uint8_t hash[32];
	int r = ul_manifest_open_file(c->rootfd, UL_LOWER_MANIFEST, &c->manifest, err);

	if (r < 0)
		return r;
	ul_manifest_hash(c->manifest, hash);
	if (c->d && (!c->d->has_manifest || memcmp(hash, c->d->manifest_hash, 32) != 0))
		return ul_error_set(err, UL_E_MANIFEST, WHAT, UL_LOWER_MANIFEST, NULL,
				    "its hash is not the one of the signed descriptor");
	return 0;
}

static int differs(const char *what, struct ul_error *err)
{
	return ul_error_set(err, UL_E_IMAGE_INFO, WHAT, UL_LOWER_INFO, NULL, "%s", what);
}

static int check_info(struct content *c, struct ul_error *err)
{
	ul_autobuffer struct ul_buffer text = {0};
	const struct ul_image_info *info = &c->info;
	int r = ul_read_file(c->rootfd, UL_LOWER_INFO, UL_IMAGE_INFO_MAX, &text);

	if (r < 0)
		return ul_error_errno(err, UL_E_IMAGE_INFO, WHAT, UL_LOWER_INFO, NULL, -r);
	r = ul_image_info_parse((const char *)text.data, text.len, &c->info, err);
	if (r < 0)
		return r;
	if (c->d && (strcmp(info->name, c->d->name) != 0 || strcmp(info->version, c->d->version) != 0))
		return differs("its name and version are not those of the signed descriptor", err);
	if (info->paths != ul_manifest_n_paths(c->manifest))
		return differs("its number of paths is not the manifest's", err);
	if (strcmp(info->store_dir, ul_manifest_store_dir(c->manifest)) != 0)
		return differs("its store directory is not the manifest's", err);
	return 0;
}

/* The system is a path of the manifest, and there. */
static int check_system(struct content *c, struct ul_error *err)
{
	const char *system = c->info.system, *base;
	size_t dir_len = strlen(c->info.store_dir);
	ul_autofree char *path = NULL;
	uint32_t number;
	struct stat st;
	int r;

	if (!system)
		return 0;
	if (strncmp(system, c->info.store_dir, dir_len) != 0 || system[dir_len] != '/')
		return differs("its system is not a path of the store", err);
	base = system + dir_len + 1;
	r = ul_manifest_find(c->manifest, base, &number, err);
	if (r < 0)
		return r;
	path = ul_path_join(UL_LOWER_STORE, base);
	if (!path)
		return ul_error_nomem(err, WHAT);
	if (r == 0 || fstatat(c->rootfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return ul_error_set(err, UL_E_NO_SYSTEM, WHAT, system, NULL, "it is not in the %s",
				    r == 0 ? "manifest" : "store");
	return 0;
}

static int check_database(struct content *c, struct ul_error *err)
{
	struct stat st;
	char path[128];

	if (fstatat(c->rootfd, UL_LOWER_DB "/db.sqlite", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return ul_error_errno(err, UL_E_DATABASE, WHAT, UL_LOWER_DB "/db.sqlite", NULL, errno);
	snprintf(path, sizeof(path), "%s/" UL_LOWER_DB "/db.sqlite", c->lower->path);
	return ul_db_compare(c->manifest, path, err);
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

static int check_store(struct content *c, const struct ul_work *work, uint64_t *ret_bytes, struct ul_error *err)
{
	static const char *const kinds[] = {
		[UL_CHECK_BAD] = "its contents differ from the manifest",
		[UL_CHECK_MISSING] = "it is in the manifest, but not in the store",
		[UL_CHECK_EXTRA] = "it is in the store, but not in the manifest",
	};
	struct first_finding first = {0};
	struct ul_check_options options = {
		.threads = work->threads, .progress = work->progress, .found = found, .user = &first};
	struct ul_check_result result = {0};
	ul_autoclose int store = openat(c->rootfd, UL_LOWER_STORE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (store < 0)
		return ul_error_errno(err, UL_E_CHECK, WHAT, UL_LOWER_STORE, NULL, errno);
	r = ul_store_check(c->manifest, store, &options, &result, err);
	if (r < 0)
		return r;
	if (first.any)
		return ul_error_set(err, UL_E_CHECK, WHAT, first.path, NULL, "%s%s%s", kinds[first.kind],
				    first.detail[0] ? ": " : "", first.detail);
	*ret_bytes = result.bytes;
	return 0;
}

int ul_content_check(const struct ul_lower_view *lower, const struct ul_descriptor *d, const struct ul_work *contents,
		     struct ul_content_result *ret, struct ul_error *err)
{
	UL_CLEANUP(content_free) struct content c = {.lower = lower, .rootfd = lower->fd, .d = d};
	struct ul_content_result result = {0};
	struct stat st;
	int r;

	if (!d && fstatat(lower->fd, UL_LOWER_MANIFEST, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT) {
		*ret = result;
		return 0;
	}
	r = check_manifest(&c, err);
	if (r == 0)
		r = check_info(&c, err);
	if (r == 0)
		r = check_system(&c, err);
	if (r == 0 && c.info.database)
		r = check_database(&c, err);
	if (r == 0 && contents)
		r = check_store(&c, contents, &result.nar_bytes, err);
	if (r < 0)
		return r;
	result.manifest = true;
	result.database = c.info.database;
	result.paths = c.info.paths;
	*ret = result;
	return 0;
}
