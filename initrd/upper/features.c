/*
 * Whether a filesystem may be an upper at all. Before: its superblock was probed, and may say anything. After: it has
 * what the rows of initrd/policy/upper_features.c want, or a sentence tells what is missing; nothing was written.
 */
#include <errno.h>

#include "common/bytes.h"
#include "common/file.h"
#include "initrd/upper/upper.h"

static int read_number(int fd, uint64_t at, uint8_t width, bool big_endian, uint64_t *ret)
{
	uint8_t bytes[8];
	uint64_t value = 0;
	int r = width <= sizeof(bytes) ? ul_pread_full(fd, bytes, width, at) : -EINVAL;

	if (r < 0)
		return r;
	for (uint8_t i = 0; i < width; i++)
		value = value << 8 | bytes[big_endian ? i : width - 1 - i];
	*ret = value;
	return 0;
}

/* 1: it is as the row wants it; 0: it is not; -errno. */
static int holds(int fd, const struct ul_upper_feature *f)
{
	uint64_t value = 0;
	int r = f->where.mask ? read_number(fd, f->where.at, 4, false, &value) : 0;

	if (r < 0 || (f->where.mask && !(value & f->where.mask)))
		return r < 0 ? r : 1;
	r = read_number(fd, f->at, f->width, f->big_endian, &value);
	return r < 0 ? r : ((value & f->mask) != 0) == f->wanted;
}

int ul_upper_features(int fd, const char *device, const struct ul_upper_fs *fs, enum ul_upper_guard guard,
		      struct ul_error *err)
{
	static const char what[] = "preparing the upper";
	bool relied_on = guard == UL_UPPER_GUARD_AUTO || guard == UL_UPPER_GUARD_CHECKED;

	for (const struct ul_upper_feature *f = fs->features; f->width; f++) {
		bool asked = f->checksums ? relied_on : !f->anew || guard == UL_UPPER_GUARD_ANEW;
		int r = asked ? holds(fd, f) : 1;

		if (r < 0)
			return ul_error_errno(err, UL_E_UPPER, what, device, "Check the disk.", -r);
		if (r == 0)
			return ul_error_set(err, UL_E_UPPER, what, device, f->todo, "its %s %s", fs->name, f->says);
	}
	return 0;
}
