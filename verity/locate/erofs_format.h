/*
 * The parts of erofs' on-disk format that Underlay reads: the Linux kernel's fs/erofs/erofs_fs.h. Integers are
 * little-endian; offsets in bytes.
 */
#pragma once

enum {
	EROFS_SB_OFFSET = 1024, /* of the superblock in the filesystem */
	EROFS_SB_SIZE = 128,
	EROFS_SB_MAGIC = 0,             /* u32 */
	EROFS_SB_CHECKSUM = 4,          /* u32: crc32c from the superblock to the end of block 0, this as 0 */
	EROFS_SB_FEATURE_COMPAT = 8,    /* u32 */
	EROFS_SB_BLOCK_BITS = 12,       /* u8 */
	EROFS_SB_ROOT_NID = 14,         /* u16 */
	EROFS_SB_META_BLOCK = 40,       /* u32 */
	EROFS_SB_FEATURE_INCOMPAT = 80, /* u32 */

	EROFS_INODE_UNIT = 32,   /* inode number times this, from the meta block on */
	EROFS_INODE_FORMAT = 0,  /* u16: bit 0 extended, bits 1 to 3 layout of the data */
	EROFS_INODE_XATTRS = 2,  /* u16: 0, or 12 bytes and as many times 4 less one follow the inode */
	EROFS_INODE_MODE = 4,    /* u16 */
	EROFS_INODE_SIZE = 8,    /* u32, in an extended inode u64 */
	EROFS_INODE_BLOCK = 16,  /* u32: first block of plain data; format of chunks */
	EROFS_COMPACT_GID = 26,  /* u16 */
	EROFS_EXTENDED_GID = 28, /* u32 */
	EROFS_COMPACT_LEN = 32,
	EROFS_EXTENDED_LEN = 64,

	/* Layouts of an inode's data. */
	EROFS_FLAT_PLAIN = 0,
	EROFS_COMPRESSED_FULL = 1,    /* an index entry of 8 bytes for each 4 KiB of the file */
	EROFS_FLAT_INLINE = 2,        /* what does not fill a block follows the inode */
	EROFS_COMPRESSED_COMPACT = 3, /* entries of 2 or 4 bytes, in packs that share a block number */
	EROFS_CHUNK_BASED = 4,

	EROFS_DIRENT_SIZE = 12, /* u64 inode number, u16 offset of the name, u8 type, u8 0 */
	EROFS_DIRENT_NAME = 8,

	EROFS_MODE_TYPE = 0170000,
	EROFS_MODE_DIRECTORY = 0040000,
	EROFS_MODE_REGULAR = 0100000,
	EROFS_MODE_SYMLINK = 0120000,
	EROFS_MODE_FIFO = 0010000,
	EROFS_MODE_CHAR_DEVICE = 0020000,
	EROFS_MODE_BLOCK_DEVICE = 0060000,
	EROFS_MODE_SOCKET = 0140000,
};

#define EROFS_MAGIC           0xe0f5e1e2u
#define EROFS_COMPAT_CHECKSUM 1u
#define EROFS_INCOMPAT_48BIT  0x80u /* moves the root's number elsewhere */
