#include "cli/trials.h"

#include <stdio.h>
#include <sys/stat.h>

#include "cli/state.h"
#include "common/json.h"
#include "common/paths.h"
#include "verity/disk/disk_node.h"

#define EFIVARS "/sys/firmware/efi/efivars"

static bool is_block_device(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISBLK(st.st_mode);
}

static bool is_same_disk(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && ul_disk_is_same(&x, &y);
}

/* What the boot says; the texts are lent by the state. */
static void ask_state(struct json_object *state, struct ul_disk_trials_query *q)
{
	struct json_object *lower = cli_state_lower(state), *trial = NULL;
	const char *disk = lower ? ul_json_string(lower, "disk") : NULL;

	if (json_object_object_get_ex(state, "trial", &trial) && !q->disk)
		q->record = ul_json_string(trial, "disk");
	if (q->disk && !(disk && is_same_disk(disk, q->disk)))
		return;
	q->running = lower ? ul_json_string(lower, "rootHash") : NULL;
	/* An image in a file of a filesystem has no slots; its disk may have the record. */
	if (!q->disk && disk && is_block_device(disk))
		q->disk = disk;
	q->efivars = EFIVARS;
}

int cli_trials_open(const char *disk, enum ul_trial_access access, struct ul_disk_trials *ret, struct ul_error *err)
{
	struct ul_disk_trials_query q = {.disk = disk};
	struct json_object *state = NULL;
	int r = cli_state_load(UL_PATH_STATE, &state, err);

	if (r < 0 && !disk) {
		snprintf(err->todo, sizeof(err->todo), "Name the disk by --disk.");
		return r;
	}
	if (r == 0)
		ask_state(state, &q);
	r = ul_disk_trials_open(&q, access, ret, err);
	json_object_put(state);
	return r;
}

const char *cli_trial_title(const struct ul_disk_trial *t, char buf[CLI_TRIAL_TITLE])
{
	/* Names and versions are of letters that need no escaping. */
	snprintf(buf, CLI_TRIAL_TITLE, "%s%s%s", t->name[0] ? t->name : "an image", t->version[0] ? " " : "",
		 t->version);
	return buf;
}
