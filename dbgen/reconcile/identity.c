/* lower.json and the clean mark: what the upper says of itself. See reconcile.h for what is promised of it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/bytes.h"
#include "common/file.h"
#include "common/json.h"
#include "dbgen/manifest/format.h"
#include "dbgen/reconcile/internal.h"

#define LOWER_JSON "lower.json"
#define CLEAN      "clean"
#define FORMAT     1
#define JSON_MAX   65536 /* bytes of either file */

void ul_rc_identity_of(const struct ul_reconcile_lower *lower, char *buf, size_t size)
{
	size_t len;
	const uint8_t *bytes = ul_manifest_data(lower->manifest, &len);

	if (lower->identity)
		snprintf(buf, size, "%s", lower->identity);
	else
		snprintf(buf, size, "manifest:%016" PRIx64, ul_get_le64(bytes + UL_HEAD_SUM));
}

/*
 * A small JSON file of the upper. *ret NULL: it is not there, or is none that could be ours; what cannot be a file
 * of ours at all is moved away.
 */
static int read_json(struct ul_rc *c, const char *name, struct json_object **ret)
{
	ul_autobuffer struct ul_buffer text = {0};
	ul_autoclose int fd = -1;
	const char *why = NULL;
	uint64_t format = 0;
	struct stat st;
	int r;

	*ret = NULL;
	if (fstatat(c->o->upper_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : ul_rc_fail_upper(c, name, errno);
	if (!S_ISREG(st.st_mode)) {
		r = ul_rc_report(c, UL_RECONCILE_QUARANTINED, name, "it must be a file");
		return r < 0 ? r : ul_rc_quarantine(c, c->o->upper_fd, name);
	}
	fd = openat(c->o->upper_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return ul_rc_fail_upper(c, name, errno);
	if (st.st_size > JSON_MAX)
		return 0;
	if (ul_buffer_reserve(&text, (size_t)st.st_size + 1) < 0)
		return ul_rc_nomem(c);
	/* Unreadable is as good as absent: it is written anew. */
	if (ul_pread_full(fd, text.data, (size_t)st.st_size, 0) < 0)
		return 0;
	*ret = ul_json_parse((const char *)text.data, (size_t)st.st_size, &why);
	if (*ret && (!ul_json_uint(*ret, "format", &format) || format != FORMAT)) {
		json_object_put(*ret);
		*ret = NULL;
	}
	return 0;
}

static int write_json(struct ul_rc *c, const char *name, struct json_object *obj)
{
	const char *text = json_object_to_json_string_ext(obj, JSON_C_TO_STRING_PRETTY);
	int r;

	if (!text)
		return ul_rc_nomem(c);
	r = ul_rc_make_way(c, c->o->upper_fd, name);
	if (r < 0)
		return r;
	r = ul_write_file_atomic(c->o->upper_fd, name, 0644, text, strlen(text));
	return r < 0 ? ul_rc_fail_upper(c, name, -r) : 0;
}

int ul_rc_identity_read(struct ul_rc *c)
{
	ul_autojson struct json_object *obj = NULL;
	const char *identity, *mode;
	uint64_t checked;
	int r = read_json(c, LOWER_JSON, &obj);

	if (r < 0 || !obj)
		return r;
	identity = ul_json_string(obj, "identity");
	mode = ul_json_string(obj, "database");
	if (!identity || strlen(identity) >= sizeof(c->before.identity) || !mode ||
	    !ul_json_uint(obj, "checkedId", &checked))
		return 0;
	snprintf(c->before.identity, sizeof(c->before.identity), "%s", identity);
	c->before.rebuild = !strcmp(mode, "rebuild");
	c->before.checked_id = (int64_t)checked;
	c->before.known = c->before.rebuild || !strcmp(mode, "attach");
	return 0;
}

int ul_rc_identity_write(struct ul_rc *c)
{
	ul_autojson struct json_object *obj = json_object_new_object();
	const struct ul_reconcile_lower *lower = &c->o->lower;
	bool rebuild = c->o->mode == UL_RECONCILE_REBUILD;
	char identity[160];

	ul_rc_identity_of(lower, identity, sizeof(identity));
	/* A file that says this already stays: flash wears. */
	if (c->before.known && c->before.rebuild == rebuild && c->before.checked_id == c->max_id &&
	    !strcmp(c->before.identity, identity))
		return 0;
	if (!obj || !ul_json_add_uint(obj, "format", FORMAT) || !ul_json_add_string(obj, "identity", identity) ||
	    !ul_json_add_string(obj, "name", lower->name) || !ul_json_add_string(obj, "version", lower->version) ||
	    !ul_json_add_string(obj, "database", rebuild ? "rebuild" : "attach") ||
	    !ul_json_add_uint(obj, "checkedId", (uint64_t)c->max_id))
		return ul_rc_nomem(c);
	return write_json(c, LOWER_JSON, obj);
}

int ul_rc_mark_read(struct ul_rc *c, bool *ret_marked, int64_t *ret_max_id)
{
	ul_autojson struct json_object *obj = NULL;
	uint64_t id = 0;
	int r = read_json(c, CLEAN, &obj);

	*ret_marked = r == 0 && obj && ul_json_uint(obj, "maxId", &id);
	*ret_max_id = (int64_t)id;
	return r;
}

int ul_rc_mark_remove(struct ul_rc *c)
{
	if (unlinkat(c->o->upper_fd, CLEAN, 0) < 0)
		return errno == ENOENT ? 0 : ul_rc_fail_upper(c, CLEAN, errno);
	return fsync(c->o->upper_fd) < 0 ? ul_rc_fail_upper(c, CLEAN, errno) : 0;
}

int ul_rc_mark_write(struct ul_rc *c, int64_t max_id)
{
	ul_autojson struct json_object *obj = json_object_new_object();

	if (!obj || !ul_json_add_uint(obj, "format", FORMAT) || !ul_json_add_uint(obj, "maxId", (uint64_t)max_id))
		return ul_rc_nomem(c);
	return write_json(c, CLEAN, obj);
}
