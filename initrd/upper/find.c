/*
 * Which device is the upper's. Before: the policy names it; it may not be there yet. After: the path of the one device
 * that has the name. Nothing but that name is believed of what disks say of themselves.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "initrd/base/devices.h"
#include "initrd/upper/devices_named.h"
#include "initrd/upper/upper.h"

static const char what[] = "looking for the upper";

/* Its filesystem's label and UUID, of those that an upper may have. */
static bool identify(const struct ul_boot *b, int fd, const char *device, struct ul_device_names *ret)
{
	struct ul_policy quick = {.upper_filesystems = b->policy.upper_filesystems};
	struct ul_upper_probe found;
	struct ul_error err;

	if (ul_upper_probe(fd, device, &quick, &found, &err) < 0 || found.content != UL_UPPER_FILESYSTEM)
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
		return ul_error_set(err, UL_E_CONFIG, what, wanted, NULL, "%s", wrong);
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
			return ul_error_set(err, UL_E_UPPER, what, wanted, "Name one of them by its PARTUUID.",
					    "%zu devices have this name, %s and %s among them", s.n, s.found[0],
					    s.found[1]);
	} while (ul_devices_wait(b, &wait));
	return ul_error_set(err, UL_E_DEVICE, what, wanted, "Check the disk, and that the initramfs has its driver.",
			    "it did not appear in %g s", (double)b->policy.upper_timeout_us / 1e6);
}
