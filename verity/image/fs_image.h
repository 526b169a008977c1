/*
 * Making the lower's filesystem from a directory tree, by mkfs.erofs or mksquashfs: reproducibly, whatever the
 * environment (SOURCE_DATE_EPOCH, processors, owners, times, extended attributes).
 *
 * The default is erofs compressed by lz4 in clusters of 64 KiB: Linux 6.1 and all later ones read it, and unpacking
 * it costs less than the reading that it saves. It is made faster than an uncompressed one is written (1.1 GB of
 * libraries with erofs-utils 1.5, which has one thread: 3.2 s and 501 MB; uncompressed 8.8 s and 1,108 MB).
 * lz4hc reads equally fast, makes 413 MB of it and takes 47 s: for what is shipped rather than tried.
 *
 * The filesystem's UUID is null (erofs; squashfs has no UUID). Overlayfs notes in a file that it copies up where the
 * file came from: the lower's UUID and a handle of its inode. In an upper that somebody else wrote the note may name
 * any inode of the sealed store, and another file then stands for it. The order of the layers keeps sealed names out of
 * an upper's reach; this is the second line: of a lower without a UUID no handle is ever decoded (without index,
 * metacopy, redirect_dir and xino). It also cures the "Stale file handle" of files that an earlier image's lower is the
 * origin of.
 *
 * ext4 is not made. mke2fs -d of e2fsprogs 1.47.0 writes what readdir and stat say: the order of names, owners, and the
 * time of last change, which nobody can set. With E2FSPROGS_FAKE_TIME, a fixed UUID and hash seed two copies of one
 * tree still give two filesystems; the same tree out of a mounted erofs gives one, but mounting takes a loop device and
 * root, which a build in Nix's sandbox has not. (Later ones read tar archives, and would do.)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

/* What of the installed tool matters here, and what was asked of it. Plain data. */
struct ul_fs_tool {
	bool squashfs;          /* else erofs */
	const char *program;    /* "mkfs.erofs" */
	char compression[32];   /* the tool's own name: "lz4hc"; empty: none */
	char level[16];         /* empty: the tool's default */
	bool writes_at_offset;  /* can leave room before the filesystem in one file */
	bool splits_hard_links; /* can give each hard link an inode of its own */
	bool drops_lost_found;  /* leaves names that start with lost+found out */
	bool sets_block_size;   /* else it is the build machine's page size */
};

/*
 * Look at the installed tool. format: "erofs" (NULL too) or "squashfs"; compression: NULL for the default, "none",
 * or NAME[,LEVEL]. Errors: -UL_E_USAGE (no such format, compression or level), -UL_E_SYSTEM (not
 * installed, or the installed one lacks the compression).
 */
int ul_fs_tool_find(const char *format, const char *compression, struct ul_fs_tool *ret, struct ul_error *err);

struct ul_fs_job {
	const char *tree;     /* absolute path of the directory that becomes the root */
	const char *output;   /* file; does not exist yet */
	uint64_t offset;      /* bytes; 0 unless the tool writes_at_offset */
	uint32_t store_group; /* squashfs only: group of nix/store (erofs: see erofs_owner.h) */
	unsigned int threads; /* 0: the tool's own choice; the bytes do not depend on it */
};

/* Run the tool. All of a filesystem's times are 1, Nix's canonical time; all owners root. */
int ul_fs_make(const struct ul_fs_tool *tool, const struct ul_fs_job *job, struct ul_error *err);
