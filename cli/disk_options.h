/* What the commands that make a disk have in common, `disk build` and `install`: options, inputs, the summary. */
#pragma once

#include "cli/cli.h"
#include "verity/disk/disk_parts.h"

struct cli_disk_arguments {
	struct ul_disk_spec spec;
	const char *esp_size, *slot_size, *upper_size;
	uint32_t slots, tries;
	bool json;
};

/* The rows of options; at: of the member of cli_disk_arguments. */

#define CLI_UKI_ROW(at)                                                                                        \
	{                                                                                                      \
		"uki", 0, "UKI", CLI_FILE, (at), CLI_NEEDED, .help = "the unified kernel image that starts it" \
	}

#define CLI_BOOT_LOADER_ROW(at)                                                                     \
	{                                                                                           \
		"boot-loader", 0, "FILE", CLI_FILE, (at), 0,                                        \
			.help = "systemd-boot, which is started first and counts the UKI's tries; " \
				"without it the firmware starts the UKI itself"                     \
	}

#define CLI_TRIES_ROW(at)                                                                                \
	{                                                                                                \
		"tries", 0, "N", CLI_NUMBER32, (at), 0,                                                  \
			.min = 0, .max = 99, .def = "3",                                                 \
			.help = "how often the boot loader tries the UKI before it takes an older one; " \
				"0: it does not count"                                                   \
	}

#define CLI_SLOTS_ROW(at)                                                                                      \
	{                                                                                                      \
		"slots", 0, "N", CLI_NUMBER32, (at), 0, .min = 1, .max = UL_DISK_SLOTS_MAX, .def = "2",        \
							.help = "number of slots; all but the first are empty" \
	}

#define CLI_SLOT_SIZE_ROW(at)                                                                         \
	{                                                                                             \
		"slot-size", 0, "SIZE", CLI_TEXT, (at), 0,                                            \
			.check = cli_check_size,                                                      \
			.help = "room in each slot for an image's filesystem; half as much again as " \
				"this one has when not given"                                         \
	}

#define CLI_UPPER_SIZE_ROW(at, rest)                                                                  \
	{                                                                                             \
		"upper-size", 0, "SIZE", CLI_TEXT, (at), 0,                                           \
			.check = cli_check_size,                                                      \
			.help = "of the upper's partition; " rest " when not given; 0: there is none" \
	}

#define CLI_ESP_SIZE_ROW(at)                                                                                         \
	{                                                                                                            \
		"esp-size", 0, "SIZE", CLI_TEXT, (at), 0,                                                            \
			.check = cli_check_size,                                                                     \
			.help = "of the EFI system partition; room for three UKIs, and 64M at least, when not given" \
	}

/* Fill the rest of the spec: the sizes that were given, and whose machine the programs are for. */
int cli_disk_spec(struct cli_disk_arguments *a, struct ul_error *err);

/* Bytes of a text that cli_check_size found good; NULL: 0. */
uint64_t cli_size_of(const char *text);

/* Print the summary, as text or as JSON; returns the exit status. */
int cli_disk_print(const struct cli_disk_arguments *a, const char *disk, const struct ul_disk_result *result);
