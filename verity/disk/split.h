/*
 * A store image as the files that systemd-sysupdate downloads, and the transfer files that tell it what to do with them
 * (sysupdate.d(5) of systemd 255 and newer):
 *
 *     NAME_VERSION_UUID.usr-x86-64.raw             the data partition; UUID: what it gets on the disk, without dashes
 *     NAME_VERSION_UUID.usr-x86-64-verity.raw      the hash partition
 *     NAME_VERSION_UUID.usr-x86-64-verity-sig.raw  the signature partition
 *     NAME_VERSION.efi                             the UKI, where one is given
 *     SHA256SUMS                                   of all versions in the directory
 *     sysupdate.d/                                 50-usr.transfer and so on, for the machine's /usr/lib/sysupdate.d
 *
 * The data comes last in the order of the transfer files' names but for the UKI, so that what is cut short has no data
 * partition of that name.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/progress.h"
#include "verity/format/descriptor.h"

struct ul_split_options {
	const char *image;
	const char *directory;        /* made where it is not there */
	const char *uki;              /* NULL */
	const char *uki_architecture; /* as partition types have it: "x86-64"; the image's must be the same */
	const char *source;           /* what the transfer files name: an https:// URL, or a directory of the machine */
	const char *device;           /* the machine's disk, for the transfer files */
	unsigned int tries;           /* that the boot loader has for a new UKI */
	struct ul_progress *progress;
	bool (*cancelled)(void); /* NULL: never */
};

#define UL_SPLIT_FILES_MAX 4

struct ul_split_result {
	char name[UL_NAME_SIZE], version[UL_NAME_SIZE];
	char files[UL_SPLIT_FILES_MAX][256]; /* names in the directory */
	size_t n_files;
	bool is_signed; /* the image has a signature; nothing of it was checked */
};

/*
 * Each file is replaced whole; those of other versions stay, with their lines of SHA256SUMS. -UL_E_INPUT; what reading
 * the image gives; -UL_E_SYSTEM.
 */
int ul_image_split(const struct ul_split_options *options, struct ul_split_result *ret, struct ul_error *err);
