/*
 * Where an image file comes into being: the directory OUTPUT.tmp beside it, so that the last step is a rename. It is
 * locked while somebody works in it, and gone afterwards; what a killed run left there, the next one removes.
 */
#pragma once

#include <stdbool.h>

#include "common/error.h"

struct ul_work_dir {
	char *output, *path; /* absolute */
	int fd;              /* -1: there is none, or it is another run's; locked */
};

/* Whether output may be written: it is not there, or is a regular file that may be replaced. -UL_E_EXISTS. */
int ul_work_dir_check(const char *output, bool replace, const char *what, struct ul_error *err);

/*
 * Make it. ours: the names that a run has in it, ended by NULL. -UL_E_EXISTS: another run works in it, or it holds
 * anything else, which is somebody's and stays as it is. *ret is set in any case, and to be removed. what: "building
 * the image".
 */
int ul_work_dir_make(const char *output, const char *const *ours, const char *what, struct ul_work_dir *ret,
		     struct ul_error *err);

/* Rename file, which lies in it, to its output. */
int ul_work_dir_publish(const struct ul_work_dir *work, const char *file, bool replace, const char *what,
			struct ul_error *err);

/* With all that is in it, where it is ours. */
void ul_work_dir_remove(struct ul_work_dir *work);
