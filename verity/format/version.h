/* An image's name and version: how they are spelt, and the order of versions. */
#pragma once

#include <stdbool.h>

/* Order of versions as systemd's strverscmp_improved has it (UAPI.10 version format): <0, 0, >0. */
int ul_version_compare(const char *a, const char *b);

/* name, version: 1 to 63 characters of [A-Za-z0-9._+~^-], name without '_' (it ends at the first). */
bool ul_image_name_valid(const char *name);
bool ul_image_version_valid(const char *version);
