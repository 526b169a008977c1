#include "initrd/stages/layers.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/paths.h"
#include "dbgen/layers/names.h"
#include "initrd/base/boot_paths.h"
#include "initrd/base/log.h"

static const char what[] = "making the names layer";

/* The image's own, which is sealed as the store is. 1: *ret is its path; 0: it has none; or -code. */
static int find_sealed(const struct ul_boot *b, const struct ul_lower *lower, struct ul_lower_guard *ret,
		       struct ul_error *err)
{
	char path[PATH_MAX];
	struct stat st;

	/* Another maker's directory of this name means nothing. */
	if (lower->foreign || strcmp(lower->store, UL_LOWER_STORE) != 0)
		return 0;
	if (lstat(ul_lower_path(b, lower, UL_LOWER_NAMES, path), &st) < 0)
		return errno == ENOENT ? 0
				       : ul_error_errno(err, errno == EIO ? UL_E_CORRUPT : UL_E_FILESYSTEM,
							"looking for the names layer", UL_LOWER_NAMES, NULL, errno);
	if (!S_ISDIR(st.st_mode))
		return 0;
	snprintf(ret->names, sizeof(ret->names), "%s/" UL_LOWER_NAMES, lower->mount);
	return 1;
}

/* A tmpfs at UL_PATH_NAMES, where a slot that was tried before may have left one. */
static int mount_tmpfs(const struct ul_boot *b, struct ul_error *err)
{
	char path[PATH_MAX];

	ul_boot_path(b, UL_PATH_NAMES, path);
	(void)umount2(path, MNT_DETACH);
	/* A name takes an inode in tmpfs' accounts, so their number is not limited. */
	if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700,nr_inodes=0") < 0)
		return ul_error_errno(err, UL_E_OVERLAY, what, path, NULL, errno);
	return 0;
}

/* NUMBER/WORD of the tmpfs, made and open. ret_path: as the new root sees it. */
static int make_dir(const struct ul_boot *b, size_t number, const char *word, char ret_path[96], int *ret_fd,
		    struct ul_error *err)
{
	char path[PATH_MAX];
	int r;

	snprintf(ret_path, 96, UL_PATH_NAMES "/%zu/%s", number, word);
	r = ul_mkdir_parents(AT_FDCWD, ul_boot_path(b, ret_path, path), 0755);
	*ret_fd = r < 0 ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *ret_fd < 0 ? ul_error_errno(err, UL_E_OVERLAY, what, path, NULL, r < 0 ? -r : errno) : 0;
}

static int make_links(const struct ul_boot *b, size_t number, struct ul_lower_guard *ret, struct ul_error *err)
{
	ul_autoclose int fd = -1;
	int r = make_dir(b, number, "links", ret->links, &fd, err);

	return r < 0 ? r : ul_layer_links_make(fd, what, err);
}

static int open_store(const struct ul_boot *b, const struct ul_lower *lower, int *ret_fd, struct ul_error *err)
{
	char path[PATH_MAX];

	*ret_fd = open(ul_lower_path(b, lower, lower->store, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret_fd < 0 ? ul_error_errno(err, errno == EIO ? UL_E_CORRUPT : UL_E_FILESYSTEM, what, path, NULL, errno)
			   : 0;
}

static int make_names(const struct ul_boot *b, size_t number, int store, struct ul_lower_guard *ret,
		      struct ul_error *err)
{
	ul_autoclose int names = -1;
	uint64_t n = 0, start = ul_now_us();
	int r = make_dir(b, number, "names", ret->names, &names, err);

	if (r == 0)
		r = ul_layer_names_make(store, names, what, &n, err);
	if (r == 0)
		ul_log(UL_LOG_INFO, "overlay: the image has no names layer: made %llu names in %.1f ms",
		       (unsigned long long)n, (double)(ul_now_us() - start) / 1000);
	return r;
}

/*
 * What this lower lacks is made in the tmpfs. Nothing lies beneath the lowers of an upper in memory, so it needs no
 * names; but the directory of Nix's hard links must be sealed there, too: who makes it himself, as anybody in the group
 * of builders may, decides which bytes Nix links to the name of a sealed file.
 */
static int guard_lower(const struct ul_boot *b, size_t number, bool *mounted, struct ul_lower_guard *ret,
		       struct ul_error *err)
{
	ul_autoclose int store = -1;
	bool names = false, links = false;
	int r = b->upper.persistent ? find_sealed(b, &b->lowers[number], ret, err) : 0;

	names = b->upper.persistent && r == 0;
	if (r >= 0)
		r = open_store(b, &b->lowers[number], &store, err);
	if (r == 0)
		r = ul_layer_links_missing(store, what, &links, err);
	if (r < 0 || (!names && !links))
		return r;
	if (!*mounted)
		r = mount_tmpfs(b, err);
	*mounted |= r == 0;
	if (r == 0 && names)
		r = make_names(b, number, store, ret, err);
	if (r == 0 && links)
		r = make_links(b, number, ret, err);
	return r;
}

int ul_layers_prepare(struct ul_boot *b, struct ul_layers *ret, struct ul_error *err)
{
	struct ul_layers layers = {0};
	bool mounted = false;
	char path[PATH_MAX];
	int r = 0;

	for (size_t i = 0; r >= 0 && i < b->n_lowers; i++)
		r = guard_lower(b, i, &mounted, &layers.of[i], err);
	if (r < 0)
		return r;
	/* Nobody adds a name, or takes one away, while the machine runs. */
	if (mounted && mount(NULL, ul_boot_path(b, UL_PATH_NAMES, path), NULL,
			     MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
		return ul_error_errno(err, UL_E_OVERLAY, what, path, NULL, errno);
	*ret = layers;
	return 0;
}
