#include "initrd/pack/upper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/file.h"
#include "common/run.h"
#include "initrd/pack/libs.h"
#include "initrd/policy/upper_fs.h"

static const char what[] = "packing the upper's programs";

/* A link (mkfs.ext4 is one to mke2fs) is packed as a file of its own name, which decides what it does. */
static int add_program(struct ul_cpio *c, const char *name, const char *from, struct ul_error *err)
{
	ul_autobuffer struct ul_buffer bytes = {0};
	char to[PATH_MAX];
	int r = ul_read_file(AT_FDCWD, from, UL_CPIO_FILE_MAX, &bytes);

	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, from, NULL, -r);
	r = ul_pack_libs(c, bytes.data, bytes.len, from, "", err);
	snprintf(to, sizeof(to), "/sbin/%s", name);
	return r < 0 ? r
		     : ul_cpio_add_file(c, &(struct ul_cpio_file){to, 0755, bytes.data, bytes.len, UL_CPIO_ADDED, from},
					err);
}

static int add_mkfs(struct ul_cpio *c, const struct ul_upper_fs *fs, struct ul_error *err)
{
	char from[PATH_MAX], todo[120];

	if (ul_find_program(fs->mkfs, from))
		return add_program(c, fs->mkfs, from, err);
	snprintf(todo, sizeof(todo), "Install it (in Debian: %s), or set [upper] prepare = no.", fs->package);
	return ul_error_set(err, UL_E_SYSTEM, what, fs->mkfs, todo,
			    "the policy formats the upper, and this machine does not have the program");
}

int ul_pack_upper(struct ul_cpio *c, const struct ul_policy *policy, struct ul_names *missing, struct ul_error *err)
{
	const struct ul_upper_fs *fs;
	char from[PATH_MAX];
	int r = 0;

	if (policy->upper_type != UL_UPPER_DISK)
		return 0;
	if (policy->upper_prepare == UL_UPPER_PREPARE_FORMAT)
		r = add_mkfs(c, ul_upper_fs_permitted(policy, 0), err);
	for (size_t i = 0; r == 0 && (fs = ul_upper_fs_permitted(policy, i)); i++) {
		if (!policy->upper_check || !fs->fsck)
			continue;
		if (ul_find_program(fs->fsck, from))
			r = add_program(c, fs->fsck, from, err);
		else if (policy->upper_guard == UL_UPPER_GUARD_CHECKED && fs->whole)
			r = ul_error_set(err, UL_E_SYSTEM, what, fs->fsck, "Install it, or set [upper] guard = auto.",
					 "the policy wants the upper checked whole, and this machine does not have the "
					 "program");
		else if (ul_names_add_new(missing, fs->fsck) < 0)
			r = ul_error_nomem(err, what);
	}
	return r;
}
