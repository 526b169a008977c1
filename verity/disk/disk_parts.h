/*
 * What a disk that boots is made of, wherever that is: in a new file (verity/disk/disk_build.h) or on a machine's own
 * disk (verity/disk/install.h). The same arguments give the same layout, the same files and the same identifiers. Who
 * writes says where the bytes go, and in which order.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/progress.h"
#include "verity/disk/disk_layout.h"
#include "verity/disk/esp.h"
#include "verity/disk/source_image.h"

/* What is asked for. */
struct ul_disk_spec {
	const char *image;        /* a whole store image */
	const char *uki;          /* a unified kernel image, whose machine is `efi` */
	const char *boot_loader;  /* systemd-boot's EFI program; NULL: the firmware starts the UKI itself */
	const char *efi;          /* how UEFI names the machine: "X64", "AA64", "RISCV64" */
	const char *architecture; /* and partition types: "x86-64"; the image's must be the same */
	unsigned int tries;       /* that boot_loader has for the UKI; 0: it is not counted */
	bool image_as_file;       /* on the ESP; there are no slots then */
	const char *device;       /* the disk that it is for; NULL: a file that has any size */
	uint32_t sector;          /* bytes of the disk's sectors, 512 or 4096 */
	unsigned int slots;       /* 1 to UL_DISK_SLOTS_MAX */
	uint64_t size, slot_size; /* bytes; 0: as ul_disk_layout has it */
	uint64_t esp_size;        /* bytes; 0: room for three UKIs, 64 MiB at least */
	uint64_t upper_size;      /* bytes; 0: as ul_disk_layout has it */
	bool no_upper;
};

/* What was made, for who tells it. */
struct ul_disk_result {
	struct ul_disk_layout layout;
	char name[UL_NAME_SIZE], version[UL_NAME_SIZE]; /* of the image */
	char uki_path[256];                             /* on the ESP */
	uint32_t sector;                                /* bytes */
	bool is_signed;                                 /* the image has a signature; nothing of it was checked */
};

/*
 * Where on the ESP the image lies that image_as_file asks for: for [image] file of the policy. name: NAME_VERSION.
 */
#define UL_DISK_IMAGE_FILE "store/%s.raw"

#define UL_DISK_FILES_MAX 6

struct ul_disk_parts {
	struct ul_disk_spec spec;
	const char *what; /* for messages: "building the disk" */
	struct ul_source_image image;
	struct ul_esp_file files[UL_DISK_FILES_MAX]; /* of the ESP; n_files of them, of which `uki` is the UKI */
	char paths[UL_DISK_FILES_MAX][256];
	size_t n_files, uki;
	struct ul_disk_layout layout;
};

/* The one that takes the bytes: a part at a time, each from its begin on. */
struct ul_disk_sink {
	/* len bytes for this place of the disk: 0 or -errno. */
	int (*put)(void *user, const uint8_t *bytes, size_t len, uint64_t offset);
	void *user;
	const char *disk;        /* for messages */
	const char *interrupted; /* what is left behind then: "interrupted; nothing is left behind" */
	struct ul_progress *progress;
	bool (*cancelled)(void); /* NULL: never */
};

/*
 * Open the image, and hold the UKI's architecture against its. *ret is to be closed in any case. As
 * ul_source_image_open_one, which has pick; -UL_E_INPUT.
 */
int ul_disk_parts_open(const struct ul_disk_spec *spec, const struct ul_source_pick *pick, const char *what,
		       struct ul_disk_parts *ret, struct ul_error *err);
void ul_disk_parts_close(struct ul_disk_parts *parts);

/*
 * List the ESP's files, then lay the disk out. loader_conf: a path that a boot loader's configuration may be written
 * to. spec.size, spec.sector: to be set before. -UL_E_INPUT: what does not fit, with the numbers; -UL_E_SYSTEM.
 */
int ul_disk_parts_lay_out(struct ul_disk_parts *parts, const char *loader_conf, struct ul_error *err);

/* Make the ESP as the file `path`, which does not exist. As ul_esp_make. */
int ul_disk_parts_make_esp(const struct ul_disk_parts *parts, const char *path, struct ul_error *err);

/* Hand the file over, or the image's three partitions. -UL_E_SYSTEM. */
int ul_disk_parts_copy_esp(const struct ul_disk_parts *parts, const char *path, const struct ul_disk_sink *sink,
			   struct ul_error *err);
int ul_disk_parts_copy_slot(const struct ul_disk_parts *parts, const struct ul_disk_sink *sink, struct ul_error *err);

/* Write the table to a file of the disk's size, which only the sectors of the two copies are written of. */
int ul_disk_parts_write_table(const struct ul_disk_parts *parts, int fd, const char *path, struct ul_error *err);

/* The table's UUID, in the order of the text. */
int ul_disk_parts_table_uuid(const struct ul_disk_parts *parts, uint8_t ret[16], struct ul_error *err);

void ul_disk_parts_tell(const struct ul_disk_parts *parts, struct ul_disk_result *ret);
