/*
 * Cells of Nix's tables. Two texts are the cost of a path: 64 hexadecimal digits and 32 of base-32; both
 * are made once, in their place in the page. The cost of a reference is branches, so its integers are stored
 * four bytes at a time from right to left, each over the bytes that the one before wrote too many.
 */
#include "dbgen/database/pages/cells.h"

#include <errno.h>
#include <stdlib.h>

#include "common/encoding.h"
#include "dbgen/database/rows/added.h"
#include "dbgen/database/pages/sqlite_file.h"
#include "dbgen/store/hash_text.h"

#define DIGITS    32 /* of a store path's hash part */
#define HASH_TEXT ((uint32_t)UL_HASH_TEXT_LENGTH)

/* ---- texts ---- */

static void fill_pairs(char pairs[1024][2])
{
	uint8_t bytes[5];
	char digits[9];

	/* Ten bits at the top of five bytes are the first two of eight digits. */
	for (unsigned int v = 0; v < 1024; v++) {
		memset(bytes, 0, sizeof(bytes));
		bytes[4] = (uint8_t)(v >> 2);
		bytes[3] = (uint8_t)(v << 6);
		ul_nix32_encode(bytes, sizeof(bytes), digits);
		memcpy(pairs[v], digits, 2);
	}
}

/* Forty bits, big-endian, as eight digits. */
static inline void put_digits8(const char pairs[1024][2], uint64_t v, char *out)
{
	memcpy(out, pairs[v >> 30 & 1023], 2);
	memcpy(out + 2, pairs[v >> 20 & 1023], 2);
	memcpy(out + 4, pairs[v >> 10 & 1023], 2);
	memcpy(out + 6, pairs[v & 1023], 2);
}

/* A digest as manifests keep it is the number that its digits write, highest byte first. */
static inline void put_digest(const char pairs[1024][2], const uint8_t *digest, char *out)
{
	put_digits8(pairs, ul_get_be64(digest) >> 24, out);
	put_digits8(pairs, ul_get_be64(digest + 2), out + 8);
	put_digits8(pairs, ul_get_be64(digest + 7), out + 16);
	put_digits8(pairs, ul_get_be64(digest + 12), out + 24);
}

/* Sixteen bytes at once; compilers make vector instructions of it where there are any. */
typedef uint8_t v16 __attribute__((vector_size(16)));

static inline void put_hex16(const uint8_t *in, uint8_t *out)
{
	v16 v, high, low, text[2];

	memcpy(&v, in, sizeof(v));
	high = v >> 4;
	low = v & 15;
	high += (v16)(high > 9) & ('a' - '0' - 10);
	low += (v16)(low > 9) & ('a' - '0' - 10);
	text[0] = __builtin_shufflevector(high, low, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23) + '0';
	text[1] =
		__builtin_shufflevector(high, low, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31) + '0';
	memcpy(out, text, sizeof(text));
}

/*
 * Copy a text of some dozen bytes: whole vectors and a last one that overlaps them, inline. A call of memcpy for
 * each of a row's eight pieces cost a tenth of all.
 */
static inline uint8_t *put_bytes(uint8_t *at, const void *bytes, size_t len)
{
	const uint8_t *from = bytes;
	uint8_t *end = at + len;

	if (len >= 16) {
		v16 last;

		memcpy(&last, &from[len - 16], 16);
		for (; at + 16 < end; at += 16, from += 16)
			memcpy(at, from, 16);
		memcpy(end - 16, &last, 16);
	} else if (len >= 8) {
		uint64_t v[2];

		memcpy(&v[0], from, 8);
		memcpy(&v[1], from + len - 8, 8);
		memcpy(at, &v[0], 8);
		memcpy(end - 8, &v[1], 8);
	} else {
		for (size_t i = 0; i < len; i++)
			at[i] = from[i];
	}
	return end;
}

/* ---- a path ---- */

/* A row of ValidPaths, measured. */
struct row {
	const struct ul_batch *b;
	uint32_t i;
	uint8_t header[48];
	uint32_t header_len, path_len, payload;
	uint32_t name_len, deriver_prefix, deriver_len, sigs_len, ca_len;
	uint8_t registered_type, size_type;
};

static inline uint32_t text_len(const struct ul_text_column *c, uint32_t i)
{
	return c->off[i + 1] - c->off[i];
}

static inline uint8_t *put_text_type(uint8_t *at, uint32_t len)
{
	if (len == 0) {
		*at = 0;
		return at + 1;
	}
	return ul_put_varint(at, ul_serial_text(len));
}

/* Columns: id (the rowid stands for it, so NULL), path, hash, registrationTime, deriver, narSize,
 * ultimate, sigs, ca. */
static inline void measure(const struct ul_cells *c, const struct ul_batch *b, uint32_t i, struct row *r)
{
	uint8_t *at = r->header + 1;

	r->b = b;
	r->i = i;
	r->name_len = text_len(&b->name, i);
	r->path_len = c->prefix_len + DIGITS + 1 + r->name_len;
	r->deriver_len = text_len(&b->deriver, i);
	r->deriver_prefix = 0;
	if (r->deriver_len > 0 && b->deriver.bytes[b->deriver.off[i]] != '/')
		r->deriver_prefix = c->prefix_len;
	r->sigs_len = text_len(&b->sigs, i);
	r->ca_len = text_len(&b->ca, i);
	r->registered_type = ul_serial_int(b->registered[i]);
	r->size_type = b->nar_size[i] ? ul_serial_int((int64_t)b->nar_size[i]) : 0;
	*at++ = 0;
	at = ul_put_varint(at, ul_serial_text(r->path_len));
	at = ul_put_varint(at, ul_serial_text(HASH_TEXT));
	*at++ = r->registered_type;
	at = put_text_type(at, r->deriver_prefix + r->deriver_len);
	*at++ = r->size_type;
	*at++ = b->ultimate[i] ? 9 : 0;
	at = put_text_type(at, r->sigs_len);
	at = put_text_type(at, r->ca_len);
	r->header_len = (uint32_t)(at - r->header);
	r->header[0] = (uint8_t)r->header_len;
	r->payload = r->header_len + r->path_len + HASH_TEXT + (uint32_t)ul_serial_size(r->registered_type) +
		     r->deriver_prefix + r->deriver_len + (uint32_t)ul_serial_size(r->size_type) + r->sigs_len +
		     r->ca_len;
}

static inline uint8_t *put_path(const struct ul_cells *c, const struct ul_batch *b, uint32_t i, uint32_t name_len,
				uint8_t *at)
{
	at = put_bytes(at, c->prefix, c->prefix_len);
	put_digest(c->pairs, b->digest + (size_t)i * UL_DIGEST_SIZE, (char *)at);
	at += DIGITS;
	*at++ = '-';
	return put_bytes(at, b->name.bytes + b->name.off[i], name_len);
}

static inline void put_payload(const struct ul_cells *c, const struct row *r, uint8_t *at)
{
	const struct ul_batch *b = r->b;
	const uint8_t *hash = b->nar_hash + (size_t)r->i * UL_NAR_HASH_SIZE;

	at = put_bytes(at, r->header, r->header_len);
	at = put_path(c, b, r->i, r->name_len, at);
	at = put_bytes(at, UL_HASH_TEXT_PREFIX, sizeof(UL_HASH_TEXT_PREFIX) - 1);
	put_hex16(hash, at);
	put_hex16(hash + 16, at + 32);
	at = ul_put_int(at + 64, b->registered[r->i], r->registered_type);
	at = put_bytes(at, c->prefix, r->deriver_prefix);
	at = put_bytes(at, b->deriver.bytes + b->deriver.off[r->i], r->deriver_len);
	at = ul_put_int(at, (int64_t)b->nar_size[r->i], r->size_type);
	at = put_bytes(at, b->sigs.bytes + b->sigs.off[r->i], r->sigs_len);
	put_bytes(at, b->ca.bytes + b->ca.off[r->i], r->ca_len);
}

/* A payload too long for a page. Returns its first bytes; NULL: no memory. */
static const uint8_t *add_long_row(struct ul_cells *c, const struct row *r, uint64_t rowid)
{
	struct ul_leaves *l = &c->leaves[UL_CELLS_PATHS];
	uint32_t local = (uint32_t)ul_sqlite_local(r->payload, UL_SQLITE_MAX_LOCAL_TABLE);
	uint32_t head = (uint32_t)(ul_varint_size(r->payload) + ul_varint_size(rowid));
	struct ul_cells_fixup fixup = {.page = (uint32_t)(c->overflow.len / UL_SQLITE_PAGE)};
	uint8_t *at;

	c->scratch.len = 0;
	if (ul_buffer_reserve(&c->scratch, r->payload) < 0)
		return NULL;
	put_payload(c, r, c->scratch.data);
	at = ul_leaves_add(l, head + local + 4, rowid);
	if (!at || ul_sqlite_overflow_pages(&c->overflow, c->scratch.data + local, r->payload - local) < 0)
		return NULL;
	at = ul_put_varint(ul_put_varint(at, r->payload), rowid);
	at = put_bytes(at, c->scratch.data, local);
	fixup.at = (uint32_t)(at - l->pages.data);
	ul_put_be32(at, 0);
	if (ul_buffer_append(&c->fixups, &fixup, sizeof(fixup)) < 0)
		return NULL;
	return c->scratch.data;
}

/* The row; returns where its payload begins, for the path in it. NULL: no memory. */
static inline const uint8_t *add_row(struct ul_cells *c, const struct row *r, uint64_t rowid)
{
	uint32_t size;
	uint8_t *at;

	if (__builtin_expect(r->payload > UL_SQLITE_MAX_LOCAL_TABLE, 0))
		return add_long_row(c, r, rowid);
	size = (uint32_t)(ul_varint_size(r->payload) + ul_varint_size(rowid)) + r->payload;
	at = ul_leaves_add(&c->leaves[UL_CELLS_PATHS], size, rowid);
	if (!at)
		return NULL;
	at = ul_put_varint(ul_put_varint(at, r->payload), rowid);
	put_payload(c, r, at);
	return at;
}

/* Room for an entry of the index by path, all but the path written: where the path goes. */
static inline uint8_t *add_entry(struct ul_cells *c, uint32_t path_len, uint32_t rowid)
{
	uint8_t type = ul_serial_int(rowid), *at;
	uint64_t path_type = ul_serial_text(path_len);
	uint32_t header = 2 + (uint32_t)ul_varint_size(path_type);
	uint32_t payload = header + path_len + (uint32_t)ul_serial_size(type);

	/* A store path has at most 500 bytes, an index page keeps 1,002: no chain. */
	at = ul_leaves_add(&c->leaves[UL_CELLS_PATH], (uint32_t)ul_varint_size(payload) + payload, 0);
	if (!at)
		return NULL;
	at = ul_put_varint(at, payload);
	*at++ = (uint8_t)header;
	at = ul_put_varint(at, path_type);
	*at++ = type;
	ul_put_int(at + path_len, rowid, type);
	return at;
}

int ul_cells_add_index(struct ul_cells *c, const struct ul_db_added *added, uint32_t *added_next, uint32_t end)
{
	for (; *added_next < end; ++*added_next) {
		const struct ul_batch *b = &added->all;
		uint32_t i = *added_next, name_len = text_len(&b->name, i);
		uint8_t *at = add_entry(c, c->prefix_len + DIGITS + 1 + name_len, b->first + i + 1);

		if (!at)
			return -ENOMEM;
		put_path(c, b, i, name_len, at);
	}
	return 0;
}

/* The index entries of added paths that come before this path of the manifest. */
static int add_before(struct ul_cells *c, const struct ul_db_added *added, uint32_t *next, uint32_t number)
{
	uint32_t end = *next;

	while (end < added->all.n && added->before[end] <= number)
		end++;
	return ul_cells_add_index(c, added, next, end);
}

int ul_cells_add_paths(struct ul_cells *c, const struct ul_batch *b, bool with_index, const struct ul_db_added *added,
		       uint32_t *added_next)
{
	for (uint32_t i = 0; i < b->n; i++) {
		const uint8_t *payload;
		struct row r;
		uint8_t *at;

		measure(c, b, i, &r);
		payload = add_row(c, &r, (uint64_t)b->first + i + 1);
		if (!payload)
			return -ENOMEM;
		if (!with_index)
			continue;
		if (added && add_before(c, added, added_next, b->first + i) < 0)
			return -ENOMEM;
		at = add_entry(c, r.path_len, b->first + i + 1);
		if (!at)
			return -ENOMEM;
		put_bytes(at, payload + r.header_len, r.path_len);
	}
	return 0;
}

/* ---- references ---- */

/* The bytes of an integer and its serial type. */
struct width {
	uint32_t size, type;
};

/* The width of 1 to 2^31 - 1: a sign bit and the other bits, in bytes. 1 itself takes no byte. */
static inline struct width width_of(uint32_t v)
{
	uint32_t size = (40 - (uint32_t)__builtin_clz(v)) / 8;

	return v == 1 ? (struct width){0, 9} : (struct width){size, size};
}

/* The entry (a, row): payload length, header, values. Every store begins and ends within the cell. */
static inline void put_two(uint8_t *at, uint32_t len, uint32_t a, struct width wa, uint32_t row, struct width wrow)
{
	uint8_t *end = at + 1 + len;

	ul_put_be32(end - 4, row);
	ul_put_be32(end - wrow.size - 4, a);
	ul_put_be32(at, len << 24 | 3U << 16 | wa.type << 8 | wrow.type);
}

/* The entry (a, b, row). */
static inline void put_three(uint8_t *at, uint32_t len, uint32_t a, struct width wa, uint32_t b, struct width wb,
			     uint32_t row, struct width wrow)
{
	uint8_t *end = at + 1 + len;

	ul_put_be32(end - 4, row);
	ul_put_be32(end - wrow.size - 4, b);
	ul_put_be32(end - wrow.size - wb.size - 4, a);
	ul_put_be32(at + 1, 4U << 24 | wa.type << 16 | wb.type << 8 | wrow.type);
	at[0] = (uint8_t)len;
}

/* A row of Refs: its rowid's varint, stored as four bytes, may begin three bytes before the cell. */
static inline void put_ref(uint8_t *at, uint32_t len, uint32_t row_size, uint32_t a, struct width wa, uint32_t b,
			   struct width wb, uint32_t row)
{
	uint8_t *end = at + 1 + row_size + len;

	ul_put_be32(end - 4, b);
	ul_put_be32(end - wb.size - 4, a);
	ul_put_be32(at + row_size, 3U << 16 | wa.type << 8 | wb.type);
	if (__builtin_expect(row_size > 4, 0))
		ul_put_varint(at + 1, row);
	else
		ul_put_be32(at + row_size - 3, 0x80808000U | (row & 0x7f) | (row << 1 & 0x7f00) |
						       (row << 2 & 0x7f0000) | (row << 3 & 0x7f000000));
	at[0] = (uint8_t)len;
}

static inline uint32_t row_varint_size(uint32_t row)
{
	return (38 - (uint32_t)__builtin_clz(row)) / 7;
}

/*
 * The two loops: one tree after the other, so that each has one page in view. Where the leaf has room for all
 * cells of a path and their rows are of one width, nothing is asked for each cell.
 */
static bool add_refs(struct ul_leaves *l, const struct ul_batch *b, uint32_t row)
{
	struct ul_open_leaf o = ul_leaves_borrow(l);

	for (uint32_t i = 0; i < b->n; i++) {
		const uint32_t *ref = b->refs + b->ref_off[i], *end = b->refs + b->ref_off[i + 1];
		uint32_t from = b->first + i + 1, n = (uint32_t)(end - ref);
		struct width wfrom = width_of(from);
		uint32_t row_size = row_varint_size(row);

		if (ul_leaves_fit(&o, n, 1 + row_size + 3 + wfrom.size + 4) && row_varint_size(row + n) == row_size) {
			for (; ref < end; ref++, row++) {
				struct width wto = width_of(*ref + 1);
				uint32_t len = 3 + wfrom.size + wto.size;

				put_ref(ul_leaves_next(&o, 1 + row_size + len), len, row_size, from, wfrom, *ref + 1,
					wto, row);
			}
			continue;
		}
		for (; ref < end; ref++, row++) {
			struct width wto = width_of(*ref + 1);
			uint32_t len = 3 + wfrom.size + wto.size;
			uint8_t *at;

			row_size = row_varint_size(row);
			at = ul_leaves_add_borrowed(l, &o, 1 + row_size + len, row);
			if (__builtin_expect(!at, 0))
				return false;
			put_ref(at, len, row_size, from, wfrom, *ref + 1, wto, row);
		}
	}
	ul_leaves_return(l, &o);
	return true;
}

static bool add_keys(struct ul_leaves *l, const struct ul_batch *b, uint32_t row)
{
	struct ul_open_leaf o = ul_leaves_borrow(l);

	for (uint32_t i = 0; i < b->n; i++) {
		const uint32_t *ref = b->refs + b->ref_off[i], *end = b->refs + b->ref_off[i + 1];
		uint32_t from = b->first + i + 1, n = (uint32_t)(end - ref);
		struct width wfrom = width_of(from), wrow = width_of(row);

		if (ul_leaves_fit(&o, n, 1 + 4 + wfrom.size + 4 + wrow.size) && width_of(row + n).type == wrow.type) {
			for (; ref < end; ref++, row++) {
				struct width wto = width_of(*ref + 1);
				uint32_t len = 4 + wfrom.size + wto.size + wrow.size;

				put_three(ul_leaves_next(&o, 1 + len), len, from, wfrom, *ref + 1, wto, row, wrow);
			}
			continue;
		}
		for (; ref < end; ref++, row++) {
			struct width wto = width_of(*ref + 1);
			uint32_t len;
			uint8_t *at;

			wrow = width_of(row);
			len = 4 + wfrom.size + wto.size + wrow.size;
			at = ul_leaves_add_borrowed(l, &o, 1 + len, 0);
			if (__builtin_expect(!at, 0))
				return false;
			put_three(at, len, from, wfrom, *ref + 1, wto, row, wrow);
		}
	}
	ul_leaves_return(l, &o);
	return true;
}

/* Entries (id, row) for n rows, ascending. */
static inline bool add_entries(struct ul_leaves *l, struct ul_open_leaf *o, uint32_t id, const uint32_t *rows,
			       uint32_t n)
{
	struct width wid = width_of(id), wrow;
	uint32_t len;

	if (n == 0)
		return true;
	wrow = width_of(rows[0]);
	len = 3 + wid.size + wrow.size;
	if (ul_leaves_fit(o, n, 1 + len) && width_of(rows[n - 1]).type == wrow.type) {
		for (uint32_t i = 0; i < n; i++)
			put_two(ul_leaves_next(o, 1 + len), len, id, wid, rows[i], wrow);
		return true;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t row = rows[i];
		uint8_t *at;

		wrow = width_of(row);
		len = 3 + wid.size + wrow.size;
		at = ul_leaves_add_borrowed(l, o, 1 + len, 0);
		if (__builtin_expect(!at, 0))
			return false;
		put_two(at, len, id, wid, row, wrow);
	}
	return true;
}

int ul_cells_add_refs(struct ul_cells *c, const struct ul_batch *b, uint32_t first_row)
{
	return add_refs(&c->leaves[UL_CELLS_REFS], b, first_row) && add_keys(&c->leaves[UL_CELLS_KEY], b, first_row)
		       ? 0
		       : -ENOMEM;
}

int ul_cells_add_reverse(struct ul_cells *c, uint32_t first, const uint32_t *ends, const uint32_t *rows, uint32_t n)
{
	struct ul_leaves *l = &c->leaves[UL_CELLS_REFERENCE];
	struct ul_open_leaf o = ul_leaves_borrow(l);
	uint32_t at = 0;

	for (uint32_t i = 0; i < n; at = ends[i++])
		if (!add_entries(l, &o, first + i + 1, rows + at, ends[i] - at))
			return -ENOMEM;
	ul_leaves_return(l, &o);
	return 0;
}

/* ---- the whole ---- */

/*
 * How the memory is shared out: ValidPaths takes most by far; the index gets the rest.
 */
static void lend(struct ul_cells *c, uint8_t *memory)
{
	static const size_t ends[UL_CELLS_N] = {1408 << 10, UL_CELLS_MEMORY};
	size_t at = 0;

	for (size_t i = 0; i < UL_CELLS_N; at = ends[i++])
		ul_buffer_lend(&c->leaves[i].pages, memory + at, ends[i] - at);
}

int ul_cells_init(struct ul_cells *c, const char *store_dir, uint8_t *memory)
{
	size_t len = strlen(store_dir);

	*c = (struct ul_cells){.prefix_len = (uint32_t)len + 1};
	c->prefix = malloc(len + 1);
	if (!c->prefix)
		return -ENOMEM;
	memcpy(c->prefix, store_dir, len);
	c->prefix[len] = '/';
	fill_pairs(c->pairs);
	if (memory)
		lend(c, memory);
	c->leaves[0].kind = UL_SQLITE_LEAF_TABLE;
	c->leaves[1].kind = UL_SQLITE_LEAF_INDEX;
	return 0;
}

void ul_cells_start(struct ul_cells *c, enum ul_cells_content content)
{
	for (size_t i = 0; i < UL_CELLS_N; i++)
		ul_leaves_reset(&c->leaves[i]);
	c->content = content;
	c->leaves[UL_CELLS_REFS].slack = content == UL_CELLS_OF_REFS ? 3 : 0; /* see put_ref */
	c->overflow.len = 0;
	c->fixups.len = 0;
}

void ul_cells_free(struct ul_cells *c)
{
	for (size_t i = 0; i < UL_CELLS_N; i++)
		ul_leaves_free(&c->leaves[i]);
	ul_buffer_free(&c->overflow);
	ul_buffer_free(&c->fixups);
	ul_buffer_free(&c->scratch);
	free(c->prefix);
}
