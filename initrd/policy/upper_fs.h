/* The filesystems that an upper may be: for the policy, who packs their programs, and the boot. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "initrd/policy/policy.h"

#define UL_UPPER_ARGS 24

/* Something that a superblock must say, or must not, before anything is made in the filesystem. */
struct ul_upper_feature {
	uint32_t at;     /* bytes from the device's start */
	uint8_t width;   /* bytes of the number there: 1, 2, 4 or 8 */
	bool big_endian; /* else little-endian */
	bool wanted;     /* one of the mask's bits must be set; else none may be */
	bool checksums;  /* asked for only where the policy's guard relies on the filesystem's structure */
	bool anew;       /* asked for only where the guard is that nothing older is written: guard.c */
	uint64_t mask;
	struct {
		uint32_t at, mask; /* little-endian, 4 bytes: counts where a bit is set; mask 0: always */
	} where;
	const char *says; /* after "its ext4" */
	const char *todo;
};

extern const struct ul_upper_feature ul_upper_ext4_features[], ul_upper_xfs_features[], ul_upper_btrfs_features[],
	ul_upper_f2fs_features[];

struct ul_upper_fs {
	const char *name;       /* for the kernel, libblkid and the policy; also its module's */
	const char *mkfs;       /* program */
	const char *fsck;       /* program; NULL: the kernel does at mounting what there is to do */
	const char *fsck_flags; /* repairs what is safe to repair, asks nothing: one word */
	bool whole;             /* with them it reads all of the filesystem's structure, whatever the superblock says */
	const char *options;    /* for the mount */
	size_t label_max;       /* bytes */
	const char *package;    /* of Debian: for a sentence */
	const struct ul_upper_feature *features; /* ended by width == 0 */
	/*
	 * The module of its quotas' format, without which one that counts them is not mounted. The kernel asks for it
	 * by name, so that no dependency of the filesystem's module tells; NULL: it is not needed.
	 */
	const char *quota_module;
	uint32_t quota_at; /* bytes: the superblock's word with their bit, little-endian */
	uint32_t quota;    /* that bit */
};

/* Ended by name == NULL. */
extern const struct ul_upper_fs ul_upper_filesystems[];
const struct ul_upper_fs *ul_upper_fs_find(const char *name);

/* The i-th that the policy permits, the first is the one that is made; NULL: there are no more. */
const struct ul_upper_fs *ul_upper_fs_permitted(const struct ul_policy *p, size_t i);

/* What is made, and by what. */
struct ul_upper_mkfs {
	const char *program, *device, *label, *uuid;
	uint64_t size; /* bytes, what mkfs may use of the device */
};

/* The command that makes it. Texts point into those of mkfs and into buf. args is ended by NULL. */
void ul_upper_mkfs_args(const struct ul_upper_fs *fs, const struct ul_upper_mkfs *mkfs, char buf[96],
			const char *args[UL_UPPER_ARGS]);
