/* Build, sign, inspect and verify a store image: a GPT with data, verity and verity-sig partitions. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "common/progress.h"
#include "dbgen/manifest.h"
#include "verity/signature.h"

struct ul_image_options {
	const char *output; /* image file; written to a temporary name beside it, then renamed */
	const char
		*store; /* directory that holds the store paths; NULL: the manifest's store_dir */
	const char *system; /* full store path; NULL: none */
	const char *name, *version;
	const char *format; /* "erofs" (default) or "squashfs" */
	const char *
		compression; /* "none", "lz4", "lz4hc[,LEVEL]", "zstd[,LEVEL]", "xz"; NULL: default */
	uint64_t rollback_index;
	const char *machine;    /* uname -m name of the target; NULL: this machine */
	const char *designator; /* "usr" (default) or "root" */
	bool no_database;       /* leave the attached database out */
	struct ul_signer
		*signer; /* NULL: unsigned; the verity-sig partition is left to add later */
	unsigned int threads;
	struct ul_progress *progress;
};

struct ul_image_result {
	uint64_t size;                 /* bytes of the image file */
	uint64_t data_size, hash_size; /* bytes of the partitions' contents */
	uint8_t root_hash[32];
	uint32_t paths;
};

/* Deterministic: same manifest, contents, options and tool versions give the same bytes. */
int ul_image_build(struct ul_manifest *m, const struct ul_image_options *options,
		   struct ul_image_result *ret, struct ul_error *err);

/*
 * The two-step form. What is to be signed, for keys kept elsewhere: the root hash's hex text and the descriptor's
 * bytes, as files DIR/root-hash and DIR/descriptor; then the two DER signatures and the signer's certificate are
 * put into the image in place.
 */
int ul_image_export_tbs(const char *image, const char *dir, struct ul_error *err);
int ul_image_add_signatures(const char *image, const char *root_hash_p7s,
			    const char *descriptor_p7s, const char *cert_path,
			    struct ul_error *err);
