#include "common/json.h"

#include <limits.h>
#include <string.h>

#include "common/encoding.h"

struct json_tokener *ul_json_tokener_new(void)
{
	struct json_tokener *tokener = json_tokener_new_ex(UL_JSON_MAX_DEPTH);

	if (tokener)
		json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8 |
							JSON_TOKENER_ALLOW_TRAILING_CHARS);
	return tokener;
}

struct json_object *ul_json_parse(const char *text, size_t len, const char **ret_why)
{
	struct json_tokener *tokener;
	struct json_object *obj;
	enum json_tokener_error error;
	size_t end;

	*ret_why = "it is too long";
	if (len > INT_MAX)
		return NULL;
	*ret_why = "out of memory";
	tokener = ul_json_tokener_new();
	if (!tokener)
		return NULL;
	obj = json_tokener_parse_ex(tokener, text, (int)len);
	error = json_tokener_get_error(tokener);
	end = json_tokener_get_parse_end(tokener);
	json_tokener_free(tokener);
	*ret_why = error == json_tokener_continue ? "it ends too early" : json_tokener_error_desc(error);
	if (error == json_tokener_success) {
		while (end < len && strchr(" \t\r\n", text[end]) && text[end])
			end++;
		if (end == len && obj)
			return obj;
		*ret_why = obj ? "more text follows the document" : "it is null";
	}
	json_object_put(obj);
	return NULL;
}

const char *ul_json_string(struct json_object *obj, const char *key)
{
	struct json_object *member;
	const char *text;

	if (!json_object_is_type(obj, json_type_object) || !json_object_object_get_ex(obj, key, &member) ||
	    !json_object_is_type(member, json_type_string))
		return NULL;
	text = json_object_get_string(member);
	return strlen(text) == (size_t)json_object_get_string_len(member) ? text : NULL;
}

bool ul_json_uint(struct json_object *obj, const char *key, uint64_t *ret)
{
	struct json_object *member;
	int64_t value;

	if (!json_object_is_type(obj, json_type_object) || !json_object_object_get_ex(obj, key, &member) ||
	    !json_object_is_type(member, json_type_int))
		return false;
	value = json_object_get_int64(member);
	/* json-c saturates: its greatest value stands for all greater ones too. */
	if (value < 0 || value == INT64_MAX)
		return false;
	*ret = (uint64_t)value;
	return true;
}

bool ul_json_bool(struct json_object *obj, const char *key, bool *ret)
{
	struct json_object *member;

	if (!json_object_is_type(obj, json_type_object) || !json_object_object_get_ex(obj, key, &member) ||
	    !json_object_is_type(member, json_type_boolean))
		return false;
	*ret = json_object_get_boolean(member);
	return true;
}

struct json_object *ul_json_document(uint64_t format)
{
	struct json_object *obj = json_object_new_object();

	return ul_json_if(ul_json_add_uint(obj, "format", format), obj);
}

const char *ul_json_text(struct json_object *obj)
{
	return json_object_to_json_string_ext(obj, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
}

bool ul_json_add(struct json_object *obj, const char *key, struct json_object *value)
{
	if (obj && value && json_object_object_add(obj, key, value) == 0)
		return true;
	json_object_put(value);
	return false;
}

bool ul_json_append(struct json_object *list, struct json_object *value)
{
	if (list && value && json_object_array_add(list, value) == 0)
		return true;
	json_object_put(value);
	return false;
}

bool ul_json_add_all(struct json_object *obj, struct json_object *from)
{
	bool ok = json_object_is_type(from, json_type_object);
	struct json_object_iter i;

	if (!ok)
		return false;
	json_object_object_foreachC(from, i) ok = ok && ul_json_add(obj, i.key, json_object_get(i.val));
	return ok;
}

struct json_object *ul_json_if(bool complete, struct json_object *obj)
{
	if (complete)
		return obj;
	json_object_put(obj);
	return NULL;
}

bool ul_json_add_hex(struct json_object *obj, const char *key, const void *data, size_t len)
{
	char hex[2 * 256 + 1];

	if (len > 256)
		return false;
	ul_hex_encode(data, len, hex);
	return ul_json_add_string(obj, key, hex);
}

bool ul_json_add_string(struct json_object *obj, const char *key, const char *value)
{
	return !value || ul_json_add(obj, key, json_object_new_string(value));
}

bool ul_json_add_uint(struct json_object *obj, const char *key, uint64_t value)
{
	return ul_json_add(obj, key, json_object_new_uint64(value));
}

bool ul_json_add_bool(struct json_object *obj, const char *key, bool value)
{
	return ul_json_add(obj, key, json_object_new_boolean(value));
}
