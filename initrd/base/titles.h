/* What messages call a slot and a lower. */
#pragma once

#include "initrd/base/boot.h"

/* "demo 1.2 on /dev/vda1". UL_TITLE_SIZE bytes are enough for what a label may hold. */
void ul_slot_title(const struct ul_slot *slot, char *buf, size_t size);

/* The title of a lower's slot, or "the shared directory 9p:TAG". */
void ul_lower_title(const struct ul_lower *lower, char *buf, size_t size);
