/* `underlay update`: the arguments, what runs from the disk, and the summary; the work is verity/disk's. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/efi_machine.h"
#include "cli/image_requirements.h"
#include "cli/state.h"
#include "common/json.h"
#include "common/paths.h"
#include "verity/disk/disk_node.h"
#include "verity/disk/update.h"

struct arguments {
	struct ul_update_options options;
	struct cli_demand_options demands;
	uint32_t slot, tries;
	bool json;
};

#define AT(member) offsetof(struct arguments, member)

static const struct cli_option options[] = {
	{NULL, 0, "IMAGE", CLI_FILE, AT(options.image), CLI_NEEDED,
	 .help = "the image, as it was shipped: a file, or a disk with one image; -: standard input"},
	{"disk", 0, "DISK", CLI_FILE, AT(options.disk), 0,
	 .help = "the disk, or its file; the one that the machine was booted from when not given"},
	CLI_CERT_ROW(AT(demands)),
	CLI_CERTS_ROW(AT(demands)),
	CLI_POLICY_ROW(AT(demands)),
	CLI_ROLLBACK_ROW(AT(demands)),
	CLI_NAME_ROW(AT(demands)),
	{"slot", 0, "N", CLI_NUMBER32, AT(slot), 0, .min = 1, .max = UL_GPT_ENTRIES_MAX,
	 .help = "write the slot whose data partition has this number; the one that is missed least when not given"},
	{"seal", 0, "FILE", CLI_FILE, AT(options.seal), 0,
	 .help = "the signature partition of the image on standard input, as `image split` writes it: it is judged by that "
		 "before anything is written"},
	{"uki", 0, "UKI", CLI_FILE, AT(options.uki.uki), 0,
	 .help = "put this unified kernel image on the disk's EFI system partition, too"},
	{"tries", 0, "N", CLI_NUMBER32, AT(tries), 0, .min = 0, .max = 99, .def = "3",
	 .help = "how often a boot loader on the disk tries the UKI before it takes an older one; 0: it does not count"},
	{"allow-older", 0, NULL, CLI_FLAG, AT(options.allow_older), 0,
	 .help = "accept an image that is not newer than those that the disk has"},
	{"dry-run", 0, NULL, CLI_FLAG, AT(options.dry_run), 0, .help = "check everything and write nothing"},
	CLI_THREADS_ROW(AT(options.threads), "as many as there are processors when not given"),
	{"json", 0, NULL, CLI_FLAG, AT(json), 0, .help = "print the summary as JSON"},
	{.help = NULL},
};

static const struct cli_rule rules[] = {
	CLI_ONE_TRUST_RULE, CLI_ROLLBACK_RULE, CLI_NAME_RULE, {CLI_NEEDS, "--tries --uki", NULL}, {.members = NULL},
};

/* ---- the machine's own disk ---- */

static bool is_same_disk(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && ul_disk_is_same(&x, &y);
}

static bool is_block_device(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISBLK(st.st_mode);
}

/* The disk that the machine was booted from, and what runs from it; state: lends both their texts. */
static int find_disk(struct arguments *a, struct json_object **state, struct ul_error *err)
{
	static const char what[] = "looking for the machine's disk";
	struct json_object *lower;
	struct ul_update_options *o = &a->options;
	const char *disk;
	int r = cli_state_load(UL_PATH_STATE, state, err);

	if (r < 0 && o->disk)
		return 0;
	if (r < 0) {
		snprintf(err->todo, sizeof(err->todo), "Name the disk by --disk.");
		return r;
	}
	lower = cli_state_lower(*state);
	disk = lower ? ul_json_string(lower, "disk") : NULL;
	if (!disk && !o->disk)
		return ul_error_set(err, UL_E_INPUT, what, UL_PATH_STATE, "Name the disk by --disk.",
				    "it names no disk that was booted from");
	if (!o->disk && !is_block_device(disk))
		return ul_error_set(
			err, UL_E_INPUT, what, disk,
			"Copy the new image beside it, under a name that [image] file of the policy matches.",
			"the machine was booted from an image file, which has no slots");
	if (!o->disk)
		o->disk = disk;
	if (disk && is_same_disk(o->disk, disk)) {
		o->running = ul_json_string(lower, "rootHash");
		o->efivars = "/sys/firmware/efi/efivars";
	}
	return 0;
}

static int look_at_uki(struct arguments *a, struct ul_error *err)
{
	const struct ul_pe_machine *machine;
	int r = a->options.uki.uki ? cli_read_efi_machine(a->options.uki.uki, true, &machine, err) : 0;

	if (r < 0 || !a->options.uki.uki)
		return r;
	a->options.uki.efi = machine->efi;
	a->options.uki.architecture = machine->architecture;
	a->options.uki.tries = a->tries;
	return 0;
}

/* ---- the summary ---- */

static const char *outcome(const struct arguments *a, const struct ul_update_result *result)
{
	return result->present ? "present" : a->options.dry_run ? "possible" : "written";
}

static bool add_removed(struct json_object *o, const struct ul_names *removed)
{
	struct json_object *list = json_object_new_array();
	bool ok = list;

	for (size_t i = 0; ok && i < removed->n; i++)
		ok = ul_json_append_string(list, removed->at[i]);
	return ul_json_add(o, "removedUkis", ul_json_if(ok, list));
}

static int print_json(const struct arguments *a, const struct ul_update_result *result)
{
	ul_autojson struct json_object *o = ul_json_document(1);
	bool ok = o && ul_json_add_string(o, "disk", a->options.disk) &&
		  ul_json_add_string(o, "result", outcome(a, result)) && ul_json_add_string(o, "name", result->name) &&
		  ul_json_add_string(o, "version", result->version) && ul_json_add_uint(o, "slot", result->slot) &&
		  ul_json_add_string(o, "before", result->before) && ul_json_add_bool(o, "resumed", result->resumed) &&
		  ul_json_add_uint(o, "written", result->written) && ul_json_add_uint(o, "kept", result->kept) &&
		  (!result->uki_path[0] || ul_json_add_string(o, "uki", result->uki_path)) &&
		  add_removed(o, &result->removed);

	return cli_print_json(ok ? o : NULL);
}

static void print_text(const struct arguments *a, const struct ul_update_result *result)
{
	if (result->present)
		printf("%s: %s %s is there already, in the slot of partition %u\n", a->options.disk, result->name,
		       result->version, result->slot);
	else
		printf("%s: %s %s %s the slot of partition %u, which held %s\n", a->options.disk, result->name,
		       result->version, a->options.dry_run ? "would go into" : "is in", result->slot, result->before);
	if (result->uki_path[0])
		printf("  its UKI %s %s\n", a->options.dry_run ? "would be" : "is", result->uki_path);
	for (size_t i = 0; i < result->removed.n; i++)
		printf("  %s %s: the disk has no image for it any more\n", result->removed.at[i],
		       a->options.dry_run ? "would go" : "is gone");
	if (result->resumed && !a->options.dry_run)
		printf("  %" PRIu64 " MiB written, %" PRIu64 " MiB were there already\n", result->written >> 20,
		       result->kept >> 20);
}

static int update(struct arguments *a, struct json_object **state, struct ul_update_result *result,
		  struct ul_error *err)
{
	struct cli_demands demands;
	int r = find_disk(a, state, err);

	if (r == 0)
		r = look_at_uki(a, err);
	if (r < 0)
		return r;
	r = cli_demands_load(&a->demands, &demands, err);
	a->options.demands = &demands.demands;
	a->options.designator = demands.designator;
	if (r == 0)
		r = ul_update(&a->options, result, err);
	cli_demands_free(&demands);
	return r;
}

static int run(void *arguments)
{
	struct arguments *a = arguments;
	ul_autojson struct json_object *state = NULL; /* whose texts the summary still needs */
	struct ul_update_result result = {.slot = 0};
	struct ul_error err;
	int r;

	if (a->options.seal && strcmp(a->options.image, "-") != 0)
		return cli_usage_error(&cli_update,
				       "--seal goes with an image on standard input alone: it is in the image");
	a->options.slot = a->slot;
	a->options.progress = cli_progress();
	cli_catch_signals();
	a->options.cancelled = cli_interrupted;
	r = update(a, &state, &result, &err);
	cli_progress_done();
	if (r < 0)
		r = cli_fail(&err);
	else if (a->json)
		r = print_json(a, &result);
	else
		print_text(a, &result);
	ul_update_result_free(&result);
	return r;
}

const struct cli_command cli_update = {
	.name = "update",
	.help = "write another image into a slot of the machine's disk",
	.page = "underlay-update",
	.options = options,
	.rules = rules,
	.size = sizeof(struct arguments),
	.run = run,
};
