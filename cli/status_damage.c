#include "cli/status_damage.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "common/cleanup.h"
#include "common/file.h"
#include "common/json.h"
#include "verity/open/damage.h"
#include "verity/locate/locate.h"

#define KMSG "/dev/kmsg"

static struct json_object *block_json(const char *unit, uint64_t number, const struct ul_place *place)
{
	struct json_object *row = json_object_new_object();
	size_t store = place ? ul_place_store_path(place) : 0;
	ul_autofree char *path = NULL, *store_path = NULL;
	char text[1200] = "";
	bool ok = ul_json_add_string(row, "unit", unit) && ul_json_add_uint(row, "number", number);

	if (ok && place)
		ok = ul_json_add_string(row, "text", ul_place_text(place, text, sizeof(text)));
	if (ok && store)
		ok = asprintf(&path, "/%s", place->path) >= 0 &&
		     asprintf(&store_path, "/%.*s", (int)store, place->path) >= 0 &&
		     ul_json_add_string(row, "path", path) && ul_json_add_string(row, "storePath", store_path);
	return ul_json_if(ok, row);
}

/* The data blocks' places, from the raw device: through the mapping a corrupt block could restart the machine. */
static bool add_data_blocks(struct json_object *list, const struct ul_damage *damage, const char *device)
{
	struct ul_extent data = {.device = (char *)device};
	ul_autoclose int fd = device ? open(device, O_RDONLY | O_CLOEXEC) : -1;
	struct ul_places places = {0};
	struct ul_error err;
	bool ok = true;

	if (damage->data.n > 0 && fd >= 0 && ul_file_size(fd, &data.size) == 0)
		(void)ul_locate_blocks(&data, damage->data_block_size, damage->data.numbers, damage->data.n, &places,
				       &err);
	for (size_t i = 0; ok && i < places.n; i++)
		ok = ul_json_append(list, block_json("data block", places.at[i].number, &places.at[i]));
	for (size_t i = 0; ok && places.n == 0 && i < damage->data.n; i++)
		ok = ul_json_append(list, block_json("data block", damage->data.numbers[i], NULL));
	ul_places_free(&places);
	return ok;
}

static bool add_hash_blocks(struct json_object *list, const struct ul_damage *damage)
{
	struct ul_descriptor d = {.data_block_size = damage->data_block_size,
				  .hash_block_size = damage->hash_block_size,
				  .data_blocks = damage->data_blocks,
				  .hash_start = damage->hash_start};
	struct ul_places places = {0};
	struct ul_error err;
	bool ok = true;

	snprintf(d.hash, sizeof(d.hash), "%s", damage->hash_name);
	for (size_t i = 0; i < damage->hash.n; i++)
		(void)ul_locate_hash_block(&d, damage->hash.numbers[i], &places, &err);
	for (size_t i = 0; ok && i < places.n; i++)
		ok = ul_json_append(list, block_json("hash block", places.at[i].number, &places.at[i]));
	ul_places_free(&places);
	return ok;
}

static struct json_object *ask(const char *mapping, const char *device)
{
	struct json_object *obj = json_object_new_object(), *blocks = json_object_new_array();
	struct ul_damage damage;
	struct ul_error err;
	char sentence[1200];
	bool ok = blocks && ul_json_add_string(obj, "mapping", mapping);

	if (ok && ul_damage_read(mapping, KMSG, &damage, &err) < 0)
		ok = ul_json_add_string(obj, "unknown", ul_error_sentence(&err, sentence, sizeof(sentence)));
	else if (ok)
		ok = ul_json_add_bool(obj, "corrupt", damage.corrupt) &&
		     (!damage.fec || (ul_json_add_uint(obj, "mended", damage.mended) &&
				      ul_json_add_bool(obj, "exact", damage.mended_exact))) &&
		     ul_json_add_bool(obj, "log", damage.log_read) && add_hash_blocks(blocks, &damage) &&
		     add_data_blocks(blocks, &damage, device);
	ok = ul_json_add(obj, "blocks", blocks) && ok;
	return ul_json_if(ok, obj);
}

struct json_object *cli_damage_ask(struct json_object *lowers)
{
	struct json_object *list = json_object_new_array();
	size_t n = json_object_is_type(lowers, json_type_array) ? json_object_array_length(lowers) : 0;
	bool ok = list != NULL;

	for (size_t i = 0; ok && i < n; i++) {
		struct json_object *lower = json_object_array_get_idx(lowers, i);
		const char *mapping = ul_json_string(lower, "mapping");

		ok = !mapping || ul_json_append(list, ask(mapping, ul_json_string(lower, "device")));
	}
	return ul_json_if(ok, list);
}

void cli_damage_print(struct json_object *damage)
{
	struct json_object *blocks = NULL;
	const char *unknown = ul_json_string(damage, "unknown");
	bool corrupt = false, exact = false, log = false;
	uint64_t mended = 0, number = 0;

	if (unknown) {
		printf("  blocks   not known: %s\n", unknown);
		return;
	}
	(void)ul_json_bool(damage, "corrupt", &corrupt);
	(void)ul_json_bool(damage, "exact", &exact);
	(void)ul_json_bool(damage, "log", &log);
	printf("  blocks   %s%s\n", corrupt ? "CORRUPT" : "all that were read were right",
	       log ? "" : " (the kernel's log is root's to read)");
	if (ul_json_uint(damage, "mended", &mended))
		printf("  mended   %s%" PRIu64 " times by error correction%s\n",
		       exact || mended == 0 ? "" : "at least ", mended,
		       exact ? "" : ", as far as the kernel's log tells");
	json_object_object_get_ex(damage, "blocks", &blocks);
	for (size_t i = 0; blocks && i < json_object_array_length(blocks); i++) {
		struct json_object *row = json_object_array_get_idx(blocks, i);
		const char *text = ul_json_string(row, "text");

		(void)ul_json_uint(row, "number", &number);
		printf("  corrupt  %s %" PRIu64 "%s%s\n", ul_json_string(row, "unit"), number, text ? ": " : "",
		       text ? text : "");
	}
}
