/*
 * The small tables, row by row on one thread: DerivationOutputs, the realisations, the build traces, SchemaMigrations,
 * sqlite_sequence; then the pages above all leaves, sqlite_schema and the header.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/compare.h"
#include "dbgen/database/pages/bulk.h"
#include "common/vector.h"

static const char what[] = "writing Nix's database";

#define RUN_PAGES 256 /* leaves kept before they are written */

/* A column of a record. */
struct value {
	enum { IS_NULL, IS_INT, IS_TEXT } kind;
	int64_t number;
	const char *text;
	size_t len;
};

static struct value null_value(void)
{
	return (struct value){.kind = IS_NULL};
}

static struct value number(int64_t n)
{
	return (struct value){.kind = IS_INT, .number = n};
}

static struct value text(const char *t)
{
	return (struct value){.kind = t ? IS_TEXT : IS_NULL, .text = t, .len = t ? strlen(t) : 0};
}

/* Nix writes no NULL here, and stops where it reads one. */
static struct value text_or_empty(const char *t)
{
	return text(t ? t : "");
}

static uint64_t serial_type(const struct value *v)
{
	if (v->kind == IS_INT)
		return ul_serial_int(v->number);
	return v->kind == IS_TEXT ? ul_serial_text(v->len) : 0;
}

/* Append the record of n < 10 columns. 0 or -ENOMEM. */
static int put_record(struct ul_buffer *out, const struct value *v, size_t n)
{
	size_t header = 1, body = 0;
	uint8_t *at;

	for (size_t i = 0; i < n; i++) {
		uint64_t type = serial_type(&v[i]);

		header += ul_varint_size(type);
		body += v[i].kind == IS_INT ? ul_serial_size((uint8_t)type) : v[i].len;
	}
	if (ul_buffer_reserve(out, header + body) < 0)
		return -ENOMEM;
	at = out->data + out->len;
	out->len += header + body;
	*at++ = (uint8_t)header;
	for (size_t i = 0; i < n; i++)
		at = ul_put_varint(at, serial_type(&v[i]));
	for (size_t i = 0; i < n; i++) {
		if (v[i].kind == IS_INT)
			at = ul_put_int(at, v[i].number, ul_serial_int(v[i].number));
		if (v[i].kind == IS_TEXT && v[i].len > 0)
			at = (uint8_t *)memcpy(at, v[i].text, v[i].len) + v[i].len;
	}
	return 0;
}

/* A b-tree that is filled row by row. */
struct filler {
	struct ul_bulk *bulk;
	enum ul_db_tree tree;
	struct ul_leaves leaves;
	struct ul_buffer record;
	uint64_t rowid; /* of the last row */
};

static void filler_init(struct filler *f, struct ul_bulk *bulk, enum ul_db_tree tree)
{
	*f = (struct filler){.bulk = bulk, .tree = tree};
	f->leaves.kind = bulk->tree[tree].kind;
}

static void filler_free(struct filler *f)
{
	ul_leaves_free(&f->leaves);
	ul_buffer_free(&f->record);
}

#define autofiller UL_CLEANUP(filler_free)

static int flush(struct filler *f, bool last)
{
	struct ul_sqlite_file *file = &f->bulk->file;
	uint32_t n, first = 0;
	int r;

	if (ul_leaves_end(&f->leaves, f->rowid, last) < 0)
		return ul_error_nomem(f->bulk->err, what);
	n = ul_leaves_count(&f->leaves);
	r = ul_sqlite_take(file, n, &first, f->bulk->err);
	if (r == 0)
		r = ul_sqlite_write(file, first, f->leaves.pages.data, n, f->bulk->err);
	if (r == 0 && ul_sqlite_tree_append(&f->bulk->tree[f->tree], &f->leaves, first) < 0)
		r = ul_error_nomem(f->bulk->err, what);
	ul_leaves_reset(&f->leaves);
	return r;
}

/*
 * Add a row: in a table under the next rowid, in an index as the values are (the rowid among them). A
 * long payload's chain is written at once, so that its number is known.
 */
static int add(struct filler *f, const struct value *v, size_t n)
{
	bool table = f->leaves.kind == UL_SQLITE_LEAF_TABLE;
	size_t max = table ? UL_SQLITE_MAX_LOCAL_TABLE : UL_SQLITE_MAX_LOCAL_INDEX, local, size;
	uint32_t chain = 0;
	uint8_t *at;
	int r = 0;

	/* Before a row, so that the last run is never without one. */
	if (ul_leaves_count(&f->leaves) >= RUN_PAGES)
		r = flush(f, false);
	f->record.len = 0;
	if (r == 0 && put_record(&f->record, v, n) < 0)
		r = ul_error_nomem(f->bulk->err, what);
	if (r < 0)
		return r;
	local = ul_sqlite_local(f->record.len, max);
	if (local < f->record.len)
		r = ul_sqlite_overflow(&f->bulk->file, f->record.data + local, f->record.len - local, &chain,
				       f->bulk->err);
	if (r < 0)
		return r;
	f->rowid++;
	size = ul_varint_size(f->record.len) + local + (chain ? 4 : 0);
	if (table)
		size += ul_varint_size(f->rowid);
	at = ul_leaves_add(&f->leaves, (uint32_t)size, f->rowid);
	if (!at)
		return ul_error_nomem(f->bulk->err, what);
	at = ul_put_varint(at, f->record.len);
	if (table)
		at = ul_put_varint(at, f->rowid);
	memcpy(at, f->record.data, local);
	if (chain)
		ul_put_be32(at + local, chain);
	return 0;
}

/* Add rows row(source, 0 .. n - 1), or in the order given. */
struct rows {
	uint32_t n;
	const uint32_t *order; /* NULL: as they are */
	size_t (*row)(const struct ul_db_source *s, uint32_t i, struct value *ret);
};

static int fill(struct ul_bulk *bulk, enum ul_db_tree tree, const struct rows *rows)
{
	autofiller struct filler f;
	int r = 0;

	filler_init(&f, bulk, tree);
	for (uint32_t i = 0; r == 0 && i < rows->n; i++) {
		struct value v[8];
		size_t n = rows->row(bulk->source, rows->order ? rows->order[i] : i, v);

		r = add(&f, v, n);
	}
	return r == 0 ? flush(&f, true) : r;
}

static int fill_sorted(struct ul_bulk *bulk, enum ul_db_tree tree, const struct rows *rows,
		       int (*compare)(const void *a, const void *b, void *source))
{
	ul_autofree uint32_t *order = malloc(((size_t)rows->n + 1) * sizeof(*order));
	struct rows sorted = *rows;

	if (!order)
		return ul_error_nomem(bulk->err, what);
	for (uint32_t i = 0; i < rows->n; i++)
		order[i] = i;
	qsort_r(order, rows->n, sizeof(*order), compare, (void *)(uintptr_t)bulk->source);
	sorted.order = order;
	return fill(bulk, tree, &sorted);
}

/* ---- DerivationOutputs ---- */

static size_t output_row(const struct ul_db_source *s, uint32_t i, struct value *ret)
{
	ret[0] = number((int64_t)s->outputs[i].drv + 1);
	ret[1] = text(s->outputs[i].id);
	ret[2] = text(s->outputs[i].path);
	return 3;
}

static size_t output_key(const struct ul_db_source *s, uint32_t i, struct value *ret)
{
	ret[0] = number((int64_t)s->outputs[i].drv + 1);
	ret[1] = text(s->outputs[i].id);
	ret[2] = number((int64_t)i + 1);
	return 3;
}

static size_t output_path(const struct ul_db_source *s, uint32_t i, struct value *ret)
{
	ret[0] = text(s->outputs[i].path);
	ret[1] = number((int64_t)i + 1);
	return 2;
}

static int by_output_path(const void *a, const void *b, void *source)
{
	const struct ul_db_source *s = source;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	int order = strcmp(s->outputs[x].path, s->outputs[y].path);

	return order ? order : ul_order(x, y);
}

static int fill_outputs(struct ul_bulk *bulk)
{
	struct rows rows = {.n = bulk->source->n_outputs, .row = output_row};
	int r = fill(bulk, UL_TREE_OUTPUTS, &rows);

	rows.row = output_key;
	if (r == 0)
		r = fill(bulk, UL_TREE_OUTPUTS_KEY, &rows);
	rows.row = output_path;
	if (r == 0)
		r = fill_sorted(bulk, UL_TREE_OUTPUTS_PATH, &rows, by_output_path);
	return r;
}

/* ---- realisations ---- */

static size_t realisation_row(const struct ul_db_source *s, uint32_t i, struct value *ret)
{
	const struct ul_realisation *r = &s->realisations[i];

	ret[0] = null_value(); /* id: the rowid */
	ret[1] = text(r->drv_path);
	ret[2] = text(r->output_name);
	ret[3] = number((int64_t)r->output + 1);
	ret[4] = text_or_empty(r->signatures);
	return 5;
}

static size_t realisation_key(const struct ul_db_source *s, uint32_t i, struct value *ret)
{
	ret[0] = text(s->realisations[i].drv_path);
	ret[1] = text(s->realisations[i].output_name);
	ret[2] = number((int64_t)i + 1);
	return 3;
}

static size_t realisation_output(const struct ul_db_source *s, uint32_t i, struct value *ret)
{
	ret[0] = number((int64_t)s->realisations[i].output + 1);
	ret[1] = number((int64_t)i + 1);
	return 2;
}

static int by_realisation_key(const void *a, const void *b, void *source)
{
	const struct ul_db_source *s = source;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	int order = strcmp(s->realisations[x].drv_path, s->realisations[y].drv_path);

	if (order == 0)
		order = strcmp(s->realisations[x].output_name, s->realisations[y].output_name);
	return order ? order : ul_order(x, y);
}

static int by_realisation_output(const void *a, const void *b, void *source)
{
	const struct ul_db_source *s = source;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	int order = ul_order(s->realisations[x].output, s->realisations[y].output);

	return order ? order : ul_order(x, y);
}

/* A row of RealisationsRefs. */
struct realisation_ref {
	uint32_t referrer, reference, row;
};

static int by_reference(const void *a, const void *b)
{
	const struct realisation_ref *x = a, *y = b;
	int order = ul_order(x->reference, y->reference);

	return order ? order : ul_order(x->row, y->row);
}

static int fill_realisation_refs_as(struct ul_bulk *bulk, enum ul_db_tree tree, const struct realisation_ref *refs,
				    uint32_t n)
{
	autofiller struct filler f;
	int r = 0;

	filler_init(&f, bulk, tree);
	for (uint32_t i = 0; r == 0 && i < n; i++) {
		bool by_ref = tree == UL_TREE_REALISATION_REFS_REFERENCE;
		struct value v[2] = {number(by_ref ? refs[i].reference : refs[i].referrer),
				     number(tree == UL_TREE_REALISATION_REFS ? refs[i].reference : refs[i].row)};

		r = add(&f, v, 2);
	}
	return r == 0 ? flush(&f, true) : r;
}

static int fill_realisation_refs(struct ul_bulk *bulk)
{
	const struct ul_db_source *s = bulk->source;
	UL_VECTOR(struct realisation_ref) rows = {0};
	uint32_t n = 0;
	int r;

	for (uint32_t i = 0; i < s->n_realisations; i++)
		for (uint32_t k = 0; k < s->realisations[i].n_refs; k++) {
			struct realisation_ref ref = {i + 1, s->realisations[i].refs[k] + 1, ++n};

			if (ul_vector_push(&rows, ref) < 0) {
				ul_vector_free(&rows);
				return ul_error_nomem(bulk->err, what);
			}
		}
	r = fill_realisation_refs_as(bulk, UL_TREE_REALISATION_REFS, rows.at, n);
	if (r == 0)
		r = fill_realisation_refs_as(bulk, UL_TREE_REALISATION_REFS_REFERRER, rows.at, n);
	ul_vector_sort(&rows, by_reference);
	if (r == 0)
		r = fill_realisation_refs_as(bulk, UL_TREE_REALISATION_REFS_REFERENCE, rows.at, n);
	ul_vector_free(&rows);
	return r;
}

static int fill_realisations(struct ul_bulk *bulk)
{
	struct rows rows = {.n = bulk->source->n_realisations, .row = realisation_row};
	int r = fill(bulk, UL_TREE_REALISATIONS, &rows);

	rows.row = realisation_key;
	if (r == 0)
		r = fill_sorted(bulk, UL_TREE_REALISATIONS_KEY, &rows, by_realisation_key);
	rows.row = realisation_output;
	if (r == 0)
		r = fill_sorted(bulk, UL_TREE_REALISATION_OUTPUT, &rows, by_realisation_output);
	return r == 0 ? fill_realisation_refs(bulk) : r;
}

/* ---- build traces, and the migrations ---- */

static size_t trace_row(const struct ul_db_source *s, uint32_t i, struct value *ret)
{
	ret[0] = null_value(); /* id: the rowid */
	ret[1] = text(s->traces[i].drv_path);
	ret[2] = text(s->traces[i].output_name);
	ret[3] = text(s->trace_paths[i]);
	ret[4] = text_or_empty(s->traces[i].signatures);
	return 5;
}

/* The manifest has them in this order. */
static size_t trace_key(const struct ul_db_source *s, uint32_t i, struct value *ret)
{
	ret[0] = text(s->traces[i].drv_path);
	ret[1] = text(s->traces[i].output_name);
	ret[2] = number((int64_t)i + 1);
	return 3;
}

static size_t migration_row(const struct ul_db_source *s, uint32_t i, struct value *ret)
{
	(void)s;
	ret[0] = text(ul_db_migrations[i]);
	return 1;
}

static size_t migration_key(const struct ul_db_source *s, uint32_t i, struct value *ret)
{
	(void)s;
	ret[0] = text(ul_db_migrations[i]);
	ret[1] = number((int64_t)i + 1);
	return 2;
}

static int fill_later_tables(struct ul_bulk *bulk)
{
	struct rows traces = {.n = bulk->source->n_traces, .row = trace_row};
	struct rows migrations = {.n = (uint32_t)ul_db_n_migrations, .row = migration_row};
	int r = fill(bulk, UL_TREE_TRACES, &traces);

	traces.row = trace_key;
	if (r == 0)
		r = fill(bulk, UL_TREE_TRACES_KEY, &traces);
	if (r == 0)
		r = fill(bulk, UL_TREE_MIGRATIONS, &migrations);
	migrations.row = migration_key;
	return r == 0 ? fill(bulk, UL_TREE_MIGRATIONS_KEY, &migrations) : r;
}

/* ---- what the file says of itself ---- */

/* The greatest ids given out: tables with AUTOINCREMENT that have rows. */
static int fill_sequence(struct ul_bulk *bulk)
{
	const struct value rows[3][2] = {
		{text("ValidPaths"), number(bulk->source->n_paths)},
		{text("Realisations"), number(bulk->source->n_realisations)},
		{text("BuildTraceV3"), number(bulk->source->n_traces)},
	};
	autofiller struct filler f;
	int r = 0;

	filler_init(&f, bulk, UL_TREE_SEQUENCE);
	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(rows); i++)
		if (rows[i][1].number > 0)
			r = add(&f, rows[i], 2);
	return r == 0 ? flush(&f, true) : r;
}

static int finish_trees(struct ul_bulk *bulk)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ul_db_n_objects; i++) {
		enum ul_db_tree tree = ul_db_objects[i].tree;

		if (tree != UL_TREE_NONE)
			r = ul_sqlite_tree_finish(&bulk->tree[tree], &bulk->file, &bulk->root[tree], bulk->err);
	}
	return r;
}

static int write_schema(struct ul_bulk *bulk)
{
	UL_CLEANUP(ul_buffer_free) struct ul_buffer bytes = {0}, record = {0};
	struct ul_sqlite_cell cells[64];
	uint32_t n = 0, at = 0;

	for (size_t i = 0; i < ul_db_n_objects; i++) {
		const struct ul_db_object *o = &ul_db_objects[i];
		uint32_t root = o->tree == UL_TREE_NONE ? 0 : bulk->root[o->tree];
		const struct value v[5] = {text(o->type), text(o->name), text(o->table), number(root), text(o->sql)};
		uint8_t head[18], *end;
		size_t start = bytes.len;

		record.len = 0;
		if (put_record(&record, v, UL_ARRAY_SIZE(v)) < 0)
			return ul_error_nomem(bulk->err, what);
		end = ul_put_varint(ul_put_varint(head, record.len), n + 1);
		if (ul_buffer_append(&bytes, head, (size_t)(end - head)) < 0 ||
		    ul_buffer_append(&bytes, record.data, record.len) < 0)
			return ul_error_nomem(bulk->err, what);
		cells[n++].len = (uint32_t)(bytes.len - start);
	}
	for (uint32_t i = 0; i < n; at += cells[i++].len)
		cells[i].bytes = bytes.data + at;
	return ul_sqlite_finish(&bulk->file, cells, n, bulk->err);
}

int ul_bulk_tables(struct ul_bulk *bulk)
{
	int r = fill_outputs(bulk);

	if (r == 0)
		r = fill_realisations(bulk);
	if (r == 0)
		r = fill_later_tables(bulk);
	if (r == 0)
		r = fill_sequence(bulk);
	if (r == 0)
		r = finish_trees(bulk);
	return r == 0 ? write_schema(bulk) : r;
}
