/* Helper programs (mkfs.erofs, mksquashfs, fsck): run one, wait for it, explain its failure. */
#pragma once

#include "common/buffer.h"
#include "common/error.h"

/*
 * Run argv[0] (looked up in PATH) with standard input from /dev/null and LC_ALL=C. Its standard output is appended to
 * *ret_output (at most 1 MiB is kept; NULL: thrown away); of its standard error the last line becomes the reason of a
 * failure. Returns 0, or -UL_E_SYSTEM: `what` is the caller's words for the work ("writing the filesystem image"). A
 * program that is not installed says so. *ret_status (may be NULL) is the exit status; where it is given, a non-zero
 * exit status is not a failure (fsck's bits mean things).
 */
int ul_run(const char *const argv[], const char *what, struct ul_buffer *ret_output, int *ret_status,
	   struct ul_error *err);

/*
 * Where a program is: PATH's directories, then the usual ones. false: it is not there. buf has PATH_MAX bytes.
 */
bool ul_find_program(const char *name, char *buf);
