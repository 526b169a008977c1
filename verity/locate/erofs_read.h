/* The erofs that is being walked, and one inode of it: read with bounds, told to the caller. */
#pragma once

#include <limits.h>
#include <stdbool.h>

#include "verity/locate/erofs_format.h"
#include "verity/locate/erofs_walk.h"

struct ul_erofs {
	int fd;
	uint64_t offset, size; /* bytes: of the filesystem in fd */
	uint64_t meta;         /* bytes: of the inodes in the filesystem */
	unsigned int block_bits;
	const char *object;
	void (*found)(void *user, const struct ul_erofs_piece *piece);
	void *user;
	struct ul_error *err;
	uint8_t *seen;  /* a bit for each inode number */
	int incomplete; /* the last failure that was passed over */
	char path[PATH_MAX];
};

struct ul_erofs_inode {
	uint64_t number, at; /* at: bytes, in the filesystem */
	uint64_t end;        /* behind inode and attributes */
	uint64_t size;       /* bytes of the file */
	uint32_t block;      /* EROFS_INODE_BLOCK */
	unsigned int layout;
	bool directory;
};

/* -UL_E_FILESYSTEM with this reason. */
int ul_erofs_malformed(const struct ul_erofs *fs, const char *why);

/* Read len bytes at byte `at` of the filesystem. -UL_E_FILESYSTEM: behind its end; -UL_E_SYSTEM. */
int ul_erofs_read(const struct ul_erofs *fs, uint64_t at, void *buf, size_t len);

/* Call fs->found for a piece; one without a byte is left out. */
void ul_erofs_tell(const struct ul_erofs *fs, enum ul_erofs_kind kind, uint64_t at, uint64_t len, uint64_t file_start,
		   uint64_t file_end);
