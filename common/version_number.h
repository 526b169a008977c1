/*
 * The number that a program or a kernel says as its version: "6.12.57-amd64", "2.26.3". Two parts of it count here.
 * An image's version is another thing: verity/format/version.h.
 */
#pragma once

#include <stdbool.h>

/*
 * Compare MAJOR.MINOR at the start of text. 1: at least the wanted one; 0: older; -1: the text (NULL too) does not
 * begin with two numbers and a dot between them.
 */
int ul_version_at_least(const char *text, unsigned int major, unsigned int minor);
