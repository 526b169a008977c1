#include "dbgen/reconcile/saved_row.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/file.h"
#include "common/json.h"
#include "common/sqlite.h"
#include "dbgen/database/rows/foreign.h"
#include "dbgen/manifest/format.h"
#include "dbgen/manifest/text.h"
#include "dbgen/store/hash_text.h"

#define FORMAT 1

void ul_saved_row_free(struct ul_saved_row *row)
{
	free(row->deriver);
	free(row->sigs);
	free(row->ca);
	ul_names_free(&row->refs);
	ul_names_free(&row->outputs);
	*row = (struct ul_saved_row){.nar_size = 0};
}

/* false: no memory. */
static bool copy(const char *text, char **ret)
{
	*ret = text ? strdup(text) : NULL;
	return !text || *ret;
}

/* ---- from the database ---- */

static int read_refs(sqlite3 *db, const char *store_dir, int64_t id, struct ul_names *ret)
{
	ul_autostatement sqlite3_stmt *q = NULL;
	size_t bytes = 0;
	int64_t last = 0, to;
	int code;

	if (sqlite3_prepare_v2(db,
			       "select v.path, r.reference from Refs r left join ValidPaths v on v.id = r.reference"
			       " where r.referrer = ? order by r.reference",
			       -1, &q, NULL) != SQLITE_OK)
		return 0;
	sqlite3_bind_int64(q, 1, id);
	while ((code = sqlite3_step(q)) == SQLITE_ROW) {
		uint8_t digest[UL_DIGEST_SIZE];
		const char *base = ul_db_foreign_base(q, 0, store_dir, digest);

		/* An index may hold a row any number of times, and a file that is too large is not written. */
		if (!base || !ul_db_foreign_id(q, 1, &to) || (ret->n > 0 && to <= last) ||
		    (bytes += strlen(base)) > UL_SAVED_ROW_MAX)
			return 0;
		last = to;
		if (ul_names_add(ret, base) < 0)
			return -ENOMEM;
	}
	return code == SQLITE_DONE;
}

static bool is_output(const char *id, const char *path)
{
	return id && path && *id && *path && ul_text_clean(id, strlen(id)) && ul_text_clean(path, strlen(path));
}

/*
 * Those that Nix could not have written are not carried on; where there is no such table there are none. 0: the index
 * leads in circles.
 */
static int read_outputs(sqlite3 *db, int64_t id, struct ul_names *ret)
{
	ul_autostatement sqlite3_stmt *q = NULL;
	size_t bytes = 0;

	if (sqlite3_prepare_v2(db, "select id, path from DerivationOutputs where drv = ? order by id", -1, &q, NULL) !=
	    SQLITE_OK)
		return 1;
	sqlite3_bind_int64(q, 1, id);
	while (sqlite3_step(q) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(q, 0);
		const char *path = (const char *)sqlite3_column_text(q, 1);

		if (!is_output(name, path))
			continue;
		if ((ret->n > 0 && strcmp(name, ret->at[ret->n - 2]) <= 0) ||
		    (bytes += strlen(name) + strlen(path)) > UL_SAVED_ROW_MAX)
			return 0;
		if (ul_names_add(ret, name) < 0 || ul_names_add(ret, path) < 0)
			return -ENOMEM;
	}
	return 1;
}

int ul_saved_row_of_database(sqlite3 *db, const char *store_dir, const char *base, struct ul_saved_row *ret)
{
	ul_autofree char *path = ul_path_join(store_dir, base);
	ul_autostatement sqlite3_stmt *q = NULL;
	struct ul_db_foreign values;
	int64_t id;
	int r;

	*ret = (struct ul_saved_row){.nar_size = 0};
	if (!path)
		return -ENOMEM;
	if (sqlite3_prepare_v2(db, "select id, " UL_DB_FOREIGN_COLUMNS " from ValidPaths where path = ?", -1, &q,
			       NULL) != SQLITE_OK)
		return 0;
	sqlite3_bind_text(q, 1, path, -1, SQLITE_STATIC);
	if (sqlite3_step(q) != SQLITE_ROW || !ul_db_foreign_id(q, 0, &id) ||
	    !ul_db_foreign_read(q, 1, store_dir, &values))
		return 0;
	memcpy(ret->nar_hash, values.nar_hash, sizeof(ret->nar_hash));
	ret->nar_size = values.nar_size;
	ret->registered = values.registered;
	ret->ultimate = values.ultimate;
	if (!copy(values.deriver, &ret->deriver) || !copy(values.sigs, &ret->sigs) || !copy(values.ca, &ret->ca))
		return -ENOMEM;
	r = read_refs(db, store_dir, id, &ret->refs);
	return r <= 0 ? r : read_outputs(db, id, &ret->outputs);
}

/* ---- writing the file ---- */

static void file_name(const char *base, char ret[NAME_MAX + 1])
{
	snprintf(ret, NAME_MAX + 1, UL_SAVED_ROW_PREFIX "%.*s", UL_BASE_NAME_MAX, base);
}

static struct json_object *list_json(const struct ul_names *names)
{
	struct json_object *list = json_object_new_array();
	bool ok = list;

	for (size_t i = 0; ok && i < names->n; i++)
		ok = ul_json_append_string(list, names->at[i]);
	return ul_json_if(ok, list);
}

static struct json_object *row_json(const char *base, const struct ul_saved_row *row)
{
	struct json_object *obj = ul_json_document(FORMAT);
	char hash[UL_HASH_TEXT_LENGTH + 1];
	uint64_t registered = row->registered < 0 ? 0 : (uint64_t)row->registered;

	ul_hash_text_print(row->nar_hash, hash);
	return ul_json_if(obj && ul_json_add_string(obj, "path", base) && ul_json_add_string(obj, "narHash", hash) &&
				  ul_json_add_uint(obj, "narSize", row->nar_size) &&
				  ul_json_add_uint(obj, "registrationTime", registered) &&
				  ul_json_add_bool(obj, "ultimate", row->ultimate) &&
				  ul_json_add_string(obj, "deriver", row->deriver) &&
				  ul_json_add_string(obj, "signatures", row->sigs) &&
				  ul_json_add_string(obj, "ca", row->ca) &&
				  ul_json_add(obj, "references", list_json(&row->refs)) &&
				  ul_json_add(obj, "outputs", list_json(&row->outputs)),
			  obj);
}

int ul_saved_row_write(int dirfd, const char *base, const struct ul_saved_row *row)
{
	ul_autojson struct json_object *obj = row_json(base, row);
	const char *text = obj ? ul_json_text(obj) : NULL;
	ul_autoclose int fd = -1;
	char name[NAME_MAX + 1];
	int r;

	if (!text)
		return -ENOMEM;
	if (row->nar_size == 0 || strlen(text) > UL_SAVED_ROW_MAX)
		return 0;
	file_name(base, name);
	/* An attempt before, which found no room, may have left a part. */
	if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = ul_write_full(fd, text, strlen(text));
	return r < 0 ? r : 1;
}

/* ---- reading the file ---- */

/* A text that may be absent. 1; 0: it is not one that a row may have; -ENOMEM. */
static int read_text(struct json_object *obj, const char *key, size_t max, char **ret)
{
	const char *text = ul_json_string(obj, key);
	size_t len = text ? strlen(text) : 0;

	if (!text)
		return !json_object_object_get_ex(obj, key, NULL);
	if (len == 0 || len > max || !ul_text_clean(text, len))
		return 0;
	return copy(text, ret) ? 1 : -ENOMEM;
}

static bool is_base(const char *text)
{
	uint8_t digest[UL_DIGEST_SIZE];

	return ul_store_base_parse(text, strlen(text), digest);
}

static bool is_clean(const char *text)
{
	return *text && ul_text_clean(text, strlen(text));
}

static int read_list(struct json_object *obj, const char *key, bool (*fits)(const char *text), struct ul_names *ret)
{
	struct json_object *list;

	if (!json_object_object_get_ex(obj, key, &list) || !json_object_is_type(list, json_type_array))
		return 0;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *item = json_object_array_get_idx(list, i);
		const char *text = json_object_is_type(item, json_type_string) ? json_object_get_string(item) : NULL;

		if (!text || strlen(text) != (size_t)json_object_get_string_len(item) || !fits(text))
			return 0;
		if (ul_names_add(ret, text) < 0)
			return -ENOMEM;
	}
	return 1;
}

static int read_row(struct json_object *obj, const char *base, struct ul_saved_row *ret)
{
	const char *hash = ul_json_string(obj, "narHash"), *path = ul_json_string(obj, "path");
	uint64_t format, registered;
	int r;

	if (!ul_json_uint(obj, "format", &format) || format != FORMAT || !path || strcmp(path, base) != 0 ||
	    !ul_hash_text_parse(hash, hash ? strlen(hash) : 0, ret->nar_hash) ||
	    !ul_json_uint(obj, "narSize", &ret->nar_size) || !ul_json_uint(obj, "registrationTime", &registered) ||
	    ret->nar_size == 0 || !ul_json_bool(obj, "ultimate", &ret->ultimate))
		return 0;
	ret->registered = (int64_t)registered;
	r = read_text(obj, "deriver", UL_DERIVER_MAX, &ret->deriver);
	if (r > 0)
		r = read_text(obj, "signatures", UL_SIGS_MAX, &ret->sigs);
	if (r > 0)
		r = read_text(obj, "ca", UL_CA_MAX, &ret->ca);
	if (r > 0)
		r = read_list(obj, "references", is_base, &ret->refs);
	if (r > 0)
		r = read_list(obj, "outputs", is_clean, &ret->outputs);
	return r > 0 ? ret->outputs.n % 2 == 0 : r;
}

int ul_saved_row_read(int dirfd, const char *base, uint64_t *left, struct ul_saved_row *ret)
{
	ul_autobuffer struct ul_buffer text = {0};
	ul_autojson struct json_object *obj = NULL;
	ul_autoclose int fd = -1;
	char name[NAME_MAX + 1];
	const char *why = NULL;
	struct stat st;

	*ret = (struct ul_saved_row){.nar_size = 0};
	file_name(base, name);
	fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > UL_SAVED_ROW_MAX)
		return 0;
	if ((uint64_t)st.st_size > *left) {
		*left = 0;
		return 0;
	}
	*left -= (uint64_t)st.st_size;
	if (ul_buffer_reserve(&text, (size_t)st.st_size + 1) < 0)
		return -ENOMEM;
	if (ul_pread_full(fd, text.data, (size_t)st.st_size, 0) < 0)
		return 0;
	obj = ul_json_parse((const char *)text.data, (size_t)st.st_size, &why);
	return obj ? read_row(obj, base, ret) : 0;
}

void ul_saved_row_remove(int dirfd, const char *base)
{
	char name[NAME_MAX + 1];

	file_name(base, name);
	(void)unlinkat(dirfd, name, 0);
}
