/*
 * The EFI system partition: a FAT32, made by mkfs.vfat and mtools, as an ordinary user. The same files give the same
 * bytes: all times are 1980-01-01, FAT's first, and the volume's number is the caller's.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct ul_esp_file {
	const char *path;   /* in it: "EFI/BOOT/BOOTX64.EFI" */
	const char *source; /* the file that it is a copy of */
	uint64_t size;      /* bytes, of source */
};

/* FAT32 has 65,525 clusters at least, of a sector at least; and FAT has no file of 4 GiB. */
#define UL_ESP_FILE_MAX UINT32_MAX

/* The smallest that is a FAT32, in bytes, whole MiB. */
uint64_t ul_esp_size_min(uint32_t sector);

/* Bytes that the files take in it, the table of clusters among them. */
uint64_t ul_esp_size_of(const struct ul_esp_file *files, size_t n, uint32_t sector);

struct ul_esp {
	uint64_t size;   /* bytes */
	uint32_t sector; /* bytes of the disk's sectors: 512 or 4096 */
	uint32_t volume; /* the volume's number */
	const struct ul_esp_file *files;
	size_t n;
};

/*
 * Make the file `output`, which does not exist. -UL_E_INPUT: the size is too small, with the numbers; -UL_E_SYSTEM: a
 * program failed, or is not there.
 */
int ul_esp_make(const char *output, const struct ul_esp *esp, struct ul_error *err);
