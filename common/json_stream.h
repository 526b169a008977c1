/*
 * A JSON document that is read piece by piece, for documents that are longer than memory: the caller walks through the
 * outer containers, and each value within is parsed by json-c as a document of its own, as strictly as ul_json_parse
 * does. What is in memory at a time is one value and the block that is being read.
 *
 *     ul_json_stream_open(&s, file)
 *     if (ul_json_stream_enter(&s, '{'))
 *             while ((more = ul_json_stream_next(&s, '}')) > 0 &&
 *                    ul_json_stream_key(&s, &key) == 0 && ul_json_stream_value(&s, &value) == 0)
 *                     ...                       json_object_put(key), json_object_put(value)
 *     ul_json_stream_end(&s)
 *     ul_json_stream_close(&s)
 *
 * Once something is wrong s.why says so, and nothing more is read.
 */
#pragma once

#include <stdio.h>

#include "common/block.h"
#include "common/json.h"

/* Bytes of one value's text. A tree takes up to some 40 times its text in memory. */
#define UL_JSON_VALUE_MAX (16U << 20)

struct ul_json_stream {
	struct ul_block block;
	struct json_tokener *tokener;
	bool begun;      /* the innermost container has had an element */
	const char *why; /* static text; NULL: all was good so far */
	int errnum;      /* why the file could not be read; 0: that is not it */
};

/* 0 or -1. in stays the caller's. To be closed whatever comes of it. */
int ul_json_stream_open(struct ul_json_stream *s, FILE *in);
void ul_json_stream_close(struct ul_json_stream *s);

/* Go into a container that begins with this byte. false: something else is there, and nothing was read but space. */
bool ul_json_stream_enter(struct ul_json_stream *s, char open);

/* In a container that `close` ends. 1: an element follows; 0: the container has ended, and was left; -1: failure. */
int ul_json_stream_next(struct ul_json_stream *s, char close);

/* A member's key and the colon behind it. *ret: a string without NUL bytes, to be put. 0 or -1. */
int ul_json_stream_key(struct ul_json_stream *s, struct json_object **ret);

/* A whole value, to be put; NULL: it is null. 0 or -1. */
int ul_json_stream_value(struct ul_json_stream *s, struct json_object **ret);

/* Nothing but space follows. 0 or -1. */
int ul_json_stream_end(struct ul_json_stream *s);
