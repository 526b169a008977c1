/* Exporters: registration text and path-info JSON, batch by batch in path order. */
#include "dbgen/exchange/export.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "common/encoding.h"
#include "common/json_writer.h"
#include "dbgen/manifest/format.h"
#include "dbgen/manifest/name_table.h"
#include "dbgen/store/hash_text.h"

static const char what[] = "writing the export";

/* Shared by the printers of a path. */
struct printer {
	const struct ul_name_table *names;
	const char *store_dir;
	FILE *out;
	struct ul_json_writer *json;
	uint64_t printed; /* paths before this one */
};

/* false: no memory */
typedef bool (*print_fn)(const struct printer *p, const struct ul_batch *b, uint32_t i);

/* The deriver in full; empty where the path has no deriver. */
static void print_deriver(const struct printer *p, const struct ul_batch *b, uint32_t i)
{
	size_t len = b->deriver.off[i + 1] - b->deriver.off[i];
	const char *text = b->deriver.bytes + b->deriver.off[i];

	if (len > 0 && *text != '/')
		fprintf(p->out, "%s/", p->store_dir);
	fwrite(text, 1, len, p->out);
}

static bool print_registration(const struct printer *p, const struct ul_batch *b, uint32_t i)
{
	char text[UL_STORE_PATH_SIZE], hash[2 * UL_NAR_HASH_SIZE + 1];

	ul_hex_encode(b->nar_hash + (size_t)i * UL_NAR_HASH_SIZE, UL_NAR_HASH_SIZE, hash);
	fprintf(p->out, "%s\n%s\n%" PRIu64 "\n", ul_name_table_path(p->names, b->first + i, text), hash,
		b->nar_size[i]);
	print_deriver(p, b, i);
	fprintf(p->out, "\n%" PRIu64 "\n", b->ref_off[i + 1] - b->ref_off[i]);
	for (uint64_t k = b->ref_off[i]; k < b->ref_off[i + 1]; k++) {
		fputs(ul_name_table_path(p->names, b->refs[k], text), p->out);
		fputc('\n', p->out);
	}
	return true;
}

static struct json_object *column_json(const struct ul_text_column *c, uint32_t i)
{
	return ul_json_new_string_len(c->bytes + c->off[i], c->off[i + 1] - c->off[i]);
}

static bool add_optional(struct json_object *obj, const char *key, const struct ul_text_column *c, uint32_t i)
{
	return c->off[i] == c->off[i + 1] ? ul_json_add_null(obj, key) : ul_json_add(obj, key, column_json(c, i));
}

static bool add_deriver(struct json_object *obj, const struct printer *p, const struct ul_batch *b, uint32_t i)
{
	const struct ul_text_column *c = &b->deriver;
	char text[UL_STORE_DIR_MAX + 1 + UL_BASE_NAME_MAX + 1];
	size_t len = c->off[i + 1] - c->off[i];

	if (len == 0 || c->bytes[c->off[i]] == '/')
		return add_optional(obj, "deriver", c, i);
	snprintf(text, sizeof(text), "%s/%.*s", p->store_dir, (int)len, c->bytes + c->off[i]);
	return ul_json_add_string(obj, "deriver", text);
}

static struct json_object *references_json(const struct printer *p, const struct ul_batch *b, uint32_t i)
{
	struct json_object *list = json_object_new_array();
	char text[UL_STORE_PATH_SIZE];
	bool ok = list;

	for (uint64_t k = b->ref_off[i]; ok && k < b->ref_off[i + 1]; k++)
		ok = ul_json_append_string(list, ul_name_table_path(p->names, b->refs[k], text));
	return ul_json_if(ok, list);
}

/* The signatures, which the manifest joins by spaces, as an array. */
static struct json_object *signatures_json(const struct ul_batch *b, uint32_t i)
{
	const char *at = b->sigs.bytes + b->sigs.off[i], *end = b->sigs.bytes + b->sigs.off[i + 1];
	struct json_object *list = json_object_new_array();
	bool ok = list;

	while (ok && at < end) {
		const char *space = memchr(at, ' ', (size_t)(end - at));
		const char *stop = space ? space : end;

		ok = ul_json_append(list, ul_json_new_string_len(at, (size_t)(stop - at)));
		at = space ? space + 1 : end;
	}
	return ul_json_if(ok, list);
}

/* Members in Nix's order, which is that of their names. */
static bool print_json(const struct printer *p, const struct ul_batch *b, uint32_t i)
{
	struct json_object *obj = json_object_new_object();
	char text[UL_STORE_PATH_SIZE], hash[UL_HASH_TEXT_SIZE];
	bool ok;

	ul_hash_sri_print(b->nar_hash + (size_t)i * UL_NAR_HASH_SIZE, hash);
	ok = add_optional(obj, "ca", &b->ca, i) && add_deriver(obj, p, b, i) &&
	     ul_json_add_string(obj, "narHash", hash) && ul_json_add_uint(obj, "narSize", b->nar_size[i]) &&
	     ul_json_add(obj, "references", references_json(p, b, i)) &&
	     (b->registered[i] ? ul_json_add(obj, "registrationTime", json_object_new_int64(b->registered[i]))
			       : ul_json_add_null(obj, "registrationTime")) &&
	     ul_json_add(obj, "signatures", signatures_json(b, i)) && ul_json_add_bool(obj, "ultimate", b->ultimate[i]);
	return ul_json_writer_member(p->json, ul_name_table_path(p->names, b->first + i, text), ul_json_if(ok, obj));
}

/* ---- text ---- */

static void print_column(FILE *out, const char *label, const struct ul_text_column *c, uint32_t i)
{
	size_t len = c->off[i + 1] - c->off[i];

	if (len > 0)
		fprintf(out, "%-14s%.*s\n", label, (int)len, c->bytes + c->off[i]);
}

/* For people. */
static bool print_record(const struct printer *p, const struct ul_batch *b, uint32_t i)
{
	char text[UL_STORE_PATH_SIZE], hash[64], date[32] = "";
	time_t registered = (time_t)b->registered[i];
	struct tm tm;

	ul_nix32_encode(b->nar_hash + (size_t)i * UL_NAR_HASH_SIZE, UL_NAR_HASH_SIZE, hash);
	fprintf(p->out, "%s%s\n%-14ssha256:%s\n%-14s%" PRIu64 " bytes\n", p->printed ? "\n" : "",
		ul_name_table_path(p->names, b->first + i, text), "  NAR hash", hash, "  NAR size", b->nar_size[i]);
	if (b->deriver.off[i] < b->deriver.off[i + 1]) {
		fprintf(p->out, "%-14s", "  deriver");
		print_deriver(p, b, i);
		fputc('\n', p->out);
	}
	if (registered != 0 && gmtime_r(&registered, &tm) &&
	    strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S UTC", &tm) > 0)
		fprintf(p->out, "%-14s%s\n", "  registered", date);
	if (b->ultimate[i])
		fprintf(p->out, "%-14s%s\n", "  trust", "ultimate (built here)");
	print_column(p->out, "  signatures", &b->sigs, i);
	print_column(p->out, "  ca", &b->ca, i);
	fprintf(p->out, "%-14s%" PRIu64 "\n", "  references", b->ref_off[i + 1] - b->ref_off[i]);
	for (uint64_t k = b->ref_off[i]; k < b->ref_off[i + 1]; k++)
		fprintf(p->out, "    %s\n", ul_name_table_path(p->names, b->refs[k], text));
	return true;
}

/* Print these paths (numbers: n of them, in this order), or all (numbers: NULL). */
static int print_paths(struct ul_manifest *m, const uint32_t *numbers, uint32_t n, struct printer *p, print_fn print,
		       struct ul_error *err)
{
	struct ul_batch_reader *reader = ul_batch_reader_new(m);
	struct ul_name_table *names = NULL;
	struct ul_batch b = {.n = 0};
	int r = reader ? ul_name_table_new(m, &names, err) : ul_error_nomem(err, what);

	p->names = names;
	p->store_dir = ul_manifest_store_dir(m);
	for (uint32_t at = 0; at < n && r == 0 && !ferror(p->out); at++) {
		uint32_t number = numbers ? numbers[at] : at;

		if (number < b.first || number - b.first >= b.n)
			r = ul_manifest_read_batch(reader, number / UL_MANIFEST_BATCH, UL_COL_ALL, &b, err);
		if (r == 0 && !print(p, &b, number - b.first))
			r = ul_error_nomem(err, what);
		p->printed++;
	}
	ul_name_table_free(names);
	ul_batch_reader_free(reader);
	return r;
}

static int flush(FILE *out, struct ul_error *err)
{
	errno = 0;
	if (fflush(out) == 0 && !ferror(out))
		return 0;
	return ul_error_errno(err, UL_E_SYSTEM, what, NULL, NULL, errno ? errno : EIO);
}

static int print_json_object(struct ul_manifest *m, const uint32_t *numbers, uint32_t n, FILE *out,
			     struct ul_error *err)
{
	struct ul_json_writer json = {.out = out};
	struct printer p = {.out = out, .json = &json};
	int r;

	ul_json_writer_begin(&json);
	r = print_paths(m, numbers, n, &p, print_json, err);
	if (r < 0)
		return r;
	ul_json_writer_end(&json);
	return flush(out, err);
}

int ul_export_registration(struct ul_manifest *m, FILE *out, struct ul_error *err)
{
	struct printer p = {.out = out};
	int r = print_paths(m, NULL, ul_manifest_n_paths(m), &p, print_registration, err);

	return r < 0 ? r : flush(out, err);
}

int ul_export_path_info(struct ul_manifest *m, FILE *out, struct ul_error *err)
{
	return print_json_object(m, NULL, ul_manifest_n_paths(m), out, err);
}

int ul_export_path_info_of(struct ul_manifest *m, const uint32_t *numbers, uint32_t n, FILE *out, struct ul_error *err)
{
	return print_json_object(m, numbers, n, out, err);
}

int ul_export_records_of(struct ul_manifest *m, const uint32_t *numbers, uint32_t n, FILE *out, struct ul_error *err)
{
	struct printer p = {.out = out};
	int r = print_paths(m, numbers, n, &p, print_record, err);

	return r < 0 ? r : flush(out, err);
}
