/* `underlay disk build`: the arguments and the summary; the work is verity/disk's. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/efi_machine.h"
#include "common/config.h"
#include "common/json.h"
#include "verity/disk/disk_build.h"

struct arguments {
	struct ul_disk_options options;
	const char *layout, *sector, *size, *esp_size, *slot_size, *upper_size;
	uint32_t slots, tries;
	bool json;
};

#define AT(member) offsetof(struct arguments, member)

static const struct cli_option options[] = {
	{"output", 'o', "DISK", CLI_FILE, AT(options.output), CLI_NEEDED,
	 .help = "the disk's file; it appears whole or not at all"},
	{"image", 0, "IMAGE", CLI_FILE, AT(options.image), CLI_NEEDED, .help = "the store image of the first slot"},
	{"uki", 0, "UKI", CLI_FILE, AT(options.uki), CLI_NEEDED, .help = "the unified kernel image that starts it"},
	{"boot-loader", 0, "FILE", CLI_FILE, AT(options.boot_loader), 0,
	 .help = "systemd-boot, which is started first and counts the UKI's tries; without it the firmware starts the "
		 "UKI itself"},
	{"tries", 0, "N", CLI_NUMBER32, AT(tries), 0, .min = 0, .max = 99, .def = "3",
	 .help = "how often the boot loader tries the UKI before it takes an older one; 0: it does not count"},
	{"layout", 0, "slots|file", CLI_WORD, AT(layout), 0, .def = "slots",
	 .help = "partitions for the image, or the image as the file store/NAME_VERSION.raw on the EFI system "
		 "partition"},
	{"slots", 0, "N", CLI_NUMBER32, AT(slots), 0, .min = 1, .max = UL_DISK_SLOTS_MAX, .def = "2",
	 .help = "number of slots; all but the first are empty"},
	{"slot-size", 0, "SIZE", CLI_TEXT, AT(slot_size), 0, .check = cli_check_size,
	 .help = "room in each slot for an image's filesystem; half as much again as this one has when not given"},
	{"upper-size", 0, "SIZE", CLI_TEXT, AT(upper_size), 0, .check = cli_check_size,
	 .help = "of the upper's partition; what --size leaves, or 256M, when not given; 0: there is none"},
	{"esp-size", 0, "SIZE", CLI_TEXT, AT(esp_size), 0, .check = cli_check_size,
	 .help = "of the EFI system partition; room for three UKIs, and 64M at least, when not given"},
	{"size", 0, "SIZE", CLI_TEXT, AT(size), 0, .check = cli_check_size,
	 .help = "of the whole disk; what its parts need when not given"},
	CLI_SECTOR_ROW(AT(sector), "of the disk that the file is for"),
	{"force", 0, NULL, CLI_FLAG, AT(options.replace), 0, .help = "replace a file that is there"},
	{"json", 0, NULL, CLI_FLAG, AT(json), 0, .help = "print the summary as JSON"},
	{.help = NULL},
};

static const struct cli_rule rules[] = {
	{CLI_NEEDS, "--tries --boot-loader", "without one nothing counts"},
	{.members = NULL},
};

/* What the firmware starts must be for one machine. */
static int look_at_programs(struct arguments *a, struct ul_error *err)
{
	const struct ul_pe_machine *uki, *loader;
	int r = cli_read_efi_machine(a->options.uki, true, &uki, err);

	if (r < 0)
		return r;
	a->options.efi = uki->efi;
	a->options.architecture = uki->architecture;
	if (!a->options.boot_loader)
		return 0;
	r = cli_read_efi_machine(a->options.boot_loader, false, &loader, err);
	if (r < 0 || loader == uki)
		return r;
	return ul_error_set(err, UL_E_INPUT, "reading the boot loader", a->options.boot_loader,
			    "Give the one of the UKI's machine.", "it is for %s, the UKI is for %s",
			    loader->architecture, uki->architecture);
}

static int print_json(const struct arguments *a, const struct ul_disk_result *result)
{
	ul_autojson struct json_object *o = ul_json_document(1);
	const struct ul_disk_layout *l = &result->layout;
	bool ok = o && ul_json_add_string(o, "disk", a->options.output) && ul_json_add_uint(o, "size", l->size) &&
		  ul_json_add_uint(o, "sectorSize", a->options.sector) && ul_json_add_string(o, "name", result->name) &&
		  ul_json_add_string(o, "version", result->version) && ul_json_add_string(o, "uki", result->uki_path) &&
		  ul_json_add_bool(o, "signed", result->is_signed) && ul_json_add_uint(o, "espSize", l->esp.size) &&
		  ul_json_add_uint(o, "slots", l->slots) && ul_json_add_uint(o, "slotSize", l->slot[0].data.size) &&
		  ul_json_add_uint(o, "upperSize", l->upper.size);

	return cli_print_json(ok ? o : NULL);
}

static void print_text(const struct arguments *a, const struct ul_disk_result *result)
{
	const struct ul_disk_layout *l = &result->layout;

	printf("%s: a disk of %" PRIu64 " MiB that starts %s %s%s\n", a->options.output, l->size >> 20, result->name,
	       result->version, result->is_signed ? "" : " (the image is not signed; see underlay image sign)");
	printf("  esp    %" PRIu64 " MiB, %s\n", l->esp.size >> 20, result->uki_path);
	if (l->slots)
		printf("  slots  %u, each with room for %" PRIu64 " MiB\n", l->slots, l->slot[0].data.size >> 20);
	if (l->upper.size)
		printf("  upper  %" PRIu64 " MiB\n", l->upper.size >> 20);
}

/* The texts were checked when they were parsed. */
static uint64_t size_of(const char *text)
{
	uint64_t size = 0;

	if (text)
		(void)!ul_parse_size(text, &size);
	return size;
}

static int run(void *arguments)
{
	struct arguments *a = arguments;
	struct ul_disk_options *o = &a->options;
	struct ul_disk_result result = {.is_signed = false};
	struct ul_error err;
	int r;

	o->image_as_file = !strcmp(a->layout, "file");
	o->sector = cli_sector_size(a->sector);
	o->slots = a->slots;
	o->tries = a->tries;
	o->size = size_of(a->size);
	o->esp_size = size_of(a->esp_size);
	o->slot_size = size_of(a->slot_size);
	o->upper_size = size_of(a->upper_size);
	o->no_upper = a->upper_size && o->upper_size == 0;
	o->progress = cli_progress();
	cli_catch_signals();
	o->cancelled = cli_interrupted;
	r = look_at_programs(a, &err);
	if (r == 0)
		r = ul_disk_build(o, &result, &err);
	cli_progress_done();
	if (r < 0)
		return cli_fail(&err);
	if (a->json)
		return print_json(a, &result);
	print_text(a, &result);
	return 0;
}

const struct cli_command cli_disk_build = {
	.group = "disk",
	.name = "build",
	.help = "make a whole disk that boots of an image and a UKI",
	.page = "underlay-disk",
	.options = options,
	.rules = rules,
	.size = sizeof(struct arguments),
	.run = run,
};
