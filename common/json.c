#include "common/json.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
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
	return obj ? json_object_to_json_string_ext(obj, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE)
		   : NULL;
}

const char *ul_json_line(struct json_object *obj)
{
	return obj ? json_object_to_json_string_ext(obj, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
		   : NULL;
}

/* The length of the UTF-8 sequence at p, where it is shown as it is; 0: the byte at p is to be escaped. */
static size_t shown_length(const unsigned char *p, size_t left)
{
	/* What the second byte may be: no longer form than is needed, no surrogate, nothing above U+10FFFF. */
	unsigned char from = *p == 0xe0 ? 0xa0 : *p == 0xf0 ? 0x90 : *p == 0xc2 ? 0xa0 : 0x80;
	unsigned char to = *p == 0xed ? 0x9f : *p == 0xf4 ? 0x8f : 0xbf;
	size_t len = *p < 0x7f ? 1 : *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf5 ? 4 : 0;

	if (len > left)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if (p[i] < from || p[i] > to)
			return 0;
		from = 0x80;
		to = 0xbf;
	}
	return len;
}

struct json_object *ul_json_new_string_len(const char *text, size_t len)
{
	ul_autobuffer struct ul_buffer shown = {0};
	size_t from = 0, at = 0;

	while (at < len) {
		size_t n = shown_length((const unsigned char *)text + at, len - at);
		char escape[] = "\\xNN";

		at += n;
		if (n > 0)
			continue;
		ul_hex_encode(text + at, 1, escape + 2);
		if (ul_buffer_append(&shown, text + from, at - from) < 0 || ul_buffer_append(&shown, escape, 4) < 0)
			return NULL;
		from = ++at;
	}
	if (from > 0 && ul_buffer_append(&shown, text + from, at - from) < 0)
		return NULL;
	if (from > 0) {
		text = (const char *)shown.data;
		len = shown.len;
	}
	return len <= INT_MAX ? json_object_new_string_len(text, (int)len) : NULL;
}

struct json_object *ul_json_new_string(const char *text)
{
	return text ? ul_json_new_string_len(text, strlen(text)) : NULL;
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

bool ul_json_append_string(struct json_object *list, const char *value)
{
	return ul_json_append(list, ul_json_new_string(value));
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

bool ul_json_add_base64(struct json_object *obj, const char *key, const void *data, size_t len)
{
	ul_autofree char *text = malloc(ul_base64_length(len) + 1);

	if (!text)
		return false;
	ul_base64_encode(data, len, text);
	return ul_json_add_string(obj, key, text);
}

bool ul_json_add_string(struct json_object *obj, const char *key, const char *value)
{
	return !value || ul_json_add(obj, key, ul_json_new_string(value));
}

bool ul_json_add_uint(struct json_object *obj, const char *key, uint64_t value)
{
	return ul_json_add(obj, key, json_object_new_uint64(value));
}

bool ul_json_add_bool(struct json_object *obj, const char *key, bool value)
{
	return ul_json_add(obj, key, json_object_new_boolean(value));
}

bool ul_json_add_null(struct json_object *obj, const char *key)
{
	return obj && json_object_object_add(obj, key, NULL) == 0;
}
