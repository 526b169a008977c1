/*
 * SQLite's database file format, as far as a bulk writer needs it. "[n]" is a section of "Database File
 * Format", https://www.sqlite.org/fileformat2.html.
 *
 * A file is a sequence of pages, numbered from 1 [1.2]. Page 1 begins with the header of 100 bytes
 * [1.3] and is the root of the b-tree that holds sqlite_schema [2.6]. All integers are big-endian.
 *
 * B-tree page [1.6]: header (8 bytes in a leaf, 12 in an interior page), an array of 2-byte offsets of the
 * cells in key order, free space, the cells. Header:
 *
 *     0  1  kind: 2 interior index, 5 interior table, 10 leaf index, 13 leaf table
 *     1  2  first free block: 0 here
 *     3  2  number of cells
 *     5  2  start of the cells' area
 *     7  1  fragmented free bytes: 0 here
 *     8  4  interior pages: the right-most child
 *
 * Cells:
 *     leaf table       varint payload length, varint rowid, payload [, overflow page]
 *     interior table   4 bytes left child, varint rowid: the greatest one below that child
 *     leaf index       varint payload length, payload [, overflow page]
 *     interior index   4 bytes left child, then as in a leaf: the entry is here and in no leaf
 *
 * A payload that is too long for a page keeps a part in the cell; the rest is a chain of overflow pages
 * [1.7]: 4 bytes next page or 0, then content.
 *
 * The payload is a record [2.1]: varint header length (itself included), one varint serial type a
 * column, then the values. Serial types: 0 NULL; 1 2 3 4 5 6 integers of 1 2 3 4 6 8 bytes; 8 and 9 the
 * integers 0 and 1 without a byte; 13 + 2 n a text of n bytes. A varint has seven bits a byte, highest
 * first, at most nine bytes, the ninth holds eight.
 *
 * Example: the entry (7, 300) of an index, as it lies in a leaf: 06 03 01 02 07 01 2c: six bytes of payload; a header
 * of three bytes says one byte and two bytes; 7; 300.
 *
 * The page that holds byte 2^30 is never used: locks are taken on its bytes [1.5].
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"

#define UL_SQLITE_PAGE      4096U /* bytes: Nix's, and SQLite's default */
#define UL_SQLITE_HEADER    100U
#define UL_SQLITE_LOCK_PAGE ((1U << 30) / UL_SQLITE_PAGE) /* as an index from 0 */

enum ul_sqlite_kind {
	UL_SQLITE_INTERIOR_INDEX = 2,
	UL_SQLITE_INTERIOR_TABLE = 5,
	UL_SQLITE_LEAF_INDEX = 10,
	UL_SQLITE_LEAF_TABLE = 13,
};

/* Longest payload that lies in its cell whole, and least part that stays in the cell else [1.6]. */
#define UL_SQLITE_MAX_LOCAL_TABLE (UL_SQLITE_PAGE - 35)
#define UL_SQLITE_MAX_LOCAL_INDEX ((UL_SQLITE_PAGE - 12) * 64 / 255 - 23)
#define UL_SQLITE_MIN_LOCAL       ((UL_SQLITE_PAGE - 12) * 32 / 255 - 23)

static inline size_t ul_varint_size(uint64_t v)
{
	size_t n = 1;

	if (v < 128)
		return 1;
	while (n < 9 && v >> (7 * n) != 0)
		n++;
	return n;
}

/* Returns where the next byte goes. v < 2^56, which every length and id here is. */
static inline uint8_t *ul_put_varint(uint8_t *p, uint64_t v)
{
	size_t n;

	if (v < 128) {
		*p = (uint8_t)v;
		return p + 1;
	}
	n = ul_varint_size(v);
	for (size_t i = n; i-- > 0; v >>= 7)
		p[i] = (uint8_t)((v & 0x7f) | (i + 1 < n ? 0x80 : 0));
	return p + n;
}

static inline uint64_t ul_serial_text(size_t len)
{
	return 13 + 2 * (uint64_t)len;
}

/* The shortest serial type that holds v. */
static inline uint8_t ul_serial_int(int64_t v)
{
	uint64_t magnitude = v < 0 ? ~(uint64_t)v : (uint64_t)v;

	if (v == 0 || v == 1)
		return v ? 9 : 8;
	if (magnitude < 1ULL << 7)
		return 1;
	if (magnitude < 1ULL << 15)
		return 2;
	if (magnitude < 1ULL << 23)
		return 3;
	if (magnitude < 1ULL << 31)
		return 4;
	return magnitude < 1ULL << 47 ? 5 : 6;
}

/* Bytes of the value of an integer's serial type (0 to 9). */
static inline size_t ul_serial_size(uint8_t type)
{
	static const uint8_t size[10] = {0, 1, 2, 3, 4, 6, 8, 8, 0, 0};

	return size[type];
}

static inline uint8_t *ul_put_int(uint8_t *p, int64_t v, uint8_t type)
{
	size_t n = ul_serial_size(type);

	for (size_t i = n; i-- > 0;) {
		p[i] = (uint8_t)v;
		v >>= 8;
	}
	return p + n;
}

/* How much of a payload stays in its cell; max: the limit of the kind of page. */
static inline size_t ul_sqlite_local(size_t payload, size_t max)
{
	size_t keep;

	if (payload <= max)
		return payload;
	keep = UL_SQLITE_MIN_LOCAL + (payload - UL_SQLITE_MIN_LOCAL) % (UL_SQLITE_PAGE - 4);
	return keep <= max ? keep : UL_SQLITE_MIN_LOCAL;
}

/* The number of the page that comes as the index-th (from 0) of those in use. */
static inline uint32_t ul_sqlite_page_number(uint32_t index)
{
	return index + 1 + (index >= UL_SQLITE_LOCK_PAGE);
}
