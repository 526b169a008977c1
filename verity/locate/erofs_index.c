/*
 * Where the data of chunked and of compressed files lie (the Linux kernel's fs/erofs/data.c and zmap.c).
 *
 * A compressed file is a row of logical clusters, each with an index entry. A HEAD or PLAIN entry names the
 * block where a physical cluster begins, and the byte of its logical cluster from which that one decompresses;
 * the NONHEAD entries behind it go on with it, and the first of them may tell its length in blocks; without it the
 * length is one. Compact entries come in packs of 2 (4 bytes each) or 16 (2 bytes each), whose last 4 bytes are a
 * block number from which the pack's heads count.
 */
#include <string.h>

#include "common/bytes.h"
#include "verity/locate/erofs_index.h"

enum {
	CHUNK_BITS = 0x1f,
	CHUNK_INDEXES = 0x20,

	HEADER_INLINE_LEN = 2, /* u16 */
	HEADER_ADVISE = 4,     /* u16 */
	HEADER_CLUSTER_BITS = 7,
	HEADER_LEN = 8,
	ADVISE_COMPACT_2B = 1, /* with full indexes: extents, a newer form */
	ADVISE_BIG_CLUSTERS = 2 | 4,
	ADVISE_INLINE = 8,    /* the last cluster follows the index */
	ADVISE_FRAGMENT = 32, /* the last one lies in the inode of fragments */
	CLUSTER_IS_FRAGMENT = 0x80,

	NONHEAD = 2,
	BLOCK_COUNT = 0x800, /* in a NONHEAD's number: the rest is a count of blocks */
	FULL_ENTRY = 8,
	PACK_MAX = 32,
};

static uint64_t round_up(uint64_t n, uint64_t unit)
{
	return (n + unit - 1) / unit * unit;
}

int ul_erofs_chunks(const struct ul_erofs *fs, const struct ul_erofs_inode *inode, uint64_t *ret_end)
{
	unsigned int bits = fs->block_bits + (inode->block & CHUNK_BITS);
	uint64_t unit = inode->block & CHUNK_INDEXES ? 8 : 4, chunk = UINT64_C(1) << bits;
	uint64_t at = round_up(inode->end, unit), n = ((inode->size - 1) >> bits) + 1;
	uint8_t entry[8];

	*ret_end = inode->end;
	if (bits > 32 || n > fs->size / unit || at + n * unit > fs->size)
		return ul_erofs_malformed(fs, "a file's index is larger than the filesystem");
	for (uint64_t i = 0; i < n; i++) {
		uint64_t left = inode->size - i * chunk, len = left < chunk ? left : chunk;
		int r = ul_erofs_read(fs, at + i * unit, entry, unit);
		uint32_t block = ul_get_le32(entry + unit - 4);

		if (r < 0)
			return r;
		if (block != UINT32_MAX) /* a hole */
			ul_erofs_tell(fs, UL_EROFS_FILE, (uint64_t)block << fs->block_bits, len, i * chunk,
				      i * chunk + len);
	}
	*ret_end = at + n * unit;
	return 0;
}

/* ---- compressed ---- */

/* The entries of one file, and the physical cluster whose end is not known yet. */
struct clusters {
	const struct ul_erofs *fs;
	const struct ul_erofs_inode *inode;
	unsigned int bits; /* of a logical cluster's size */
	bool big;
	uint64_t end;           /* of the index: bytes of the filesystem */
	uint64_t block, blocks; /* blocks 0: there is none */
	uint64_t file_start;    /* byte of the file */
	bool first_nonhead;     /* the next entry may tell the length */
};

static void finish_cluster(struct clusters *c, uint64_t file_end)
{
	if (c->blocks > 0 && file_end > c->file_start)
		ul_erofs_tell(c->fs, UL_EROFS_FILE, c->block << c->fs->block_bits, c->blocks << c->fs->block_bits,
			      c->file_start, file_end);
	c->blocks = 0;
}

/* number: a head's offset in its cluster; a NONHEAD's distance, or count of blocks. */
static void take_entry(struct clusters *c, uint64_t index, unsigned int type, unsigned int number, uint64_t block)
{
	uint64_t at = index << c->bits;

	if (type == NONHEAD) {
		if (c->first_nonhead && c->big && number & BLOCK_COUNT)
			c->blocks = number & (BLOCK_COUNT - 1);
		c->first_nonhead = false;
		return;
	}
	finish_cluster(c, at + number < c->inode->size ? at + number : c->inode->size);
	c->block = block;
	c->blocks = 1;
	c->file_start = at + number;
	c->first_nonhead = true;
}

static int read_full(struct clusters *c, uint64_t at, uint64_t n)
{
	uint8_t entry[FULL_ENTRY];

	for (uint64_t i = 0; i < n; i++) {
		int r = ul_erofs_read(c->fs, at + i * FULL_ENTRY, entry, sizeof(entry));
		unsigned int type = ul_get_le16(entry) & 3;

		if (r < 0)
			return r;
		take_entry(c, i, type, type == NONHEAD ? ul_get_le16(entry + 4) : ul_get_le16(entry + 2),
			   ul_get_le32(entry + 4));
	}
	c->end = at + n * FULL_ENTRY;
	return 0;
}

/* Entry i of a pack whose entries have `width` bits: `low` bits of a number, then two of type. */
static unsigned int unpack(const uint8_t *pack, unsigned int i, unsigned int width, unsigned int low,
			   unsigned int *ret_number)
{
	unsigned int bit = i * width;
	uint32_t word;

	memcpy(&word, pack + bit / 8, sizeof(word));
	word = le32toh(word) >> bit % 8;
	*ret_number = word & ((1u << low) - 1);
	return word >> low & 3;
}

/* Packs of entries of 1 << shift bytes: n entries, beginning with entry `first` of the file. */
static int read_packs(struct clusters *c, uint64_t at, uint64_t first, uint64_t n, unsigned int shift)
{
	unsigned int count = shift == 1 ? 16 : 2, bytes = count << shift;
	unsigned int width = (bytes - 4) * 8 / count, low = c->bits > 12 ? c->bits : 12;
	uint8_t pack[PACK_MAX + 4] = {0};

	for (uint64_t done = 0; done < n; done += count, at += bytes) {
		int r = ul_erofs_read(c->fs, at, pack, bytes);
		uint64_t block = ul_get_le32(pack + bytes - 4);

		if (r < 0)
			return r;
		for (unsigned int i = 0; i < count && done + i < n; i++) {
			unsigned int number, type = unpack(pack, i, width, low, &number);

			/* Heads count on from the number: each by one, where lengths are told by them. */
			if (type != NONHEAD && !c->big)
				block++;
			take_entry(c, first + done + i, type, number, block);
			if (type != NONHEAD && c->big)
				block++;
			else if (c->big && number & BLOCK_COUNT)
				block += (number & (BLOCK_COUNT - 1)) - (i > 0);
		}
	}
	c->end = at;
	return 0;
}

static int read_compact(struct clusters *c, uint64_t at, uint64_t n, unsigned int advise)
{
	/* Entries of 4 bytes up to a 32-byte boundary, of 2 bytes as long as packs of 16 are full, of 4 again. */
	uint64_t start = (32 - at % 32) / 4 % 8, middle = 0;
	int r;

	if (start > n)
		start = n;
	else if (advise & ADVISE_COMPACT_2B)
		middle = (n - start) / 16 * 16;
	if (c->bits > 14 || (middle && c->bits > 12))
		return ul_erofs_malformed(c->fs, "a compressed file's clusters are too large");
	r = read_packs(c, at, 0, start, 2);
	if (r == 0)
		r = read_packs(c, c->end, start, middle, 1);
	if (r == 0)
		r = read_packs(c, c->end, start + middle, n - start - middle, 2);
	return r;
}

int ul_erofs_compressed(const struct ul_erofs *fs, const struct ul_erofs_inode *inode, uint64_t *ret_end)
{
	uint64_t at = round_up(inode->end, 8), n;
	bool full = inode->layout == EROFS_COMPRESSED_FULL;
	struct clusters c = {.fs = fs, .inode = inode};
	uint8_t header[HEADER_LEN];
	unsigned int advise, inline_len;
	int r = ul_erofs_read(fs, at, header, sizeof(header));

	*ret_end = at + HEADER_LEN;
	if (r < 0)
		return r;
	if (header[HEADER_CLUSTER_BITS] & CLUSTER_IS_FRAGMENT)
		return 0; /* all of it lies among the fragments */
	advise = ul_get_le16(header + HEADER_ADVISE);
	if (full && advise & ADVISE_COMPACT_2B)
		return ul_erofs_malformed(fs, "a compressed file has an index of a newer form");
	c.bits = fs->block_bits + (header[HEADER_CLUSTER_BITS] & 7);
	c.big = advise & ADVISE_BIG_CLUSTERS;
	n = ((inode->size - 1) >> c.bits) + 1;
	at += full ? HEADER_LEN + 8 : HEADER_LEN;
	if (n > fs->size / 2)
		return ul_erofs_malformed(fs, "a file's index is larger than the filesystem");
	r = full ? read_full(&c, at, n) : read_compact(&c, at, n, advise);
	if (r < 0)
		return r;
	*ret_end = c.end;
	inline_len = advise & ADVISE_INLINE ? ul_get_le16(header + HEADER_INLINE_LEN) : 0;
	if (inline_len && c.blocks)
		ul_erofs_tell(fs, UL_EROFS_FILE, *ret_end, inline_len, c.file_start, inode->size);
	else if (!(advise & ADVISE_FRAGMENT))
		finish_cluster(&c, inode->size);
	return 0;
}
