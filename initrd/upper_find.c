/* Which device is the upper's: the policy names it, and what the disks say of themselves is believed in nothing else. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "initrd/devices.h"
#include "initrd/log.h"
#include "initrd/upper.h"
#include "verity/gpt.h"
#include "verity/partition_device.h"

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

/* What has the name, in one round over the disks. */
struct search {
	struct ul_boot *b;
	const struct ul_upper_name *name;
	char found[2][128]; /* the first two */
	size_t n, n_near;   /* all; of them on the lower's disk */
	const char *disk;   /* that is looked at */
	char near[128];
};

static void add(struct search *s, const char *device)
{
	const struct ul_boot *b = s->b;
	const struct ul_lower *lower = b->n_lowers ? &b->lowers[b->n_lowers - 1] : NULL;

	if (strlen(device) >= sizeof(s->found[0]))
		return; /* no name that the kernel gives */
	if (s->n < UL_ARRAY_SIZE(s->found))
		snprintf(s->found[s->n], sizeof(s->found[0]), "%s", device);
	s->n++;
	if (lower && lower->has_slot && lower->slot.disk && !strcmp(lower->slot.disk, s->disk)) {
		snprintf(s->near, sizeof(s->near), "%s", device);
		s->n_near++;
	}
}

/* Its filesystem's label or UUID. */
static void look_inside(void *context, const char *device)
{
	struct search *s = context;
	struct ul_policy quick = {.upper_filesystems = s->b->policy.upper_filesystems};
	ul_autoclose int fd = open(device, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct ul_upper_probe found;
	struct ul_error err;

	if (fd < 0 || ul_upper_probe(fd, device, &quick, &found, &err) < 0 ||
	    found.content != UL_UPPER_FILESYSTEM)
		return;
	if (!strcmp(s->name->value, s->name->by == UL_UPPER_BY_UUID ? found.uuid : found.label))
		add(s, device);
}

static void look_at_table(struct search *s, int fd, dev_t dev)
{
	const struct ul_upper_name *name = s->name;
	struct ul_gpt gpt = {0};
	struct ul_error err;

	/* Another disk's damage is not the upper's: what cannot be read is not it. */
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
	else if (ul_partition_devices(s->b->sys_dir, s->b->dev_dir, st.st_rdev, look_inside, s) ==
		 0)
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
		struct search s = {.b = b, .name = &name};
		const char *one;

		if (name.by == UL_UPPER_BY_PATH)
			look_at_path(&s);
		else
			(void)ul_devices_each_disk(b, look_at_disk, &s);
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
