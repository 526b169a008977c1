/* What messages call a lower; what they call a slot is ul_slot_title of verity/open/slots.h. */
#pragma once

#include "initrd/base/boot.h"

/* The title of a lower's slot, or "the shared directory 9p:TAG". */
void ul_lower_title(const struct ul_lower *lower, char *buf, size_t size);
