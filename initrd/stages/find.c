/*
 * Stage find. Before: drivers are loaded; earlier lowers, if any, are open. After: one more element of
 * b->lowers holds a slot that nobody has tried yet: the newest with the policy's name that did not use up its
 * tries (initrd/trial/trial.h). Only partition tables, labels and records were read; nothing is believed yet.
 * Devices that are not there are waited for by uevent.
 *
 * It runs again when the slot was refused, and takes the next one. When no slot is left, another disk may still
 * bring one during the policy's settle time; when that is over the first refusal is the failure.
 *
 * Where the policy's mode is insecure no slot is looked for: the element is the directory that the host shares.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "initrd/base/devices.h"
#include "initrd/base/log.h"
#include "initrd/base/titles.h"
#include "initrd/stages/find_file.h"
#include "initrd/stages/find_share.h"
#include "initrd/stages/stages.h"
#include "initrd/trial/trial.h"
#include "verity/format/partition_types.h"
#include "verity/lower/judge.h"

/* What the search has met: for the sentence when it ends without a slot. */
struct search {
	size_t n_disks;
	size_t n_other;            /* slots of another name */
	char other[UL_TITLE_SIZE]; /* one of them */
	struct ul_error broken;    /* the last disk that could not be read; code 0: none */
	enum ul_code told;         /* what was logged of it in the round before */
};

/* Drop the slots from `first` on that the policy does not want. */
static void keep_wanted(struct ul_boot *b, size_t first, struct search *s)
{
	const char *name = b->policy.name;
	struct ul_slot_list *all = &b->slots;

	for (size_t i = first; i < all->n;) {
		const struct ul_slot *slot = &all->at[i];

		if (ul_judge_label(slot, name)) {
			i++;
			continue;
		}
		s->n_other++;
		ul_slot_title(slot, s->other, sizeof(s->other));
		ul_log(UL_LOG_DEBUG, "find: %s: passed over, since the policy's [image] name is %s", s->other, name);
		ul_slots_remove(all, i);
	}
}

/* dev_dir: where its partitions' devices are; NULL: it is a file. */
static int probe_disk(struct ul_boot *b, const char *disk, const char *dev_dir, struct search *s, struct ul_error *err)
{
	size_t before = b->slots.n;
	struct ul_error why = {0};

	if (ul_names_has(&b->disks_done, disk))
		return 0;
	if (ul_slots_probe(disk, dev_dir, ul_designator_words[b->policy.designator], b->policy.root_hash, &b->slots,
			   &why) < 0) {
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
	return ul_names_add(&b->disks_done, disk) < 0 ? ul_error_nomem(err, "looking for images") : 0;
}

struct probing {
	struct ul_boot *b;
	struct search *s;
	struct ul_error *err;
};

static int probe_listed(void *context, const char *disk)
{
	struct probing *p = context;

	return probe_disk(p->b, disk, p->b->dev_dir, p->s, p->err);
}

static int probe_files(struct ul_boot *b, struct search *s, struct ul_error *err)
{
	struct ul_error why;
	int r = ul_find_files(b, &why);

	if (r < 0) {
		/* Not the end: the disk that is meant may still come. */
		if (s->told != why.code)
			ul_log(UL_LOG_DEBUG, "find: %s: %s: %s", why.what, why.object, why.why);
		s->broken = why;
		return 0;
	}
	for (size_t i = 0; r >= 0 && i < b->files.n; i++)
		r = probe_disk(b, b->files.at[i], NULL, s, err);
	return r < 0 ? r : 0;
}

static int probe(struct ul_boot *b, struct search *s, struct ul_error *err)
{
	struct probing listed = {b, s, err};
	int r = 0;

	*s = (struct search){.told = s->broken.code};
	if (b->policy.file)
		return probe_files(b, s, err);
	if (!b->policy.disks)
		return ul_devices_each_disk(b, probe_listed, &listed);
	for (char **name = b->policy.disks; r == 0 && *name; name++) {
		char disk[PATH_MAX];

		snprintf(disk, sizeof(disk), "%s%s%s", **name == '/' ? "" : b->dev_dir, **name == '/' ? "" : "/",
			 *name);
		if (access(disk, F_OK) == 0)
			r = probe_disk(b, disk, b->dev_dir, s, err);
	}
	return r;
}

static void describe_wanted(const struct ul_boot *b, char *buf, size_t size)
{
	const char *name = b->policy.name;
	char disks[200] = "a disk";

	if (b->policy.file) {
		snprintf(buf, size, "%.100s on %.100s", b->policy.file, b->policy.file_device);
		return;
	}
	if (b->policy.disks)
		snprintf(disks, sizeof(disks), "%s%s", b->policy.disks[0],
			 b->policy.disks[1] ? " (or another that the policy names)" : "");
	snprintf(buf, size, "%s with a signed image%s%s in a %s partition", disks, name ? " named " : "",
		 name ? name : "", ul_designator_words[b->policy.designator]);
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
		return ul_judge_no_label(wanted, s->other, err);
	return ul_error_set(err, UL_E_NO_IMAGE, what, wanted, "Write the image to a disk of this machine.",
			    b->files_found ? "none of the files (%zu) holds a signed image for this machine after %g s"
					   : "none of the disks (%zu) has such a partition after %g s",
			    s->n_disks, seconds);
}

static int take_best(struct ul_boot *b, struct ul_error *err)
{
	struct ul_lower *lower;
	char title[UL_TITLE_SIZE];
	size_t next;

	if (b->n_lowers == UL_BOOT_LOWERS)
		return ul_error_set(err, UL_E_SYSTEM, "opening another lower", NULL, NULL, "there are %d already",
				    UL_BOOT_LOWERS);
	ul_slots_sort(&b->slots);
	next = ul_trial_next(b);
	lower = &b->lowers[b->n_lowers++];
	*lower = (struct ul_lower){.slot = b->slots.at[next], .has_slot = true};
	ul_vector_remove(&b->slots, next); /* the lower owns it now */
	if (b->files_found) {
		int r = ul_find_attach(b, &lower->slot, err);

		if (r < 0)
			return r;
	}
	ul_slot_title(&lower->slot, title, sizeof(title));
	ul_log(UL_LOG_INFO, "find: %s%s%s", title, b->files_found ? ", of the file " : "",
	       b->files_found ? lower->slot.disk : "");
	return 0;
}

int ul_stage_find(struct ul_boot *b, struct ul_error *err)
{
	uint64_t begin = ul_now_us();
	struct search s = {0};
	char wanted[320];
	struct ul_wait wait;

	if (b->policy.verify_mode == UL_POLICY_INSECURE)
		return ul_find_share(b, err);
	describe_wanted(b, wanted, sizeof(wanted));
	if (!b->deadline_us)
		b->deadline_us = begin + b->policy.timeout_us;
	if (b->n_refusals > 0 && begin + b->policy.settle_us < b->deadline_us)
		b->deadline_us = begin + b->policy.settle_us;
	wait = (struct ul_wait){"find", wanted, begin, b->deadline_us, begin};
	do {
		int r = probe(b, &s, err);

		if (r < 0)
			return r;
		if (b->slots.n > 0)
			return take_best(b, err);
	} while (ul_devices_wait(b, &wait));
	return explain(b, &s, err);
}
