#include "common/json_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int fail(struct ul_json_stream *s, const char *why)
{
	if (!s->why)
		s->why = why;
	return -1;
}

int ul_json_stream_open(struct ul_json_stream *s, FILE *in)
{
	*s = (struct ul_json_stream){.tokener = ul_json_tokener_new()};
	if (ul_block_open(&s->block, in) < 0 || !s->tokener)
		return fail(s, "out of memory");
	return 0;
}

void ul_json_stream_close(struct ul_json_stream *s)
{
	if (s->tokener)
		json_tokener_free(s->tokener);
	ul_block_close(&s->block);
	*s = (struct ul_json_stream){0};
}

static int fill(struct ul_json_stream *s)
{
	int r = ul_block_fill(&s->block);

	if (r == 0)
		return 0;
	s->errnum = -r;
	return fail(s, "it cannot be read");
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The next byte that is not space, which stays to be read; 0: the text has ended, negative: failure. */
static int peek(struct ul_json_stream *s)
{
	if (s->why)
		return -1;
	for (;;) {
		while (s->block.at < s->block.len && is_space(s->block.bytes[s->block.at]))
			s->block.at++;
		if (s->block.at < s->block.len && s->block.bytes[s->block.at] != '\0')
			return (unsigned char)s->block.bytes[s->block.at];
		if (s->block.at < s->block.len)
			return fail(s, "it holds a NUL byte");
		if (s->block.ended)
			return 0;
		if (fill(s) < 0)
			return -1;
	}
}

bool ul_json_stream_enter(struct ul_json_stream *s, char open)
{
	if (peek(s) != (unsigned char)open)
		return false;
	s->block.at++;
	s->begun = false;
	return true;
}

int ul_json_stream_next(struct ul_json_stream *s, char close)
{
	int c = peek(s);

	if (c < 0)
		return -1;
	if (c == 0)
		return fail(s, "it ends too early");
	if (c == close) {
		s->block.at++;
		/* For the container around it, this one was an element. */
		s->begun = true;
		return 0;
	}
	if (s->begun) {
		if (c != ',')
			return fail(s, "a comma is missing between two elements");
		s->block.at++;
		c = peek(s);
		if (c == close)
			return fail(s, "no element follows a comma");
		if (c <= 0)
			return c < 0 ? -1 : fail(s, "it ends too early");
	}
	s->begun = true;
	return 1;
}

/*
 * Bytes of the block that the tokener is given at once. It checks UTF-8 for each call by itself, so no character may
 * be cut: the last one waits for its rest. A sequence of more than four bytes is not a character, and the tokener says
 * so.
 */
static size_t whole_characters(const struct ul_json_stream *s)
{
	size_t end = s->block.len, back = 0;

	if (s->block.ended)
		return end - s->block.at;
	while (back < 4 && end - back > s->block.at && ((unsigned char)s->block.bytes[end - back - 1] & 0xc0) == 0x80)
		back++;
	if (end - back > s->block.at && ((unsigned char)s->block.bytes[end - back - 1] & 0xc0) == 0xc0)
		back++;
	return end - back > s->block.at ? end - back - s->block.at : end - s->block.at;
}

int ul_json_stream_value(struct ul_json_stream *s, struct json_object **ret)
{
	enum json_tokener_error error = json_tokener_continue;
	struct json_object *value = NULL;
	size_t total = 0;

	if (peek(s) <= 0)
		return fail(s, "it ends too early");
	json_tokener_reset(s->tokener);
	while (error == json_tokener_continue) {
		size_t n;

		/* Room for a whole character: the block may end behind its first byte. */
		while (s->block.len - s->block.at < 4 && !s->block.ended)
			if (fill(s) < 0)
				return -1;
		if (s->block.at == s->block.len)
			return fail(s, "it ends too early");
		n = whole_characters(s);
		value = json_tokener_parse_ex(s->tokener, s->block.bytes + s->block.at, (int)n);
		error = json_tokener_get_error(s->tokener);
		s->block.at += json_tokener_get_parse_end(s->tokener);
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
	int c = peek(s);

	if (c < 0)
		return -1;
	if (c != '"')
		return fail(s, c == 0 ? "it ends too early" : "a key is not a string");
	if (ul_json_stream_value(s, &key) < 0)
		return -1;
	if (strlen(json_object_get_string(key)) != (size_t)json_object_get_string_len(key))
		fail(s, "a key holds a NUL byte");
	else if (peek(s) != ':')
		fail(s, "no colon follows a key");
	if (s->why) {
		json_object_put(key);
		return -1;
	}
	s->block.at++;
	*ret = key;
	return 0;
}

int ul_json_stream_end(struct ul_json_stream *s)
{
	int c = peek(s);

	return c > 0 ? fail(s, "more text follows the document") : c;
}
