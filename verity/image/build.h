/* Build, sign, inspect and verify a store image: a GPT with data, verity and verity-sig partitions. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "common/progress.h"
#include "dbgen/manifest/manifest.h"
#include "verity/image/signer.h"
#include "verity/image/staging_tree.h"
#include "verity/open/trust.h"

struct ul_image_options {
	const char *output; /* image file; written to a temporary name beside it, then renamed */
	const char *store;  /* directory that holds the store paths; NULL: the manifest's store_dir */
	const char *system; /* full store path; NULL: none */
	const char *name, *version;
	const char *format;      /* "erofs" (default) or "squashfs" */
	const char *compression; /* "none", "lz4", "lz4hc[,LEVEL]", "zstd[,LEVEL]", "xz"; NULL: default */
	uint64_t rollback_index;
	uint32_t fec_roots;       /* bytes of parity a code word, 2 to 24; 0: no FEC area */
	const char *machine;      /* uname -m name of the target; NULL: this machine */
	const char *designator;   /* "usr" (default) or "root" */
	uint32_t sector;          /* bytes of a sector that the partition table is for: 512 or 4096; 0: 512 */
	bool no_database;         /* leave the attached database out */
	struct ul_signer *signer; /* NULL: unsigned; the verity-sig partition is left to add later */
	uint32_t store_group;     /* of the store directory, mode 1775; 0: root's, mode 0755 */
	bool replace;             /* an existing output; else it is -UL_E_EXISTS */
	bool no_namespace;        /* lay the tree out by links and copies even where bind mounts can be had */
	unsigned int threads;
	struct ul_progress *progress;
	/* Asked between steps and while a tool runs: true stops the work and cleans up. NULL: never. */
	bool (*cancelled)(void);
};

struct ul_image_result {
	uint64_t size;                 /* bytes of the image file */
	uint64_t data_size, hash_size; /* bytes of the partitions' contents */
	uint64_t fec_size;             /* bytes of hash_size that are the FEC area */
	uint8_t root_hash[32];
	uint32_t paths;
	struct ul_staging_report staging; /* how the tree was laid out */
};

/*
 * Deterministic: same manifest, contents, options and tool versions give the same bytes. All work is done in the
 * directory OUTPUT.tmp, which is gone afterwards; what a killed build left there, the next one removes. A directory of
 * that name with anything else in it is not touched: -UL_E_EXISTS.
 */
int ul_image_build(struct ul_manifest *m, const struct ul_image_options *options, struct ul_image_result *ret,
		   struct ul_error *err);

/*
 * Signing after the build. All of these read the descriptor that the build left in the signature partition, and
 * check that the image is what it says: partition UUIDs, whole hash tree. They write in place.
 */

/* Sign, or sign anew with another key. */
int ul_image_sign(const char *image, struct ul_signer *signer, struct ul_progress *progress, struct ul_error *err);

/*
 * The two-step form, for keys kept elsewhere. What is to be signed: the root hash's hex text and the descriptor's
 * bytes, as files DIR/root-hash and DIR/descriptor; then the two DER signatures, checked against the signer's
 * certificate, are put into the image.
 */
int ul_image_export_tbs(const char *image, const char *dir, struct ul_progress *progress, struct ul_error *err);
int ul_image_add_signatures(const char *image, const char *root_hash_p7s, const char *descriptor_p7s,
			    const char *cert_path, struct ul_signer_name *ret_by, struct ul_error *err);
