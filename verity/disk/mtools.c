#include "verity/disk/mtools.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/leftover.h"
#include "common/run.h"

/*
 * They take the times from SOURCE_DATE_EPOCH, and write them as TZ has them. The user's own configuration of mtools
 * counts for his drives, not for this.
 */
static int run(const struct ul_mtool *m, const char *dir, const char *what, struct ul_buffer *ret_output,
	       int *ret_status, struct ul_error *err)
{
	char place[64];
	const char *argv[12 + UL_MTOOL_ARGUMENTS] = {"env",
						     "-C",
						     dir,
						     "HOME=/", /* .mtoolsrc is read there */
						     "TZ=UTC",
						     "SOURCE_DATE_EPOCH=315532800",
						     "MTOOLSRC=/dev/null",
						     "MTOOLS_SKIP_CHECK=1",
						     m->program,
						     "-i",
						     place};
	int r;

	snprintf(place, sizeof(place), "fat@@%" PRIu64, m->offset);
	for (size_t i = 0; i < UL_MTOOL_ARGUMENTS && m->arguments[i]; i++)
		argv[11 + i] = m->arguments[i];
	r = ul_run(argv, what, ret_output, ret_status, err);
	if (r < 0 && err)
		snprintf(err->object, sizeof(err->object), "%s", m->program); /* not env */
	return r;
}

/*
 * Names mean things to them: "x:y" is a drive's file, "a@@1M" a place in a. So they are started in a directory of their
 * own, in which a link has a name that means nothing.
 */
int ul_mtool(const struct ul_mtool *m, const char *what, struct ul_buffer *ret_output, int *ret_status,
	     struct ul_error *err)
{
	ul_autofree char *file = realpath(m->file, NULL);
	char path[PATH_MAX], dir[] = "/tmp/underlay-XXXXXX", link[sizeof(dir) + 4];
	struct ul_leftover *left_dir, *left_link;
	int r;

	if (!file)
		return ul_error_errno(err, UL_E_SYSTEM, what, m->file, NULL, errno);
	if (!ul_find_program(m->program, path))
		return ul_error_set(err, UL_E_SYSTEM, what, m->program, "Install the package mtools.",
				    "the program is not installed");
	if (!mkdtemp(dir))
		return ul_error_errno(err, UL_E_SYSTEM, what, "/tmp", NULL, errno);
	snprintf(link, sizeof(link), "%s/fat", dir);
	left_dir = ul_leftover_add(AT_FDCWD, dir);
	left_link = ul_leftover_add(AT_FDCWD, link);
	r = symlink(file, link) < 0 ? ul_error_errno(err, UL_E_SYSTEM, what, link, NULL, errno)
				    : run(m, dir, what, ret_output, ret_status, err);
	(void)unlink(link);
	(void)rmdir(dir);
	ul_leftover_drop(left_link);
	ul_leftover_drop(left_dir);
	return r;
}
