/*
 * What a directory is beside its entries: owner, mode, times and extended attributes. When overlayfs copies a directory
 * of the kept layer up, the session's has what was changed since, and the kept one takes it over when both are joined.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

struct ul_properties {
	struct stat st; /* times: as they were before entries left it */
	bool recorded;  /* an earlier attempt wrote the times down */
};

/* Read those of the directory that fd is open on. 0 or -errno. */
int ul_properties_read(int fd, struct ul_properties *ret);

/*
 * Write the times down in an attribute of the directory: taking an entry out changes them, and a cut may be followed by
 * another attempt. Where that cannot be done (no attributes, no space), the times are what a cut costs.
 */
void ul_properties_record(int fd, struct ul_properties *p);

/*
 * Give them, and the extended attributes of `from` but overlayfs' own, to the directory `to`; those that it refuses, or
 * has no place for although the disk has, are left out. 0 or -errno.
 */
int ul_properties_give(const struct ul_properties *p, int from, int to);
