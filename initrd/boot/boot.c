/* The list of stages and the loop over it. */
#include "initrd/base/boot.h"

#include <errno.h>
#include <libkmod.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/paths.h"
#include "initrd/report/damage.h"
#include "initrd/base/log.h"

const struct ul_stage ul_stages[] = {
	{"early", ul_stage_early, UL_STAGE_PID1},
	{"policy", ul_stage_policy, 0},
	{"modules", ul_stage_modules, 0},
	{"root", ul_stage_root, 0},
	{"find", ul_stage_find, 0},
	{"verify", ul_stage_verify, UL_STAGE_SLOT},
	{"lower", ul_stage_lower, UL_STAGE_SLOT},
	{"upper", ul_stage_upper, 0},
	{"reconcile", ul_stage_reconcile, UL_STAGE_SLOT},
	{"database", ul_stage_database, 0},
	{"overlay", ul_stage_overlay, 0},
	{"system", ul_stage_system, 0},
	{"handover", ul_stage_handover, 0},
	{"pivot", ul_stage_pivot, UL_STAGE_PID1},
	{NULL, NULL, 0},
};

char *ul_boot_path(const struct ul_boot *b, const char *path, char *buf)
{
	/* Both parts are ours and short; a cut path would only name something that is not there. */
	snprintf(buf, PATH_MAX, "%s%s%s", b->root, *path == '/' ? "" : "/", path);
	return buf;
}

char *ul_lower_path(const struct ul_boot *b, const struct ul_lower *lower, const char *path, char *buf)
{
	snprintf(buf, PATH_MAX, "%s%s/%s", b->root, lower->mount, path);
	return buf;
}

const char *ul_boot_system(const struct ul_boot *b)
{
	return b->profile ? b->profile : b->lowers[b->n_lowers - 1].system;
}

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

void ul_boot_init(struct ul_boot *b)
{
	*b = (struct ul_boot){
		.conf_dir = "",
		.root = "/sysroot",
		.dev_dir = "/dev",
		.sys_dir = "/sys",
		.proc_dir = "/proc",
		.run_dir = UL_PATH_RUN,
		.handover_dir = "/run",
		.uevent_fd = -1,
		.upper = {.fd = -1, .lock_fd = -1},
		.start_us = ul_now_us(),
	};
	ul_policy_init(&b->policy);
}

void ul_lower_release(struct ul_boot *b, struct ul_lower *lower)
{
	char path[PATH_MAX];
	struct ul_error err;

	ul_manifest_close(lower->manifest);
	ul_buffer_free(&lower->made);
	ul_image_info_free(&lower->info);
	free(lower->system);
	free(lower->remount_hook);
	if (lower->filesystem && umount2(ul_boot_path(b, lower->mount, path), MNT_DETACH) < 0)
		ul_log(UL_LOG_WARNING, "lower: unmounting the refused image: %s: %s.", path, strerror(errno));
	if (lower->mapping[0] && ul_verity_deactivate(lower->mapping, &err) < 0)
		ul_log(UL_LOG_WARNING, "verify: %s: %s: %s.", err.what, err.object, err.why);
	if (lower->sealed)
		ul_seal_free(&lower->seal);
	if (lower->has_slot)
		ul_slot_free(&lower->slot);
	*lower = (struct ul_lower){0};
}

void ul_boot_free(struct ul_boot *b)
{
	for (size_t i = 0; i < b->n_lowers; i++) {
		struct ul_lower *lower = &b->lowers[i];

		/* What is mounted stays: the running system uses it. */
		lower->filesystem = NULL;
		lower->mapping[0] = '\0';
		ul_lower_release(b, lower);
	}
	ul_slots_free(&b->slots);
	for (size_t i = 0; i < b->n_files; i++)
		free(b->files[i]);
	for (size_t i = 0; i < b->n_loops; i++)
		close(b->loops[i]);
	for (size_t i = 0; i < b->n_disks_done; i++)
		free(b->disks_done[i]);
	free(b->disks_done);
	ul_reconcile_report_free(&b->reconcile);
	free(b->profile);
	ul_cleanup_close(&b->upper.lock_fd);
	ul_cleanup_close(&b->upper.fd);
	ul_trust_free(b->trust);
	if (b->kmod)
		kmod_unref(b->kmod);
	ul_cleanup_close(&b->uevent_fd);
	ul_policy_free(&b->policy);
}

static int run_one(struct ul_boot *b, const struct ul_stage *stage, struct ul_error *err)
{
	uint64_t start = ul_now_us();
	struct ul_stage_time *t = NULL;
	int r;

	/* A stage that runs again, for the next slot, adds to its time. */
	for (size_t i = 0; i < b->n_times; i++)
		if (b->times[i].name == stage->name)
			t = &b->times[i];
	if (!t && b->n_times < UL_BOOT_STAGES) {
		t = &b->times[b->n_times++];
		*t = (struct ul_stage_time){.name = stage->name, .start_us = start - b->start_us};
	}
	ul_log(UL_LOG_DEBUG, "%s: begins", stage->name);
	r = stage->run(b, err);
	start = ul_now_us() - start;
	if (t)
		t->took_us += start;
	ul_log(UL_LOG_DEBUG, "%s: %s after %.3f ms", stage->name, r < 0 ? "failed" : "done", (double)start / 1000);
	return r;
}

/* The slot in work is not used: say why, keep it for the report, make room for the next. */
static void refuse_slot(struct ul_boot *b, const char *stage, const struct ul_error *err)
{
	struct ul_lower *lower = &b->lowers[--b->n_lowers];
	char sentence[1200], title[160];

	ul_lower_title(lower, title, sizeof(title));
	ul_log(UL_LOG_ERROR, "%s: %s", stage, ul_error_sentence(err, sentence, sizeof(sentence)));
	ul_log(UL_LOG_WARNING, "%s: %s is not used%s", stage, title,
	       lower->shared ? "" : "; looking for another image");
	if (b->n_refusals < UL_BOOT_REFUSALS) {
		struct ul_refusal *refusal = &b->refusals[b->n_refusals++];

		refusal->stage = stage;
		refusal->err = *err;
		memcpy(refusal->slot, title, sizeof(title));
	}
	ul_lower_release(b, lower);
}

int ul_boot_run(struct ul_boot *b, const struct ul_stage *stages, struct ul_error *err)
{
	const struct ul_stage *find = stages;

	for (const struct ul_stage *s = stages; s->name; s++) {
		int r;

		if (s->flags & UL_STAGE_PID1 && !b->pid1)
			continue;
		if (!(s->flags & UL_STAGE_SLOT) && b->n_lowers == 0)
			find = s;
		r = run_one(b, s, err);
		if (r == 0)
			continue;
		if (b->n_lowers > 0)
			ul_damage_explain(b, &b->lowers[b->n_lowers - 1], err);
		if (s->flags & UL_STAGE_SLOT && b->n_lowers > 0 && r != -UL_E_UPPER) {
			refuse_slot(b, s->name, err);
			s = find - 1;
			continue;
		}
		if (!b->failed_stage)
			b->failed_stage = s->name;
		b->failure = *err;
		return r;
	}
	return 0;
}
