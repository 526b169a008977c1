/*
 * The files of an EFI system partition that is in use: read and changed where it lies. On a disk whose partitions the
 * kernel knows it is mounted, for this process alone; in a file, mtools work on it.
 */
#pragma once

#include <stdint.h>

#include "common/error.h"
#include "common/vector.h"
#include "verity/format/gpt.h"

struct ul_esp_files {
	const char *disk; /* borrowed */
	uint64_t offset;  /* bytes, of the partition */
	int root;         /* its root, O_PATH; -1: by mtools */
};

struct ul_esp_entry {
	char name[256];
	uint64_t size; /* bytes */
};

struct ul_esp_entries {
	UL_VECTOR_MEMBERS(struct ul_esp_entry);
};

/* -UL_E_SYSTEM. *ret is to be closed after success alone. */
int ul_esp_files_open(const char *disk, const struct ul_partition *esp, struct ul_esp_files *ret, struct ul_error *err);
void ul_esp_files_close(struct ul_esp_files *esp);

/*
 * The files in a directory ("EFI/Linux"; none where it is not there), appended, and the room on the filesystem, in
 * bytes. -UL_E_SYSTEM, -UL_E_MEMORY.
 */
int ul_esp_files_list(struct ul_esp_files *esp, const char *dir, struct ul_esp_entries *ret, uint64_t *ret_room,
		      struct ul_error *err);

/*
 * Copy the file `source` to dir/name: under another name first, and renamed once it is on the disk, so that whoever
 * looks there finds the old file or the new one, whole. -UL_E_SYSTEM.
 */
int ul_esp_files_put(struct ul_esp_files *esp, const char *source, const char *dir, const char *name,
		     struct ul_error *err);

/* Another name in the same directory; what has it goes. -UL_E_SYSTEM, with errnum ENOENT where there is no `from`. */
int ul_esp_files_rename(struct ul_esp_files *esp, const char *dir, const char *from, const char *to,
			struct ul_error *err);

int ul_esp_files_remove(struct ul_esp_files *esp, const char *dir, const char *name, struct ul_error *err);
