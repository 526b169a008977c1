/* The filesystem of a lower: told by its magic number from verified bytes, and permitted before a driver sees them. */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "verity/lower/judge.h"

/* Filesystems a lower may have: what their mount needs to write nothing, and where their magic number is. */
static const struct known {
	struct ul_judged_filesystem fs;
	uint64_t offset;
	const char magic[5]; /* with a NUL */
	size_t magic_len;
	bool by_name; /* only where the policy names it: a larger driver, made for disks that are trusted */
} known[] = {
	{{"erofs", NULL}, 1024, "\xe2\xe1\xf5\xe0", 4, false},
	{{"squashfs", NULL}, 0, "hsqs", 4, false},
	/* A read-only ext4 would still replay its journal, and fail on a device that takes no write. */
	{{"ext4", "noload"}, 1024 + 56, "\x53\xef", 2, true},
};

static bool is_permitted(char *const *list, const struct known *k)
{
	for (char *const *p = list; p && *p; p++)
		if (!strcmp(*p, k->fs.name))
			return true;
	return !list && !k->by_name;
}

int ul_judge_filesystem(int fd, uint64_t offset, const char *device, char *const *permitted,
			const struct ul_judged_filesystem **ret, struct ul_error *err)
{
	static const char what[] = "reading the lower's filesystem";

	for (size_t i = 0; i < UL_ARRAY_SIZE(known); i++) {
		const struct known *k = &known[i];
		char magic[4];
		int r = ul_pread_full(fd, magic, k->magic_len, offset + k->offset);

		if (r < 0)
			return ul_error_errno_of_lower(err, UL_E_FILESYSTEM, what, device, NULL, -r);
		if (memcmp(magic, k->magic, k->magic_len) != 0)
			continue;
		if (!is_permitted(permitted, k))
			return ul_error_set(err, UL_E_FILESYSTEM, what, device, NULL,
					    "it is %s, which [lower] filesystems does not permit", k->fs.name);
		*ret = &k->fs;
		return 0;
	}
	return ul_error_set(err, UL_E_FILESYSTEM, what, device, "Build the image with erofs or squashfs.",
			    "it does not hold a filesystem that is known here");
}

int ul_judge_mount_failed(const char *type, const char *device, int errnum, struct ul_error *err)
{
	static const char what[] = "mounting the lower";

	if (errnum == ENODEV)
		return ul_error_set(err, UL_E_MODULE, what, type, "Build the initramfs with this module.",
				    "the kernel does not know this filesystem");
	/* dm-verity vouches for the bytes: so it is what they ask of the kernel. */
	if (errnum == EINVAL || errnum == EOPNOTSUPP)
		return ul_error_set(err, UL_E_FILESYSTEM, what, device,
				    "Build the image with another --compression, or take a newer kernel.",
				    "this kernel cannot read this %s; its log says what it lacks", type);
	return ul_error_errno_of_lower(err, UL_E_FILESYSTEM, what, device, "Write the image again.", errnum);
}
