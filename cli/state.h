/* /run/underlay/state.json (initrd/report/state.h has its members), for the commands that read it. */
#pragma once

#include <json-c/json.h>

#include "common/error.h"

/*
 * *ret: the document, to be put. -UL_E_SYSTEM: it is not there, or cannot be read; -UL_E_INPUT: it is not JSON;
 * -UL_E_VERSION: it is another format.
 */
int cli_state_load(const char *file, struct json_object **ret, struct ul_error *err);

/* The image that was booted, as the document tells of it: lent by that. NULL: it tells of none. */
struct json_object *cli_state_lower(struct json_object *state);
