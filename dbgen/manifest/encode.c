/* Encoding a batch of paths into its eight sections (dbgen/manifest/format.h). */
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "common/compare.h"
#include "common/bytes.h"
#include "common/encoding.h"
#include "dbgen/manifest/builder_internal.h"
#include "dbgen/store/checksum.h"
#include "dbgen/manifest/format.h"
#include "dbgen/store/store_path.h"

static const char what[] = "writing the manifest";

/*
 * Most bytes are hashes and differences, which no level compresses better; what the higher levels gain
 * is names. The table in format.h says why 9.
 */
#ifndef UL_MANIFEST_LEVEL
#define UL_MANIFEST_LEVEL 9
#endif

/*
 * A section is compressed where that saves an eighth. The references of a large store are differences that look
 * random: decoding them took 3 % of a database's whole time, for 0.7 % of the manifest.
 */
#define UL_MANIFEST_MIN_GAIN 8

struct ul_encoder {
	ZSTD_CCtx *zstd;
	struct ul_buffer section[UL_SECTION_COUNT];
	struct ul_buffer more; /* what follows a section's fixed columns */
	struct ul_buffer packed;
	UL_VECTOR(uint32_t) numbers; /* scratch: of one path's references */
};

static const struct ul_builder_entry *entry_of(const struct ul_encode_span *s, uint32_t i)
{
	return &s->b->entries.at[s->order[i]];
}

static const struct ul_builder_record *record_of(const struct ul_encode_span *s, uint32_t i)
{
	return &s->b->records.at[entry_of(s, i)->record];
}

struct ul_encoder *ul_encoder_new(void)
{
	struct ul_encoder *e = calloc(1, sizeof(*e));

	if (e)
		e->zstd = ZSTD_createCCtx();
	if (e && e->zstd)
		return e;
	free(e);
	return NULL;
}

void ul_encoder_free(struct ul_encoder *e)
{
	if (!e)
		return;
	ZSTD_freeCCtx(e->zstd);
	for (unsigned int s = 0; s < UL_SECTION_COUNT; s++)
		ul_buffer_free(&e->section[s]);
	ul_buffer_free(&e->more);
	ul_buffer_free(&e->packed);
	ul_vector_free(&e->numbers);
	free(e);
}

int ul_put_varint(struct ul_buffer *b, uint64_t v)
{
	uint8_t bytes[10];
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		bytes[n++] = (uint8_t)(v | 0x80);
	bytes[n++] = (uint8_t)v;
	return ul_buffer_append(b, bytes, n);
}

static int put_u8(struct ul_buffer *b, size_t v)
{
	uint8_t byte = (uint8_t)v;

	return ul_buffer_append(b, &byte, 1);
}

static int put_names(struct ul_encoder *e, const struct ul_encode_span *s)
{
	struct ul_buffer *out = &e->section[UL_SECTION_NAME];
	int r = 0;

	for (uint32_t i = 0; i < s->n && r == 0; i++)
		r = put_u8(out, strlen(entry_of(s, i)->name));
	for (uint32_t i = 0; i < s->n && r == 0; i++)
		r = ul_buffer_append(out, entry_of(s, i)->name, strlen(entry_of(s, i)->name));
	return r;
}

static int put_nar(struct ul_encoder *e, const struct ul_encode_span *s)
{
	int r = 0;

	for (uint32_t i = 0; i < s->n && r == 0; i++) {
		const struct ul_builder_record *record = record_of(s, i);

		r = ul_buffer_append(&e->section[UL_SECTION_DIGEST], entry_of(s, i)->digest, UL_DIGEST_SIZE);
		if (r == 0)
			r = ul_buffer_append(&e->section[UL_SECTION_NAR_HASH], record->nar_hash, UL_NAR_HASH_SIZE);
		if (r == 0)
			r = ul_put_varint(&e->section[UL_SECTION_NAR_SIZE],
					  record->nar_size >> 3 | record->nar_size << 61);
	}
	return r;
}

static int put_registered(struct ul_encoder *e, const struct ul_encode_span *s)
{
	struct ul_buffer *out = &e->section[UL_SECTION_META];
	int64_t least = INT64_MAX, greatest = INT64_MIN;
	uint64_t range;
	uint8_t head[9], width;
	int r;

	for (uint32_t i = 0; i < s->n; i++) {
		int64_t t = record_of(s, i)->registered;

		least = t < least ? t : least;
		greatest = t > greatest ? t : greatest;
	}
	range = (uint64_t)greatest - (uint64_t)least;
	width = range == 0 ? 0 : range <= UINT8_MAX ? 1 : range <= UINT16_MAX ? 2 : range <= UINT32_MAX ? 4 : 8;
	ul_put_le64(head, (uint64_t)least);
	head[8] = width;
	r = ul_buffer_append(out, head, sizeof(head));
	for (uint32_t i = 0; i < s->n && r == 0; i++) {
		ul_put_le64(head, (uint64_t)record_of(s, i)->registered - (uint64_t)least);
		r = ul_buffer_append(out, head, width);
	}
	return r;
}

static int put_ultimate(struct ul_encoder *e, const struct ul_encode_span *s)
{
	struct ul_buffer *out = &e->section[UL_SECTION_META];
	uint8_t bits[UL_MANIFEST_BATCH / 8] = {0};
	uint32_t set = 0;
	int r;

	for (uint32_t i = 0; i < s->n; i++) {
		bool ultimate = record_of(s, i)->ultimate;

		bits[i / 8] |= (uint8_t)(ultimate << i % 8);
		set += ultimate;
	}
	if (set == 0 || set == s->n)
		return put_u8(out, set > 0);
	r = put_u8(out, 2);
	return r < 0 ? r : ul_buffer_append(out, bits, (s->n + 7) / 8);
}

/* A deriver's kind; what its kind wants goes to the digest section and to e->more. */
static int put_deriver(struct ul_encoder *e, const char *own, const char *deriver)
{
	uint8_t digest[UL_DIGEST_SIZE];
	size_t shared = 0, len;
	const char *name;
	int r;

	if (!deriver)
		return put_u8(&e->section[UL_SECTION_META], UL_DERIVER_NONE);
	len = strlen(deriver);
	if (!ul_store_base_parse(deriver, len, digest)) {
		r = put_u8(&e->section[UL_SECTION_META], UL_DERIVER_LITERAL);
		if (r == 0)
			r = ul_put_varint(&e->more, len);
		return r < 0 ? r : ul_buffer_append(&e->more, deriver, len);
	}
	name = deriver + UL_HASH_DIGITS + 1;
	while (own[shared] && own[shared] == name[shared])
		shared++;
	r = ul_buffer_append(&e->section[UL_SECTION_DERIVER], digest, sizeof(digest));
	if (r < 0)
		return r;
	if (!own[shared] && !strcmp(name + shared, ".drv"))
		return put_u8(&e->section[UL_SECTION_META], UL_DERIVER_OWN);
	r = put_u8(&e->section[UL_SECTION_META], UL_DERIVER_SHARED);
	if (r == 0)
		r = put_u8(&e->more, shared);
	if (r == 0)
		r = put_u8(&e->more, strlen(name + shared));
	return r < 0 ? r : ul_buffer_append(&e->more, name + shared, strlen(name + shared));
}

/* Append what a column left aside. */
static int flush_more(struct ul_encoder *e)
{
	int r = ul_buffer_append(&e->section[UL_SECTION_META], e->more.data, e->more.len);

	e->more.len = 0;
	return r;
}

static int put_derivers(struct ul_encoder *e, const struct ul_encode_span *s)
{
	int r = 0;

	for (uint32_t i = 0; i < s->n && r == 0; i++)
		r = put_deriver(e, entry_of(s, i)->name, record_of(s, i)->deriver);
	return r < 0 ? r : flush_more(e);
}

/* The keys that a batch's signatures name, in the order of their first use. */
struct key_table {
	unsigned int n;
	const char *name[UL_MANIFEST_KEYS];
	size_t len[UL_MANIFEST_KEYS];
};

/* The code of a path's signatures; raw gets the 64 bytes of codes 1 to 254. */
static uint8_t sig_code(struct key_table *keys, const char *sigs, uint8_t raw[UL_MANIFEST_SIG + 2])
{
	const char *colon = sigs ? strchr(sigs, ':') : NULL;
	size_t key_len, raw_len;
	unsigned int k = 0;

	if (!sigs)
		return 0;
	key_len = colon ? (size_t)(colon - sigs) : 0;
	if (key_len == 0 || key_len > UINT8_MAX || memchr(sigs, ' ', key_len) ||
	    strlen(colon + 1) != UL_MANIFEST_SIG_TEXT ||
	    !ul_base64_decode(colon + 1, UL_MANIFEST_SIG_TEXT, raw, &raw_len) || raw_len != UL_MANIFEST_SIG)
		return UL_MANIFEST_SIG_OTHER;
	while (k < keys->n && (keys->len[k] != key_len || memcmp(keys->name[k], sigs, key_len) != 0))
		k++;
	if (k == UL_MANIFEST_KEYS)
		return UL_MANIFEST_SIG_OTHER;
	if (k == keys->n) {
		keys->name[k] = sigs;
		keys->len[k] = key_len;
		keys->n++;
	}
	return (uint8_t)(k + 1);
}

static int put_sigs(struct ul_encoder *e, const struct ul_encode_span *s)
{
	struct ul_buffer *out = &e->section[UL_SECTION_META];
	uint8_t codes[UL_MANIFEST_BATCH], raw[UL_MANIFEST_SIG + 2];
	struct key_table keys = {.n = 0};
	int r = 0;

	for (uint32_t i = 0; i < s->n && r == 0; i++) {
		const char *sigs = record_of(s, i)->sigs;

		codes[i] = sig_code(&keys, sigs, raw);
		if (codes[i] == UL_MANIFEST_SIG_OTHER) {
			r = ul_put_varint(&e->more, strlen(sigs));
			if (r == 0)
				r = ul_buffer_append(&e->more, sigs, strlen(sigs));
		} else if (codes[i] > 0) {
			r = ul_buffer_append(&e->section[UL_SECTION_SIG], raw, UL_MANIFEST_SIG);
		}
	}
	if (r == 0)
		r = put_u8(out, keys.n);
	for (unsigned int k = 0; k < keys.n && r == 0; k++) {
		r = put_u8(out, keys.len[k]);
		if (r == 0)
			r = ul_buffer_append(out, keys.name[k], keys.len[k]);
	}
	if (r == 0)
		r = ul_buffer_append(out, codes, s->n);
	return r < 0 ? r : flush_more(e);
}

static int put_ca(struct ul_encoder *e, const struct ul_encode_span *s)
{
	int r = 0;

	for (uint32_t i = 0; i < s->n && r == 0; i++) {
		const char *ca = record_of(s, i)->ca;
		size_t len = ca ? strlen(ca) : 0;

		r = ul_put_varint(&e->section[UL_SECTION_META], len);
		if (r == 0 && len > 0)
			r = ul_buffer_append(&e->more, ca, len);
	}
	return r < 0 ? r : flush_more(e);
}

/* One path's references as ascending numbers. */
static int put_ref_list(struct ul_encoder *e, const struct ul_encode_span *s, const struct ul_builder_record *record)
{
	uint32_t *list;

	e->numbers.n = 0;
	if (ul_vector_reserve(&e->numbers, record->n_refs + 1) < 0)
		return -ENOMEM;
	list = e->numbers.at;
	for (uint32_t i = 0; i < record->n_refs; i++)
		list[i] = s->number[s->b->refs.at[record->first_ref + i]];
	qsort(list, record->n_refs, sizeof(*list), ul_compare_u32);
	for (uint32_t i = 0; i < record->n_refs; i++)
		if (ul_put_varint(&e->more, i ? list[i] - list[i - 1] - 1 : list[i]) < 0)
			return -ENOMEM;
	return 0;
}

/* Returns 0 or -ENOMEM. */
static int put_refs(struct ul_encoder *e, const struct ul_encode_span *s, uint64_t *ret_n)
{
	struct ul_buffer *out = &e->section[UL_SECTION_REFS];
	uint64_t n = 0;
	int r = 0;

	for (uint32_t i = 0; i < s->n && r == 0; i++) {
		n += record_of(s, i)->n_refs;
		r = ul_put_varint(out, record_of(s, i)->n_refs);
		if (r == 0)
			r = put_ref_list(e, s, record_of(s, i));
	}
	if (r == 0)
		r = ul_buffer_append(out, e->more.data, e->more.len);
	e->more.len = 0;
	*ret_n = n;
	return r;
}

int ul_encode_section(struct ul_encoder *e, const struct ul_buffer *raw, bool compress, struct ul_buffer *data,
		      uint8_t *entry, struct ul_error *err)
{
	size_t stored = raw->len;
	const uint8_t *from = raw->data;

	if (raw->len > UL_MANIFEST_MAX_RAW)
		return ul_error_set(err, UL_E_INPUT, what, NULL, NULL, "one batch of paths holds more than %u bytes",
				    UL_MANIFEST_MAX_RAW);
	if (compress && raw->len > 0) {
		size_t bound = ZSTD_compressBound(raw->len);

		e->packed.len = 0;
		if (ul_buffer_reserve(&e->packed, bound) < 0)
			return ul_error_nomem(err, what);
		stored = ZSTD_compressCCtx(e->zstd, e->packed.data, bound, raw->data, raw->len, UL_MANIFEST_LEVEL);
		if (ZSTD_isError(stored))
			return ul_error_set(err, UL_E_MEMORY, what, NULL, NULL, "%s", ZSTD_getErrorName(stored));
		from = e->packed.data;
		/* Stored as it is: what shrinks by little, and what shrinks past the allowed ratio. */
		if (stored > raw->len - raw->len / UL_MANIFEST_MIN_GAIN ||
		    raw->len > UL_MANIFEST_FREE_RAW + stored * UL_MANIFEST_MAX_RATIO) {
			stored = raw->len;
			from = raw->data;
		}
	}
	ul_put_le32(entry, (uint32_t)raw->len);
	ul_put_le32(entry + 4, (uint32_t)stored);
	ul_put_le64(entry + 8, ul_checksum(from, stored));
	if (stored > 0 && ul_buffer_append(data, from, stored) < 0)
		return ul_error_nomem(err, what);
	return 0;
}

int ul_encode_batch(struct ul_encoder *e, const struct ul_encode_span *s, struct ul_buffer *data, uint8_t *row,
		    struct ul_error *err)
{
	static const bool compressed[UL_SECTION_COUNT] = {
		[UL_SECTION_NAR_SIZE] = true,
		[UL_SECTION_NAME] = true,
		[UL_SECTION_META] = true,
		[UL_SECTION_REFS] = true,
	};
	uint64_t n_refs = 0;
	int r;

	for (unsigned int i = 0; i < UL_SECTION_COUNT; i++)
		e->section[i].len = 0;
	e->more.len = 0;
	r = put_names(e, s);
	r = r < 0 ? r : put_nar(e, s);
	r = r < 0 ? r : put_registered(e, s);
	r = r < 0 ? r : put_ultimate(e, s);
	r = r < 0 ? r : put_derivers(e, s);
	r = r < 0 ? r : put_sigs(e, s);
	r = r < 0 ? r : put_ca(e, s);
	r = r < 0 ? r : put_refs(e, s, &n_refs);
	if (r < 0)
		return ul_error_nomem(err, what);
	ul_put_le64(row, n_refs);
	for (unsigned int i = 0; i < UL_SECTION_COUNT && r == 0; i++)
		r = ul_encode_section(e, &e->section[i], compressed[i], data, row + 8 + (size_t)i * UL_MANIFEST_ENTRY,
				      err);
	return r;
}
