/*
 * The dm-verity hash tree, computed and checked in user space: kernel Documentation
 * admin-guide/device-mapper/verity.rst, hash type 1 (salt first), superblock as cryptsetup's
 * lib/verity/verity.c writes it. Computed with all cores where libcryptsetup has one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "verity/format/descriptor.h"
#include "verity/image/work.h"

/*
 * Write superblock (at hash_offset) and tree (at hash_offset + d->hash_start) for the d->data_blocks blocks of the
 * data; sets d->root_hash. uuid: 16 bytes of the superblock. -UL_E_SYSTEM "interrupted" where work->cancelled says so.
 */
int ul_hash_tree_write(const struct ul_image_fds *fds, const uint8_t uuid[16], struct ul_descriptor *d,
		       const struct ul_work *work, struct ul_error *err);

/*
 * As ul_hash_tree_write, of data that lies in another file yet, source_fd (open for writing, from byte 0 on; -1: it is
 * in the image): it is copied to its place as it is read for hashing, and its blocks are given back to the disk, so
 * that the space is never needed twice. Afterwards the source is full of holes, or, where the filesystem makes none, as
 * it was.
 */
int ul_hash_tree_copy(const struct ul_image_fds *fds, int source_fd, const uint8_t uuid[16], struct ul_descriptor *d,
		      const struct ul_work *work, struct ul_error *err);

/*
 * Check every data block against the tree and the tree against d->root_hash. -UL_E_CORRUPT naming the first
 * bad block (*ret_bad_block, data block number, UINT64_MAX for the tree itself; may be NULL).
 */
int ul_hash_tree_check(const struct ul_image_fds *fds, const struct ul_descriptor *d, const struct ul_work *work,
		       uint64_t *ret_bad_block, struct ul_error *err);

/*
 * As ul_hash_tree_check, but a bad block does not end it: each is told, in no order, one call at a time. In the hash
 * partition these are leaf blocks only, numbered from its start; the data that a bad one covers cannot be judged and
 * is passed over. -UL_E_CORRUPT where the tree is bad above its leaves.
 */
int ul_hash_tree_scan(const struct ul_image_fds *fds, const struct ul_descriptor *d, const struct ul_work *work,
		      void (*bad)(void *user, bool in_tree, uint64_t block), void *user, struct ul_error *err);

/* A multiple of it is where the bytes lie in memory that a sink gets: what O_DIRECT wants. */
#define UL_HASH_TREE_ALIGN 4096

/* Takes bytes of the data, from byte `offset` of it on. Called by several threads, in no order. 0 or -errno. */
struct ul_hash_tree_sink {
	int (*put)(void *user, const uint8_t *bytes, size_t len, uint64_t offset);
	void *user;
};

/*
 * As ul_hash_tree_check, and what was found right is handed on, a MiB at most at a time: nothing that the root hash
 * does not cover gets to the sink. What the sink failed with is -UL_E_SYSTEM.
 */
int ul_hash_tree_hand_on(const struct ul_image_fds *fds, const struct ul_descriptor *d,
			 const struct ul_hash_tree_sink *sink, const struct ul_work *work, struct ul_error *err);
