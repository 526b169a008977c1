/*
 * Stage find. Before: drivers are loaded; earlier lowers, if any, are open. After: one more element of
 * b->lowers holds a slot that nobody has tried yet: the newest with the policy's name. Only partition tables
 * and labels were read; nothing is believed yet. Devices that are not there are waited for by uevent.
 *
 * It runs again when the slot was refused. Then the next one is taken; when there is none, another disk
 * may still bring one during the policy's settle time; when that is over the first refusal is the failure.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "initrd/boot.h"
#include "initrd/log.h"
#include "verity/partition_types.h"

#define DISKS_MAX 256
#define REPORT_US 5000000ULL /* between two lines that say what is waited for */
#define RESCAN_MS 1000       /* names that udev makes, and lost events */

/* What the search has met: for the sentence when it ends without a slot. */
struct search {
	size_t n_disks;
	size_t n_other;         /* slots of another name */
	char other[160];        /* one of them */
	struct ul_error broken; /* the last disk that could not be read; code 0: none */
	enum ul_code told;      /* what was logged of it in the round before */
};

static bool is_done(const struct ul_boot *b, const char *disk)
{
	for (size_t i = 0; i < b->n_disks_done; i++)
		if (!strcmp(b->disks_done[i], disk))
			return true;
	return false;
}

static int mark_done(struct ul_boot *b, const char *disk)
{
	char **grown = reallocarray(b->disks_done, b->n_disks_done + 1, sizeof(char *));

	if (!grown)
		return -ENOMEM;
	b->disks_done = grown;
	grown[b->n_disks_done] = strdup(disk);
	if (!grown[b->n_disks_done])
		return -ENOMEM;
	b->n_disks_done++;
	return 0;
}

/* Drop the slots from `first` on that the policy does not want. */
static void keep_wanted(struct ul_boot *b, size_t first, struct search *s)
{
	const char *name = b->policy.name;
	struct ul_slot_list *all = &b->slots;
	size_t kept = first;

	for (size_t i = first; i < all->n; i++) {
		struct ul_slot *slot = &all->slots[i];
		bool wanted = !name || !*name || !strcmp(name, slot->name);
		struct ul_slot unwanted = *slot;

		if (wanted) {
			*slot = all->slots[kept];
			all->slots[kept++] = unwanted;
			continue;
		}
		s->n_other++;
		ul_slot_title(slot, s->other, sizeof(s->other));
		ul_log(UL_LOG_DEBUG, "find: %s: another name than the policy's", s->other);
	}
	while (all->n > kept) {
		struct ul_slot_list one = {.slots = malloc(sizeof(struct ul_slot)), .n = 1};

		if (!one.slots)
			return;
		one.slots[0] = all->slots[--all->n];
		ul_slots_free(&one);
	}
}

static int probe_disk(struct ul_boot *b, const char *disk, struct search *s, struct ul_error *err)
{
	static const char *const designators[] = {"usr", "root"};
	size_t before = b->slots.n;
	struct ul_error why = {0};

	if (is_done(b, disk))
		return 0;
	if (ul_slots_probe(disk, b->dev_dir, designators[b->policy.designator], &b->slots, &why) <
	    0) {
		if (s->told != why.code)
			ul_log(UL_LOG_DEBUG, "find: %s: %s: %s", why.what, why.object, why.why);
		s->broken = why;
		return 0;
	}
	s->n_disks++;
	if (b->slots.n == before)
		return 0;
	keep_wanted(b, before, s);
	if (b->slots.n == before)
		return 0; /* looked at again, so that the end of the search still counts it */
	return mark_done(b, disk) < 0 ? ul_error_nomem(err, "looking for images") : 0;
}

/* Disks that hold nothing of ours: memory disks, our own mappings, loop devices without a file. */
static bool worth_a_look(const struct ul_boot *b, const char *name)
{
	static const char *const others[] = {"ram", "zram", "dm-", "fd"};
	ul_autobuffer struct ul_buffer text = {0};
	char path[PATH_MAX];

	for (size_t i = 0; i < UL_ARRAY_SIZE(others); i++)
		if (!strncmp(name, others[i], strlen(others[i])))
			return false;
	snprintf(path, sizeof(path), "%s/block/%s/size", b->sys_dir, name);
	/* sysfs calls every file 4096 bytes long. */
	return ul_read_file(AT_FDCWD, path, 4096, &text) == 0 && text.len > 0 &&
	       text.data[0] != '0';
}

static int probe_all(struct ul_boot *b, struct search *s, struct ul_error *err)
{
	ul_autofree char *path = ul_path_join(b->sys_dir, "block");
	DIR *dir = path ? opendir(path) : NULL;
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return 0; /* no disk driver yet */
	for (size_t n = 0; r == 0 && n < DISKS_MAX && (entry = readdir(dir)); n++) {
		char disk[PATH_MAX];

		if (entry->d_name[0] == '.' || !worth_a_look(b, entry->d_name))
			continue;
		snprintf(disk, sizeof(disk), "%s/%s", b->dev_dir, entry->d_name);
		/* sysfs writes "cciss!c0d0" for /dev/cciss/c0d0. */
		for (char *p = disk; *p; p++)
			if (*p == '!')
				*p = '/';
		r = probe_disk(b, disk, s, err);
	}
	closedir(dir);
	return r;
}

static int probe(struct ul_boot *b, struct search *s, struct ul_error *err)
{
	int r = 0;

	*s = (struct search){.told = s->broken.code};
	if (!b->policy.disks || !b->policy.disks[0])
		return probe_all(b, s, err);
	for (char **name = b->policy.disks; r == 0 && *name; name++) {
		char disk[PATH_MAX];

		snprintf(disk, sizeof(disk), "%s%s%s", **name == '/' ? "" : b->dev_dir,
			 **name == '/' ? "" : "/", *name);
		if (access(disk, F_OK) == 0)
			r = probe_disk(b, disk, s, err);
	}
	return r;
}

static void describe_wanted(const struct ul_boot *b, char *buf, size_t size)
{
	const char *name = b->policy.name;
	char disks[200] = "a disk";

	if (b->policy.disks && b->policy.disks[0])
		snprintf(disks, sizeof(disks), "%s%s", b->policy.disks[0],
			 b->policy.disks[1] ? " (or another that the policy names)" : "");
	snprintf(buf, size, "%s with a signed image%s%s in a %s partition", disks,
		 name && *name ? " named " : "", name && *name ? name : "",
		 b->policy.designator ? "root" : "usr");
}

/* Sleep until a device appears, or a second passes. Drivers that new devices ask for are loaded. */
static void wait_for_devices(struct ul_boot *b, uint64_t left_us)
{
	struct pollfd event = {.fd = b->uevent_fd, .events = POLLIN};
	char message[UL_UEVENT_MAX];
	struct ul_uevent uevent;
	int ms = left_us / 1000 < RESCAN_MS ? (int)(left_us / 1000) + 1 : RESCAN_MS;

	if (poll(&event, 1, ms) <= 0)
		return;
	while (ul_uevent_receive(b->uevent_fd, message, &uevent) == 1)
		if (uevent.modalias && !strcmp(uevent.action, "add") && b->policy.coldplug)
			ul_modules_load_for_device(b, uevent.modalias);
	ul_modules_reap(b);
}

/* The search is over: why there is no slot. */
static int explain(struct ul_boot *b, const struct search *s, struct ul_error *err)
{
	static const char what[] = "looking for an image";
	double seconds = (double)b->policy.timeout_us / 1e6;
	char wanted[320];

	if (b->n_refusals > 0) {
		*err = b->refusals[0].err;
		b->failed_stage = b->refusals[0].stage;
		b->failure_logged = b->n_refusals == 1;
		return -(int)err->code;
	}
	if (s->broken.code == UL_E_PARTITIONS || (s->broken.code && s->n_disks == 0)) {
		*err = s->broken;
		return -(int)err->code;
	}
	describe_wanted(b, wanted, sizeof(wanted));
	if (s->n_disks == 0)
		return ul_error_set(err, UL_E_DEVICE, what, wanted,
				    "Check the disk, and that the initramfs has its driver.",
				    "no disk appeared in %g s", seconds);
	if (s->n_other > 0)
		return ul_error_set(err, UL_E_NO_IMAGE, what, wanted,
				    "Install the image, or correct [image] name.",
				    "there is only %s", s->other);
	return ul_error_set(err, UL_E_NO_IMAGE, what, wanted,
			    "Write the image to a disk of this machine.",
			    "no disk of %zu has such a partition after %g s", s->n_disks, seconds);
}

static int take_best(struct ul_boot *b, struct ul_error *err)
{
	struct ul_lower *lower;
	char title[160];

	if (b->n_lowers == UL_BOOT_LOWERS)
		return ul_error_set(err, UL_E_SYSTEM, "opening another lower", NULL, NULL,
				    "there are %d already", UL_BOOT_LOWERS);
	ul_slots_sort(&b->slots);
	lower = &b->lowers[b->n_lowers++];
	*lower = (struct ul_lower){.slot = b->slots.slots[0], .has_slot = true};
	memmove(&b->slots.slots[0], &b->slots.slots[1], --b->slots.n * sizeof(b->slots.slots[0]));
	ul_slot_title(&lower->slot, title, sizeof(title));
	ul_log(UL_LOG_INFO, "find: %s", title);
	return 0;
}

int ul_stage_find(struct ul_boot *b, struct ul_error *err)
{
	uint64_t begin = ul_now_us(), told = begin;
	struct search s = {0};
	char wanted[320];

	describe_wanted(b, wanted, sizeof(wanted));
	if (!b->deadline_us)
		b->deadline_us = begin + b->policy.timeout_us;
	if (b->n_refusals > 0 && begin + b->policy.settle_us < b->deadline_us)
		b->deadline_us = begin + b->policy.settle_us;
	for (;;) {
		uint64_t now;
		int r = probe(b, &s, err);

		if (r < 0)
			return r;
		if (b->slots.n > 0)
			return take_best(b, err);
		if (!b->slow_drivers)
			ul_modules_start_slow(b);
		now = ul_now_us();
		if (now >= b->deadline_us)
			return explain(b, &s, err);
		if (now - told >= REPORT_US) {
			told = now;
			ul_log(UL_LOG_INFO, "find: waiting for %s (%.0f s of %.0f s)", wanted,
			       (double)(now - begin) / 1e6, (double)(b->deadline_us - begin) / 1e6);
		}
		wait_for_devices(b, b->deadline_us - now);
	}
}
