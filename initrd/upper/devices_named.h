/* The devices that have a name: what disks say of themselves is believed in nothing but that. */
#pragma once

#include "initrd/upper/upper.h"

/* What the filesystem on a device calls itself. */
struct ul_device_names {
	char uuid[UL_UPPER_UUID]; /* in lower case */
	char label[256];
};

/* false: the device does not hold a filesystem that is looked for. */
typedef bool (*ul_identify_fn)(const struct ul_boot *b, int fd, const char *device, struct ul_device_names *ret);

struct ul_devices_found {
	char found[2][128]; /* the first two */
	size_t n, n_near;   /* how many in all; how many on the disk of the lower that is open */
	char near[128];
};

/* One round over the disks that are there now. */
void ul_devices_named(const struct ul_boot *b, const struct ul_upper_name *name, ul_identify_fn identify,
		      struct ul_devices_found *ret);
