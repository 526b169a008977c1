/*
 * `underlay initrd build`: underlay-start as /init, underlay-init, the libraries it needs, the kernel modules, the
 * policy and the certificates as one initramfs. The same inputs give the same bytes.
 *
 * Before: nothing. After: the output file is whole, or as it was before.
 */
#pragma once

#include "common/names.h"
#include "common/progress.h"
#include "initrd/pack/cpio.h"
#include "initrd/pack/modules.h"

/*
 * zstd's level by default, and the base-2 logarithm of its window in bytes. The kernel's decoder takes
 * windows up to 2^27 bytes, but allocates what the frame asks for: 8 MiB are there on any machine.
 */
#define UL_INITRD_LEVEL      19
#define UL_INITRD_WINDOW_LOG 23

/* Largest certificate file, in bytes. */
#define UL_INITRD_CERT_MAX 65536

/* A file of the build machine, and its path in the initramfs. */
struct ul_initrd_file {
	const char *from;
	const char *to;
};

struct ul_initrd_options {
	const char *init;         /* underlay-init; underlay-start, which becomes /init, lies beside it */
	const char *config;       /* becomes UL_PATH_CONF; NULL: none, the built-in policy holds */
	const char *const *certs; /* PEM files for UL_PATH_CERTS */
	size_t cert_count;
	const char *modules_dir; /* NULL: no modules */
	const struct ul_module_want *wants;
	size_t want_count;
	const struct ul_initrd_file *files; /* further files; programs bring their libraries */
	size_t file_count;
	int level; /* zstd's, 1 to 22; 0: not compressed */
};

/* What was built. Free it with ul_initrd_report_free. */
struct ul_initrd_report {
	uint64_t bytes[UL_CPIO_KINDS]; /* of files, uncompressed */
	size_t files[UL_CPIO_KINDS];
	uint64_t archive_bytes; /* of the cpio archive */
	uint64_t output_bytes;  /* of the output */
	struct ul_module_report modules;
	struct ul_names missing_programs; /* fsck's that this machine lacks */
	bool insecure;                    /* the policy verifies nothing */
	bool lacks_certificates;          /* the policy trusts what certificates signed, and none was packed */
	struct ul_names idle;             /* sentences: settings of the policy without effect */
};

/* Build, and replace the file `output`. Returns 0 or the failure's code. */
int ul_initrd_build(const struct ul_initrd_options *options, const char *output, struct ul_progress *progress,
		    struct ul_initrd_report *ret, struct ul_error *err);

/* A word for a kind of entry: "libraries". */
const char *ul_cpio_kind_name(enum ul_cpio_kind kind);

void ul_initrd_report_free(struct ul_initrd_report *r);
