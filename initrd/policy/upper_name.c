/* How the policy names a device: parsed on the build machine too, so without anything of the boot. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "initrd/policy/upper_name.h"

/* The Discoverable Partitions Specification's types (UAPI.2) that an upper may be of. */
static const struct {
	const char *name, *uuid;
} types[] = {
	{"var", "4d21b016-b534-45c2-a9fb-5c16e091fd2d"},
	{"srv", "3b8f8425-20e0-4f3b-907f-1a25a76f98e8"},
	{"linux-generic", "0fc63daf-8483-4772-8e79-3d69d8477de4"},
};

bool ul_upper_is_uuid(const char *text)
{
	size_t len = strlen(text);

	if (len != 36)
		return false;
	for (size_t i = 0; i < len; i++)
		if (i == 8 || i == 13 || i == 18 || i == 23 ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
			return false;
	return true;
}

const char *ul_upper_parse_name(const char *text, struct ul_upper_name *ret)
{
	static const char *const prefixes[] = {
		[UL_UPPER_BY_PARTLABEL] = "PARTLABEL=", [UL_UPPER_BY_PARTUUID] = "PARTUUID=",
		[UL_UPPER_BY_PARTTYPE] = "PARTTYPE=",   [UL_UPPER_BY_LABEL] = "LABEL=",
		[UL_UPPER_BY_UUID] = "UUID=",
	};
	struct ul_upper_name name = {.by = UL_UPPER_BY_PATH};
	const char *value = text;

	for (size_t i = UL_UPPER_BY_PARTLABEL; i < UL_ARRAY_SIZE(prefixes); i++) {
		size_t len = strlen(prefixes[i]);

		if (!strncmp(text, prefixes[i], len)) {
			name.by = (enum ul_upper_by)i;
			value = text + len;
		}
	}
	for (size_t i = 0; name.by == UL_UPPER_BY_PARTTYPE && i < UL_ARRAY_SIZE(types); i++)
		if (!strcmp(value, types[i].name))
			value = types[i].uuid;
	if (!*value)
		return "no name follows";
	if (snprintf(name.value, sizeof(name.value), "%s", value) >= (int)sizeof(name.value))
		return "it is too long";
	if (name.by == UL_UPPER_BY_PATH && *value != '/')
		return "it is neither a path nor a name";
	if (name.by == UL_UPPER_BY_PARTTYPE && !ul_upper_is_uuid(value))
		return "a partition's type is a UUID, var, srv or linux-generic";
	if (name.by == UL_UPPER_BY_PARTUUID && !ul_upper_is_uuid(value))
		return "a partition's UUID has 32 digits and four dashes";
	for (char *p = name.value;
	     name.by != UL_UPPER_BY_PATH && name.by != UL_UPPER_BY_LABEL && name.by != UL_UPPER_BY_PARTLABEL && *p; p++)
		*p = (char)tolower((unsigned char)*p);
	*ret = name;
	return NULL;
}
