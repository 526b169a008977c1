/* Encoding the tail's tables: sorted, without repetition, without what is not kept. */
#include <stdlib.h>
#include <string.h>

#include "common/compare.h"
#include "dbgen/manifest/builder_internal.h"
#include "dbgen/manifest/format.h"
#include "dbgen/store/store_path.h"

static const char what[] = "writing the manifest";

static int compare_drv_outputs(const void *a, const void *b)
{
	const struct ul_builder_drv_output *x = a, *y = b;

	int order = ul_order(x->drv, y->drv);

	return order ? order : strcmp(x->id, y->id);
}

static bool same_output(const struct ul_builder_drv_output *x, const struct ul_builder_drv_output *y)
{
	return !memcmp(x->digest, y->digest, UL_DIGEST_SIZE) && !strcmp(x->name, y->name);
}

static int put_drv_output(struct ul_buffer *raw, const struct ul_builder_drv_output *row, uint32_t step)
{
	uint8_t id_len = (uint8_t)strlen(row->id), name_len = (uint8_t)strlen(row->name);
	int r = ul_put_varint(raw, step);

	r = r < 0 ? r : ul_buffer_append(raw, &id_len, 1);
	r = r < 0 ? r : ul_buffer_append(raw, row->id, id_len);
	r = r < 0 ? r : ul_buffer_append(raw, row->digest, UL_DIGEST_SIZE);
	r = r < 0 ? r : ul_buffer_append(raw, &name_len, 1);
	return r < 0 ? r : ul_buffer_append(raw, row->name, name_len);
}

/*
 * Turn entries into numbers and drop rows of derivations that a closure leaves out. One whose
 * derivation was never given is an error.
 */
static int number_drv_outputs(struct ul_builder *b, const uint32_t *number, struct ul_error *err)
{
	char path[UL_STORE_PATH_SIZE];
	size_t n = 0;

	for (size_t i = 0; i < b->drv_outputs.n; i++) {
		struct ul_builder_drv_output row = b->drv_outputs.at[i];
		const struct ul_builder_entry *e = &b->entries.at[row.drv];

		if (!ul_builder_keeps(b, e) && !b->restricted)
			return ul_error_set(err, UL_E_INPUT, what, ul_builder_path(b, e, path), NULL,
					    "one of its outputs is given, but the derivation is not");
		if (!ul_builder_keeps(b, e))
			continue;
		row.drv = number[row.drv];
		b->drv_outputs.at[n++] = row;
	}
	b->drv_outputs.n = n;
	return 0;
}

int ul_encode_drv_outputs(struct ul_builder *b, const uint32_t *number, struct ul_buffer *raw, uint32_t *ret_n,
			  struct ul_error *err)
{
	const struct ul_builder_drv_output *before = NULL;
	uint32_t n = 0;
	int r = number_drv_outputs(b, number, err);

	if (r < 0)
		return r;
	if (b->drv_outputs.n > 1)
		qsort(b->drv_outputs.at, b->drv_outputs.n, sizeof(*b->drv_outputs.at), compare_drv_outputs);
	for (size_t i = 0; i < b->drv_outputs.n; i++) {
		const struct ul_builder_drv_output *row = &b->drv_outputs.at[i];
		bool repeated = before && compare_drv_outputs(before, row) == 0;

		if (repeated && same_output(before, row))
			continue;
		if (repeated)
			return ul_error_set(err, UL_E_INPUT, what, row->name, NULL,
					    "a derivation's output \"%s\" is given twice with "
					    "different paths",
					    row->id);
		if (put_drv_output(raw, row, row->drv - (before ? before->drv : 0)) < 0)
			return ul_error_nomem(err, what);
		before = row;
		n++;
	}
	*ret_n = n;
	return 0;
}

static int compare_texts(const char *a_drv, const char *a_output, const char *b_drv, const char *b_output)
{
	int order = strcmp(a_drv, b_drv);

	return order ? order : strcmp(a_output, b_output);
}

static int compare_realisations(const void *a, const void *b)
{
	const struct ul_builder_realisation *x = a, *y = b;

	return compare_texts(x->drv_path, x->output_name, y->drv_path, y->output_name);
}

/* Drop the realisations that a closure leaves out. */
static int keep_realisations(struct ul_builder *b, size_t *ret_n, struct ul_error *err)
{
	char path[UL_STORE_PATH_SIZE];
	size_t n = 0;

	for (size_t i = 0; i < b->realisations.n; i++) {
		const struct ul_builder_entry *e = &b->entries.at[b->realisations.at[i].output];

		if (ul_builder_keeps(b, e))
			b->realisations.at[n++] = b->realisations.at[i];
		else if (!b->restricted)
			return ul_error_set(err, UL_E_INPUT, what, ul_builder_path(b, e, path), NULL,
					    "a realisation of it is given, but the path is not");
	}
	*ret_n = n;
	return 0;
}

/* Keep, sort, merge and number the realisations. */
static int sort_realisations(struct ul_builder *b, struct ul_error *err)
{
	size_t n = 0;
	int r = keep_realisations(b, &n, err);

	if (r < 0)
		return r;
	if (n > 1)
		qsort(b->realisations.at, n, sizeof(*b->realisations.at), compare_realisations);
	b->realisations.n = 0;
	for (size_t i = 0; i < n; i++) {
		struct ul_builder_realisation *row = &b->realisations.at[i], *last = NULL;

		if (b->realisations.n > 0)
			last = &b->realisations.at[b->realisations.n - 1];
		if (last && compare_realisations(last, row) == 0) {
			if (last->output == row->output &&
			    !strcmp(last->signatures ? last->signatures : "", row->signatures ? row->signatures : ""))
				continue;
			return ul_error_set(err, UL_E_INPUT, what, row->drv_path, NULL,
					    "the realisation of its output \"%s\" is given twice "
					    "with different data",
					    row->output_name);
		}
		row->number = (uint32_t)b->realisations.n;
		b->realisations.at[b->realisations.n++] = *row;
	}
	return 0;
}

static uint32_t realisation_number(const struct ul_builder *b, const char *drv, const char *output)
{
	struct ul_builder_realisation key = {.drv_path = drv, .output_name = output};
	const struct ul_builder_realisation *found =
		b->realisations.n
			? bsearch(&key, b->realisations.at, b->realisations.n, sizeof(key), compare_realisations)
			: NULL;

	return found ? found->number : UINT32_MAX;
}

/* An edge between two realisations that are kept. */
struct edge {
	uint32_t from, to;
};

static int compare_edges(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	int order = ul_order(x->from, y->from);

	return order ? order : ul_order(x->to, y->to);
}

/* A reference to a realisation that nobody gave is an error, unless a closure left it out. */
static int find_edges(const struct ul_builder *b, struct edge *edges, size_t *ret_n, struct ul_error *err)
{
	size_t n = 0, kept = 0;

	for (size_t i = 0; i < b->realisation_refs.n; i++) {
		const struct ul_builder_realisation_ref *row = &b->realisation_refs.at[i];
		struct edge e = {realisation_number(b, row->drv, row->output),
				 realisation_number(b, row->ref_drv, row->ref_output)};

		if (e.from != UINT32_MAX && e.to != UINT32_MAX)
			edges[n++] = e;
		else if (!b->restricted)
			return ul_error_set(err, UL_E_INPUT, what, row->drv, NULL,
					    "it refers to the realisation %s of output \"%s\", and "
					    "not both were given",
					    row->ref_drv, row->ref_output);
	}
	if (n > 1)
		qsort(edges, n, sizeof(*edges), compare_edges);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || compare_edges(&edges[kept - 1], &edges[i]) != 0)
			edges[kept++] = edges[i];
	*ret_n = kept;
	return 0;
}

static int put_text(struct ul_buffer *raw, const char *text)
{
	size_t len = text ? strlen(text) : 0;
	int r = ul_put_varint(raw, len);

	return r < 0 || len == 0 ? r : ul_buffer_append(raw, text, len);
}

static int put_realisation(struct ul_buffer *raw, const struct ul_builder_realisation *row, uint32_t output,
			   const struct edge *edges, size_t n)
{
	uint8_t name_len = (uint8_t)strlen(row->output_name);
	int r = put_text(raw, row->drv_path);

	r = r < 0 ? r : ul_buffer_append(raw, &name_len, 1);
	r = r < 0 ? r : ul_buffer_append(raw, row->output_name, name_len);
	r = r < 0 ? r : ul_put_varint(raw, output);
	r = r < 0 ? r : put_text(raw, row->signatures);
	r = r < 0 ? r : ul_put_varint(raw, n);
	for (size_t i = 0; i < n && r == 0; i++)
		r = ul_put_varint(raw, i ? edges[i].to - edges[i - 1].to - 1 : edges[i].to);
	return r;
}

int ul_encode_realisations(struct ul_builder *b, const uint32_t *number, struct ul_buffer *raw, uint32_t *ret_n,
			   struct ul_error *err)
{
	ul_autofree struct edge *edges = calloc(b->realisation_refs.n + 1, sizeof(*edges));
	size_t n_edges = 0, at = 0;
	int r;

	if (!edges)
		return ul_error_nomem(err, what);
	r = sort_realisations(b, err);
	if (r == 0)
		r = find_edges(b, edges, &n_edges, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < b->realisations.n; i++) {
		size_t first = at;

		while (at < n_edges && edges[at].from == i)
			at++;
		if (put_realisation(raw, &b->realisations.at[i], number[b->realisations.at[i].output], edges + first,
				    at - first) < 0)
			return ul_error_nomem(err, what);
	}
	*ret_n = (uint32_t)b->realisations.n;
	return 0;
}
