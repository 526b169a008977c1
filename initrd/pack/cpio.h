/*
 * The initramfs as an archive: cpio in the "newc" form that the kernel unpacks
 * (Documentation/driver-api/early-userspace/buffer-format.rst).
 *
 * A record is a header of 110 characters, the name with its NUL, zeros up to a multiple of 4, the data,
 * zeros up to a multiple of 4. The header is "070701" and 13 numbers of 8 hexadecimal digits:
 *
 *     inode mode uid gid nlink mtime size major minor rmajor rminor namesize check
 *
 * An archive ends with a record named "TRAILER!!!". The same entries give the same bytes: records are
 * sorted by name (so a directory comes before what it holds, as the kernel wants it), inodes are
 * numbered in that order, owner is root, times are the epoch, nothing of the build machine remains.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "common/buffer.h"
#include "common/error.h"
#include "common/vector.h"

/* What an entry is there for: the rows of the table of sizes. */
enum ul_cpio_kind {
	UL_CPIO_BASE,    /* directories and device nodes */
	UL_CPIO_INIT,    /* underlay-init */
	UL_CPIO_LIBRARY, /* the loader and shared libraries */
	UL_CPIO_MODULE,  /* kernel modules and their indexes */
	UL_CPIO_CONFIG,  /* policy, certificates, list of modules */
	UL_CPIO_ADDED,   /* what --add names */
	UL_CPIO_KINDS
};

/* Largest single file, in bytes: what an initramfs is for ends far below. */
#define UL_CPIO_FILE_MAX (256u << 20)

/* Largest archive, in bytes: the kernel holds it twice in memory while it unpacks. */
#define UL_CPIO_TOTAL_MAX (512u << 20)

struct ul_cpio_entry {
	char *path;     /* owned; without the leading '/' */
	char *source;   /* owned; where it came from, for messages; "" for what is made up */
	mode_t mode;    /* with the file type */
	unsigned major; /* of a device node */
	unsigned minor;
	uint8_t *data; /* owned; a file's contents or a symlink's target */
	size_t len;
	enum ul_cpio_kind kind;
};

/* Zero-initialise it; free it with ul_cpio_free (or ul_autocpio). */
struct ul_cpio {
	UL_VECTOR(struct ul_cpio_entry) entries; /* sorted by path */
	uint64_t bytes;                          /* sum of the entries' len */
};

/* A file to add. */
struct ul_cpio_file {
	const char *path;
	mode_t permissions;
	const void *data;
	size_t len;
	enum ul_cpio_kind kind;
	const char *source; /* where it came from, for messages; "": Underlay makes it */
};

/*
 * Add an entry; missing parent directories (0755) are added with it. path is absolute, without "." or
 * ".." or empty parts. A path that is there already is not a failure if both are directories, or files
 * of equal bytes and mode; else -UL_E_EXISTS that names both sources. Data is copied.
 */
int ul_cpio_add_dir(struct ul_cpio *c, const char *path, mode_t permissions, struct ul_error *err);
int ul_cpio_add_node(struct ul_cpio *c, const char *path, mode_t permissions, unsigned major, unsigned minor,
		     struct ul_error *err);
int ul_cpio_add_file(struct ul_cpio *c, const struct ul_cpio_file *file, struct ul_error *err);

/* The entry of that path (absolute), or NULL. */
const struct ul_cpio_entry *ul_cpio_find(const struct ul_cpio *c, const char *path);

/* Append the archive to *ret, padded to a multiple of 512 bytes as cpio(1) does. */
int ul_cpio_write(const struct ul_cpio *c, struct ul_buffer *ret, struct ul_error *err);

void ul_cpio_free(struct ul_cpio *c);

#define ul_autocpio UL_CLEANUP(ul_cpio_free)
