/* How the policy names a device: parsed on the build machine too, so without anything of the boot. */
#pragma once

#include <stdbool.h>

#define UL_UPPER_UUID 37 /* bytes of a UUID as text, with its end */

enum ul_upper_by {
	UL_UPPER_BY_PATH,
	UL_UPPER_BY_PARTLABEL,
	UL_UPPER_BY_PARTUUID,
	UL_UPPER_BY_PARTTYPE,
	UL_UPPER_BY_LABEL,
	UL_UPPER_BY_UUID,
};

struct ul_upper_name {
	enum ul_upper_by by;
	char value[112]; /* UUIDs in lower case; a path as it was given */
};

/* Parse "PARTLABEL=x", "/dev/x", ...; PARTTYPE= knows a few names beside UUIDs. NULL, or what is wrong with it. */
const char *ul_upper_parse_name(const char *text, struct ul_upper_name *ret);

bool ul_upper_is_uuid(const char *text);
