/* The dm-verity superblock: strict parsing of what nobody signed. */
#include "verity/format/superblock.h"

#include <stdbool.h>
#include <string.h>

#include "common/bytes.h"
#include "verity/format/hash_tree_geometry.h"

static int bad(const char *object, struct ul_error *err, const char *why)
{
	return ul_error_set(err, UL_E_SUPERBLOCK, "reading the dm-verity superblock", object, "Write the image again.",
			    "%s", why);
}

int ul_superblock_parse(const uint8_t bytes[UL_SUPERBLOCK_SIZE], const char *object, struct ul_descriptor *ret,
			uint8_t *ret_uuid, struct ul_error *err)
{
	const char *algorithm = (const char *)bytes + 32;
	struct ul_descriptor d = {0};

	if (memcmp(bytes, "verity\0\0", 8) != 0)
		return bad(object, err, "there is no superblock");
	if (ul_get_le32(bytes + 8) != 1)
		return bad(object, err, "its version is not 1");
	if (ul_get_le32(bytes + 12) != 1)
		return bad(object, err, "its hash type is not 1");
	if (strnlen(algorithm, 32) != 6 || (strcmp(algorithm, "sha256") != 0 && strcmp(algorithm, "sha512") != 0))
		return bad(object, err, "its hash algorithm is neither sha256 nor sha512");
	memcpy(d.hash, algorithm, 7);
	d.data_block_size = ul_get_le32(bytes + 64);
	d.hash_block_size = ul_get_le32(bytes + 68);
	if (!ul_block_size_valid(d.data_block_size) || !ul_block_size_valid(d.hash_block_size))
		return bad(object, err, "a block size is not 512, 1024, 2048 or 4096");
	d.data_blocks = ul_get_le64(bytes + 72);
	if (d.data_blocks == 0)
		return bad(object, err, "it counts no data blocks");
	d.salt_len = ul_get_le16(bytes + 80);
	if (d.salt_len > UL_SALT_MAX)
		return bad(object, err, "its salt is longer than 256 bytes");
	memcpy(d.salt, bytes + 88, d.salt_len);
	if (!ul_all_zero(bytes + 39, 32 - 7) || !ul_all_zero(bytes + 82, 6) ||
	    !ul_all_zero(bytes + 88 + d.salt_len, UL_SALT_MAX - d.salt_len) ||
	    !ul_all_zero(bytes + 344, UL_SUPERBLOCK_SIZE - 344))
		return bad(object, err, "its padding is not zero");
	d.hash_start = d.hash_block_size;
	if (ret_uuid)
		memcpy(ret_uuid, bytes + 16, 16);
	*ret = d;
	return 0;
}
