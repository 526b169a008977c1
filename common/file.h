/*
 * Files: whole reads with a bound, whole writes that survive a power cut. Paths are relative to dirfd
 * (AT_FDCWD for the working directory) as in openat(2).
 */
#pragma once

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buffer.h"
#include "common/error.h"

/* Read exactly len bytes at offset. 0, -errno, or -ENODATA at an early end of file. */
int ul_pread_full(int fd, void *buf, size_t len, uint64_t offset);

/* Write all of it. 0 or -errno. */
int ul_write_full(int fd, const void *buf, size_t len);
int ul_pwrite_full(int fd, const void *buf, size_t len, uint64_t offset);

/*
 * Append the whole file to *ret, at most max bytes: a larger one is refused with -EFBIG before it is
 * read. Works for files without a size (/proc, pipes). 0 or -errno.
 */
int ul_read_file(int dirfd, const char *path, size_t max, struct ul_buffer *ret);

/*
 * Replace path by a file with these contents so that after a power cut either the old or the new
 * one is there, whole: temporary name in the same directory, fsync, rename, fsync of the directory.
 * 0 or -errno; on failure nothing is left behind. The temporary name is PATH.tmp, and what has it goes: for directories
 * in which all names are ours.
 */
int ul_write_file_atomic(int dirfd, const char *path, mode_t mode, const void *data, size_t len);

/*
 * Write what a user asked to be written to path. A regular file is replaced as ul_write_file_atomic does it, but by a
 * temporary name that no file has, also one that symlinks lead to; pipes, character devices and the process's own
 * standard output, whatever it is, are written to. -UL_E_EXISTS: something else is there; -UL_E_SYSTEM. what: "writing
 * the manifest".
 */
int ul_write_output(const char *what, const char *path, const void *data, size_t len, struct ul_error *err);

/* The target of a symlink, as it is written there. 0 or -errno, with -ENAMETOOLONG where it has no room. */
int ul_read_link(int dirfd, const char *name, char ret_target[PATH_MAX]);

/* Write a small file in place (sysfs, /proc, tmpfs). 0 or -errno. */
int ul_write_file(int dirfd, const char *path, mode_t mode, const void *data, size_t len);

/* mkdir -p: every missing directory of path, with this mode. 0 or -errno. */
int ul_mkdir_parents(int dirfd, const char *path, mode_t mode);

/*
 * Remove path and everything below it, never following a symlink and never leaving the file system it lies on, nor
 * what is mounted in it. However deep it is, few files are open at a time; whoever changes it meanwhile may make this
 * fail, and nothing else go. A path that does not exist is not a failure. 0 or -errno.
 */
int ul_remove_tree(int dirfd, const char *path);

/* fsync the directory that path names. 0 or -errno. */
int ul_sync_dir(int dirfd, const char *path);

/* Size in bytes of a regular file or block device. 0 or -errno. */
int ul_file_size(int fd, uint64_t *ret_size);

/* Join with exactly one '/'; absolute or relative b alike is placed below a. NULL: no memory. */
char *ul_path_join(const char *a, const char *b);
