/* See marks.h. */
#include "dbgen/reconcile/marks.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/bytes.h"
#include "common/file.h"
#include "common/json.h"
#include "dbgen/layers/open.h"
#include "dbgen/manifest/format.h"
#include "dbgen/reconcile/upper_open.h"

#define LOWER_JSON "lower.json"
#define CLEAN      "clean"
#define FORMAT     1
#define JSON_MAX   65536 /* bytes of either file */

void ul_marks_identity(const struct ul_reconcile_lower *lower, char *buf, size_t size)
{
	if (lower->identity)
		snprintf(buf, size, "%s", lower->identity);
	else
		snprintf(buf, size, "manifest:%016" PRIx64, ul_manifest_sum(lower->manifest));
}

bool ul_marks_was_lowers(const struct ul_marks *m, int64_t id, bool gone)
{
	if (!m->upper_ids.known)
		return true;
	if (id > m->checked_id)
		return gone && !m->rebuild;
	return id > 0 && !ul_id_ranges_has(&m->upper_ids, id);
}

/*
 * A small JSON file of the upper. *ret NULL: it is not there, or not one that could be ours; what cannot be a file
 * of ours at all is moved away.
 */
static int read_json(struct ul_upper_dir *u, const char *name, struct json_object **ret)
{
	ul_autobuffer struct ul_buffer text = {0};
	ul_autoclose int fd = -1;
	const char *why = NULL;
	uint64_t format = 0;
	int64_t size;
	int r;

	*ret = NULL;
	r = ul_upper_dir_check_file(u, u->fd, name, &size);
	if (r < 0 || size < 0)
		return r;
	fd = openat(u->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return ul_upper_dir_fail(u, name, errno);
	if (size > JSON_MAX)
		return 0;
	if (ul_buffer_reserve(&text, (size_t)size + 1) < 0)
		return ul_upper_dir_nomem(u);
	/* Unreadable is as good as absent: it is written anew. */
	if (ul_pread_full(fd, text.data, (size_t)size, 0) < 0)
		return 0;
	*ret = ul_json_parse((const char *)text.data, (size_t)size, &why);
	if (*ret && (!ul_json_uint(*ret, "format", &format) || format != FORMAT)) {
		json_object_put(*ret);
		*ret = NULL;
	}
	return 0;
}

static int write_json(struct ul_upper_dir *u, const char *name, struct json_object *obj)
{
	/* A rename replaces no file whose flags forbid it, and they cost the machine no boot. */
	(void)ul_take_flags_off(u->fd, name);
	return ul_upper_dir_write(u, name, ul_json_text(obj));
}

static int read_lower(struct ul_upper_dir *u, struct ul_marks *marks)
{
	ul_autojson struct json_object *obj = NULL;
	const char *identity, *mode;
	uint64_t checked;
	int r = read_json(u, LOWER_JSON, &obj);

	if (r < 0 || !obj)
		return r;
	identity = ul_json_string(obj, "identity");
	mode = ul_json_string(obj, "database");
	if (!identity || strlen(identity) >= sizeof(marks->identity) || !mode ||
	    !ul_json_uint(obj, "checkedId", &checked))
		return 0;
	snprintf(marks->identity, sizeof(marks->identity), "%s", identity);
	marks->rebuild = !strcmp(mode, "rebuild");
	marks->checked_id = (int64_t)checked;
	/* Absent in what an older Underlay wrote. */
	if (!ul_json_uint(obj, "databaseSize", &marks->print.size) ||
	    !ul_json_uint(obj, "databaseTime", &marks->print.time) ||
	    !ul_json_uint(obj, "upperPaths", &marks->upper_paths))
		marks->print = (struct ul_db_print){0};
	ul_id_ranges_read(obj, "upperIds", &marks->upper_ids);
	marks->known = marks->rebuild || !strcmp(mode, "attach");
	return 0;
}

static int read_clean(struct ul_upper_dir *u, struct ul_marks *marks)
{
	ul_autojson struct json_object *obj = NULL;
	uint64_t id = 0;
	int r = read_json(u, CLEAN, &obj);

	marks->clean = r == 0 && obj && ul_json_uint(obj, "maxId", &id);
	marks->clean_id = (int64_t)id;
	return r;
}

int ul_marks_read(struct ul_upper_dir *u, struct ul_marks *ret)
{
	struct ul_marks marks = {.known = false};
	int r = read_lower(u, &marks);

	if (r == 0)
		r = read_clean(u, &marks);
	if (r == 0)
		*ret = marks;
	return r;
}

int ul_marks_write_lower(struct ul_upper_dir *u, const struct ul_marks *before, const struct ul_marks *now,
			 const struct ul_reconcile_options *o)
{
	ul_autojson struct json_object *obj = ul_json_document(FORMAT);

	/* A file that says this already stays: flash wears. */
	if (before->known && before->rebuild == now->rebuild && before->checked_id == now->checked_id &&
	    before->print.size == now->print.size && before->print.time == now->print.time &&
	    before->upper_paths == now->upper_paths && !strcmp(before->identity, now->identity) &&
	    ul_id_ranges_equal(&before->upper_ids, &now->upper_ids))
		return 0;
	if (!obj || !ul_json_add_string(obj, "identity", now->identity) ||
	    !ul_json_add_string(obj, "name", o->lower.name) || !ul_json_add_string(obj, "version", o->lower.version) ||
	    !ul_json_add_string(obj, "database", now->rebuild ? "rebuild" : "attach") ||
	    !ul_json_add_uint(obj, "checkedId", (uint64_t)now->checked_id) ||
	    !ul_json_add_uint(obj, "databaseSize", now->print.size) ||
	    !ul_json_add_uint(obj, "databaseTime", now->print.time) ||
	    !ul_json_add_uint(obj, "upperPaths", now->upper_paths) ||
	    (now->upper_ids.known && !ul_json_add(obj, "upperIds", ul_id_ranges_json(&now->upper_ids))))
		return ul_upper_dir_nomem(u);
	return write_json(u, LOWER_JSON, obj);
}

int ul_marks_leave_lower(struct ul_upper_dir *u, struct ul_marks *marks, const struct ul_reconcile_options *o)
{
	struct ul_marks now = *marks;
	int r;

	/* Without a file of it every lower is another one already. */
	if (!marks->known)
		return 0;
	snprintf(now.identity, sizeof(now.identity), "%s", UL_MARKS_NO_LOWER);
	r = ul_marks_write_lower(u, marks, &now, o);
	if (r == 0)
		*marks = now;
	return r;
}

int ul_marks_remove_clean(struct ul_upper_dir *u)
{
	int r = ul_layer_remove(u->fd, CLEAN);

	if (r < 0)
		return r == -ENOENT ? 0 : ul_upper_dir_fail(u, CLEAN, -r);
	return fsync(u->fd) < 0 ? ul_upper_dir_fail(u, CLEAN, errno) : 0;
}

int ul_marks_write_clean(struct ul_upper_dir *u, int64_t max_id)
{
	ul_autojson struct json_object *obj = ul_json_document(FORMAT);

	if (!obj || !ul_json_add_uint(obj, "maxId", (uint64_t)max_id))
		return ul_upper_dir_nomem(u);
	return write_json(u, CLEAN, obj);
}
