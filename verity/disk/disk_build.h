/*
 * A whole disk that boots by itself, as a file: what `image build` and `uki build` make, on an EFI system partition and
 * in the first of several slots, with the upper's partition behind them (verity/disk/disk_layout.h). It needs no
 * privilege; the same arguments and tool versions give the same bytes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/progress.h"
#include "verity/disk/disk_layout.h"

struct ul_disk_options {
	const char *output;
	const char *image;        /* a whole store image */
	const char *uki;          /* a unified kernel image, whose machine is `efi` */
	const char *boot_loader;  /* systemd-boot's EFI program; NULL: the firmware starts the UKI itself */
	const char *efi;          /* how UEFI names the machine: "X64", "AA64", "RISCV64" */
	const char *architecture; /* and partition types: "x86-64"; the image's must be the same */
	unsigned int tries;       /* that boot_loader has for the UKI; 0: it is not counted */
	bool image_as_file;       /* on the ESP; there are no slots then */
	uint32_t sector;          /* bytes of the disk's sectors, 512 or 4096 */
	unsigned int slots;       /* 1 to UL_DISK_SLOTS_MAX */
	uint64_t size, slot_size; /* bytes; 0: as ul_disk_layout has it */
	uint64_t esp_size;        /* bytes; 0: room for three UKIs, 64 MiB at least */
	uint64_t upper_size;      /* bytes; 0: as ul_disk_layout has it */
	bool no_upper;
	bool replace; /* an existing output; else it is -UL_E_EXISTS */
	struct ul_progress *progress;
	bool (*cancelled)(void); /* NULL: never */
};

struct ul_disk_result {
	struct ul_disk_layout layout;
	char name[UL_NAME_SIZE], version[UL_NAME_SIZE]; /* of the image */
	char uki_path[256];                             /* on the ESP */
	bool is_signed;                                 /* the image has a signature; nothing of it was checked */
};

/*
 * Where on the ESP the image lies that image_as_file asks for: for [image] file of the policy. name: NAME_VERSION.
 */
#define UL_DISK_IMAGE_FILE "store/%s.raw"

/* -UL_E_INPUT: the parts do not fit; -UL_E_EXISTS; what reading the image gives; -UL_E_SYSTEM. */
int ul_disk_build(const struct ul_disk_options *options, struct ul_disk_result *ret, struct ul_error *err);
