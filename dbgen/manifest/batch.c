/*
 * Decoding a batch. Of a manifest in memory, digests and NAR hashes are not copied; what comes out of varints and
 * codes is built in the reader's buffers, which all threads have of their own.
 */
#include <stdlib.h>
#include <string.h>

#include "common/compare.h"
#include "dbgen/manifest/internal.h"
#include "dbgen/store/store_path.h"
#include "dbgen/store/text_pairs.h"

static const char what[] = "reading the manifest";

struct ul_batch_reader {
	struct ul_manifest *m;
	ZSTD_DCtx *zstd;
	struct ul_text_pairs pairs;
	struct ul_buffer digests, hashes, deriver_digests, raw_sigs; /* sections that are stored as they are */
	struct ul_buffer names, sizes, meta, refs;                   /* decompressed ones */
	struct ul_buffer deriver_text, sig_text, out_refs;
	uint32_t name_off[UL_MANIFEST_BATCH + 1];
	uint32_t deriver_off[UL_MANIFEST_BATCH + 1];
	uint32_t sig_off[UL_MANIFEST_BATCH + 1];
	uint32_t ca_off[UL_MANIFEST_BATCH + 1];
	uint64_t ref_off[UL_MANIFEST_BATCH + 1];
	uint64_t nar_size[UL_MANIFEST_BATCH];
	int64_t registered[UL_MANIFEST_BATCH];
	uint8_t ultimate[UL_MANIFEST_BATCH];
};

/* The signing keys that a batch's meta section names. */
struct keys {
	unsigned int n;
	const uint8_t *name[UL_MANIFEST_KEYS];
	uint8_t len[UL_MANIFEST_KEYS];
};

struct ul_batch_reader *ul_batch_reader_new(struct ul_manifest *m)
{
	struct ul_batch_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->m = m;
	ul_text_pairs_init(&r->pairs);
	r->zstd = ZSTD_createDCtx();
	if (!r->zstd) {
		free(r);
		return NULL;
	}
	return r;
}

void ul_batch_reader_free(struct ul_batch_reader *r)
{
	if (!r)
		return;
	ZSTD_freeDCtx(r->zstd);
	ul_buffer_free(&r->digests);
	ul_buffer_free(&r->hashes);
	ul_buffer_free(&r->deriver_digests);
	ul_buffer_free(&r->raw_sigs);
	ul_buffer_free(&r->names);
	ul_buffer_free(&r->sizes);
	ul_buffer_free(&r->meta);
	ul_buffer_free(&r->refs);
	ul_buffer_free(&r->deriver_text);
	ul_buffer_free(&r->sig_text);
	ul_buffer_free(&r->out_refs);
	free(r);
}

static int bad(const struct ul_batch_reader *r, const struct ul_batch *b, const char *why, struct ul_error *err)
{
	return ul_manifest_bad(r->m, err, "batch %u: %s", b->first / UL_MANIFEST_BATCH, why);
}

static int load(struct ul_batch_reader *r, const struct ul_batch *b, enum ul_section s, struct ul_buffer *buf,
		struct ul_cursor *ret, struct ul_error *err)
{
	struct ul_section_entry e = ul_manifest_section(r->m, b->first / UL_MANIFEST_BATCH, s);
	const uint8_t *bytes;
	int res = ul_section_load(r->m, r->zstd, &e, buf, &bytes, err);

	if (res < 0)
		return res;
	*ret = (struct ul_cursor){.at = bytes, .end = bytes + e.raw_len};
	return 0;
}

/* The number that messages call path i of the batch by. */
static unsigned int number_of(const struct ul_batch *b, uint32_t i)
{
	return b->first + i;
}

/* Which of the batch's names is invalid: the lengths len[i], the texts one behind the other in `size` bytes. */
static int bad_name(const struct ul_batch_reader *r, const struct ul_batch *b, const uint8_t *len, const char *text,
		    size_t size, struct ul_error *err)
{
	for (uint32_t i = 0; i < b->n && r->name_off[i] + len[i] <= size; i++)
		if (!ul_store_name_valid(text + r->name_off[i], len[i]))
			return ul_manifest_bad(r->m, err, "path number %u: invalid name \"%.*s\"", number_of(b, i),
					       (int)len[i], text + r->name_off[i]);
	return bad(r, b, "the lengths of its names do not add up to its text", err);
}

static int read_names(struct ul_batch_reader *r, struct ul_batch *b, struct ul_error *err)
{
	const uint8_t *len;
	const char *text;
	struct ul_cursor c;
	uint32_t at = 0;
	size_t size;
	bool good = true;
	int res = load(r, b, UL_SECTION_NAME, &r->names, &c, err);

	if (res < 0)
		return res;
	len = ul_take(&c, b->n); /* check_batch_row saw to it that so many are there */
	text = (const char *)c.at;
	size = (size_t)(c.end - c.at);
	for (uint32_t i = 0; i < b->n; i++) {
		r->name_off[i] = at;
		good &= len[i] >= 1 && len[i] <= UL_NAME_MAX;
		at += len[i];
	}
	r->name_off[b->n] = at;
	if (!good || at != size || !ul_store_name_chars(text, at))
		return bad_name(r, b, len, text, size, err);
	for (uint32_t i = 0; i < b->n; i++)
		if (text[r->name_off[i]] == '.' && !ul_store_name_valid(text + r->name_off[i], len[i]))
			return bad_name(r, b, len, text, size, err);
	b->name = (struct ul_text_column){r->name_off, text};
	return 0;
}

static int compare_names(const struct ul_text_column *a, uint32_t i, const struct ul_text_column *b, uint32_t k)
{
	size_t len_a = a->off[i + 1] - a->off[i], len_b = b->off[k + 1] - b->off[k];

	return ul_compare_bytes(a->bytes + a->off[i], len_a, b->bytes + b->off[k], len_b);
}

/* The batch before ends with the same digest, which no real store has: its name must come first. */
static int check_seam_names(struct ul_batch_reader *r, const struct ul_batch *b, struct ul_error *err)
{
	struct ul_batch_reader *other = ul_batch_reader_new(r->m);
	struct ul_batch before = {.first = b->first - UL_MANIFEST_BATCH, .n = UL_MANIFEST_BATCH};
	int res = other ? read_names(other, &before, err) : ul_error_nomem(err, what);

	if (res == 0 && before.name.off && compare_names(&before.name, before.n - 1, &b->name, 0) >= 0)
		res = bad(r, b, "paths are out of order", err);
	ul_batch_reader_free(other);
	return res;
}

/* Ascending by digest; where two are equal, by name if names are decoded. */
static int check_order(struct ul_batch_reader *r, const struct ul_batch *b, struct ul_error *err)
{
	const uint8_t *d = b->digest;
	uint8_t last[UL_DIGEST_SIZE];
	int order, res;

	for (uint32_t i = 1; i < b->n; i++, d += UL_DIGEST_SIZE) {
		order = memcmp(d, d + UL_DIGEST_SIZE, UL_DIGEST_SIZE);
		if (order < 0)
			continue;
		if (order > 0 || (b->name.off && compare_names(&b->name, i - 1, &b->name, i) >= 0))
			return bad(r, b, "paths are out of order", err);
	}
	if (b->first == 0)
		return 0;
	res = ul_manifest_digest(r->m, b->first - 1, last, err);
	if (res < 0)
		return res;
	order = memcmp(last, b->digest, UL_DIGEST_SIZE);
	if (order > 0)
		return bad(r, b, "paths are out of order", err);
	return order == 0 && b->name.off ? check_seam_names(r, b, err) : 0;
}

static int bad_nar_size(const struct ul_batch_reader *r, const struct ul_batch *b, struct ul_error *err)
{
	for (uint32_t i = 0; i < b->n; i++)
		if (r->nar_size[i] > INT64_MAX)
			return ul_manifest_bad(r->m, err, "path number %u: invalid NAR size %llu: it is above 2^63 - 1",
					       number_of(b, i), (unsigned long long)r->nar_size[i]);
	return bad(r, b, "its NAR sizes are not one number for each path", err);
}

static int read_nar(struct ul_batch_reader *r, struct ul_batch *b, struct ul_error *err)
{
	struct ul_cursor hash, size;
	int res = load(r, b, UL_SECTION_NAR_HASH, &r->hashes, &hash, err);

	if (res == 0)
		res = load(r, b, UL_SECTION_NAR_SIZE, &r->sizes, &size, err);
	if (res < 0)
		return res;
	for (uint32_t i = 0; i < b->n; i++) {
		uint64_t v = ul_take_varint(&size);

		r->nar_size[i] = v << 3 | v >> 61;
		size.bad |= r->nar_size[i] > INT64_MAX;
	}
	if (size.bad || size.at != size.end)
		return bad_nar_size(r, b, err);
	b->nar_hash = hash.at;
	b->nar_size = r->nar_size;
	return 0;
}

static bool read_registered(struct ul_batch_reader *r, struct ul_cursor *c, uint32_t n)
{
	const uint8_t *base = ul_take(c, 8), *width = ul_take(c, 1), *at;
	uint64_t least = base ? ul_get_le64(base) : 0;

	if (!width || *width > 8 || (*width & (*width - 1)))
		return false;
	at = ul_take(c, (size_t)n * *width);
	if (!at)
		return false;
	for (uint32_t i = 0; i < n; i++, at += *width) {
		uint64_t more = *width == 8   ? ul_get_le64(at)
				: *width == 4 ? ul_get_le32(at)
				: *width == 2 ? ul_get_le16(at)
				: *width == 1 ? *at
					      : 0;

		/* Modulo 2^64 on purpose: the writer's difference of two signed numbers. */
		r->registered[i] = (int64_t)(least + more);
	}
	return true;
}

static bool read_ultimate(struct ul_batch_reader *r, struct ul_cursor *c, uint32_t n)
{
	uint8_t mode = ul_take_u8(c);
	const uint8_t *bits = mode == 2 ? ul_take(c, (n + 7) / 8) : NULL;

	if (c->bad || mode > 2)
		return false;
	for (uint32_t i = 0; i < n; i++)
		r->ultimate[i] = bits ? bits[i / 8] >> i % 8 & 1 : mode;
	return true;
}

/* Where derivers come from, beside their paths' own names. */
struct deriver_source {
	const struct ul_text_pairs *pairs;
	struct ul_cursor *c, *digests;
};

/* One deriver from its kind, own name and the digest column. Returns where the text ends; NULL: bad. */
static char *deriver_text(const struct deriver_source *from, uint8_t kind, const char *own, size_t own_len, char *at)
{
	const uint8_t *digest, *suffix = (const uint8_t *)".drv", *literal;
	size_t shared = own_len, suffix_len = 4;

	if (kind == UL_DERIVER_LITERAL) {
		suffix_len = ul_take_bounded(from->c, UL_DERIVER_MAX);
		literal = ul_take(from->c, suffix_len);
		if (!literal || suffix_len == 0 || *literal != '/' || !ul_text_clean(literal, suffix_len))
			return NULL;
		memcpy(at, literal, suffix_len);
		return at + suffix_len;
	}
	if (kind == UL_DERIVER_SHARED) {
		shared = ul_take_u8(from->c);
		suffix_len = ul_take_u8(from->c);
		suffix = ul_take(from->c, suffix_len);
	}
	digest = ul_take(from->digests, UL_DIGEST_SIZE);
	if (!digest || !suffix || shared > own_len || shared + suffix_len > UL_NAME_MAX)
		return NULL;
	ul_pairs_digest(from->pairs, digest, at);
	at[UL_HASH_DIGITS] = '-';
	at += UL_HASH_DIGITS + 1;
	memcpy(at, own, shared);
	memcpy(at + shared, suffix, suffix_len);
	if (kind == UL_DERIVER_SHARED && !ul_store_name_valid(at, shared + suffix_len))
		return NULL;
	return at + shared + suffix_len;
}

static int read_derivers(struct ul_batch_reader *r, struct ul_cursor *c, struct ul_batch *b, struct ul_error *err)
{
	const uint8_t *kinds = ul_take(c, b->n);
	struct ul_cursor digests;
	const struct deriver_source from = {&r->pairs, c, &digests};
	char *start, *at;
	uint32_t i = 0;
	int res = load(r, b, UL_SECTION_DERIVER, &r->deriver_digests, &digests, err);

	if (res < 0)
		return res;
	/* Literals cannot be longer than what is left of the section. */
	r->deriver_text.len = 0;
	if (ul_buffer_reserve(&r->deriver_text, (size_t)b->n * UL_BASE_NAME_MAX + (size_t)(c->end - c->at)) < 0)
		return ul_error_nomem(err, what);
	start = at = (char *)r->deriver_text.data;
	for (; kinds && b->name.off && i < b->n; i++) {
		r->deriver_off[i] = (uint32_t)(at - start);
		if (kinds[i] > UL_DERIVER_LITERAL)
			return ul_manifest_bad(r->m, err,
					       "path number %u: invalid deriver: its kind is %u, not 0 to %u",
					       number_of(b, i), (unsigned int)kinds[i],
					       (unsigned int)UL_DERIVER_LITERAL);
		if (kinds[i] != UL_DERIVER_NONE)
			at = deriver_text(&from, kinds[i], b->name.bytes + b->name.off[i],
					  b->name.off[i + 1] - b->name.off[i], at);
		if (!at)
			return ul_manifest_bad(r->m, err, "path number %u: invalid deriver of kind %u", number_of(b, i),
					       (unsigned int)kinds[i]);
	}
	if (!kinds || digests.at != digests.end)
		return bad(r, b, kinds ? "digests are left over from its derivers" : "its derivers are cut off", err);
	r->deriver_off[b->n] = (uint32_t)(at - start);
	b->deriver = (struct ul_text_column){r->deriver_off, start};
	return 0;
}

static bool read_keys(struct ul_cursor *c, struct keys *ret)
{
	ret->n = ul_take_u8(c);
	if (ret->n > UL_MANIFEST_KEYS)
		return false;
	for (unsigned int i = 0; i < ret->n; i++) {
		ret->len[i] = ul_take_u8(c);
		ret->name[i] = ul_take(c, ret->len[i]);
		if (!ret->name[i] || ret->len[i] == 0 || !ul_text_clean(ret->name[i], ret->len[i]) ||
		    memchr(ret->name[i], ' ', ret->len[i]))
			return false;
	}
	return true;
}

/* One path's signatures from its code. Returns where the text ends; NULL: bad. */
static char *sig_text(const struct ul_text_pairs *pairs, struct ul_cursor *c, struct ul_cursor *raw,
		      const struct keys *keys, uint8_t code, char *at)
{
	const uint8_t *bytes;
	size_t len;

	if (code == UL_MANIFEST_SIG_OTHER) {
		len = ul_take_bounded(c, UL_SIGS_MAX);
		bytes = ul_take(c, len);
		if (!bytes || !ul_sigs_clean((const char *)bytes, len))
			return NULL;
		memcpy(at, bytes, len);
		return at + len;
	}
	bytes = code <= keys->n ? ul_take(raw, UL_MANIFEST_SIG) : NULL;
	if (!bytes)
		return NULL;
	len = keys->len[code - 1];
	memcpy(at, keys->name[code - 1], len);
	at[len] = ':';
	ul_pairs_sig(pairs, bytes, at + len + 1);
	return at + len + 1 + UL_MANIFEST_SIG_TEXT;
}

static int read_sigs(struct ul_batch_reader *r, struct ul_cursor *c, struct ul_batch *b, struct ul_error *err)
{
	struct ul_cursor raw;
	const uint8_t *codes;
	struct keys keys;
	size_t longest = 0;
	char *start, *at;
	int res = load(r, b, UL_SECTION_SIG, &r->raw_sigs, &raw, err);

	if (res < 0)
		return res;
	codes = read_keys(c, &keys) ? ul_take(c, b->n) : NULL;
	if (!codes)
		return bad(r, b, "invalid signing keys: 254 at most, with names that are printable and have no space",
			   err);
	for (unsigned int i = 0; i < keys.n; i++)
		longest = keys.len[i] > longest ? keys.len[i] : longest;
	longest += 1 + UL_MANIFEST_SIG_TEXT;
	r->sig_text.len = 0;
	if (ul_buffer_reserve(&r->sig_text, (size_t)(raw.end - raw.at) / UL_MANIFEST_SIG * longest +
						    (size_t)(c->end - c->at) + 1) < 0)
		return ul_error_nomem(err, what);
	start = at = (char *)r->sig_text.data;
	for (uint32_t i = 0; i < b->n; i++) {
		r->sig_off[i] = (uint32_t)(at - start);
		if (codes[i] != 0)
			at = sig_text(&r->pairs, c, &raw, &keys, codes[i], at);
		if (!at)
			return ul_manifest_bad(r->m, err, "path number %u: invalid signature (code %u, of %u keys)",
					       number_of(b, i), (unsigned int)codes[i], keys.n);
	}
	if (raw.at != raw.end)
		return bad(r, b, "bytes are left over from its signatures", err);
	r->sig_off[b->n] = (uint32_t)(at - start);
	b->sigs = (struct ul_text_column){r->sig_off, start};
	return 0;
}

/* Which of the batch's content addresses is not printable. */
static int bad_ca(const struct ul_batch_reader *r, const struct ul_batch *b, const uint8_t *text, struct ul_error *err)
{
	uint32_t i = 0;

	while (i + 1 < b->n && ul_text_clean(text + r->ca_off[i], r->ca_off[i + 1] - r->ca_off[i]))
		i++;
	return ul_manifest_bad(r->m, err, "path number %u: invalid content address \"%.*s\"", number_of(b, i),
			       (int)(r->ca_off[i + 1] - r->ca_off[i]), (const char *)text + r->ca_off[i]);
}

static int read_ca(struct ul_batch_reader *r, struct ul_cursor *c, struct ul_batch *b, struct ul_error *err)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < b->n; i++) {
		r->ca_off[i] = at;
		at += ul_take_bounded(c, UL_CA_MAX);
	}
	r->ca_off[b->n] = at;
	if (c->bad || at != (size_t)(c->end - c->at))
		return bad(r, b, "the lengths of its content addresses do not add up to their text", err);
	if (!ul_text_clean(c->at, at))
		return bad_ca(r, b, c->at, err);
	b->ca = (struct ul_text_column){r->ca_off, (const char *)c->at};
	return 0;
}

static int read_meta(struct ul_batch_reader *r, struct ul_batch *b, struct ul_error *err)
{
	struct ul_cursor c;
	int res = load(r, b, UL_SECTION_META, &r->meta, &c, err);

	if (res < 0)
		return res;
	if (!read_registered(r, &c, b->n))
		return bad(r, b, "invalid registration times: cut off, or not of 0, 1, 2, 4 or 8 bytes each", err);
	if (!read_ultimate(r, &c, b->n))
		return bad(r, b, "invalid \"ultimate\" flags: cut off, or not of form 0, 1 or 2", err);
	b->registered = r->registered;
	b->ultimate = r->ultimate;
	res = read_derivers(r, &c, b, err);
	if (res == 0)
		res = read_sigs(r, &c, b, err);
	return res < 0 ? res : read_ca(r, &c, b, err);
}

/*
 * A varint of at most four bytes without a branch: its length follows from the lowest top bit that is
 * clear. The caller makes sure that four bytes are readable.
 */
static inline uint32_t short_varint(const uint8_t **at, uint32_t *is_bad)
{
	uint32_t v = ul_get_le32(*at), stop = ~v & 0x80808080U;
	uint32_t keep = stop ^ (stop - 1); /* up to and with the first clear top bit */

	*is_bad |= stop == 0;
	*at += stop ? (unsigned int)__builtin_ctz(stop) / 8 + 1 : 4;
	v &= keep;
	return (v & 0x7f) | (v >> 1 & 0x3f80) | (v >> 2 & 0x1fc000) | (v >> 3 & 0xfe00000);
}

/* The references of one path: n of them. Returns whether they ascend and are below n_paths. */
static bool read_ref_list(struct ul_cursor *c, uint64_t n, uint32_t n_paths, uint32_t *out)
{
	uint32_t is_bad = 0;
	uint64_t last = 0;

	if ((size_t)(c->end - c->at) < n * 4) {
		/* The last ones of the section. */
		for (uint64_t k = 0; k < n && !c->bad && last < n_paths; k++) {
			last += ul_take_bounded(c, UL_MANIFEST_MAX_PATHS) + (uint64_t)(k > 0);
			out[k] = (uint32_t)last;
		}
		return !c->bad && (n == 0 || last < n_paths);
	}
	for (uint64_t k = 0; k < n; k++) {
		last += short_varint(&c->at, &is_bad) + (uint64_t)(k > 0);
		is_bad |= last >= n_paths;
		out[k] = (uint32_t)last;
	}
	return !is_bad;
}

static int read_refs(struct ul_batch_reader *r, struct ul_batch *b, struct ul_error *err)
{
	uint64_t expected = ul_get_le64(r->m->index + (size_t)(b->first / UL_MANIFEST_BATCH) * UL_MANIFEST_INDEX);
	struct ul_cursor c;
	uint64_t total = 0;
	uint32_t *out;
	int res = load(r, b, UL_SECTION_REFS, &r->refs, &c, err);

	if (res < 0)
		return res;
	for (uint32_t i = 0; i < b->n; i++) {
		r->ref_off[i] = total;
		total += ul_take_bounded(&c, UL_MANIFEST_MAX_PATHS);
	}
	r->ref_off[b->n] = total;
	if (c.bad || total != expected)
		return ul_manifest_bad(r->m, err, "batch %u: it has %llu references, the index says %llu",
				       b->first / UL_MANIFEST_BATCH, (unsigned long long)total,
				       (unsigned long long)expected);
	r->out_refs.len = 0;
	if (ul_buffer_reserve(&r->out_refs, total * sizeof(*out) + 1) < 0)
		return ul_error_nomem(err, what);
	out = (uint32_t *)(void *)r->out_refs.data;
	for (uint32_t i = 0; i < b->n; i++) {
		uint64_t n = r->ref_off[i + 1] - r->ref_off[i];

		if (!read_ref_list(&c, n, r->m->n_paths, out + r->ref_off[i]))
			return ul_manifest_bad(r->m, err,
					       "path number %u: invalid references: not ascending numbers of %u paths",
					       number_of(b, i), r->m->n_paths);
	}
	if (c.at != c.end)
		return bad(r, b, "bytes follow the references", err);
	b->ref_off = r->ref_off;
	b->refs = out;
	return 0;
}

int ul_manifest_read_batch(struct ul_batch_reader *r, uint32_t k, unsigned int columns, struct ul_batch *ret,
			   struct ul_error *err)
{
	struct ul_batch b = {.first = k * UL_MANIFEST_BATCH};
	struct ul_cursor digests;
	int res;

	if (k >= r->m->n_batches)
		return ul_manifest_bad(r->m, err, "it has no batch %u", k);
	b.n = ul_manifest_batch_n(r->m, k);
	res = load(r, &b, UL_SECTION_DIGEST, &r->digests, &digests, err);
	if (res < 0)
		return res;
	b.digest = digests.at;
	/* Derivers are stored as differences from their paths' names, so these are needed too. */
	if (columns & (UL_COL_NAME | UL_COL_META))
		res = read_names(r, &b, err);
	if (res == 0)
		res = check_order(r, &b, err);
	if (res == 0 && (columns & UL_COL_NAR))
		res = read_nar(r, &b, err);
	if (res == 0 && (columns & UL_COL_META))
		res = read_meta(r, &b, err);
	if (res == 0 && (columns & UL_COL_REFS))
		res = read_refs(r, &b, err);
	if (res < 0)
		return res;
	if (!(columns & UL_COL_NAME))
		b.name = (struct ul_text_column){NULL, NULL};
	*ret = b;
	return 0;
}
