/* The command line of QEMU for `underlay run`. Pure: nothing is started, no file is looked at. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/names.h"

struct cli_run_machine;

struct cli_run_request {
	const struct cli_run_machine *machine;
	bool kvm;           /* else all is emulated */
	const char *disk;   /* what is started, or only there; NULL */
	uint32_t sector;    /* bytes of its sectors */
	bool disk_is_image; /* never written to */
	bool snapshot;      /* what is written to disks is gone afterwards */
	bool firmware;      /* UEFI, which starts the disk or the UKI */
	bool secure_boot;   /* checks signatures */
	const char *uki;    /* NULL */
	const char *kernel; /* with initrd, without firmware; NULL */
	const char *initrd;
	const char *cmdline;    /* "": none */
	const char *upper;      /* another disk; NULL */
	const char *variables;  /* the firmware's own, kept; NULL: a fresh set that is gone afterwards */
	const char *tpm_socket; /* of swtpm; NULL: no TPM */
	uint64_t memory;        /* bytes */
	uint32_t cpus;
};

/* For "x86-64", "arm64"; NULL: it is not known. */
const struct cli_run_machine *cli_run_machine_find(const char *architecture);

/* As `uname -m` names it. */
const char *cli_run_uname(const struct cli_run_machine *machine);

/* The variables that a machine's firmware begins with. */
const char *cli_run_variables(const struct cli_run_machine *machine, bool secure_boot);

/* run_kvm.c: whether KVM can run a machine of this name here. It is tried. */
bool cli_run_has_kvm(const char *machine);

/* Appends the words. 0 or -ENOMEM. */
int cli_run_command(const struct cli_run_request *q, struct ul_names *ret);
