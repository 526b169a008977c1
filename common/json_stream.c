#include "common/json_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE (64 * 1024)

static int fail(struct ul_json_stream *s, const char *why)
{
	if (!s->why)
		s->why = why;
	return -1;
}

int ul_json_stream_open(struct ul_json_stream *s, FILE *in)
{
	*s = (struct ul_json_stream){.in = in};
	s->block = malloc(BLOCK_SIZE);
	s->tokener = ul_json_tokener_new();
	if (!s->block || !s->tokener)
		return fail(s, "out of memory");
	return 0;
}

void ul_json_stream_close(struct ul_json_stream *s)
{
	if (s->tokener)
		json_tokener_free(s->tokener);
	free(s->block);
	*s = (struct ul_json_stream){0};
}

/* Read on behind what is left in the block. */
static int fill(struct ul_json_stream *s)
{
	size_t n;

	s->len -= s->at;
	memmove(s->block, s->block + s->at, s->len);
	s->at = 0;
	errno = 0;
	n = fread(s->block + s->len, 1, BLOCK_SIZE - s->len, s->in);
	if (n == 0 && ferror(s->in)) {
		s->errnum = errno ? errno : EIO;
		return fail(s, "it cannot be read");
	}
	s->ended = n == 0;
	s->len += n;
	return 0;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

int ul_json_stream_peek(struct ul_json_stream *s)
{
	if (s->why)
		return -1;
	for (;;) {
		while (s->at < s->len && is_space(s->block[s->at]))
			s->at++;
		if (s->at < s->len && s->block[s->at] != '\0')
			return (unsigned char)s->block[s->at];
		if (s->at < s->len)
			return fail(s, "it holds a NUL byte");
		if (s->ended)
			return 0;
		if (fill(s) < 0)
			return -1;
	}
}

bool ul_json_stream_enter(struct ul_json_stream *s, char open)
{
	if (ul_json_stream_peek(s) != (unsigned char)open)
		return false;
	s->at++;
	s->begun = false;
	return true;
}

int ul_json_stream_next(struct ul_json_stream *s, char close)
{
	int c = ul_json_stream_peek(s);

	if (c < 0)
		return -1;
	if (c == 0)
		return fail(s, "it ends too early");
	if (c == close) {
		s->at++;
		/* The container around this one has this one for an element. */
		s->begun = true;
		return 0;
	}
	if (s->begun) {
		if (c != ',')
			return fail(s, "a comma is missing between two elements");
		s->at++;
		c = ul_json_stream_peek(s);
		if (c == close)
			return fail(s, "no element follows a comma");
		if (c <= 0)
			return c < 0 ? -1 : fail(s, "it ends too early");
	}
	s->begun = true;
	return 1;
}

/*
 * Bytes of the block that the tokener is given at once. It checks UTF-8 for each call by itself, so no character may be
 * cut: the last one waits for its rest. One of more than four bytes is none, and the tokener says so.
 */
static size_t whole_characters(const struct ul_json_stream *s)
{
	size_t end = s->len, back = 0;

	if (s->ended)
		return end - s->at;
	while (back < 4 && end - back > s->at && ((unsigned char)s->block[end - back - 1] & 0xc0) == 0x80)
		back++;
	if (end - back > s->at && ((unsigned char)s->block[end - back - 1] & 0xc0) == 0xc0)
		back++;
	return end - back > s->at ? end - back - s->at : end - s->at;
}

int ul_json_stream_value(struct ul_json_stream *s, struct json_object **ret)
{
	enum json_tokener_error error = json_tokener_continue;
	struct json_object *value = NULL;
	size_t total = 0;

	if (ul_json_stream_peek(s) <= 0)
		return fail(s, "it ends too early");
	json_tokener_reset(s->tokener);
	while (error == json_tokener_continue) {
		size_t n;

		/* Room for a whole character, of which the block's end may have the first byte alone. */
		while (s->len - s->at < 4 && !s->ended)
			if (fill(s) < 0)
				return -1;
		if (s->at == s->len)
			return fail(s, "it ends too early");
		n = whole_characters(s);
		value = json_tokener_parse_ex(s->tokener, s->block + s->at, (int)n);
		error = json_tokener_get_error(s->tokener);
		s->at += json_tokener_get_parse_end(s->tokener);
		total += n;
		if (error == json_tokener_continue && total > UL_JSON_VALUE_MAX)
			return fail(s, "one value of it is longer than 16 MiB");
	}
	if (error != json_tokener_success)
		return fail(s, json_tokener_error_desc(error));
	*ret = value;
	return 0;
}

int ul_json_stream_key(struct ul_json_stream *s, struct json_object **ret)
{
	struct json_object *key = NULL;
	int c = ul_json_stream_peek(s);

	if (c < 0)
		return -1;
	if (c != '"')
		return fail(s, c == 0 ? "it ends too early" : "a key is not a string");
	if (ul_json_stream_value(s, &key) < 0)
		return -1;
	if (strlen(json_object_get_string(key)) != (size_t)json_object_get_string_len(key))
		fail(s, "a key holds a NUL byte");
	else if (ul_json_stream_peek(s) != ':')
		fail(s, "no colon follows a key");
	if (s->why) {
		json_object_put(key);
		return -1;
	}
	s->at++;
	*ret = key;
	return 0;
}

int ul_json_stream_end(struct ul_json_stream *s)
{
	int c = ul_json_stream_peek(s);

	return c > 0 ? fail(s, "more text follows the document") : c;
}
