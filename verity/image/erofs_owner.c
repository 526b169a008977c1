#include "verity/image/erofs_owner.h"

#include <stdbool.h>
#include <string.h>

#include "common/bytes.h"
#include "common/file.h"
#include "verity/locate/erofs_format.h"

static const char WHAT[] = "setting the store's group";
#define BLOCK 4096u

struct erofs {
	int fd;
	uint64_t offset, meta; /* bytes: of the filesystem in fd, of the inodes in the filesystem */
	const char *image;
	const char *path; /* to the directory whose group is set */
	size_t walked;    /* bytes of it that lead to the inode at hand */
	struct ul_error *err;
	uint8_t head[BLOCK]; /* block 0 */
};

struct inode {
	uint64_t at; /* bytes, in the filesystem */
	bool extended;
	uint8_t raw[EROFS_EXTENDED_LEN];
};

static const char ADVICE[] = "Report this with the version of mkfs.erofs; --store-group 0 does without.";

static int malformed(const struct erofs *fs, const char *why)
{
	return ul_error_set(fs->err, UL_E_FILESYSTEM, WHAT, fs->image, ADVICE, "%s", why);
}

/* Something is wrong with what the first `len` bytes of the path name. */
static int malformed_at(const struct erofs *fs, size_t len, const char *why)
{
	return ul_error_set(fs->err, UL_E_FILESYSTEM, WHAT, fs->image, ADVICE, "/%.*s in it %s", (int)len, fs->path,
			    why);
}

static int read_at(const struct erofs *fs, uint64_t at, void *buf, size_t len)
{
	int r = ul_pread_full(fs->fd, buf, len, fs->offset + at);

	return r < 0 ? ul_error_errno(fs->err, UL_E_SYSTEM, WHAT, fs->image, NULL, -r) : 0;
}

/* CRC-32C, bit by bit: it is three kilobytes once in an image's life. */
static uint32_t crc32c(const uint8_t *data, size_t len)
{
	uint32_t crc = UINT32_MAX;

	while (len-- > 0) {
		crc ^= *data++;
		for (int i = 0; i < 8; i++)
			crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return crc;
}

static uint32_t checksum_of(const uint8_t head[BLOCK])
{
	uint8_t covered[BLOCK - EROFS_SB_OFFSET];

	memcpy(covered, head + EROFS_SB_OFFSET, sizeof(covered));
	ul_put_le32(covered + EROFS_SB_CHECKSUM, 0);
	return crc32c(covered, sizeof(covered));
}

static int open_erofs(struct erofs *fs)
{
	const uint8_t *sb = fs->head + EROFS_SB_OFFSET;
	int r = read_at(fs, 0, fs->head, sizeof(fs->head));

	if (r < 0)
		return r;
	if (ul_get_le32(sb + EROFS_SB_MAGIC) != EROFS_MAGIC || sb[EROFS_SB_BLOCK_BITS] != 12)
		return malformed(fs, "it is not an erofs with blocks of 4096 bytes");
	if (ul_get_le32(sb + EROFS_SB_FEATURE_INCOMPAT) & EROFS_INCOMPAT_48BIT)
		return malformed(fs, "it has 48-bit addresses");
	if ((ul_get_le32(sb + EROFS_SB_FEATURE_COMPAT) & EROFS_COMPAT_CHECKSUM) &&
	    checksum_of(fs->head) != ul_get_le32(sb + EROFS_SB_CHECKSUM))
		return malformed(fs, "the superblock's checksum is wrong");
	fs->meta = (uint64_t)ul_get_le32(sb + EROFS_SB_META_BLOCK) * BLOCK;
	return 0;
}

static int read_inode(const struct erofs *fs, uint64_t number, struct inode *ret)
{
	int r;

	if (number > UINT32_MAX)
		return malformed_at(fs, fs->walked, "has too large an inode number");
	ret->at = fs->meta + number * EROFS_INODE_UNIT;
	memset(ret->raw, 0, sizeof(ret->raw));
	r = read_at(fs, ret->at, ret->raw, EROFS_COMPACT_LEN);
	if (r < 0)
		return r;
	ret->extended = ul_get_le16(ret->raw + EROFS_INODE_FORMAT) & 1;
	if ((ul_get_le16(ret->raw + EROFS_INODE_MODE) & EROFS_MODE_TYPE) != EROFS_MODE_DIRECTORY)
		return malformed_at(fs, fs->walked, "is not a directory");
	return ret->extended ? read_at(fs, ret->at, ret->raw, EROFS_EXTENDED_LEN) : 0;
}

static int read_entries(const struct erofs *fs, const struct inode *dir, uint8_t entries[BLOCK], size_t *ret_len)
{
	unsigned int layout = (ul_get_le16(dir->raw + EROFS_INODE_FORMAT) >> 1) & 7;
	uint64_t at = dir->at + (dir->extended ? EROFS_EXTENDED_LEN : EROFS_COMPACT_LEN);
	uint32_t len = ul_get_le32(dir->raw + EROFS_INODE_SIZE);

	if (len < EROFS_DIRENT_SIZE || len > BLOCK || ul_get_le16(dir->raw + EROFS_INODE_XATTRS) != 0)
		return malformed_at(fs, fs->walked, "is a directory larger than a block, or has attributes");
	if (layout == EROFS_FLAT_PLAIN)
		at = (uint64_t)ul_get_le32(dir->raw + EROFS_INODE_BLOCK) * BLOCK;
	else if (layout != EROFS_FLAT_INLINE)
		return malformed_at(fs, fs->walked, "is a directory of an unknown layout");
	*ret_len = len;
	return read_at(fs, at, entries, len);
}

static int find_entry(const struct erofs *fs, const struct inode *dir, const char *name, size_t name_len,
		      uint64_t *ret_number)
{
	uint8_t entries[BLOCK];
	size_t len = 0, n;
	int r = read_entries(fs, dir, entries, &len);

	if (r < 0)
		return r;
	n = ul_get_le16(entries + EROFS_DIRENT_NAME) / EROFS_DIRENT_SIZE;
	for (size_t i = 0; i < n && n * EROFS_DIRENT_SIZE <= len; i++) {
		const uint8_t *entry = entries + i * EROFS_DIRENT_SIZE;
		size_t start = ul_get_le16(entry + EROFS_DIRENT_NAME);
		size_t end = i + 1 < n ? ul_get_le16(entry + EROFS_DIRENT_SIZE + EROFS_DIRENT_NAME) : len;

		if (start > end || end > len)
			break;
		/* The last name may be followed by zeros. */
		if (strnlen((const char *)entries + start, end - start) == name_len &&
		    memcmp(entries + start, name, name_len) == 0) {
			*ret_number = ul_get_le64(entry);
			return 0;
		}
	}
	return malformed_at(fs, (size_t)(name + name_len - fs->path), "does not exist");
}

/* Write the group, in the copy of block 0 too, where the checksum covers it. */
static int write_group(struct erofs *fs, const struct inode *inode, uint32_t gid)
{
	uint8_t bytes[4], *sb = fs->head + EROFS_SB_OFFSET;
	size_t len = inode->extended ? 4 : 2;
	uint64_t at = inode->at + (inode->extended ? EROFS_EXTENDED_GID : EROFS_COMPACT_GID);
	int r;

	ul_put_le32(bytes, gid);
	r = ul_pwrite_full(fs->fd, bytes, len, fs->offset + at);
	if (r == 0 && at + len <= BLOCK && (ul_get_le32(sb + EROFS_SB_FEATURE_COMPAT) & EROFS_COMPAT_CHECKSUM)) {
		memcpy(fs->head + at, bytes, len);
		ul_put_le32(sb + EROFS_SB_CHECKSUM, checksum_of(fs->head));
		r = ul_pwrite_full(fs->fd, fs->head, BLOCK, fs->offset);
	}
	return r < 0 ? ul_error_errno(fs->err, UL_E_SYSTEM, WHAT, fs->image, NULL, -r) : 0;
}

int ul_erofs_set_group(int fd, uint64_t offset, const char *image, const char *path, uint32_t gid, struct ul_error *err)
{
	struct erofs fs = {.fd = fd, .offset = offset, .image = image, .path = path, .err = err};
	struct inode inode;
	uint64_t number;
	int r = open_erofs(&fs);

	if (r < 0)
		return r;
	number = ul_get_le16(fs.head + EROFS_SB_OFFSET + EROFS_SB_ROOT_NID);
	r = read_inode(&fs, number, &inode);
	while (r == 0 && *path) {
		size_t len = strcspn(path, "/");

		r = find_entry(&fs, &inode, path, len, &number);
		fs.walked = (size_t)(path + len - fs.path);
		if (r == 0)
			r = read_inode(&fs, number, &inode);
		path += len + (path[len] == '/');
	}
	if (r == 0 && gid > UINT16_MAX)
		r = malformed(&fs, "the group is above 65535");
	return r < 0 ? r : write_group(&fs, &inode, gid);
}
