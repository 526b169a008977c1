#include "initrd/base/titles.h"

#include <stdio.h>

void ul_lower_title(const struct ul_lower *lower, char *buf, size_t size)
{
	if (lower->shared)
		snprintf(buf, size, "the shared directory %s", lower->device);
	else
		ul_slot_title(&lower->slot, buf, size);
}
