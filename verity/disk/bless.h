/*
 * Automatic Boot Assessment (systemd: AUTOMATIC_BOOT_ASSESSMENT): a boot loader that counts has renamed the entry which
 * it started to NAME+LEFT-DONE.efi, and says so in the EFI variable LoaderBootCountPath. Without a counter it is good.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define UL_BLESS_VARIABLE "LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
#define UL_BLESS_PATH_MAX 512 /* bytes of the variable: UTF-16, with its end */

struct ul_bless_entry {
	char dir[200]; /* from the partition's root, "EFI/Linux" */
	char counted[200], good[200];
};

/* The variable's contents, believed in nothing: false where they are not a counted entry's path in ASCII. */
bool ul_bless_parse(const uint8_t *utf16, size_t len, struct ul_bless_entry *ret);

/*
 * Rename the entry on the EFI system partition of that disk. efivars: where efivarfs is mounted. 1: it is done, and
 * *ret says which; 0: no boot loader counted, or somebody was faster. -UL_E_INPUT: the disk has no such partition;
 * -UL_E_SYSTEM.
 */
int ul_bless(const char *disk, const char *efivars, struct ul_bless_entry *ret, struct ul_error *err);
