/* What messages call a slot and a lower. */
#pragma once

#include "initrd/base/boot.h"

#define UL_TITLE_SIZE 160 /* bytes, with the NUL */

/* "demo 1.2 on /dev/vda1". */
void ul_slot_title(const struct ul_slot *slot, char *buf, size_t size);

/* The title of a lower's slot, or "the shared directory 9p:TAG". */
void ul_lower_title(const struct ul_lower *lower, char *buf, size_t size);
