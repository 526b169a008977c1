/*
 * A walk through a whole erofs that tells what occupies which bytes of it: every inode, every directory's
 * entries, every piece of every file, compressed or not. Reads metadata only, needs no mount and no root, and
 * is safe on any bytes: each inode is looked at once, each index lies in the filesystem, so the work is bounded
 * by the filesystem's size, and the memory by 1/256 of it.
 */
#pragma once

#include <stdint.h>

#include "common/error.h"
#include "verity/open/slots.h"

enum ul_erofs_kind {
	UL_EROFS_SUPERBLOCK,
	UL_EROFS_INODE,     /* with its attributes and its index of compressed data */
	UL_EROFS_DIRECTORY, /* entries */
	UL_EROFS_FILE,      /* contents, or a symlink's target */
};

struct ul_erofs_piece {
	enum ul_erofs_kind kind;
	/* From the root, without a first '/': "nix/store/..."; "": the root itself. Valid for the call only. */
	const char *path;
	uint64_t at, len;    /* bytes of the filesystem */
	uint64_t file_start; /* of FILE: the bytes of the file that are in them */
	uint64_t file_end;
};

/*
 * Walk the erofs in the range of fd, which is open on data->device (for messages). A file with several names is told by
 * the one found first. Files that share data, or are packed into others' blocks (fragments, deduplication), are each
 * told as far as their own index says. -UL_E_FILESYSTEM: no erofs, damaged, or of a form that is not known;
 * -UL_E_SYSTEM: it cannot be read. What lies below a damaged directory is left out, all else has been told.
 */
int ul_erofs_walk(int fd, const struct ul_extent *data, void (*found)(void *user, const struct ul_erofs_piece *piece),
		  void *user, struct ul_error *err);
