#include "verity/locate/erofs_walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "verity/locate/erofs_index.h"

static const char WHAT[] = "reading the filesystem's map";
#define DEPTH_MAX      256   /* directories inside each other: what a path of PATH_MAX bytes has room for, nearly */
#define INCOMPAT_KNOWN 0x7fu /* compression, chunks, inline tails, fragments, prefixes: none moves an inode */

static int open_erofs(struct ul_erofs *fs, uint64_t *ret_root)
{
	uint8_t sb[EROFS_SB_SIZE];
	int r = ul_erofs_read(fs, EROFS_SB_OFFSET, sb, sizeof(sb));

	if (r < 0)
		return r;
	fs->block_bits = sb[EROFS_SB_BLOCK_BITS];
	if (ul_get_le32(sb + EROFS_SB_MAGIC) != EROFS_MAGIC || fs->block_bits < 9 || fs->block_bits > 16)
		return ul_erofs_malformed(fs, "it is not an erofs");
	if (ul_get_le32(sb + EROFS_SB_FEATURE_INCOMPAT) & ~INCOMPAT_KNOWN)
		return ul_erofs_malformed(fs, "it has features that this Underlay does not know");
	fs->meta = (uint64_t)ul_get_le32(sb + EROFS_SB_META_BLOCK) << fs->block_bits;
	*ret_root = ul_get_le16(sb + EROFS_SB_ROOT_NID);
	fs->seen = calloc(1, fs->size / EROFS_INODE_UNIT / 8 + 1);
	if (!fs->seen)
		return ul_error_nomem(fs->err, WHAT);
	ul_erofs_tell(fs, UL_EROFS_SUPERBLOCK, EROFS_SB_OFFSET, sizeof(sb), 0, 0);
	return 0;
}

/* 1: *ret is filled; 0: it was looked at before. */
static int read_inode(struct ul_erofs *fs, uint64_t number, struct ul_erofs_inode *ret)
{
	uint8_t raw[EROFS_EXTENDED_LEN];
	unsigned int format, attributes;
	bool extended;
	int r;

	if (number > fs->size / EROFS_INODE_UNIT)
		return ul_erofs_malformed(fs, "an inode lies behind its end");
	if (fs->seen[number / 8] & 1 << number % 8)
		return 0;
	fs->seen[number / 8] |= (uint8_t)(1 << number % 8);
	*ret = (struct ul_erofs_inode){.number = number, .at = fs->meta + number * EROFS_INODE_UNIT};
	r = ul_erofs_read(fs, ret->at, raw, EROFS_COMPACT_LEN);
	format = ul_get_le16(raw + EROFS_INODE_FORMAT);
	extended = format & 1;
	if (r == 0 && extended)
		r = ul_erofs_read(fs, ret->at, raw, EROFS_EXTENDED_LEN);
	if (r < 0)
		return r;
	attributes = ul_get_le16(raw + EROFS_INODE_XATTRS);
	ret->end = ret->at + (extended ? EROFS_EXTENDED_LEN : EROFS_COMPACT_LEN) +
		   (attributes ? 12 + 4 * (uint64_t)(attributes - 1) : 0);
	ret->size = extended ? ul_get_le64(raw + EROFS_INODE_SIZE) : ul_get_le32(raw + EROFS_INODE_SIZE);
	ret->block = ul_get_le32(raw + EROFS_INODE_BLOCK);
	ret->layout = format >> 1 & 7;
	switch (ul_get_le16(raw + EROFS_INODE_MODE) & EROFS_MODE_TYPE) {
	case EROFS_MODE_DIRECTORY:
		ret->directory = true;
		break;
	case EROFS_MODE_REGULAR:
	case EROFS_MODE_SYMLINK:
		break;
	case EROFS_MODE_FIFO:
	case EROFS_MODE_CHAR_DEVICE:
	case EROFS_MODE_BLOCK_DEVICE:
	case EROFS_MODE_SOCKET:
		ret->size = 0; /* a device's number stands where the block does */
		break;
	default:
		return ul_erofs_malformed(fs, "a file is of no type that there is");
	}
	return 1;
}

/* Whole blocks, and what is left of the file behind the inode. */
static int tell_flat(const struct ul_erofs *fs, const struct ul_erofs_inode *inode, uint64_t *ret_end)
{
	enum ul_erofs_kind kind = inode->directory ? UL_EROFS_DIRECTORY : UL_EROFS_FILE;
	uint64_t tail = inode->size & ((UINT64_C(1) << fs->block_bits) - 1), whole = inode->size - tail;

	*ret_end = inode->end;
	if (inode->size > fs->size)
		return ul_erofs_malformed(fs, "a file is larger than the filesystem");
	if (inode->layout == EROFS_FLAT_PLAIN)
		whole = inode->size;
	ul_erofs_tell(fs, kind, (uint64_t)inode->block << fs->block_bits, whole, 0, whole);
	ul_erofs_tell(fs, kind, inode->end, inode->size - whole, whole, inode->size);
	return 0;
}

static int tell_inode(const struct ul_erofs *fs, const struct ul_erofs_inode *inode)
{
	uint64_t end = inode->end;
	int r = 0;

	if (inode->size == 0)
		;
	else if (inode->layout == EROFS_FLAT_PLAIN || inode->layout == EROFS_FLAT_INLINE)
		r = tell_flat(fs, inode, &end);
	else if (inode->directory)
		r = ul_erofs_malformed(fs, "a directory is compressed");
	else if (inode->layout == EROFS_CHUNK_BASED)
		r = ul_erofs_chunks(fs, inode, &end);
	else if (inode->layout == EROFS_COMPRESSED_FULL || inode->layout == EROFS_COMPRESSED_COMPACT)
		r = ul_erofs_compressed(fs, inode, &end);
	else
		r = ul_erofs_malformed(fs, "a file has an unknown layout");
	if (r == 0)
		ul_erofs_tell(fs, UL_EROFS_INODE, inode->at, end - inode->at, 0, 0);
	return r;
}

static int walk(struct ul_erofs *fs, uint64_t number, size_t path_len, unsigned int depth);

/* One block of a directory: entries, then their names, which end where the next one starts. */
static int walk_entries(struct ul_erofs *fs, const uint8_t *block, size_t len, size_t path_len, unsigned int depth)
{
	size_t n = len < EROFS_DIRENT_SIZE ? 0 : ul_get_le16(block + EROFS_DIRENT_NAME) / EROFS_DIRENT_SIZE;
	int r = 0;

	if (n == 0 || n * EROFS_DIRENT_SIZE > len)
		return ul_erofs_malformed(fs, "a directory's block has no entries");
	for (size_t i = 0; r == 0 && i < n; i++) {
		const uint8_t *entry = block + i * EROFS_DIRENT_SIZE;
		size_t start = ul_get_le16(entry + EROFS_DIRENT_NAME), name_len, used = path_len;
		size_t end = i + 1 < n ? ul_get_le16(entry + EROFS_DIRENT_SIZE + EROFS_DIRENT_NAME) : len;

		if (start >= end || end > len)
			return ul_erofs_malformed(fs, "a directory's names lie outside of it");
		name_len = strnlen((const char *)block + start, end - start);
		if ((name_len == 1 && block[start] == '.') ||
		    (name_len == 2 && block[start] == '.' && block[start + 1] == '.'))
			continue;
		if (used + 1 + name_len >= sizeof(fs->path))
			return ul_erofs_malformed(fs, "a path is too long");
		if (used > 0)
			fs->path[used++] = '/';
		memcpy(fs->path + used, block + start, name_len);
		fs->path[used + name_len] = '\0';
		r = walk(fs, ul_get_le64(entry), used + name_len, depth);
		fs->path[path_len] = '\0';
		/* What is damaged is often the reason for the walk: the rest of it is told all the same. */
		if (r < 0 && r != -UL_E_MEMORY) {
			fs->incomplete = r;
			r = 0;
		}
	}
	return r;
}

static int walk_directory(struct ul_erofs *fs, const struct ul_erofs_inode *dir, size_t path_len, unsigned int depth)
{
	size_t size = (size_t)1 << fs->block_bits;
	ul_autofree uint8_t *block = malloc((size_t)(dir->size < size ? dir->size : size) + 1);
	uint64_t done = 0;
	int r = block ? 0 : ul_error_nomem(fs->err, WHAT);

	while (r == 0 && done < dir->size) {
		size_t len = dir->size - done < size ? (size_t)(dir->size - done) : size;
		bool tail = len < size && dir->layout == EROFS_FLAT_INLINE;

		r = ul_erofs_read(fs, tail ? dir->end : ((uint64_t)dir->block << fs->block_bits) + done, block, len);
		if (r == 0)
			r = walk_entries(fs, block, len, path_len, depth);
		done += len;
	}
	return r;
}

static int walk(struct ul_erofs *fs, uint64_t number, size_t path_len, unsigned int depth)
{
	struct ul_erofs_inode inode = {0};
	int r = read_inode(fs, number, &inode);

	if (r <= 0)
		return r;
	r = tell_inode(fs, &inode);
	if (r < 0 || !inode.directory)
		return r;
	if (depth == DEPTH_MAX)
		return ul_erofs_malformed(fs, "directories are nested too deep");
	return walk_directory(fs, &inode, path_len, depth + 1);
}

int ul_erofs_walk(int fd, const struct ul_extent *data, void (*found)(void *user, const struct ul_erofs_piece *piece),
		  void *user, struct ul_error *err)
{
	struct ul_erofs fs = {
		.fd = fd,
		.offset = data->offset,
		.size = data->size,
		.object = data->device,
		.found = found,
		.user = user,
		.err = err,
	};
	uint64_t root = 0;
	int r = open_erofs(&fs, &root);

	if (r == 0)
		r = walk(&fs, root, 0, 0);
	free(fs.seen);
	return r == 0 ? fs.incomplete : r;
}
