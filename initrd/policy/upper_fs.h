/* The filesystems that an upper may be: for the policy, who packs their programs, and the boot. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "initrd/policy/policy.h"

#define UL_UPPER_ARGS 24

struct ul_upper_fs {
	const char *name;      /* for the kernel, libblkid and the policy; also its module's */
	const char *mkfs;      /* program */
	const char *fsck;      /* program; NULL: the kernel does at mounting what there is to do */
	const char *fsck_flag; /* repairs what is safe to repair, asks nothing */
	const char *options;   /* for the mount */
	size_t label_max;      /* bytes */
	const char *package;   /* of Debian: for a sentence */
	uint32_t features_at;  /* bytes: the superblock's word of features, little-endian */
	uint32_t casefold;     /* its bit that keeps overlayfs away; 0: there is no such bit */
};

/* Ended by name == NULL. */
extern const struct ul_upper_fs ul_upper_filesystems[];
const struct ul_upper_fs *ul_upper_fs_find(const char *name);

/* The i-th that the policy permits, the first is the one that is made; NULL: there are no more. */
const struct ul_upper_fs *ul_upper_fs_permitted(const struct ul_policy *p, size_t i);

/*
 * The command that makes it: size in bytes, what mkfs may use of the device. Texts point into the
 * parameters and into buf. args is ended by NULL.
 */
void ul_upper_mkfs_args(const struct ul_upper_fs *fs, const char *program, const char *device, const char *label,
			const char *uuid, uint64_t size, char buf[96], const char *args[UL_UPPER_ARGS]);
