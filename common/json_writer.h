/*
 * A JSON object that is written member by member, for documents that are longer than memory: in one line, as
 * ul_json_line has it, with a newline behind it. What is in memory at a time is one member.
 *
 *     struct ul_json_writer w = {.out = file};
 *     ul_json_writer_begin(&w);
 *     ul_json_writer_member(&w, key, value);        ...
 *     ul_json_writer_end(&w);
 *
 * Whether the file took it all, the caller asks the file.
 */
#pragma once

#include <stdio.h>

#include "common/json.h"

struct ul_json_writer {
	FILE *out;
	bool begun; /* the object has had a member */
};

void ul_json_writer_begin(struct ul_json_writer *w);

/* The value is released in any case. false: value is NULL, or no memory. */
bool ul_json_writer_member(struct ul_json_writer *w, const char *key, struct json_object *value);

void ul_json_writer_end(struct ul_json_writer *w);
