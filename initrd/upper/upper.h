/*
 * The persistent upper: from the policy's words to a mounted filesystem with the directories that the later stages
 * use. Everything on the disk is hostile: it may have been written while the machine was off.
 *
 * The partition between its first and last MiB belongs to the filesystem. Behind it lies one MiB, unused, then a
 * sector that is zero but while a filesystem is being made:
 *
 *     offset (size rounded down to MiB, less 1 MiB), 512 bytes:
 *         0   16   "underlay-upper\n\0"
 *        16    4   1, little-endian: the version
 *        20   16   the filesystem's name, padded with NULs
 *        36   40   its UUID as text, padded with NULs
 *        76  436   zero
 *
 * This marker is written before mkfs starts and zeroed, one sector and so at once, when what mkfs wrote is on the
 * medium. mkfs is told to stay away from it. So a cut at any instant leaves an empty device, one with the marker, or
 * a whole filesystem. A marker is stale where its UUID is not that of the filesystem on the device: then somebody
 * else made that filesystem, and it stays.
 */
#pragma once

#include "initrd/base/boot.h"
#include "initrd/policy/upper_fs.h"
#include "initrd/policy/upper_name.h"

#define UL_UPPER_EDGE     (1u << 20)  /* bytes: at both ends of a device that must be blank */
#define UL_UPPER_SIZE_MIN (16u << 20) /* bytes of a device that a filesystem is made on */

/* ---- finding the device ---- */

/*
 * Wait for the one device that the policy names. -UL_E_DEVICE: it did not appear; -UL_E_UPPER: several have the name,
 * and the boot does not guess. (Where several have the PARTTYPE, the one on the lower's disk is meant.)
 */
int ul_upper_find(struct ul_boot *b, char ret_device[128], struct ul_error *err);

/* ---- what is on it ---- */

enum ul_upper_content {
	UL_UPPER_EMPTY,      /* no signature of any kind, and both edges are blank */
	UL_UPPER_HALF,       /* the marker: our own mkfs was interrupted */
	UL_UPPER_FILESYSTEM, /* one that the policy permits */
	UL_UPPER_MEMBER,     /* a part of something else, encrypted, or swap: whatever shows beside it */
	UL_UPPER_FOREIGN,    /* anything else */
};

struct ul_upper_probe {
	enum ul_upper_content content;
	const struct ul_upper_fs *fs; /* UL_UPPER_FILESYSTEM */
	char uuid[UL_UPPER_UUID];     /* of the filesystem, or the half made one's; in lower case */
	char label[256];              /* of the filesystem */
	char holds[160];              /* UL_UPPER_FOREIGN, UL_UPPER_MEMBER: "it holds crypto_LUKS" */
	uint64_t size;                /* bytes of the device */
};

/*
 * Look at fd (a block device or, in tests, a file). Only the superblocks of the permitted filesystems are parsed, and
 * those of what has parts (arrays, volume groups), unless p->upper_prepare wants to know that there is nothing at all:
 * then every prober of libblkid looks. -UL_E_UPPER: it
 * cannot be read.
 */
int ul_upper_probe(int fd, const char *device, const struct ul_policy *p, struct ul_upper_probe *ret,
		   struct ul_error *err);

/* ---- making, checking and mounting ---- */

/* Make the first permitted filesystem on a device that is empty or half made. Returns when it is on the medium. */
int ul_upper_format(int fd, const char *device, const struct ul_policy *p, const struct ul_upper_probe *found,
		    struct ul_error *err);

/* -UL_E_UPPER: its superblock has not what an upper must have (initrd/policy/upper_features.c). */
int ul_upper_features(int fd, const char *device, const struct ul_upper_fs *fs, enum ul_upper_guard guard,
		      struct ul_error *err);

/*
 * Run fsck where the initramfs has it; see check.c. *ret_ran: it has, and found all well or repaired it. -UL_E_UPPER:
 * damaged beyond what it repairs unasked.
 */
int ul_upper_check(const char *device, const struct ul_upper_fs *fs, bool *ret_ran, struct ul_error *err);

/* The two above as the policy wants them, for the filesystem on b->upper.device; see guard.c. Sets b->upper.guarded. */
int ul_upper_guard(struct ul_boot *b, int fd, const struct ul_upper_fs *fs, struct ul_error *err);

/* Mount it nosuid,nodev and writable, or not at all. */
int ul_upper_mount(struct ul_boot *b, const char *device, const struct ul_upper_fs *fs, struct ul_error *err);

/* ---- at its place in the new root: open.c ---- */

/* Open what is mounted at UL_PATH_UPPER as b->upper.fd, and lay it out (ul_upper_layout). */
int ul_upper_open_root(struct ul_boot *b, struct ul_error *err);

/* Mount a tmpfs there, of at most size bytes (0: half of the memory), and open it. */
int ul_upper_open_tmpfs(struct ul_boot *b, uint64_t size, struct ul_error *err);

/* Bind the upper's var/ to UL_PATH_VAR; and take it away from there (bind.c). */
int ul_upper_bind_state(struct ul_boot *b, struct ul_error *err);
int ul_upper_unbind_state(struct ul_boot *b, struct ul_error *err);

/* Put a tmpfs in the place of a disk's upper, for the reason *err, which b->upper.why then keeps. */
int ul_upper_fall_back(struct ul_boot *b, struct ul_error *err);

/*
 * The mounted upper turned out to be unusable, for the reason *err: where the policy says on-missing = tmpfs one takes
 * its place, and 0 is returned, with nothing left of what stage reconcile found; else *err stays and its code is
 * returned.
 */
int ul_upper_give_up(struct ul_boot *b, struct ul_error *err);

/* ---- what the later stages find on it ---- */

/*
 * Make the directories of b->upper.fd right: see layout.c. Counts what was mended in b->upper.n_mended and
 * takes the lock.
 */
int ul_upper_layout(struct ul_boot *b, struct ul_error *err);

/* What an older Underlay had as the overlay's upper directory becomes a lower layer: see take_over.c. -UL_E_UPPER. */
int ul_upper_take_over(int root_fd, struct ul_error *err);

/*
 * Join what earlier sessions left into the kept layer (dbgen/layers/join.h). The lower in work says what is sealed. An
 * upper on a tmpfs has neither.
 */
int ul_upper_join(struct ul_boot *b, struct ul_error *err);

/*
 * Make var/ and all else that the disk held before, and that this boot will write, anew; see anew.c. After the join,
 * before the session. -UL_E_UPPER.
 */
int ul_upper_make_anew(struct ul_boot *b, struct ul_error *err);

/* What a cut in the middle of that left goes, whatever the policy says now: it may fill the disk. */
int ul_upper_clear_anew(int root_fd, struct ul_error *err);

/* Make this boot's session, where there is none yet: b->upper.session. Its store has the lower's mode and group. */
int ul_upper_new_session(struct ul_boot *b, struct ul_error *err);

/*
 * Rename what has the wrong type to NAME.bad-N, whatever it is: nothing of it is opened or followed. dirfd is the
 * directory it is in. 0 or -errno.
 */
int ul_upper_move_aside(int dirfd, const char *name);

/* Whether an errno is the medium's or the machine's, which anything else in the same place would meet as well. */
bool ul_upper_is_medium(int error);

/*
 * Take the lock of the upper whose root directory is root_fd, and named root, for as long as *ret_fd is open.
 * -UL_E_UPPER: another program has it, or it cannot be made.
 */
int ul_upper_lock(int root_fd, const char *root, int *ret_fd, struct ul_error *err);
