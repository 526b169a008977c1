/* Where a boot's files lie. Paths are seen from the initramfs: below b->root where the system will see them below /. */
#pragma once

#include "initrd/base/boot.h"

/* path below b->root, in buf (PATH_MAX). Returns buf. */
char *ul_boot_path(const struct ul_boot *b, const char *path, char *buf);

/* A path from the lower's root ("nix/store"), as it is seen here; in buf (PATH_MAX). Returns buf. */
char *ul_lower_path(const struct ul_boot *b, const struct ul_lower *lower, const char *path, char *buf);

/* The store path that is started: the upper's profile, or the image's system. After stage system. */
const char *ul_boot_system(const struct ul_boot *b);
