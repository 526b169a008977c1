/* Refreshing the overlay: what `underlay remount` and the hook's own small program share. */
#pragma once

#include "common/error.h"

/*
 * Have the kernel forget what it remembers of the overlay that is mounted at path: files were taken out of its upper
 * directory behind its back. The mount's options stay as they are. -UL_E_OVERLAY: path is not an overlay's mount
 * point, or the kernel refuses.
 */
int cli_remount_overlay(const char *path, struct ul_error *err);
