/* `underlay disk build`: the arguments; the work is verity/disk's. */
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/disk_options.h"
#include "verity/disk/disk_build.h"

struct arguments {
	struct cli_disk_arguments disk;
	struct ul_disk_options options;
	const char *layout, *sector, *size;
};

#define AT(member) offsetof(struct arguments, member)

static const struct cli_option options[] = {
	{"output", 'o', "DISK", CLI_FILE, AT(options.output), CLI_NEEDED,
	 .help = "the disk's file; it appears whole or not at all"},
	{"image", 0, "IMAGE", CLI_FILE, AT(disk.spec.image), CLI_NEEDED, .help = "the store image of the first slot"},
	CLI_UKI_ROW(AT(disk.spec.uki)),
	CLI_BOOT_LOADER_ROW(AT(disk.spec.boot_loader)),
	CLI_TRIES_ROW(AT(disk.tries)),
	{"layout", 0, "slots|file", CLI_WORD, AT(layout), 0, .def = "slots",
	 .help = "partitions for the image, or the image as the file store/NAME_VERSION.raw on the EFI system "
		 "partition"},
	CLI_SLOTS_ROW(AT(disk.slots)),
	CLI_SLOT_SIZE_ROW(AT(disk.slot_size)),
	CLI_UPPER_SIZE_ROW(AT(disk.upper_size), "what --size leaves, or 256M,"),
	CLI_ESP_SIZE_ROW(AT(disk.esp_size)),
	{"size", 0, "SIZE", CLI_TEXT, AT(size), 0, .check = cli_check_size,
	 .help = "of the whole disk; what its parts need when not given"},
	CLI_SECTOR_ROW(AT(sector), "of the disk that the file is for"),
	{"force", 0, NULL, CLI_FLAG, AT(options.replace), 0, .help = "replace a file that is there"},
	{"json", 0, NULL, CLI_FLAG, AT(disk.json), 0, .help = "print the summary as JSON"},
	{.help = NULL},
};

static const struct cli_rule rules[] = {
	{CLI_NEEDS, "--tries --boot-loader", "without one nothing counts"},
	{.members = NULL},
};

static int run(void *arguments)
{
	struct arguments *a = arguments;
	struct ul_disk_result result = {.is_signed = false};
	struct ul_error err;
	int r;

	a->options.progress = cli_progress();
	cli_catch_signals();
	a->options.cancelled = cli_interrupted;
	r = cli_disk_spec(&a->disk, &err);
	a->options.spec = a->disk.spec;
	a->options.spec.image_as_file = !strcmp(a->layout, "file");
	a->options.spec.sector = cli_sector_size(a->sector);
	a->options.spec.size = cli_size_of(a->size);
	if (r == 0)
		r = ul_disk_build(&a->options, &result, &err);
	cli_progress_done();
	return r < 0 ? cli_fail(&err) : cli_disk_print(&a->disk, a->options.output, &result);
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
