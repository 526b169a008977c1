#include "verity/lower/foreign.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/dir.h"
#include "common/file.h"
#include "common/paths.h"
#include "dbgen/exchange/import.h"
#include "dbgen/store/store_path.h"

#define LOOKED_AT 1000 /* names of a directory: one store path among them makes it a store */

static const char what[] = "looking into an image that is not ours";
static const char reading[] = "reading the registration";

bool ul_lower_is_foreign(const struct ul_lower_root *root)
{
	struct stat st;

	if (root->seal && root->seal->from_descriptor)
		return false;
	return fstatat(root->fd, UL_LOWER_OWN, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

/* ---- the store ---- */

/* 1: the directory holds store paths; 0: it does not, or is not a directory; negative errno. */
static int is_store(int root_fd, const char *path)
{
	ul_autodir DIR *dir = NULL;
	uint8_t digest[UL_DIGEST_SIZE];
	struct dirent *entry;
	int r = ul_dir_open(root_fd, path, &dir);

	if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
		return 0;
	for (size_t n = 0; r >= 0 && n < LOOKED_AT && (r = ul_dir_next(dir, &entry)) > 0; n++)
		if (ul_store_base_parse(entry->d_name, strlen(entry->d_name), digest))
			return 1;
	return r < 0 ? r : 0;
}

static int find_store(const struct ul_lower_root *root, struct ul_judged *j, struct ul_error *err)
{
	/* The root last: a system that is complete has a store where Nix looks for it. */
	static const char *const places[] = {UL_LOWER_STORE, "usr/nix/store", "."};

	for (size_t i = 0; i < UL_ARRAY_SIZE(places); i++) {
		int r = is_store(root->fd, places[i]);

		if (r < 0)
			return ul_error_errno_of_lower(err, UL_E_FILESYSTEM, what, places[i], NULL, -r);
		if (r == 0)
			continue;
		j->store = places[i];
		return 0;
	}
	return ul_error_set(err, UL_E_IMAGE_INFO, what, root->device, "Write another image.",
			    "neither /nix/store nor /usr/nix/store nor its root holds store paths");
}

/* ---- the manifest ---- */

static int import(struct ul_judged *j, FILE *text, const char *name, struct ul_error *err)
{
	struct ul_builder *builder = ul_builder_new(UL_PATH_STORE);
	struct ul_error why = {0};
	int r = builder ? ul_import_registration(builder, text, name, &why) : ul_error_nomem(&why, reading);

	if (r == 0)
		r = ul_builder_finish(builder, &j->made, &why);
	ul_builder_free(builder);
	if (r == 0)
		r = ul_manifest_open_memory(j->made.data, j->made.len, &j->manifest, &why);
	if (r == -UL_E_SYSTEM)
		return ul_error_errno_of_lower(err, UL_E_MANIFEST, reading, name, NULL, why.errnum);
	/* What the importers tell is meant for who builds a manifest: here the image's maker is at fault. */
	if (r == -UL_E_INPUT)
		return ul_error_set(err, UL_E_MANIFEST, reading, name, "Write another image.", "%s: %s", why.object,
				    why.why);
	if (r < 0 && err)
		*err = why;
	return r;
}

/* A regular file of the lower that is not too large. 0 or -errno. */
static int open_text(int root_fd, const char *path, FILE **ret)
{
	ul_autoclose int fd = openat(root_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	if ((uint64_t)st.st_size > UL_REGISTRATION_MAX)
		return -EFBIG;
	*ret = fdopen(fd, "r");
	if (!*ret)
		return -errno;
	(void)ul_steal_fd(&fd);
	return 0;
}

/* 1: the manifest is made; 0: the image does not have this file. */
static int take_registration(const struct ul_lower_root *root, struct ul_judged *j, const char *path,
			     struct ul_error *err)
{
	ul_autofclose FILE *text = NULL;
	int r = open_text(root->fd, path, &text);

	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0)
		return ul_error_errno_of_lower(err, UL_E_MANIFEST, reading, path, NULL, -r);
	r = import(j, text, path, err);
	if (r < 0)
		return r;
	snprintf(j->registration, sizeof(j->registration), "%u paths registered by /%s",
		 ul_manifest_n_paths(j->manifest), path);
	return 1;
}

static int find_registration(const struct ul_lower_root *root, const struct ul_requirements *demands,
			     struct ul_judged *j, struct ul_error *err)
{
	const char *asked = demands->registration, *base;
	char in_store[PATH_MAX];
	int r;

	if (asked) {
		while (*asked == '/')
			asked++;
		/* What lies in a store path is there wherever the image has its store. */
		base = ul_store_base_in(UL_LOWER_STORE, asked);
		if (base) {
			snprintf(in_store, sizeof(in_store), "%s/%s", j->store, base);
			asked = in_store;
		}
		r = take_registration(root, j, asked, err);
		if (r == 0)
			return ul_error_set(err, UL_E_MANIFEST, reading, asked,
					    "Correct [lower] registration, or unset it.", "the image does not have it");
		return r < 0 ? r : 0;
	}
	snprintf(in_store, sizeof(in_store), "%s/.nix-path-registration", j->store);
	r = take_registration(root, j, "nix-path-registration", err);
	if (r == 0)
		r = take_registration(root, j, in_store, err);
	if (r != 0)
		return r < 0 ? r : 0;
	if (demands->manifest_required)
		return ul_error_set(err, UL_E_MANIFEST, what, root->device,
				    "Put a registration into the image, or set [lower] manifest = optional.",
				    "it has neither a manifest nor a registration of its paths");
	return 0;
}

/* ---- the whole ---- */

static int set_info(const struct ul_lower_root *root, const struct ul_requirements *demands, struct ul_judged *j,
		    struct ul_error *err)
{
	struct ul_image_info *info = &j->info;

	/* A root hash that is pinned names the image better than a name does; nothing vouches for a share's. */
	if (demands->name && !demands->pin_names_image)
		return ul_error_set(err, UL_E_NO_IMAGE, "checking the image's name", root->device,
				    root->shared ? "Unset [image] name." : "Pin its root hash, or unset [image] name.",
				    "the policy wants %s, and nothing sealed in this image tells its name",
				    demands->name);
	info->name = strdup(root->slot->name);
	info->version = strdup(root->slot->version);
	info->store_dir = strdup(UL_PATH_STORE);
	if (!info->name || !info->version || !info->store_dir)
		return ul_error_nomem(err, what);
	info->paths = j->manifest ? ul_manifest_n_paths(j->manifest) : 0;
	return 0;
}

int ul_lower_read_foreign(const struct ul_lower_root *root, const struct ul_requirements *demands,
			  struct ul_judged *judged, struct ul_error *err)
{
	int r = find_store(root, judged, err);

	if (r == 0)
		r = find_registration(root, demands, judged, err);
	return r < 0 ? r : set_info(root, demands, judged, err);
}
