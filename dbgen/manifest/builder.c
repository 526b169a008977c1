/*
 * The builder's collecting half: importers hand over paths in any order; each is checked, its texts
 * are copied, and its references become indices of entries, defined or not yet.
 */
#include "common/compare.h"
#include "dbgen/manifest/builder_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "dbgen/manifest/internal.h"
#include "dbgen/store/store_path.h"

static const char what[] = "collecting store paths";

/* Texts live in chunks that are never moved, so pointers into them stay good. */
#define CHUNK_SIZE (256 * 1024)

/* Bytes of a deriver that is left out, which its note shows. */
#define ODD_DERIVER_MAX 200

struct ul_builder_chunk {
	struct ul_builder_chunk *next;
	size_t used, size;
	char bytes[];
};

char *ul_builder_keep_text(struct ul_builder *b, const char *text, size_t len)
{
	struct ul_builder_chunk *c = b->chunks;
	char *at;

	if (!c || c->size - c->used < len + 1) {
		size_t size = len + 1 > CHUNK_SIZE ? len + 1 : CHUNK_SIZE;

		c = malloc(sizeof(*c) + size);
		if (!c)
			return NULL;
		*c = (struct ul_builder_chunk){.next = b->chunks, .size = size};
		b->chunks = c;
	}
	at = c->bytes + c->used;
	memcpy(at, text, len);
	at[len] = '\0';
	c->used += len + 1;
	return at;
}

static int refuse(struct ul_error *err, const char *path, const char *why)
{
	return ul_error_set(err, UL_E_INPUT, what, path, NULL, "%s", why);
}

char *ul_builder_path(const struct ul_builder *b, const struct ul_builder_entry *e, char *out)
{
	return ul_store_path_print(b->store_dir, e->digest, e->name, strlen(e->name), out);
}

/* ---- entries ---- */

static size_t slot_of(const struct ul_builder *b, const uint8_t digest[UL_DIGEST_SIZE])
{
	/* Digests are hashes already; the factor is for those that somebody made up. */
	return (size_t)(ul_get_le64(digest) * 0x9e3779b97f4a7c15ULL >> 20) & (b->table_size - 1);
}

static bool table_grow(struct ul_builder *b)
{
	size_t size = b->table_size ? b->table_size * 2 : 1024;
	uint32_t *table = calloc(size, sizeof(*table));

	if (!table)
		return false;
	free(b->table);
	b->table = table;
	b->table_size = size;
	for (size_t i = 0; i < b->entries.n; i++) {
		size_t slot = slot_of(b, b->entries.at[i].digest);

		while (table[slot])
			slot = (slot + 1) & (size - 1);
		table[slot] = (uint32_t)i + 1;
	}
	return true;
}

/* The slot of this path: taken by it, or free. */
static size_t find_slot(const struct ul_builder *b, const uint8_t *digest, const char *name)
{
	size_t slot = slot_of(b, digest);

	for (; b->table[slot]; slot = (slot + 1) & (b->table_size - 1)) {
		const struct ul_builder_entry *e = &b->entries.at[b->table[slot] - 1];

		if (!memcmp(e->digest, digest, UL_DIGEST_SIZE) && !strcmp(e->name, name))
			break;
	}
	return slot;
}

/* A full store path's digest and name. */
static int parse_path(const struct ul_builder *b, const char *path, uint8_t *digest, const char **ret_name,
		      struct ul_error *err)
{
	const char *base = ul_store_path_parse(b->store_dir, path, digest);

	if (!base && !ul_store_base_in(b->store_dir, path))
		return ul_error_set(err, UL_E_INPUT, what, path, "Name the store directory with --store-dir.",
				    "it does not lie in the store directory %s", b->store_dir);
	if (!base)
		return refuse(err, path, "it is not a valid store path");
	*ret_name = base + UL_HASH_DIGITS + 1;
	return 0;
}

int ul_builder_intern(struct ul_builder *b, const char *path, uint32_t *ret, struct ul_error *err)
{
	struct ul_builder_entry e = {.name = "", .record = UL_NO_RECORD};
	size_t slot;
	int r = parse_path(b, path, e.digest, &e.name, err);

	if (r < 0)
		return r;
	if (b->entries.n * 3 >= b->table_size * 2 && !table_grow(b))
		return ul_error_nomem(err, what);
	slot = find_slot(b, e.digest, e.name);
	if (!b->table[slot]) {
		if (b->entries.n >= UL_MANIFEST_MAX_PATHS)
			return refuse(err, path, "there are more paths than a manifest can hold");
		e.name = ul_builder_keep_text(b, e.name, strlen(e.name));
		if (!e.name || ul_vector_push(&b->entries, e) < 0)
			return ul_error_nomem(err, what);
		b->table[slot] = (uint32_t)b->entries.n;
	}
	*ret = b->table[slot] - 1;
	return 0;
}

/* ---- records ---- */

/* Copy an optional text. */
static int keep_optional(struct ul_builder *b, const char *text, const char **ret, struct ul_error *err)
{
	*ret = text && *text ? ul_builder_keep_text(b, text, strlen(text)) : NULL;
	return text && *text && !*ret ? ul_error_nomem(err, what) : 0;
}

/*
 * The deriver as the manifest keeps it: its base name if it is of this store directory. One that a manifest cannot hold
 * says nothing that anybody could use ("unknown-deriver"): it is left out, with a note.
 */
static int take_deriver(struct ul_builder *b, const char *deriver, uint32_t entry, const char **ret,
			struct ul_error *err)
{
	struct ul_builder_odd_deriver odd = {.entry = entry};
	const char *base = NULL;

	*ret = NULL;
	if (!deriver || !*deriver)
		return 0;
	if (ul_deriver_parse(b->store_dir, deriver, &base)) {
		*ret = base ? base : deriver;
		return 0;
	}
	odd.text = ul_builder_keep_text(b, deriver, strnlen(deriver, ODD_DERIVER_MAX));
	return odd.text && ul_vector_push(&b->odd_derivers, odd) == 0 ? 0 : ul_error_nomem(err, what);
}

static int check_info(const struct ul_path_info *info, struct ul_error *err)
{
	size_t sigs = info->sigs ? strlen(info->sigs) : 0, ca = info->ca ? strlen(info->ca) : 0;

	if (sigs > UL_SIGS_MAX)
		return refuse(err, info->path, "its signatures are longer than 16383 bytes");
	if (sigs > 0 && !ul_sigs_clean(info->sigs, sigs))
		return refuse(err, info->path, "its signatures hold odd characters or stray spaces");
	if (ca > UL_CA_MAX)
		return refuse(err, info->path, "its content address is longer than 1023 bytes");
	if (!ul_text_clean(info->ca, ca))
		return refuse(err, info->path, "its content address holds odd characters");
	if (info->nar_size > INT64_MAX)
		return refuse(err, info->path, "its NAR size is above 2^63 - 1");
	return 0;
}

static int add_ref(struct ul_builder *b, const char *path, const char *to, struct ul_error *err)
{
	struct ul_error why = {0};
	uint32_t entry = 0;
	int r = ul_builder_intern(b, to, &entry, &why);

	if (r == -UL_E_MEMORY || (r == 0 && ul_vector_push(&b->refs, entry) < 0))
		return ul_error_nomem(err, what);
	if (r < 0)
		return ul_error_set(err, why.code, what, path, why.todo, "it refers to %s: %s", why.object, why.why);
	return 0;
}

/* References as sorted entries without repetition, at the end of b->refs.at. */
static int add_refs(struct ul_builder *b, const struct ul_path_info *info, struct ul_builder_record *record,
		    struct ul_error *err)
{
	uint32_t *refs;
	size_t n = 0, first = b->refs.n;
	int r = 0;

	for (size_t i = 0; i < info->n_refs && r == 0; i++)
		r = add_ref(b, info->path, info->refs[i], err);
	if (r < 0) {
		b->refs.n = first;
		return r;
	}
	record->first_ref = first;
	record->n_refs = 0;
	if (info->n_refs == 0)
		return 0;
	refs = b->refs.at + first;
	if (info->n_refs > 1)
		qsort(refs, info->n_refs, sizeof(*refs), ul_compare_u32);
	for (size_t i = 0; i < info->n_refs; i++)
		if (n == 0 || refs[n - 1] != refs[i])
			refs[n++] = refs[i];
	b->refs.n = first + n;
	record->n_refs = (uint32_t)n;
	return 0;
}

static bool texts_equal(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* The first difference between two records of a path, in words; NULL: they are equal. */
static const char *difference(const struct ul_builder *b, const struct ul_builder_record *x,
			      const struct ul_builder_record *y)
{
	if (memcmp(x->nar_hash, y->nar_hash, UL_NAR_HASH_SIZE) != 0)
		return "NAR hashes";
	if (x->nar_size != y->nar_size)
		return "NAR sizes";
	if (!texts_equal(x->deriver, y->deriver))
		return "derivers";
	if (!texts_equal(x->sigs, y->sigs))
		return "signatures";
	if (!texts_equal(x->ca, y->ca))
		return "content addresses";
	if (x->registered != y->registered)
		return "registration times";
	if (x->ultimate != y->ultimate)
		return "\"ultimate\" flags";
	if (x->n_refs != y->n_refs || (x->n_refs > 0 && memcmp(b->refs.at + x->first_ref, b->refs.at + y->first_ref,
							       x->n_refs * sizeof(*b->refs.at)) != 0))
		return "references";
	return NULL;
}

/* The path was given before: all must be the same. */
static int merge(struct ul_builder *b, const struct ul_path_info *info, uint32_t entry,
		 const struct ul_builder_record *record, struct ul_error *err)
{
	const struct ul_builder_record *before = &b->records.at[b->entries.at[entry].record];
	const char *odd = difference(b, before, record);

	b->refs.n = record->first_ref;
	if (!odd)
		return 0;
	return ul_error_set(err, UL_E_INPUT, what, info->path, "Give it once, or make the sources agree.",
			    "it is given twice with different %s", odd);
}

int ul_builder_add(struct ul_builder *b, const struct ul_path_info *info, struct ul_error *err)
{
	struct ul_builder_record record = {
		.nar_size = info->nar_size,
		.registered = info->registered,
		.ultimate = info->ultimate,
	};
	const char *deriver = NULL;
	uint32_t entry = 0;
	int r = ul_builder_intern(b, info->path, &entry, err);

	if (r == 0)
		r = check_info(info, err);
	if (r == 0)
		r = take_deriver(b, info->deriver, entry, &deriver, err);
	if (r == 0)
		r = add_refs(b, info, &record, err);
	if (r < 0)
		return r;
	memcpy(record.nar_hash, info->nar_hash, UL_NAR_HASH_SIZE);
	record.entry = entry;
	record.deriver = deriver;
	record.sigs = info->sigs && *info->sigs ? info->sigs : NULL;
	record.ca = info->ca && *info->ca ? info->ca : NULL;
	if (b->entries.at[entry].record != UL_NO_RECORD)
		return merge(b, info, entry, &record, err);
	r = keep_optional(b, deriver, &record.deriver, err);
	if (r == 0)
		r = keep_optional(b, info->sigs, &record.sigs, err);
	if (r == 0)
		r = keep_optional(b, info->ca, &record.ca, err);
	if (r < 0)
		return r;
	if (ul_vector_push(&b->records, record) < 0)
		return ul_error_nomem(err, what);
	b->entries.at[entry].record = (uint32_t)b->records.n - 1;
	return 0;
}

/* ---- the small tables ---- */

static const char an_output[] = "an output's name";

/* A text that is wanted: 1 to max bytes of printable ASCII. name: what it is, for messages about object. */
struct wanted_text {
	const char *object, *name, *text;
	size_t max;
};

/* Copy it. */
static int keep_checked(struct ul_builder *b, struct wanted_text w, const char **ret, struct ul_error *err)
{
	size_t len = strlen(w.text);

	if (len == 0 || len > w.max || !ul_text_clean(w.text, len))
		return ul_error_set(err, UL_E_INPUT, what, w.object, NULL,
				    "%s is empty, too long or holds odd characters", w.name);
	*ret = ul_builder_keep_text(b, w.text, len);
	return *ret ? 0 : ul_error_nomem(err, what);
}

int ul_builder_add_drv_output(struct ul_builder *b, const char *drv, const char *id, const char *path,
			      struct ul_error *err)
{
	struct ul_builder_drv_output row = {.name = ""};
	int r = ul_builder_intern(b, drv, &row.drv, err);

	if (r == 0)
		r = parse_path(b, path, row.digest, &row.name, err);
	if (r == 0)
		r = keep_checked(b, (struct wanted_text){drv, an_output, id, UL_OUTPUT_ID_MAX}, &row.id, err);
	if (r < 0)
		return r;
	row.name = ul_builder_keep_text(b, row.name, strlen(row.name));
	return row.name && ul_vector_push(&b->drv_outputs, row) == 0 ? 0 : ul_error_nomem(err, what);
}

int ul_builder_add_realisation(struct ul_builder *b, const char *drv_path, const char *output_name,
			       const char *output_path, const char *signatures, struct ul_error *err)
{
	struct ul_builder_realisation row = {.number = UINT32_MAX};
	size_t sigs_len = signatures ? strlen(signatures) : 0;
	int r = ul_builder_intern(b, output_path, &row.output, err);

	if (r == 0)
		r = keep_checked(
			b, (struct wanted_text){drv_path, "a realisation's derivation", drv_path, UL_DRV_TEXT_MAX},
			&row.drv_path, err);
	if (r == 0)
		r = keep_checked(b, (struct wanted_text){drv_path, an_output, output_name, UL_OUTPUT_ID_MAX},
				 &row.output_name, err);
	if (r == 0 && sigs_len > UL_SIGS_MAX)
		r = refuse(err, drv_path, "the signatures of its realisation are longer than 16383 bytes");
	if (r == 0 && sigs_len > 0 && !ul_sigs_clean(signatures, sigs_len))
		r = refuse(err, drv_path, "the signatures of its realisation hold odd characters or stray spaces");
	if (r == 0)
		r = keep_optional(b, signatures, &row.signatures, err);
	if (r < 0)
		return r;
	return ul_vector_push(&b->realisations, row) == 0 ? 0 : ul_error_nomem(err, what);
}

int ul_builder_add_realisation_ref(struct ul_builder *b, const char *drv_path, const char *output_name,
				   const char *ref_drv, const char *ref_output, struct ul_error *err)
{
	struct ul_builder_realisation_ref row = {NULL, NULL, NULL, NULL};
	const struct {
		const char *text, **to;
		size_t max;
	} texts[] = {{drv_path, &row.drv, UL_DRV_TEXT_MAX},
		     {output_name, &row.output, UL_OUTPUT_ID_MAX},
		     {ref_drv, &row.ref_drv, UL_DRV_TEXT_MAX},
		     {ref_output, &row.ref_output, UL_OUTPUT_ID_MAX}};
	int r = 0;

	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(texts); i++)
		r = keep_checked(
			b, (struct wanted_text){drv_path, "a realisation's reference", texts[i].text, texts[i].max},
			texts[i].to, err);
	if (r < 0)
		return r;
	return ul_vector_push(&b->realisation_refs, row) == 0 ? 0 : ul_error_nomem(err, what);
}

/* ---- life ---- */

void ul_builder_drop_local(struct ul_builder *b)
{
	for (size_t i = 0; i < b->records.n; i++) {
		struct ul_builder_record *r = &b->records.at[i];

		r->deriver = r->sigs = NULL;
		r->registered = 0;
		r->ultimate = false;
	}
	b->drv_outputs.n = b->realisations.n = b->realisation_refs.n = b->odd_derivers.n = 0;
}

struct ul_builder *ul_builder_new(const char *store_dir)
{
	struct ul_builder *b = calloc(1, sizeof(*b));

	if (b)
		b->store_dir = strdup(store_dir);
	if (b && b->store_dir)
		return b;
	free(b);
	return NULL;
}

void ul_builder_free(struct ul_builder *b)
{
	if (!b)
		return;
	for (struct ul_builder_chunk *c = b->chunks, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	ul_vector_free(&b->entries);
	ul_vector_free(&b->records);
	ul_vector_free(&b->refs);
	ul_vector_free(&b->drv_outputs);
	ul_vector_free(&b->realisations);
	ul_vector_free(&b->realisation_refs);
	ul_vector_free(&b->roots);
	ul_vector_free(&b->bad);
	ul_vector_free(&b->odd_derivers);
	ul_names_free(&b->notes);
	free(b->table);
	free(b->store_dir);
	free(b);
}

const char *ul_builder_store_dir(const struct ul_builder *b)
{
	return b->store_dir;
}
