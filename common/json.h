/*
 * JSON (through json-c), strictly: one document, no trailing bytes, bounded depth, valid UTF-8.
 * Getters say what is wrong by returning NULL or false; the caller knows the file's name.
 *
 * What Underlay writes as JSON is written here, and by common/json_writer.h where it is longer than memory, so that it
 * is UTF-8 whatever the names on a disk are.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

#define UL_JSON_MAX_DEPTH 16

/* json-c's parser as every document is read here: strict, UTF-8, what follows the value left. NULL: no memory. */
struct json_tokener *ul_json_tokener_new(void);

/*
 * Parse len bytes. The caller bounds len: a document takes up to some 40 times its size in memory.
 * *ret_why (static text) says what is wrong. NULL: not such a document. Free: json_object_put.
 */
struct json_object *ul_json_parse(const char *text, size_t len, const char **ret_why);

/* A member that must be a string without NUL bytes; NULL where it is not. Borrowed from obj. */
const char *ul_json_string(struct json_object *obj, const char *key);

/* A member that must be an integer from 0 to 2^63 - 1. */
bool ul_json_uint(struct json_object *obj, const char *key, uint64_t *ret);

bool ul_json_bool(struct json_object *obj, const char *key, bool *ret);

/*
 * The top of a document that a program reads: an object whose first member, "format", is the number of the document's
 * kind. It grows where a member changes its meaning or goes, not where one is added. Members have names in camelCase; a
 * range is [Start, End), in two members of those endings. NULL: no memory.
 */
struct json_object *ul_json_document(uint64_t format);

/*
 * The text of a document, as all of Underlay writes it: indented, slashes as they are, no newline at the end. Borrowed
 * from obj, until it is asked for another text. NULL: no memory, or obj is NULL.
 */
const char *ul_json_text(struct json_object *obj);

/* The same document in one line without spaces: where bytes count, or lines. */
const char *ul_json_line(struct json_object *obj);

/* Add a member or an element; the value is taken over in any case. false: obj or value is NULL, or no memory. */
bool ul_json_add(struct json_object *obj, const char *key, struct json_object *value);
bool ul_json_append(struct json_object *list, struct json_object *value);
bool ul_json_append_string(struct json_object *list, const char *value);

/* Add every member of another object, shared with it. */
bool ul_json_add_all(struct json_object *obj, struct json_object *from);

/* obj where all of it is there; else obj is released, and NULL. */
struct json_object *ul_json_if(bool complete, struct json_object *obj);

/*
 * A string of any bytes. File names, labels and logs need not be UTF-8, which JSON is: a byte that is not part of a
 * valid sequence (RFC 3629) becomes the four characters \xNN, as in messages (common/error.h), and so do the bytes of
 * U+0080 to U+009F and DEL, which control a terminal. All else stays as it is; json-c escapes what JSON wants escaped.
 * A reader cannot tell \xNN from a name that holds these four characters. NULL: no memory, or text is NULL.
 */
struct json_object *ul_json_new_string(const char *text);
struct json_object *ul_json_new_string_len(const char *text, size_t len);

/* Set members; false: no memory. NULL strings are left out. Strings as ul_json_new_string has them. */
bool ul_json_add_string(struct json_object *obj, const char *key, const char *value);
bool ul_json_add_uint(struct json_object *obj, const char *key, uint64_t value);
bool ul_json_add_bool(struct json_object *obj, const char *key, bool value);
bool ul_json_add_null(struct json_object *obj, const char *key);
/* len bytes (at most 256) as hex digits */
bool ul_json_add_hex(struct json_object *obj, const char *key, const void *data, size_t len);
bool ul_json_add_base64(struct json_object *obj, const char *key, const void *data, size_t len);

static inline void ul_cleanup_json(struct json_object **obj)
{
	if (*obj)
		json_object_put(*obj);
}

#define ul_autojson UL_CLEANUP(ul_cleanup_json)
