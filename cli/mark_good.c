/*
 * `underlay mark-good`: the system that runs came up. The trial of its image ends, a boot loader that counted takes its
 * kernel for good, and a watchdog that nobody took over stops.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/watchdog.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/state.h"
#include "cli/trials.h"
#include "common/cleanup.h"
#include "common/json.h"
#include "common/paths.h"
#include "verity/disk/bless.h"

#define WATCHDOG "/dev/watchdog0"
#define EFIVARS  "/sys/firmware/efi/efivars"

static const struct cli_option options[] = {
	{.help = NULL},
};

/* Opening it would start one that the boot did not. */
static bool is_armed(void)
{
	struct json_object *state = NULL;
	uint64_t seconds = 0;
	bool armed =
		cli_state_load(UL_PATH_STATE, &state, NULL) == 0 && ul_json_uint(state, "watchdogSeconds", &seconds);

	json_object_put(state);
	return armed && seconds > 0;
}

/* EBUSY: somebody took it over, and then it is not ours to stop. */
static void release_watchdog(void)
{
	ul_autoclose int fd = is_armed() ? open(WATCHDOG, O_WRONLY | O_CLOEXEC | O_NOCTTY) : -1;
	int off = WDIOS_DISABLECARD;

	if (fd < 0)
		return;
	(void)ioctl(fd, WDIOC_SETOPTIONS, &off);
	if (write(fd, "V", 1) == 1)
		puts("the watchdog, which nobody took over, is stopped");
}

static int mark(struct ul_disk_trials *trials, struct ul_error *err)
{
	struct ul_disk_trial *one = ul_disk_trials_running(trials);
	const struct ul_trial *entry = one ? ul_disk_trial_entry(trials, one) : NULL;
	char title[CLI_TRIAL_TITLE];
	int r = 0;

	if (!one) {
		puts("what runs here is not an image of this disk: nothing is marked");
		return 0;
	}
	cli_trial_title(one, title);
	if (entry && entry->state == UL_TRIAL_BAD && entry->reason == UL_TRIAL_ROLLED_BACK)
		printf("%s was taken back by command, and stays so; see `underlay slots forget`\n", title);
	else if (entry && entry->state == UL_TRIAL_GOOD)
		printf("%s is good already\n", title);
	else {
		struct ul_trial_image image = {one->root_hash, one->root_hash_len, one->version};

		ul_trial_set_good(&trials->store.record, &image);
		r = ul_trial_store_write(&trials->store, err);
		if (r == 0)
			printf("%s is good\n", title);
	}
	return r;
}

/* A boot loader that counted is not why a system that came up would fail: what goes wrong is told. */
static void bless(void)
{
	struct json_object *state = NULL, *lower = NULL;
	struct ul_bless_entry entry;
	struct ul_error err;
	const char *disk;
	char sentence[1200];
	int r = 0;

	if (cli_state_load(UL_PATH_STATE, &state, NULL) == 0)
		lower = cli_state_lower(state);
	disk = lower ? ul_json_string(lower, "disk") : NULL;
	if (disk)
		r = ul_bless(disk, EFIVARS, &entry, &err);
	if (r > 0)
		printf("%s/%s is good\n", entry.dir, entry.good);
	else if (r < 0)
		fprintf(stderr, "underlay: warning: %s\n", ul_error_sentence(&err, sentence, sizeof(sentence)));
	json_object_put(state);
}

static int run(void *arguments)
{
	struct ul_disk_trials trials;
	struct ul_error err;
	int r = cli_trials_open(NULL, UL_TRIAL_CHANGE, &trials, &err);

	(void)arguments;
	/* A machine that keeps no record has nothing to end; its unit does not fail for that. */
	if (r == -UL_E_DEVICE) {
		puts("this machine counts no starts");
		r = 0;
	} else if (r == 0) {
		r = mark(&trials, &err);
		ul_disk_trials_close(&trials);
	}
	if (r == 0) {
		bless();
		release_watchdog();
	}
	return r < 0 ? cli_fail(&err) : 0;
}

const struct cli_command cli_mark_good = {
	.name = "mark-good",
	.help = "say that the system that runs came up: its image's trial ends",
	.page = "underlay-slots",
	.options = options,
	.size = 1,
	.run = run,
};
