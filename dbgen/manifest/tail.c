/* The tail's tables: derivation outputs and realisations, decoded whole when first asked for. */
#include <stdlib.h>
#include <string.h>

#include "common/compare.h"
#include "dbgen/manifest/internal.h"
#include "dbgen/store/store_path.h"

static const char what[] = "reading the manifest";

/*
 * Texts are laid out in one block, whose size is known only when all records are read: so each pass
 * over the records runs twice, first with out = NULL to count.
 */
struct texts {
	char *out;
	size_t used;
};

/* Append and terminate. Returns where it lies (NULL while counting). */
static char *put_text(struct texts *t, const void *bytes, size_t len)
{
	char *at = t->out ? t->out + t->used : NULL;

	if (at) {
		memcpy(at, bytes, len);
		at[len] = '\0';
	}
	t->used += len + 1;
	return at;
}

/* A text of len bytes of printable ASCII; NULL (and bad) where it is something else. */
static const uint8_t *take_text(struct ul_cursor *c, size_t len)
{
	const uint8_t *bytes = ul_take(c, len);

	if (bytes && !ul_text_clean(bytes, len)) {
		c->bad = true;
		return NULL;
	}
	return bytes;
}

static char *put_store_path(struct texts *t, const char *store_dir, const uint8_t *digest, const uint8_t *name,
			    size_t name_len)
{
	char path[UL_STORE_PATH_SIZE];

	ul_store_path_print(store_dir, digest, (const char *)name, name_len, path);
	return put_text(t, path, strlen(path));
}

/* The key of the record before: records ascend by (derivation, id). */
struct drv_output_key {
	uint32_t n; /* records until here */
	uint32_t drv;
	const uint8_t *id;
	size_t id_len;
};

static int read_drv_output(const struct ul_manifest *m, struct ul_cursor *c, struct texts *t, struct ul_drv_output *row,
			   struct drv_output_key *before, struct ul_error *err)
{
	uint32_t step = ul_take_bounded(c, UL_MANIFEST_MAX_PATHS);
	struct drv_output_key key = {.n = before->n + 1, .drv = before->drv + step, .id_len = ul_take_u8(c)};
	const uint8_t *digest, *name;
	struct ul_drv_output made;
	size_t name_len;

	key.id = take_text(c, key.id_len);
	digest = ul_take(c, UL_DIGEST_SIZE);
	name_len = ul_take_u8(c);
	name = ul_take(c, name_len);
	if (c->bad || key.id_len == 0 || key.drv >= m->n_paths || !ul_store_name_valid((const char *)name, name_len) ||
	    (before->id && step == 0 && ul_compare_bytes(before->id, before->id_len, key.id, key.id_len) >= 0))
		return ul_manifest_bad(m, err, "invalid derivation output %u of %u: its derivation, name or order",
				       key.n, m->n_drv_outputs);
	*before = key;
	made.drv = key.drv;
	made.id = put_text(t, key.id, key.id_len);
	made.path = put_store_path(t, m->store_dir, digest, name, name_len);
	if (row)
		*row = made;
	return 0;
}

static int scan_drv_outputs(const struct ul_manifest *m, struct ul_cursor c, struct texts *t,
			    struct ul_drv_output *rows, struct ul_error *err)
{
	struct drv_output_key before = {0};
	int r = 0;

	for (uint32_t i = 0; i < m->n_drv_outputs && r == 0; i++)
		r = read_drv_output(m, &c, t, rows ? &rows[i] : NULL, &before, err);
	if (r == 0 && c.at != c.end)
		r = ul_manifest_bad(m, err, "bytes follow the derivation outputs");
	return r;
}

static int decode_drv_outputs(struct ul_manifest *m, struct ul_cursor c, struct ul_error *err)
{
	struct ul_manifest_tables *tables = &m->tables;
	struct texts t = {NULL, 0};
	int r = scan_drv_outputs(m, c, &t, NULL, err);

	if (r < 0)
		return r;
	tables->drv_output_texts = malloc(t.used + 1);
	tables->drv_outputs = calloc((size_t)m->n_drv_outputs + 1, sizeof(*tables->drv_outputs));
	t = (struct texts){tables->drv_output_texts, 0};
	if (t.out && tables->drv_outputs)
		return scan_drv_outputs(m, c, &t, tables->drv_outputs, err);
	free(tables->drv_output_texts);
	free(tables->drv_outputs);
	tables->drv_output_texts = NULL;
	tables->drv_outputs = NULL;
	return ul_error_nomem(err, what);
}

struct realisation_key {
	const uint8_t *drv, *output;
	size_t drv_len, output_len;
};

static bool key_ascends(const struct realisation_key *before, const struct realisation_key *key)
{
	int order;

	if (!before->drv)
		return true;
	order = ul_compare_bytes(before->drv, before->drv_len, key->drv, key->drv_len);
	if (order == 0)
		order = ul_compare_bytes(before->output, before->output_len, key->output, key->output_len);
	return order < 0;
}

/* One pass over the realisations: the first only counts, the second fills rows, refs and texts. */
struct realisation_scan {
	const struct ul_manifest *m;
	struct ul_cursor c;
	struct texts texts;
	struct ul_realisation *rows; /* NULL: only count */
	uint32_t *refs;              /* NULL: only count */
	size_t n_refs;               /* by now */
	struct realisation_key before;
};

/* References of one realisation, behind those before. */
static void read_realisation_refs(struct realisation_scan *s, uint32_t n)
{
	uint64_t last = 0;

	for (uint32_t k = 0; k < n && !s->c.bad; k++) {
		last += ul_take_bounded(&s->c, UL_MANIFEST_MAX_RAW) + (uint64_t)(k > 0);
		s->c.bad |= last >= s->m->n_realisations;
		if (s->refs)
			s->refs[s->n_refs] = (uint32_t)last;
		s->n_refs++;
	}
}

static int read_realisation(struct realisation_scan *s, uint32_t i, struct ul_error *err)
{
	struct ul_cursor *c = &s->c;
	struct realisation_key key;
	const uint8_t *sigs;
	uint32_t output, sigs_len, n;
	struct ul_realisation made;

	key.drv_len = ul_take_bounded(c, UL_DRV_TEXT_MAX);
	key.drv = take_text(c, key.drv_len);
	key.output_len = ul_take_u8(c);
	key.output = take_text(c, key.output_len);
	output = ul_take_bounded(c, UL_MANIFEST_MAX_PATHS);
	sigs_len = ul_take_bounded(c, UL_SIGS_MAX);
	sigs = ul_take(c, sigs_len);
	n = ul_take_bounded(c, UL_MANIFEST_MAX_RAW);
	if (c->bad || key.drv_len == 0 || key.output_len == 0 || output >= s->m->n_paths ||
	    (sigs_len > 0 && !ul_sigs_clean((const char *)sigs, sigs_len)) || !key_ascends(&s->before, &key))
		return ul_manifest_bad(s->m, err,
				       "invalid realisation %u of %u: its derivation, name, path, signatures or order",
				       i + 1, s->m->n_realisations);
	s->before = key;
	made = (struct ul_realisation){
		.drv_path = put_text(&s->texts, key.drv, key.drv_len),
		.output_name = put_text(&s->texts, key.output, key.output_len),
		.output = output,
		.signatures = sigs_len > 0 ? put_text(&s->texts, sigs, sigs_len) : NULL,
		.refs = s->refs ? s->refs + s->n_refs : NULL,
		.n_refs = n,
	};
	read_realisation_refs(s, n);
	if (c->bad)
		return ul_manifest_bad(
			s->m, err, "realisation %u of %u: invalid references: not ascending numbers of realisations",
			i + 1, s->m->n_realisations);
	if (s->rows)
		s->rows[i] = made;
	return 0;
}

static int scan_realisations(struct realisation_scan *s, struct ul_error *err)
{
	int r = 0;

	for (uint32_t i = 0; i < s->m->n_realisations && r == 0; i++)
		r = read_realisation(s, i, err);
	if (r == 0 && s->c.at != s->c.end)
		r = ul_manifest_bad(s->m, err, "bytes follow the realisations");
	return r;
}

static int decode_realisations(struct ul_manifest *m, struct ul_cursor c, struct ul_error *err)
{
	struct ul_manifest_tables *tables = &m->tables;
	struct realisation_scan count = {.m = m, .c = c}, fill = {.m = m, .c = c};
	int r = scan_realisations(&count, err);

	if (r < 0)
		return r;
	tables->realisation_texts = malloc(count.texts.used + 1);
	tables->realisation_refs = calloc(count.n_refs + 1, sizeof(*tables->realisation_refs));
	tables->realisations = calloc((size_t)m->n_realisations + 1, sizeof(*tables->realisations));
	fill.texts.out = tables->realisation_texts;
	fill.rows = tables->realisations;
	fill.refs = tables->realisation_refs;
	if (fill.texts.out && fill.rows && fill.refs)
		return scan_realisations(&fill, err);
	free(tables->realisation_texts);
	free(tables->realisation_refs);
	free(tables->realisations);
	tables->realisation_texts = NULL;
	tables->realisation_refs = NULL;
	tables->realisations = NULL;
	return ul_error_nomem(err, what);
}

/* Decompress a table and hand it to its decoder. */
static int decode(struct ul_manifest *m, unsigned int table,
		  int (*decoder)(struct ul_manifest *m, struct ul_cursor c, struct ul_error *err), struct ul_error *err)
{
	ul_autobuffer struct ul_buffer buf = {0};
	ZSTD_DCtx *zstd = ZSTD_createDCtx();
	const uint8_t *bytes = NULL;
	struct ul_cursor c;
	int r = zstd ? ul_section_load(m, zstd, &m->tail[table], &buf, &bytes, err) : ul_error_nomem(err, what);

	ZSTD_freeDCtx(zstd);
	if (r < 0)
		return r;
	c = (struct ul_cursor){.at = bytes, .end = bytes + m->tail[table].raw_len};
	return decoder(m, c, err);
}

int ul_manifest_drv_outputs(struct ul_manifest *m, const struct ul_drv_output **ret, uint32_t *ret_n,
			    struct ul_error *err)
{
	int r = 0;

	pthread_mutex_lock(&m->lock);
	if (!m->tables.drv_outputs)
		r = decode(m, 0, decode_drv_outputs, err);
	pthread_mutex_unlock(&m->lock);
	if (r < 0)
		return r;
	*ret = m->tables.drv_outputs;
	*ret_n = m->n_drv_outputs;
	return 0;
}

int ul_manifest_realisations(struct ul_manifest *m, const struct ul_realisation **ret, uint32_t *ret_n,
			     struct ul_error *err)
{
	int r = 0;

	pthread_mutex_lock(&m->lock);
	if (!m->tables.realisations)
		r = decode(m, 1, decode_realisations, err);
	pthread_mutex_unlock(&m->lock);
	if (r < 0)
		return r;
	*ret = m->tables.realisations;
	*ret_n = m->n_realisations;
	return 0;
}
