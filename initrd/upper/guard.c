/*
 * What keeps the disk's old contents out of the layer that this boot writes. Before: a filesystem that the policy
 * permits, not mounted. After: it was checked as the policy says, and b->upper.guarded tells what may be relied upon.
 *
 * The session is made in this boot, but on a filesystem that somebody may have written while the machine was off.
 * There a file of var/ can own the very block that the next mkdir takes, free in the bitmap; the first program that
 * writes that file writes the session's directory, and so puts names over sealed ones. Two things end that:
 *
 *     checked   fsck reads all of the filesystem's structure: no block has two owners, none that is owned is free
 *     anew      nothing that the disk held before is written or freed once the session's blocks are taken: anew.c
 *
 * A disk that is authenticated (dm-integrity, dm-crypt with integrity) needs neither: none.
 */
#include <string.h>

#include "common/clock.h"
#include "initrd/base/log.h"
#include "initrd/upper/upper.h"

static int refuse(const char *device, const struct ul_upper_fs *fs, bool check, struct ul_error *err)
{
	char why[96];

	if (!fs->whole)
		snprintf(why, sizeof(why), "there is no whole check of its %s", fs->name);
	else
		snprintf(why, sizeof(why), check ? "the initramfs does not have %s" : "[upper] check = no", fs->fsck);
	return ul_error_set(err, UL_E_UPPER, "checking the upper", device,
			    "Set [upper] guard = auto, or use ext4 and pack its fsck.",
			    "[upper] guard = checked wants a whole check, and %s", why);
}

int ul_upper_guard(struct ul_boot *b, int fd, const struct ul_upper_fs *fs, struct ul_error *err)
{
	const struct ul_policy *p = &b->policy;
	struct ul_upper *u = &b->upper;
	uint64_t start = ul_now_us();
	bool ran = false;
	int r;

	if (u->fresh) {
		u->guarded = UL_GUARDED_NEW;
		return 0;
	}
	r = ul_upper_features(fd, u->device, fs, p->upper_guard, err);
	if (r == 0 && p->upper_check)
		r = ul_upper_check(u->device, fs, &ran, err);
	if (r == 0 && ran) {
		u->check_us = ul_now_us() - start;
		ul_log(UL_LOG_INFO, "upper: %s looked at %s in %.1f ms", fs->fsck, u->device,
		       (double)u->check_us / 1000);
		/* Another copy of the superblock, of which nothing is known yet, may be in its place now. */
		r = ul_upper_features(fd, u->device, fs, p->upper_guard, err);
	}
	if (r < 0)
		return r;
	if (p->upper_guard == UL_UPPER_GUARD_NONE)
		u->guarded = UL_GUARDED_NOT;
	else if (p->upper_guard != UL_UPPER_GUARD_ANEW && ran && fs->whole)
		u->guarded = UL_GUARDED_CHECKED;
	else if (p->upper_guard == UL_UPPER_GUARD_CHECKED)
		return refuse(u->device, fs, p->upper_check, err);
	else
		u->guarded = UL_GUARDED_ANEW;
	/* auto may have come to it, too. */
	return u->guarded == UL_GUARDED_ANEW ? ul_upper_features(fd, u->device, fs, UL_UPPER_GUARD_ANEW, err) : 0;
}
