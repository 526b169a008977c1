/* Whether a directory is the upper of a system that runs: what changes its database offline must not. */
#pragma once

#include "common/error.h"

/*
 * fd: the directory, named path. 0: no system runs on it, as far as this machine can tell; -UL_E_UPPER: one does;
 * -UL_E_SYSTEM: that cannot be found out.
 */
int cli_upper_refuse_running(int fd, const char *path, struct ul_error *err);
