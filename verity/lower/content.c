/*
 * What a mounted lower says of itself. The manifest's own hash is not computed: dm-verity vouches for its bytes
 * already, and a hash over it would cost what the lower is large.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/paths.h"
#include "verity/lower/foreign.h"
#include "verity/lower/judge.h"
#include "verity/lower/system_path.h"

static const char looking_for_system[] = "looking for the system to start";

/* ---- an image of ours ---- */

static int read_info(const struct ul_lower_root *root, const char *name, struct ul_judged *j, struct ul_error *err)
{
	static const char what[] = "reading the image's description";
	ul_autobuffer struct ul_buffer text = {0};
	int r = ul_read_file(root->fd, UL_LOWER_INFO, UL_IMAGE_INFO_MAX, &text);

	if (r < 0)
		return ul_error_errno_of_lower(err, UL_E_IMAGE_INFO, what, UL_LOWER_INFO, "Build the image again.", -r);
	r = ul_image_info_parse((const char *)text.data, text.len, &j->info, err);
	if (r < 0)
		return r;
	if (strcmp(j->info.store_dir, UL_PATH_STORE) != 0)
		return ul_error_set(err, UL_E_IMAGE_INFO, what, UL_LOWER_INFO, NULL,
				    "it is for the store directory %s; only %s is started", j->info.store_dir,
				    UL_PATH_STORE);
	/* The label that the slot was found by can be rewritten; this name is sealed. */
	if (name && strcmp(name, j->info.name) != 0)
		return ul_error_set(err, UL_E_NO_IMAGE, "checking the image's name", UL_LOWER_INFO,
				    "Install the image that this machine is meant to start.",
				    "it is %s, the policy wants %s", j->info.name, name);
	return 0;
}

static int open_manifest(const struct ul_lower_root *root, struct ul_judged *j, struct ul_error *err)
{
	int r;

	if (faccessat(root->fd, UL_LOWER_MANIFEST, R_OK, 0) < 0)
		return ul_error_errno_of_lower(err, UL_E_MANIFEST, "opening the manifest", UL_LOWER_MANIFEST,
					       "Build the image again.", errno);
	r = ul_manifest_open_file(root->fd, UL_LOWER_MANIFEST, &j->manifest, err);
	if (r < 0)
		return r;
	if (strcmp(ul_manifest_store_dir(j->manifest), j->info.store_dir) != 0)
		return ul_error_set(err, UL_E_MANIFEST, "opening the manifest", UL_LOWER_MANIFEST,
				    "Build the image again.", "it is for the store directory %s, image.json for %s",
				    ul_manifest_store_dir(j->manifest), j->info.store_dir);
	return 0;
}

/* ---- the system ---- */

/* Nix's remount hook, where the system has it: sealed as all of it is. */
static int find_hook(int root_fd, struct ul_judged *j)
{
	static const char *const places[] = {"sw/bin/underlay-remount", "bin/underlay-remount"};
	struct ul_error err;

	for (size_t i = 0; i < UL_ARRAY_SIZE(places); i++) {
		if (ul_system_check(root_fd, j->system, places[i], &err) < 0)
			continue;
		if (asprintf(&j->remount_hook, "%s/%s", j->system, places[i]) >= 0)
			return 0;
		j->remount_hook = NULL;
		return -ENOMEM;
	}
	return 0;
}

static int check_system(const struct ul_lower_root *root, const struct ul_requirements *demands, int root_fd,
			struct ul_judged *j, struct ul_error *err)
{
	const char *system = demands->system ? demands->system : j->info.system;
	const char *init = demands->init ? demands->init : "init";
	int r;

	if (!system)
		return ul_error_set(err, UL_E_NO_SYSTEM, looking_for_system, j->foreign ? root->device : UL_LOWER_INFO,
				    j->foreign ? "Set [system] path: only our own images name one."
					       : "Build the image with --system, or set [system] path.",
				    "neither the image nor the policy names a system");
	r = ul_system_check(root_fd, system, init, err);
	if (r < 0)
		return r;
	j->system = strdup(system);
	if (!j->system || find_hook(root_fd, j) < 0)
		return ul_error_nomem(err, looking_for_system);
	return 0;
}

int ul_judge_system(const struct ul_lower_root *root, const struct ul_requirements *demands, const char *place,
		    struct ul_judged *judged, struct ul_error *err)
{
	ul_autoclose int place_fd = -1;
	char store[PATH_MAX], target[PATH_MAX];
	int r;

	if (strcmp(judged->store, UL_LOWER_STORE) == 0)
		return check_system(root, demands, root->fd, judged, err);
	snprintf(store, sizeof(store), "%s/%s", root->path, judged->store);
	snprintf(target, sizeof(target), "%s%s", place, UL_PATH_STORE);
	place_fd = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (place_fd < 0 || mount(store, target, NULL, MS_BIND, NULL) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, looking_for_system, target, NULL, errno);
	r = check_system(root, demands, place_fd, judged, err);
	if (umount2(target, MNT_DETACH) < 0 && r == 0)
		r = ul_error_errno(err, UL_E_SYSTEM, looking_for_system, target, NULL, errno);
	return r;
}

/* ---- the whole ---- */

int ul_judge_content(const struct ul_lower_root *root, const struct ul_requirements *demands, struct ul_judged *ret,
		     struct ul_error *err)
{
	struct ul_judged j = {.store = UL_LOWER_STORE, .foreign = ul_lower_is_foreign(root)};
	int r;

	if (j.foreign) {
		r = ul_lower_read_foreign(root, demands, &j, err);
	} else {
		r = read_info(root, demands->name, &j, err);
		if (r == 0)
			r = open_manifest(root, &j, err);
	}
	if (r < 0) {
		ul_judged_free(&j);
		return r;
	}
	*ret = j;
	return 0;
}

/* To say so now is better than at the first nix-build. */
int ul_judge_attached(const char *root_path, struct ul_error *err)
{
	static const char *const files[] = {UL_LOWER_DB "/db.sqlite", UL_LOWER_DB "/schema"};

	for (size_t i = 0; i < UL_ARRAY_SIZE(files); i++) {
		ul_autofree char *path = ul_path_join(root_path, files[i]);
		ul_autoclose int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

		if (!path)
			return ul_error_nomem(err, "attaching the image's database");
		if (fd < 0)
			return ul_error_errno(err, UL_E_DATABASE, "attaching the image's database", files[i],
					      "Build the image with a database, or set [database] mode = rebuild.",
					      errno);
	}
	return 0;
}

void ul_judged_free(struct ul_judged *judged)
{
	ul_manifest_close(judged->manifest);
	ul_buffer_free(&judged->made);
	ul_image_info_free(&judged->info);
	free(judged->system);
	free(judged->remount_hook);
	*judged = (struct ul_judged){0};
}
