#include "initrd/upper/devices_named.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "initrd/base/devices.h"
#include "verity/format/gpt.h"
#include "verity/open/partition_device.h"

/* What has the name, in one round over the disks. */
struct search {
	const struct ul_boot *b;
	const struct ul_upper_name *name;
	ul_identify_fn identify;
	const char *disk; /* that is looked at */
	struct ul_devices_found *found;
};

static void add(struct search *s, const char *device)
{
	const struct ul_boot *b = s->b;
	const struct ul_lower *lower = b->n_lowers ? &b->lowers[b->n_lowers - 1] : NULL;
	struct ul_devices_found *f = s->found;

	if (strlen(device) >= sizeof(f->found[0]))
		return; /* a name that the kernel does not give */
	if (f->n < UL_ARRAY_SIZE(f->found))
		snprintf(f->found[f->n], sizeof(f->found[0]), "%s", device);
	f->n++;
	if (lower && lower->has_slot && lower->slot.disk && !strcmp(lower->slot.disk, s->disk)) {
		snprintf(f->near, sizeof(f->near), "%s", device);
		f->n_near++;
	}
}

/* Its filesystem's label or UUID. */
static void look_inside(void *context, const char *device)
{
	struct search *s = context;
	ul_autoclose int fd = open(device, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct ul_device_names names = {0};

	if (fd < 0 || !s->identify(s->b, fd, device, &names))
		return;
	if (!strcmp(s->name->value, s->name->by == UL_UPPER_BY_UUID ? names.uuid : names.label))
		add(s, device);
}

static void look_at_table(struct search *s, int fd, dev_t dev)
{
	const struct ul_upper_name *name = s->name;
	struct ul_gpt gpt = {0};
	struct ul_error err;

	/* Another disk's damage is its own matter: what cannot be read is not what is looked for. */
	if (ul_gpt_read(fd, s->disk, &gpt, &err) < 0)
		return;
	for (size_t i = 0; i < gpt.n; i++) {
		const struct ul_partition *p = &gpt.partitions[i];
		ul_autofree char *device = NULL;
		const char *has = name->by == UL_UPPER_BY_PARTLABEL  ? p->label
				  : name->by == UL_UPPER_BY_PARTUUID ? p->uuid
								     : p->type;

		/* While the kernel has not made it, a uevent is still to come. */
		if (!strcmp(has, name->value) &&
		    ul_partition_device(s->b->sys_dir, s->b->dev_dir, dev, p, &device, &err) == 0)
			add(s, device);
	}
	ul_gpt_free(&gpt);
}

static int look_at_disk(void *context, const char *disk)
{
	struct search *s = context;
	ul_autoclose int fd = open(disk, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode))
		return 0;
	s->disk = disk;
	if (s->name->by != UL_UPPER_BY_LABEL && s->name->by != UL_UPPER_BY_UUID)
		look_at_table(s, fd, st.st_rdev);
	else if (ul_partition_devices(s->b->sys_dir, s->b->dev_dir, st.st_rdev, look_inside, s) == 0)
		look_inside(s, disk);
	return 0;
}

static void look_at_path(struct search *s)
{
	struct stat st;

	s->disk = s->name->value;
	if (stat(s->name->value, &st) == 0 && S_ISBLK(st.st_mode))
		add(s, s->name->value);
}

void ul_devices_named(const struct ul_boot *b, const struct ul_upper_name *name, ul_identify_fn identify,
		      struct ul_devices_found *ret)
{
	struct search s = {.b = b, .name = name, .identify = identify, .found = ret};

	*ret = (struct ul_devices_found){0};
	if (name->by == UL_UPPER_BY_PATH)
		look_at_path(&s);
	else
		(void)ul_devices_each_disk(b, look_at_disk, &s);
}
