/*
 * The superblock of a foreign image, through the trust decision: 512 bytes of superblock, then the sizes of the
 * data and hash partition (8 bytes each). What is accepted must lie within them.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/bytes.h"
#include "common/file.h"
#include "tests/fuzz/fuzz.h"
#include "verity/format/hash_tree_geometry.h"
#include "verity/open/open.h"
#include "verity/format/superblock.h"

static void check(const struct ul_descriptor *d, uint64_t data_size, uint64_t hash_size)
{
	uint64_t bytes;

	FUZZ_WANT(d->salt_len <= UL_SALT_MAX);
	FUZZ_WANT(d->root_hash_len == (strcmp(d->hash, "sha256") == 0 ? 32 : 64));
	FUZZ_WANT(d->data_block_size >= 512 && d->data_block_size <= 4096);
	FUZZ_WANT(d->hash_block_size >= 512 && d->hash_block_size <= 4096);
	FUZZ_WANT(!__builtin_mul_overflow(d->data_blocks, d->data_block_size, &bytes));
	FUZZ_WANT(bytes > 0 && bytes <= data_size);
	FUZZ_WANT(d->hash_start < hash_size || d->data_blocks == 1);
	FUZZ_WANT(d->hash_start + ul_hash_tree_size(d) <= hash_size);
	FUZZ_WANT(d->fec_roots == 0 && d->name[0] == '\0');
}

const struct fuzz_memory fuzz_memory = {.fixed = 65536, .per_byte = 16};

void fuzz_one(const uint8_t *data, size_t len)
{
	static const uint8_t zero[64];
	static int fd = -1;
	static char path[64];
	struct ul_slot slot = {.disk = path};
	struct ul_seal_policy policy = {.mode = UL_VERIFY_PINNED, .pinned_root_hash = zero};
	struct ul_seal seal;

	if (fd < 0) {
		fd = memfd_create("hash", MFD_CLOEXEC);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	if (len < UL_SUPERBLOCK_SIZE + 16)
		return;
	if (ul_pwrite_full(fd, data, UL_SUPERBLOCK_SIZE, 0) < 0)
		abort();
	slot.data.device = slot.hash.device = path;
	slot.data.size = ul_get_le64(data + UL_SUPERBLOCK_SIZE);
	slot.hash.size = ul_get_le64(data + UL_SUPERBLOCK_SIZE + 8);
	for (policy.pinned_root_hash_len = 32; policy.pinned_root_hash_len <= 64; policy.pinned_root_hash_len += 32) {
		if (ul_seal_decide(&slot, &policy, &seal, NULL) < 0)
			continue;
		check(&seal.d, slot.data.size, slot.hash.size);
		ul_seal_free(&seal);
	}
}
