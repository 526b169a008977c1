#include "verity/disk/update_uki.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "verity/disk/disk_layout.h"

static const char WHAT[] = "updating the UKI";

#define LOADED_DIR "EFI/Linux"
#define PLAIN_DIR  "EFI/BOOT"
#define SLACK      (64u * 1024) /* bytes: clusters, and a directory that grows */

static const struct ul_partition *find_esp(const struct ul_gpt *gpt)
{
	for (size_t i = 0; i < gpt->n; i++)
		if (!strcmp(gpt->partitions[i].type, UL_DISK_TYPE_ESP))
			return &gpt->partitions[i];
	return NULL;
}

/*
 * NAME_VERSION of "NAME_VERSION+3-0.efi": systemd's Automatic Boot Assessment. A version may have a '+' itself, so what
 * stands behind the last one has to be a counter. false: it is not called like that.
 */
static bool label_of(const char *file, char ret[256])
{
	size_t len = strlen(file);
	char *plus;

	if (len < 5 || len >= 256 || strcasecmp(file + len - 4, ".efi") != 0 || !strchr(file, '_'))
		return false;
	memcpy(ret, file, len - 4);
	ret[len - 4] = '\0';
	plus = strrchr(ret, '+');
	if (plus && plus[1] && strspn(plus + 1, "0123456789-") == strlen(plus + 1))
		*plus = '\0';
	return true;
}

/* Whether it is a UKI of the name of the new image, `label`. */
static bool is_of_name(const char *file_label, const char *label)
{
	size_t len = (size_t)(strchr(label, '_') - label) + 1;

	return strncmp(file_label, label, len) == 0;
}

/* What goes, and the bytes that it gives back. */
static int choose_removed(struct ul_update_uki *plan, const struct ul_esp_entries *there, const struct ul_names *keep,
			  uint64_t *ret_given_back)
{
	const char *label = keep->at[keep->n - 1];
	char file_label[256];

	for (size_t i = 0; i < there->n; i++) {
		const struct ul_esp_entry *e = &there->at[i];
		bool own;

		if (!label_of(e->name, file_label) || !is_of_name(file_label, label) || !strcmp(e->name, plan->name))
			continue;
		own = strcmp(file_label, label) == 0;
		if (!own && ul_names_has(keep, file_label))
			continue;
		if (ul_names_add(&plan->remove, e->name) < 0)
			return -ENOMEM;
		/* The older counter of the same UKI goes when the new one is there. */
		*ret_given_back += own ? 0 : e->size;
	}
	return 0;
}

static void name_it(const struct ul_update_uki_options *o, const char *label, const struct ul_esp_entries *loaded,
		    struct ul_update_uki *plan)
{
	if (loaded->n > 0) {
		plan->dir = LOADED_DIR;
		if (o->tries)
			snprintf(plan->name, sizeof(plan->name), "%s+%u.efi", label, o->tries);
		else
			snprintf(plan->name, sizeof(plan->name), "%s.efi", label);
	} else {
		plan->dir = PLAIN_DIR;
		snprintf(plan->name, sizeof(plan->name), "BOOT%s.EFI", o->efi);
	}
	snprintf(plan->path, sizeof(plan->path), "%s/%s", plan->dir, plan->name);
}

static int check_room(const struct ul_update_uki_options *o, const char *disk, uint64_t room, uint64_t given_back,
		      struct ul_error *err)
{
	struct stat st;

	if (stat(o->uki, &st) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, o->uki, NULL, errno);
	if ((uint64_t)st.st_size + SLACK <= room + given_back)
		return 0;
	return ul_error_set(err, UL_E_INPUT, WHAT, disk, "Remove what is not needed there, or make it larger.",
			    "its EFI system partition has room for %" PRIu64 " bytes (%" PRIu64
			    " of them by UKIs whose images are gone), and the UKI needs %" PRIu64,
			    room + given_back, given_back, (uint64_t)st.st_size + SLACK);
}

int ul_update_uki_plan(const struct ul_update_uki_options *o, const char *disk, const struct ul_gpt *gpt,
		       const struct ul_names *keep, struct ul_update_uki *ret, struct ul_error *err)
{
	const struct ul_partition *esp = find_esp(gpt);
	struct ul_esp_entries loaded = {0};
	uint64_t room = 0, given_back = 0;
	int r;

	*ret = (struct ul_update_uki){.is_open = false};
	if (!esp)
		return ul_error_set(err, UL_E_INPUT, WHAT, disk, "Leave --uki out.",
				    "it has no EFI system partition that the UKI could be put on");
	r = ul_esp_files_open(disk, esp, &ret->esp, err);
	ret->is_open = r == 0;
	if (r == 0)
		r = ul_esp_files_list(&ret->esp, LOADED_DIR, &loaded, &room, err);
	if (r == 0)
		name_it(o, keep->at[keep->n - 1], &loaded, ret);
	if (r == 0 && choose_removed(ret, &loaded, keep, &given_back) < 0)
		r = ul_error_nomem(err, WHAT);
	ul_vector_free(&loaded);
	return r < 0 ? r : check_room(o, disk, room, given_back, err);
}

/* Remove what is planned to go: the UKIs of this label, or the others. */
static int remove_those(struct ul_update_uki *plan, const char *label, bool own, struct ul_error *err)
{
	char file_label[256];
	int r = 0;

	for (size_t i = 0; r == 0 && i < plan->remove.n; i++)
		if (label_of(plan->remove.at[i], file_label) && (strcmp(file_label, label) == 0) == own)
			r = ul_esp_files_remove(&plan->esp, plan->dir, plan->remove.at[i], err);
	return r;
}

/* Own older counters last: while both are there, systemd-boot takes the one that it may still try. */
int ul_update_uki_write(const struct ul_update_uki_options *o, struct ul_update_uki *plan, struct ul_error *err)
{
	char label[256] = "";
	int r;

	if (!label_of(plan->name, label))
		label[0] = '\0';
	r = remove_those(plan, label, false, err);
	if (r == 0)
		r = ul_esp_files_put(&plan->esp, o->uki, plan->dir, plan->name, err);
	return r < 0 ? r : remove_those(plan, label, true, err);
}

void ul_update_uki_close(struct ul_update_uki *plan)
{
	ul_names_free(&plan->remove);
	if (plan->is_open)
		ul_esp_files_close(&plan->esp);
}
