/* Ids of ValidPaths as ranges: which rows of the upper's database are of paths that only the upper has. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UL_ID_RANGES_MAX 1024

/* Ascending and apart, from 1 on, each [start, end). Zero-initialise: not known. */
struct ul_id_ranges {
	bool known;
	size_t n;
	struct {
		int64_t start, end;
	} at[UL_ID_RANGES_MAX];
};

/*
 * The ids from start on, up to end, which come behind all that are there. What there is no room for is left out: an id
 * that is in no range counts as the lower's, as all did before they were recorded.
 */
void ul_id_ranges_add(struct ul_id_ranges *to, int64_t start, int64_t end);

bool ul_id_ranges_has(const struct ul_id_ranges *in, int64_t id);

bool ul_id_ranges_equal(const struct ul_id_ranges *a, const struct ul_id_ranges *b);

/* As JSON: [start, end, start, end, ...]. NULL: no memory. */
struct json_object;
struct json_object *ul_id_ranges_json(const struct ul_id_ranges *from);

/* The ranges of an object's member; not known where that is anything else. */
void ul_id_ranges_read(struct json_object *obj, const char *key, struct ul_id_ranges *ret);
