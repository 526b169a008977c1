/*
 * The trust decision with every signature satisfied: what a signer who errs, or a hint that nobody signed, can make
 * of the descriptor and the geometry. (The signatures themselves: fuzz_signature.c.)
 *
 *     byte 0   bits 0-1: the policy's mode, bit 2: a descriptor is required, bit 3: a rollback floor,
 *              bit 4: no trusted certificate, bit 5: there is no descriptor, bit 6: signatures do not hold
 *     8 bytes  size of the data partition     8 bytes  size of the hash partition
 *     the rest the descriptor's text; with bit 5 the superblock
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/encoding.h"
#include "common/file.h"
#include "tests/fuzz/fuzz.h"
#include "verity/format/signature.h"
#include "verity/format/hash_tree_geometry.h"
#include "verity/open/open.h"
#include "verity/format/superblock.h"

const struct fuzz_memory fuzz_memory = {.fixed = 256 << 10, .per_byte = 700};

#define HEAD 17

/* The linker puts these two in the place of trust.c's (--wrap). */
static bool satisfied;
int __wrap_ul_trust_verify(const struct ul_trust *t, const struct ul_signed *s, struct ul_signer_name *ret_by,
			   struct ul_error *err);
size_t __wrap_ul_trust_count(const struct ul_trust *t);

int __wrap_ul_trust_verify(const struct ul_trust *t, const struct ul_signed *s, struct ul_signer_name *ret_by,
			   struct ul_error *err)
{
	(void)t;
	if (!satisfied)
		return ul_error_set(err, UL_E_SIGNER, s->what, NULL, NULL, "unsatisfied");
	if (ret_by)
		*ret_by = (struct ul_signer_name){.subject = "CN=fuzz"};
	return 0;
}

size_t __wrap_ul_trust_count(const struct ul_trust *t)
{
	return t ? 1 : 0;
}

static const char good[] = "\x05\0\0\x40\0\0\0\0\0\0\0\x10\0\0\0\0\0"
			   "underlay-descriptor=1\n"
			   "root-hash=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
			   "hash=sha256\nsalt=00ff\ndata-block-size=4096\nhash-block-size=4096\ndata-blocks=1000\n"
			   "hash-start=4096\nfec-roots=2\nfec-start=40960\nname=demo\nversion=1.2\n"
			   "rollback-index=7\nmanifest=\n";
static const uint8_t root_hash[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
				      16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	return fuzz_mutate_good(good, sizeof(good) - 1, data, size, max, seed);
}

static void check(const struct ul_seal *seal, const struct ul_seal_policy *policy, const struct ul_slot *slot)
{
	const struct ul_descriptor *d = &seal->d;
	bool vouched = policy->mode == UL_VERIFY_USER || policy->mode == UL_VERIFY_BOTH ||
		       (policy->mode == UL_VERIFY_KERNEL && policy->trust);
	uint64_t bytes;

	FUZZ_WANT(d->root_hash_len == 32 && memcmp(d->root_hash, root_hash, 32) == 0);
	FUZZ_WANT(!__builtin_mul_overflow(d->data_blocks, d->data_block_size, &bytes));
	FUZZ_WANT(bytes > 0 && bytes <= slot->data.size);
	FUZZ_WANT(d->hash_start + ul_hash_tree_size(d) <= slot->hash.size);
	FUZZ_WANT(d->fec_roots == 0 || d->fec_start < slot->hash.size);
	FUZZ_WANT(seal->from_descriptor || !policy->descriptor_required);
	/* Identity is what somebody vouched for, or there is none. */
	FUZZ_WANT((vouched && seal->from_descriptor) ||
		  (d->name[0] == '\0' && d->rollback_index == 0 && !d->has_manifest));
	FUZZ_WANT(d->rollback_index >= policy->rollback_min);
	FUZZ_WANT(satisfied || policy->mode == UL_VERIFY_PINNED || (policy->mode == UL_VERIFY_KERNEL && !vouched) ||
		  (policy->mode == UL_VERIFY_KERNEL && !seal->from_descriptor));
}

/* A partition in a memfd, "/proc/self/fd/N". */
static int partition(char path[32])
{
	int fd = memfd_create("partition", MFD_CLOEXEC);

	FUZZ_WANT(fd >= 0);
	snprintf(path, 32, "/proc/self/fd/%d", fd);
	return fd;
}

static void put_signature(int fd, const uint8_t *text, size_t len, struct ul_slot *slot)
{
	static char hex[65];
	static uint8_t one[] = {0x30, 0x00};
	struct ul_signature_blob blob = {.root_hash = hex, .signature = {one, 2, 2}};
	ul_autobuffer struct ul_buffer json = {0};

	ul_hex_encode(root_hash, sizeof(root_hash), hex);
	if (text) {
		blob.descriptor = (struct ul_buffer){.data = (uint8_t *)text, .len = len, .size = len};
		blob.descriptor_signature = blob.signature;
	}
	slot->sig.size = 0;
	if (ul_signature_format(&blob, &json, NULL) < 0)
		return;
	FUZZ_WANT(ul_pwrite_full(fd, json.data, json.len, 0) == 0);
	slot->sig.size = json.len;
}

void fuzz_one(const uint8_t *data, size_t size)
{
	static char hash_path[32], sig_path[32];
	static int hash = -1, sig;
	struct ul_slot slot = {.disk = hash_path};
	struct ul_seal_policy policy = {0};
	uint8_t superblock[UL_SUPERBLOCK_SIZE] = {0};
	struct ul_seal seal;
	bool foreign;

	if (hash < 0) {
		hash = partition(hash_path);
		sig = partition(sig_path);
	}
	if (size < HEAD || size > HEAD + UL_DESCRIPTOR_MAX)
		return;
	policy.mode = (enum ul_verify_mode)(data[0] & 3);
	policy.descriptor_required = data[0] & 4;
	policy.rollback_min = data[0] & 8 ? 6 : 0;
	policy.trust = data[0] & 16 ? NULL : (const struct ul_trust *)good;
	foreign = data[0] & 32;
	satisfied = !(data[0] & 64);
	if (policy.mode == UL_VERIFY_PINNED) {
		policy.pinned_root_hash = root_hash;
		policy.pinned_root_hash_len = sizeof(root_hash);
	}
	slot.data = (struct ul_extent){.device = hash_path, .size = ul_get_le64(data + 1)};
	slot.hash = (struct ul_extent){.device = hash_path, .size = ul_get_le64(data + 9)};
	slot.sig.device = sig_path;
	put_signature(sig, foreign ? NULL : data + HEAD, size - HEAD, &slot);
	if (foreign) {
		memcpy(superblock, data + HEAD, size - HEAD < sizeof(superblock) ? size - HEAD : sizeof(superblock));
		FUZZ_WANT(ul_pwrite_full(hash, superblock, sizeof(superblock), 0) == 0);
	}
	if (ul_seal_decide(&slot, &policy, &seal, NULL) < 0)
		return;
	check(&seal, &policy, &slot);
	ul_seal_free(&seal);
}
