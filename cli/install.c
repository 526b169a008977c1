/* `underlay install`: the arguments, and which image runs; the work is verity/disk's. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/disk_options.h"
#include "cli/state.h"
#include "common/encoding.h"
#include "common/json.h"
#include "common/paths.h"
#include "verity/disk/install.h"

struct arguments {
	struct cli_disk_arguments disk;
	struct ul_install_options options;
	const char *sector;
};

#define AT(member) offsetof(struct arguments, member)

static const struct cli_option options[] = {
	{NULL, 0, "DEVICE", CLI_FILE, AT(options.device), CLI_NEEDED,
	 .help = "the whole disk, or a file of its size that stands for one"},
	{"image", 0, "IMAGE", CLI_FILE, AT(disk.spec.image), 0,
	 .help = "the store image of the first slot; the one that runs here when not given"},
	CLI_UKI_ROW(AT(disk.spec.uki)),
	CLI_BOOT_LOADER_ROW(AT(disk.spec.boot_loader)),
	CLI_TRIES_ROW(AT(disk.tries)),
	CLI_SLOTS_ROW(AT(disk.slots)),
	CLI_SLOT_SIZE_ROW(AT(disk.slot_size)),
	CLI_UPPER_SIZE_ROW(AT(disk.upper_size), "what the disk leaves"),
	CLI_ESP_SIZE_ROW(AT(disk.esp_size)),
	{"sector-size", 0, "512|4096", CLI_WORD, AT(sector), 0,
	 .help = "bytes of a sector of the disk that a file stands for; 512 when not given. A disk tells its own"},
	{"erase", 0, "DEVICE", CLI_FILE, AT(options.erase), 0,
	 .help = "the device once more: all that is on it may go"},
	{"json", 0, NULL, CLI_FLAG, AT(disk.json), 0, .help = "print the summary as JSON"},
	{.help = NULL},
};

static const struct cli_rule rules[] = {
	{CLI_NEEDS, "--tries --boot-loader", "without one nothing counts"},
	{.members = NULL},
};

/* The image that runs, as the boot tells it. */
struct running {
	struct json_object *state;
	const char *disk;
	struct ul_source_pick pick;
};

static bool read_root_hash(struct json_object *lower, struct ul_source_pick *pick)
{
	const char *hex = ul_json_string(lower, "rootHash");
	size_t len = hex ? strlen(hex) : 0;

	pick->root_hash_len = len / 2;
	return len > 0 && len / 2 <= sizeof(pick->root_hash) && ul_hex_decode(hex, len, pick->root_hash, len / 2);
}

/* -UL_E_INPUT: what runs lies on no disk. As cli_state_load. */
static int find_running(struct running *r, struct ul_error *err)
{
	struct json_object *lower;
	int failed = cli_state_load(UL_PATH_STATE, &r->state, err);

	if (failed < 0) {
		snprintf(err->todo, sizeof(err->todo), "Give the image by --image.");
		return failed;
	}
	lower = cli_state_lower(r->state);
	r->disk = lower ? ul_json_string(lower, "disk") : NULL;
	r->pick.device = lower ? ul_json_string(lower, "device") : NULL;
	if (r->disk && read_root_hash(lower, &r->pick))
		return 0;
	return ul_error_set(err, UL_E_INPUT, "looking for the image that runs", UL_PATH_STATE, "Give one by --image.",
			    "it does not tell of an image on a disk");
}

static int install(struct arguments *a, struct ul_install_result *result, struct ul_error *err)
{
	struct running running = {.state = NULL};
	struct ul_error unknown;
	int r = find_running(&running, a->disk.spec.image ? &unknown : err);

	a->options.system_disk = running.disk;
	if (a->disk.spec.image) {
		r = 0;
	} else if (r == 0) {
		a->disk.spec.image = running.disk;
		a->options.pick = &running.pick;
	}
	if (r == 0)
		r = cli_disk_spec(&a->disk, err);
	a->options.spec = a->disk.spec;
	a->options.spec.sector = a->sector ? cli_sector_size(a->sector) : 0;
	if (r == 0)
		r = ul_install(&a->options, result, err);
	json_object_put(running.state);
	return r;
}

static int run(void *arguments)
{
	struct arguments *a = arguments;
	struct ul_install_result result = {.reread_errno = 0};
	struct ul_error err;
	int r;

	a->options.progress = cli_progress();
	cli_catch_signals();
	a->options.cancelled = cli_interrupted;
	r = install(a, &result, &err);
	cli_progress_done();
	if (r < 0)
		return cli_fail(&err);
	if (result.reread_errno)
		fprintf(stderr, "underlay: note: the kernel did not read the new table (%s): blockdev --rereadpt %s.\n",
			strerror(result.reread_errno), a->options.device);
	return cli_disk_print(&a->disk, a->options.device, &result.disk);
}

const struct cli_command cli_install = {
	.name = "install",
	.help = "make a machine's disk boot an image and a UKI",
	.page = "underlay-install",
	.options = options,
	.rules = rules,
	.size = sizeof(struct arguments),
	.run = run,
};
