/* Which device is the upper's: the policy names it, and what the disks say of themselves is believed in nothing else. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "initrd/devices.h"
#include "initrd/devices_named.h"
#include "initrd/upper.h"

static const char WHAT[] = "looking for the upper";

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
		if (i == 8 || i == 13 || i == 18 || i == 23 ? text[i] != '-'
							    : !isxdigit((unsigned char)text[i]))
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
		return "nothing is named";
	if (snprintf(name.value, sizeof(name.value), "%s", value) >= (int)sizeof(name.value))
		return "it is too long";
	if (name.by == UL_UPPER_BY_PATH && *value != '/')
		return "it is neither a path nor a name";
	if (name.by == UL_UPPER_BY_PARTTYPE && !ul_upper_is_uuid(value))
		return "a partition's type is a UUID, var, srv or linux-generic";
	if (name.by == UL_UPPER_BY_PARTUUID && !ul_upper_is_uuid(value))
		return "a partition's UUID has 32 digits and four dashes";
	for (char *p = name.value; name.by != UL_UPPER_BY_PATH && name.by != UL_UPPER_BY_LABEL &&
				   name.by != UL_UPPER_BY_PARTLABEL && *p;
	     p++)
		*p = (char)tolower((unsigned char)*p);
	*ret = name;
	return NULL;
}

/* Its filesystem's label and UUID, of those that an upper may have. */
static bool identify(const struct ul_boot *b, int fd, const char *device,
		     struct ul_device_names *ret)
{
	struct ul_policy quick = {.upper_filesystems = b->policy.upper_filesystems};
	struct ul_upper_probe found;
	struct ul_error err;

	if (ul_upper_probe(fd, device, &quick, &found, &err) < 0 ||
	    found.content != UL_UPPER_FILESYSTEM)
		return false;
	snprintf(ret->uuid, sizeof(ret->uuid), "%s", found.uuid);
	snprintf(ret->label, sizeof(ret->label), "%s", found.label);
	return true;
}

int ul_upper_find(struct ul_boot *b, char ret_device[128], struct ul_error *err)
{
	const char *wanted = b->policy.upper_device ? b->policy.upper_device : "";
	uint64_t begin = ul_now_us();
	struct ul_wait wait = {"upper", wanted, begin, begin + b->policy.upper_timeout_us, begin};
	struct ul_upper_name name;
	const char *wrong = ul_upper_parse_name(wanted, &name);

	if (wrong)
		return ul_error_set(err, UL_E_CONFIG, WHAT, wanted, NULL, "%s", wrong);
	do {
		struct ul_devices_found s;
		const char *one;

		ul_devices_named(b, &name, identify, &s);
		one = s.n == 1 ? s.found[0] : NULL;
		if (s.n > 1 && s.n_near == 1 && name.by == UL_UPPER_BY_PARTTYPE)
			one = s.near;
		if (one) {
			snprintf(ret_device, sizeof(s.near), "%s", one);
			return 0;
		}
		if (s.n > 1)
			return ul_error_set(err, UL_E_UPPER, WHAT, wanted,
					    "Name one of them by its PARTUUID.",
					    "%zu devices have this name, %s and %s among them", s.n,
					    s.found[0], s.found[1]);
	} while (ul_devices_wait(b, &wait));
	return ul_error_set(err, UL_E_DEVICE, WHAT, wanted,
			    "Check the disk, and that the initramfs has its driver.",
			    "it did not appear in %g s", (double)b->policy.upper_timeout_us / 1e6);
}
