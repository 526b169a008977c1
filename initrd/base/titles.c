#include "initrd/base/titles.h"

#include <stdio.h>

void ul_slot_title(const struct ul_slot *slot, char *buf, size_t size)
{
	char text[400];

	snprintf(text, sizeof(text), "%s%s%s on %s", slot->name[0] ? slot->name : "an image",
		 slot->version[0] ? " " : "", slot->version, slot->data.device ? slot->data.device : slot->disk);
	ul_escape_text(buf, size, text);
}

void ul_lower_title(const struct ul_lower *lower, char *buf, size_t size)
{
	if (lower->shared)
		snprintf(buf, size, "the shared directory %s", lower->device);
	else
		ul_slot_title(&lower->slot, buf, size);
}
