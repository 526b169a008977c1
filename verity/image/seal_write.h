/*
 * What is written into the signature partition: the JSON of verity/format/signature.h, and before there is a signature,
 * a draft that keeps the descriptor until there is one:
 *
 *     {"underlay":{"descriptor":"<base64>"}}
 *
 * Whoever looks for a signature finds none in a draft and refuses it.
 */
#pragma once

#include "common/buffer.h"
#include "common/error.h"
#include "verity/format/descriptor.h"
#include "verity/format/image_layout.h"
#include "verity/format/signature.h"
#include "verity/image/signer.h"

/* The bytes that the two signatures are made over. */
struct ul_tbs {
	char root_hash[2 * UL_ROOT_HASH_MAX + 1]; /* lower-case hex; the NUL is not signed */
	struct ul_buffer descriptor;
};

int ul_tbs_make(const struct ul_descriptor *d, struct ul_tbs *ret, struct ul_error *err);
/* From a draft or a signed partition's bytes; ret_d: the descriptor, parsed, unverified. */
int ul_tbs_read(const void *partition, size_t len, const char *image, struct ul_tbs *ret, struct ul_descriptor *ret_d,
		struct ul_error *err);
/* ul_tbs_read of the partition that begins at byte `offset` of an image or disk. */
int ul_tbs_pread(int fd, uint64_t offset, const char *image, struct ul_tbs *ret, struct ul_descriptor *ret_d,
		 struct ul_error *err);
void ul_tbs_free(struct ul_tbs *tbs);

/* All three yield the whole partition, UL_SIG_PARTITION_SIZE bytes, NULs behind the JSON. */
int ul_seal_draft(const struct ul_tbs *tbs, struct ul_buffer *ret, struct ul_error *err);
int ul_seal_sign(const struct ul_tbs *tbs, struct ul_signer *signer, struct ul_buffer *ret, struct ul_error *err);
/* Signatures made elsewhere; fingerprint: SHA-256 of the certificate. */
int ul_seal_join(const struct ul_tbs *tbs, const struct ul_buffer *root_hash_signature,
		 const struct ul_buffer *descriptor_signature, const uint8_t fingerprint[32], struct ul_buffer *ret,
		 struct ul_error *err);
