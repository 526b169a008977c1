/* See id_ranges.h. */
#include "dbgen/reconcile/id_ranges.h"

#include <json-c/json.h>
#include <string.h>

#include "common/json.h"

void ul_id_ranges_add(struct ul_id_ranges *to, int64_t start, int64_t end)
{
	if (start >= end)
		return;
	if (to->n > 0 && to->at[to->n - 1].end == start) {
		to->at[to->n - 1].end = end;
	} else if (to->n < UL_ID_RANGES_MAX) {
		to->at[to->n].start = start;
		to->at[to->n++].end = end;
	}
}

bool ul_id_ranges_has(const struct ul_id_ranges *in, int64_t id)
{
	size_t low = 0, high = in->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (in->at[middle].end <= id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < in->n && in->at[low].start <= id;
}

bool ul_id_ranges_equal(const struct ul_id_ranges *a, const struct ul_id_ranges *b)
{
	return a->known == b->known && a->n == b->n && memcmp(a->at, b->at, a->n * sizeof(a->at[0])) == 0;
}

struct json_object *ul_id_ranges_json(const struct ul_id_ranges *from)
{
	struct json_object *list = json_object_new_array();
	bool ok = list;

	for (size_t i = 0; ok && i < from->n; i++)
		ok = ul_json_append(list, json_object_new_int64(from->at[i].start)) &&
		     ul_json_append(list, json_object_new_int64(from->at[i].end));
	return ul_json_if(ok, list);
}

/* Element i; -1: it is not an id. */
static int64_t element(struct json_object *list, size_t i)
{
	struct json_object *value = json_object_array_get_idx(list, i);

	return json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : -1;
}

void ul_id_ranges_read(struct json_object *obj, const char *key, struct ul_id_ranges *ret)
{
	struct json_object *list;
	int64_t last = 0;
	size_t n;

	ret->known = false;
	ret->n = 0;
	if (!json_object_object_get_ex(obj, key, &list) || !json_object_is_type(list, json_type_array))
		return;
	n = json_object_array_length(list);
	if (n % 2 || n / 2 > UL_ID_RANGES_MAX)
		return;
	for (size_t i = 0; i < n; i += 2) {
		int64_t start = element(list, i), end = element(list, i + 1);

		if (start <= last || end <= start) {
			ret->n = 0;
			return;
		}
		ret->at[ret->n].start = start;
		ret->at[ret->n++].end = end;
		last = end;
	}
	ret->known = true;
}
