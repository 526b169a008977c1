/*
 * `nix path-info --json` in all its shapes:
 *   2.0 to 2.18   an array of objects, each with its "path"
 *   2.19 to 2.31  an object: full path -> object (JSON format 1), null for an invalid path
 *   2.32 and on   {"version": 2 or 3, "storeDir": ..., "info": {base name -> object}}; paths are base
 *                 names, "ca" is an object, in version 3 signatures are objects as well
 * Each value is taken in any of its forms, whatever the shape around it. Unknown members are ignored.
 *
 * One path's object at a time is in memory. Nix sorts members, so "info" comes before "storeDir" and "version": what
 * those two say is judged at the end.
 */
#include "dbgen/exchange/import.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/json_stream.h"
#include "common/vector.h"
#include "dbgen/store/hash_text.h"
#include "dbgen/manifest/format.h"
#include "dbgen/store/store_path.h"

static const char what[] = "reading path-info JSON";

/* The state of reading one document. */
struct reader {
	struct ul_builder *b;
	const char *name; /* of the source, for messages */
	struct ul_json_stream json;
	struct json_object *version, *store_dir; /* of the document, where it tells them */
	bool has_info, has_base_names;
	char odd_member[128]; /* the first that is neither a path nor known */
	struct ul_buffer texts, sigs;
	UL_VECTOR(size_t) refs;     /* offsets in texts */
	UL_VECTOR(const char *) to; /* the same as pointers, once no more text is to come */
	char ca[256];
	struct ul_error *err;
};

static int refuse(const struct reader *r, const char *path, const char *why)
{
	return ul_error_set(r->err, UL_E_INPUT, what, r->name, "Give what `nix path-info --json` wrote.", "%s%s%s",
			    path ? path : "", path ? ": " : "", why);
}

/* The document cannot be read on. */
static int refuse_text(const struct reader *r)
{
	if (r->json.errnum)
		return ul_error_errno(r->err, UL_E_SYSTEM, what, r->name, NULL, r->json.errnum);
	return refuse(r, NULL, r->json.why);
}

/* A JSON string without NULs; NULL: it is something else. */
static const char *string_of(struct json_object *v)
{
	const char *text;

	if (!json_object_is_type(v, json_type_string))
		return NULL;
	text = json_object_get_string(v);
	return strlen(text) == (size_t)json_object_get_string_len(v) ? text : NULL;
}

/*
 * A store path as the texts have it, full or a base name, as an offset in r->texts (which moves while
 * it grows). Returns 0 or -UL_E_MEMORY.
 */
static int put_path(struct reader *r, const char *text, size_t *ret_offset)
{
	const char *store_dir = ul_builder_store_dir(r->b);
	size_t offset = r->texts.len;
	int res = 0;

	if (text[0] != '/') {
		r->has_base_names = true;
		res = ul_buffer_append(&r->texts, store_dir, strlen(store_dir));
		if (res == 0)
			res = ul_buffer_append(&r->texts, "/", 1);
	}
	if (res == 0)
		res = ul_buffer_append(&r->texts, text, strlen(text) + 1);
	*ret_offset = offset;
	return res < 0 ? ul_error_nomem(r->err, what) : 0;
}

/* A hash in its text form, or {"algorithm": ..., "hash": ...}. */
static const char *hash_of(struct json_object *v, const char **ret_algorithm)
{
	*ret_algorithm = NULL;
	if (!json_object_is_type(v, json_type_object))
		return string_of(v);
	*ret_algorithm = ul_json_string(v, "algorithm");
	return *ret_algorithm ? ul_json_string(v, "hash") : NULL;
}

static int read_nar(struct reader *r, struct json_object *v, const char *path, struct ul_path_info *info)
{
	const char *algorithm, *hash;
	struct json_object *member;

	if (!json_object_object_get_ex(v, "narHash", &member))
		return refuse(r, path, "it has no narHash");
	hash = hash_of(member, &algorithm);
	if (!hash || (algorithm && strcmp(algorithm, "sha256") != 0) ||
	    !ul_sha256_parse(hash, strlen(hash), info->nar_hash))
		return refuse(r, path, "its narHash is not a SHA-256 hash");
	if (!ul_json_uint(v, "narSize", &info->nar_size))
		return refuse(r, path, "its narSize is missing or not a number from 0 to 2^63 - 1");
	return 0;
}

/* The structured content address, as Nix's database writes it. */
static bool render_ca(struct json_object *v, char *out, size_t size)
{
	static const char *const methods[][2] = {
		{"flat", "fixed:"}, {"nar", "fixed:r:"}, {"text", "text:"}, {"git", "fixed:git:"}};
	const char *method = ul_json_string(v, "method"), *algorithm, *hash;
	char text[UL_HASH_TEXT_SIZE];
	struct json_object *member;

	if (!method || !json_object_object_get_ex(v, "hash", &member))
		return false;
	hash = hash_of(member, &algorithm);
	if (!hash || !ul_hash_to_nix32(algorithm, hash, strlen(hash), text))
		return false;
	for (size_t i = 0; i < UL_ARRAY_SIZE(methods); i++)
		if (!strcmp(methods[i][0], method))
			return snprintf(out, size, "%s%s", methods[i][1], text) < (int)size;
	return false;
}

static int read_ca(struct reader *r, struct json_object *v, const char *path, struct ul_path_info *info)
{
	struct json_object *member;

	if (!json_object_object_get_ex(v, "ca", &member) || !member)
		return 0;
	if (json_object_is_type(member, json_type_object)) {
		if (!render_ca(member, r->ca, sizeof(r->ca)))
			return refuse(r, path, "its content address has an unknown method or an invalid hash");
		info->ca = r->ca;
		return 0;
	}
	info->ca = string_of(member);
	return info->ca ? 0 : refuse(r, path, "its content address is neither a text nor an object");
}

/* One signature, "KEY:BASE64" or {"keyName": ..., "sig": ...}, behind those before. */
static bool put_sig(struct reader *r, struct json_object *v)
{
	const char *text = string_of(v), *key = ul_json_string(v, "keyName"), *sig = ul_json_string(v, "sig"),
		   *space = r->sigs.len ? " " : "";

	if (text && *text)
		return ul_buffer_printf(&r->sigs, "%s%s", space, text) == 0;
	return key && sig && *key && *sig && ul_buffer_printf(&r->sigs, "%s%s:%s", space, key, sig) == 0;
}

static int read_sigs(struct reader *r, struct json_object *v, const char *path, struct ul_path_info *info)
{
	struct json_object *member;

	r->sigs.len = 0;
	if (!json_object_object_get_ex(v, "signatures", &member) || !member)
		return 0;
	if (!json_object_is_type(member, json_type_array))
		return refuse(r, path, "its signatures are not an array");
	for (size_t i = 0; i < json_object_array_length(member); i++)
		if (!put_sig(r, json_object_array_get_idx(member, i)))
			return refuse(r, path, "a signature is neither a text nor an object with keyName and sig");
	info->sigs = ul_buffer_string(&r->sigs);
	return info->sigs ? 0 : ul_error_nomem(r->err, what);
}

/* registrationTime and ultimate: may be absent, the former null. */
static int read_flags(struct reader *r, struct json_object *v, const char *path, struct ul_path_info *info)
{
	struct json_object *member;
	uint64_t seconds = 0;

	if (json_object_object_get_ex(v, "registrationTime", &member) && member &&
	    !ul_json_uint(v, "registrationTime", &seconds))
		return refuse(r, path, "its registrationTime is not a number from 0 to 2^63 - 1");
	info->registered = (int64_t)seconds;
	if (json_object_object_get_ex(v, "ultimate", &member) && !ul_json_bool(v, "ultimate", &info->ultimate))
		return refuse(r, path, "its \"ultimate\" is not a boolean");
	return 0;
}

/* The references as offsets in r->texts; made pointers when no more text is to come. */
static int read_refs(struct reader *r, struct json_object *v, const char *path)
{
	struct json_object *member;
	int res = 0;

	r->refs.n = 0;
	if (!json_object_object_get_ex(v, "references", &member) || !json_object_is_type(member, json_type_array))
		return refuse(r, path, "its references are missing or not an array");
	for (size_t i = 0; i < json_object_array_length(member) && res == 0; i++) {
		const char *text = string_of(json_object_array_get_idx(member, i));
		size_t offset;

		if (!text)
			return refuse(r, path, "a reference is not a string");
		res = put_path(r, text, &offset);
		if (res == 0 && ul_vector_push(&r->refs, offset) < 0)
			res = ul_error_nomem(r->err, what);
	}
	return res;
}

/* Add a path whose texts are in place: path, deriver, then references. */
static int add(struct reader *r, struct ul_path_info *info, size_t path, const size_t *deriver)
{
	const char *base = (const char *)r->texts.data;

	r->to.n = 0;
	if (ul_vector_reserve(&r->to, r->refs.n) < 0)
		return ul_error_nomem(r->err, what);
	for (size_t i = 0; i < r->refs.n; i++)
		r->to.at[r->to.n++] = base + r->refs.at[i];
	info->path = base + path;
	info->deriver = deriver ? base + *deriver : NULL;
	info->refs = r->to.at;
	info->n_refs = r->to.n;
	return ul_builder_add(r->b, info, r->err);
}

/* One path's object; key is its full path or base name, which r->texts begins with. */
static int read_fields(struct reader *r, const char *key, struct json_object *v)
{
	struct ul_path_info info = {.path = NULL};
	struct json_object *member;
	size_t deriver = 0;
	bool has_deriver, valid = true;
	int res = 0;

	if (!v || (ul_json_bool(v, "valid", &valid) && !valid))
		return refuse(r, key, "it was not valid in the store that was asked");
	if (!json_object_is_type(v, json_type_object))
		return refuse(r, key, "it is not an object");
	has_deriver = json_object_object_get_ex(v, "deriver", &member) && member;
	if (has_deriver && !string_of(member))
		return refuse(r, key, "its deriver is not a string");
	if (has_deriver)
		res = put_path(r, string_of(member), &deriver);
	if (res == 0)
		res = read_nar(r, v, key, &info);
	if (res == 0)
		res = read_ca(r, v, key, &info);
	if (res == 0)
		res = read_sigs(r, v, key, &info);
	if (res == 0)
		res = read_flags(r, v, key, &info);
	if (res == 0)
		res = read_refs(r, v, key);
	return res < 0 ? res : add(r, &info, 0, has_deriver ? &deriver : NULL);
}

static int read_path(struct reader *r, const char *key, struct json_object *v)
{
	size_t path;
	int res;

	r->texts.len = 0;
	res = put_path(r, key, &path);
	if (res < 0)
		return res;
	res = read_fields(r, key, v);
	return res < 0 ? ul_builder_put_aside(r->b, (const char *)r->texts.data, r->err) : 0;
}

static int read_element(struct reader *r)
{
	ul_autojson struct json_object *v = NULL;
	const char *path;

	if (ul_json_stream_value(&r->json, &v) < 0)
		return refuse_text(r);
	path = ul_json_string(v, "path");
	if (path)
		return read_path(r, path, v);
	(void)refuse(r, NULL, "an element has no path");
	return ul_builder_put_aside(r->b, NULL, r->err);
}

static int read_array(struct reader *r)
{
	int more, res = 0;

	while (res == 0 && (more = ul_json_stream_next(&r->json, ']')) != 0)
		res = more < 0 ? refuse_text(r) : read_element(r);
	return res;
}

static int read_member(struct reader *r, const char *key)
{
	ul_autojson struct json_object *v = NULL;

	return ul_json_stream_value(&r->json, &v) < 0 ? refuse_text(r) : read_path(r, key, v);
}

/* The members of an object that was entered, each by `take`. */
static int read_members(struct reader *r, int (*take)(struct reader *r, const char *key))
{
	int more, res = 0;

	while (res == 0 && (more = ul_json_stream_next(&r->json, '}')) != 0) {
		ul_autojson struct json_object *key = NULL;

		if (more < 0 || ul_json_stream_key(&r->json, &key) < 0)
			return refuse_text(r);
		res = take(r, json_object_get_string(key));
	}
	return res;
}

/* What "info" holds. */
static int read_info(struct reader *r)
{
	if (r->has_info)
		return refuse(r, NULL, "it has \"info\" twice");
	r->has_info = true;
	if (!ul_json_stream_enter(&r->json, '{'))
		return r->json.why ? refuse_text(r) : refuse(r, NULL, "its \"info\" is not an object");
	return read_members(r, read_member);
}

/* Take a value of the document itself. */
static int read_value(struct reader *r, struct json_object **ret)
{
	struct json_object *v = NULL;

	if (ul_json_stream_value(&r->json, &v) < 0)
		return refuse_text(r);
	json_object_put(*ret);
	*ret = v;
	return 0;
}

/* A member of the outermost object: a path, in the form of 2.19, or what stands around "info". */
static int read_top_member(struct reader *r, const char *key)
{
	ul_autojson struct json_object *ignored = NULL;
	uint8_t digest[UL_DIGEST_SIZE];

	if (key[0] == '/' || ul_store_base_parse(key, strnlen(key, UL_BASE_NAME_MAX + 1), digest))
		return read_member(r, key);
	if (!strcmp(key, "info"))
		return read_info(r);
	if (!strcmp(key, "version"))
		return read_value(r, &r->version);
	if (!strcmp(key, "storeDir"))
		return read_value(r, &r->store_dir);
	if (!*r->odd_member)
		snprintf(r->odd_member, sizeof(r->odd_member), "%s", *key ? key : "\"\"");
	return read_value(r, &ignored);
}

/* What the members around the paths say of the whole. */
static int judge_top(const struct reader *r)
{
	const char *store_dir = r->store_dir ? string_of(r->store_dir) : NULL;
	int64_t version =
		r->version && json_object_is_type(r->version, json_type_int) ? json_object_get_int64(r->version) : 0;

	if (!r->has_info && (r->version || r->store_dir))
		return refuse(r, NULL, "its \"info\" is missing");
	if (!r->has_info && *r->odd_member) {
		(void)refuse(r, r->odd_member, "it is not a store path");
		return ul_builder_put_aside(r->b, NULL, r->err);
	}
	if (!r->has_info)
		return 0;
	if (version < 1 || version > 3)
		return refuse(r, NULL, "its version is not 1, 2 or 3");
	/* Base names were taken for paths of the builder's store directory. */
	if (!r->has_base_names || !store_dir || !strcmp(store_dir, ul_builder_store_dir(r->b)))
		return 0;
	return ul_error_set(r->err, UL_E_INPUT, what, r->name, "Name the store directory with --store-dir.",
			    "its paths lie in %s, not in the store directory %s", store_dir,
			    ul_builder_store_dir(r->b));
}

static int read_object(struct reader *r)
{
	int res = read_members(r, read_top_member);

	return res < 0 ? res : judge_top(r);
}

static int read_document(struct reader *r)
{
	struct json_object *other = NULL;
	int res;

	if (ul_json_stream_enter(&r->json, '['))
		res = read_array(r);
	else if (ul_json_stream_enter(&r->json, '{'))
		res = read_object(r);
	else if (ul_json_stream_value(&r->json, &other) < 0)
		res = refuse_text(r);
	else
		res = refuse(r, NULL, "it is neither an array nor an object");
	json_object_put(other);
	if (res == 0 && ul_json_stream_end(&r->json) < 0)
		res = refuse_text(r);
	return res;
}

int ul_import_path_info(struct ul_builder *b, FILE *in, const char *name, struct ul_error *err)
{
	struct ul_error ignored = {0};
	struct reader r = {.b = b, .name = name, .err = err ? err : &ignored};
	int res = ul_json_stream_open(&r.json, in) < 0 ? ul_error_nomem(err, what) : read_document(&r);

	ul_json_stream_close(&r.json);
	json_object_put(r.version);
	json_object_put(r.store_dir);
	ul_buffer_free(&r.texts);
	ul_buffer_free(&r.sigs);
	ul_vector_free(&r.refs);
	ul_vector_free(&r.to);
	return res;
}
