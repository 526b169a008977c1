/* The part of `underlay status` that asks the running kernel: what dm-verity found, and what it belongs to. */
#pragma once

#include <json-c/json.h>

/*
 * Ask about every lower of the state that has a mapping. The answers as an array, one object for each: "mapping",
 * "corrupt", "mended", "exact", "log" (it could be read), "blocks": [{"unit", "number", "text", "path",
 * "storePath"}]. NULL: no memory.
 */
struct json_object *cli_damage_ask(struct json_object *lowers);

/* Print one for people. */
void cli_damage_print(struct json_object *damage);
