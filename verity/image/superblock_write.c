#include "verity/image/superblock_write.h"

#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/file.h"
#include "verity/format/superblock.h"

static void write_superblock_fields(uint8_t sb[UL_SUPERBLOCK_SIZE], const uint8_t uuid[16],
				    const struct ul_descriptor *d)
{
	/* NOLINTNEXTLINE(bugprone-not-null-terminated-result): the magic fills its 8 bytes */
	memcpy(sb, "verity\0\0", 8);
	ul_put_le32(sb + 8, 1);  /* version */
	ul_put_le32(sb + 12, 1); /* hash type */
	memcpy(sb + 16, uuid, 16);
	memcpy(sb + 32, d->hash, strlen(d->hash)); /* of 32 bytes */
	ul_put_le32(sb + 64, d->data_block_size);
	ul_put_le32(sb + 68, d->hash_block_size);
	ul_put_le64(sb + 72, d->data_blocks);
	ul_put_le16(sb + 80, (uint16_t)d->salt_len); /* then 6 bytes of padding */
	memcpy(sb + 88, d->salt, d->salt_len);       /* of 256 bytes, then 168 of padding */
}

int ul_superblock_write(int fd, uint64_t offset, const uint8_t uuid[16], const struct ul_descriptor *d,
			struct ul_error *err)
{
	static const char what[] = "writing the verity superblock";
	ul_autofree uint8_t *area = NULL;
	int r;

	if (d->hash_start < UL_SUPERBLOCK_SIZE || d->hash_start > 1024 * 1024)
		return ul_error_set(err, UL_E_INPUT, what, NULL, NULL,
				    "the tree would start at byte %llu, not between 512 and 1 MiB",
				    (unsigned long long)d->hash_start);
	area = calloc(1, (size_t)d->hash_start);
	if (!area)
		return ul_error_nomem(err, what);
	write_superblock_fields(area, uuid, d);
	r = ul_pwrite_full(fd, area, (size_t)d->hash_start, offset);
	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, what, NULL, NULL, -r) : 0;
}
