/* `underlay disk show`: the partitions as a picture, what is in each, and what would start. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "common/encoding.h"
#include "common/json.h"
#include "verity/disk/disk_map.h"
#include "verity/trial/sentence.h"

/* Columns of the picture, between its two ends. */
#define WIDTH 76

struct arguments {
	const char *disk;
	bool json;
};

#define AT(member) offsetof(struct arguments, member)

static const struct cli_option options[] = {
	{NULL, 0, "DISK", CLI_FILE, AT(disk), CLI_NEEDED, .help = "a disk, or the file of one"},
	{"json", 0, NULL, CLI_FLAG, AT(json), 0, .help = "print it as JSON"},
	{.help = NULL},
};

static const char *const kinds[] = {
	[UL_DISK_ESP] = "esp",     [UL_DISK_SLOT] = "slot",   [UL_DISK_TRIALS] = "trials",
	[UL_DISK_UPPER] = "upper", [UL_DISK_OTHER] = "other", [UL_DISK_FREE] = "free",
};

/* "appliance 1.0", "empty", "upper": a few words, escaped. */
static void title(const struct ul_disk_part *p, char *buf, size_t size)
{
	const struct ul_slot *slot = p->image ? p->image->slot : NULL;
	char text[UL_GPT_LABEL_SIZE + 2 * UL_NAME_SIZE];

	if (slot && slot->name[0])
		snprintf(text, sizeof(text), "%s %s", slot->name, slot->version);
	else if (p->kind == UL_DISK_SLOT && !slot)
		snprintf(text, sizeof(text), "%s", p->out_of_use ? "out of use" : "empty");
	else if (p->kind == UL_DISK_FREE || !p->label[0])
		snprintf(text, sizeof(text), "%s", kinds[p->kind]);
	else
		snprintf(text, sizeof(text), "%s", p->label);
	ul_escape_text(buf, size, text);
}

/* ---- the picture: each part as wide as it is large, but wide enough to be seen ---- */

static size_t column(const struct ul_disk_map *map, uint64_t offset)
{
	uint64_t size = map->view.gpt.disk_size;

	/* In MiB, so that no product overflows. */
	return size >> 20 ? (size_t)((offset >> 20) * WIDTH / (size >> 20)) : 0;
}

static void print_picture(const struct ul_disk_map *map)
{
	size_t at = 0;

	putchar(' ');
	for (size_t i = 0; i < map->n; i++) {
		const struct ul_disk_part *p = &map->at[i];
		size_t end = column(map, p->end), width;
		char name[300];

		title(p, name, sizeof(name));
		width = end > at + 3 ? end - at : 3;
		printf("|%-*.*s", (int)width - 1, (int)width - 1, p->kind == UL_DISK_FREE ? "" : name);
		at += width;
	}
	puts("|");
}

/* ---- a line for each ---- */

/* Sizes are rounded one way, so that no slot has more used than it has. */
static uint64_t mib(uint64_t bytes)
{
	return (bytes >> 20) + (bytes % (1 << 20) > 0);
}

static void print_slot(const struct ul_disk_map *map, const struct ul_disk_part *p)
{
	const struct ul_slot_view *v = p->image;
	char sentence[UL_TRIAL_SENTENCE];

	if (!v)
		return;
	if (p->used)
		printf(", %" PRIu64 " MiB used", mib(p->used));
	if (map->several_types)
		printf(", for %s-%s", v->designator, v->architecture);
	if (v->no_signature.code || v->blob.signature.len == 0) {
		printf("; %s%s", v->no_signature.code ? "not startable: " : "not signed",
		       v->no_signature.code ? v->no_signature.why : "");
		return;
	}
	if (p->trial)
		printf("; %s", ul_trial_sentence(p->trial, false, sentence));
	if (p->first && p->newest)
		printf("; tried first: no newer %s is here", v->slot->name[0] ? v->slot->name : "one");
	else if (p->first)
		printf("; tried first: what is newer had its tries in vain");
}

static void print_text(const char *disk, const struct ul_disk_map *map)
{
	char name[600];

	ul_escape_text(name, sizeof(name), disk);
	printf("%s: %" PRIu64 " MiB, sectors of %" PRIu32 " bytes. Nothing of what follows is verified.\n", name,
	       map->view.gpt.disk_size >> 20, map->view.gpt.sector_size);
	if (!map->view.copies_equal)
		printf("  the partition table is damaged: %s\n", map->view.copies.why);
	print_picture(map);
	for (size_t i = 0; i < map->n; i++) {
		const struct ul_disk_part *p = &map->at[i];
		char number[16] = "";

		if (p->number)
			snprintf(number, sizeof(number), "%u", p->number);
		title(p, name, sizeof(name));
		printf("  %3s  %-6s %8" PRIu64 " MiB at %6" PRIu64 " MiB", number, kinds[p->kind], mib(p->size),
		       p->offset >> 20);
		if (p->kind != UL_DISK_FREE)
			printf("  %s", name);
		if (p->content[0])
			printf(", %s", p->content);
		print_slot(map, p);
		putchar('\n');
	}
}

/* ---- for programs ---- */

static struct json_object *part_json(const struct ul_disk_part *p)
{
	struct json_object *o = json_object_new_object();
	const struct ul_slot_view *v = p->image;
	bool ok = ul_json_add_string(o, "kind", kinds[p->kind]) && ul_json_add_uint(o, "offset", p->offset) &&
		  ul_json_add_uint(o, "size", p->size) && ul_json_add_uint(o, "end", p->end);

	if (ok && p->number)
		ok = ul_json_add_uint(o, "number", p->number) && ul_json_add_string(o, "label", p->label);
	if (ok && p->kind != UL_DISK_SLOT && p->kind != UL_DISK_FREE)
		ok = ul_json_add_string(o, "content", p->content[0] ? p->content : NULL);
	if (ok && p->kind == UL_DISK_SLOT)
		ok = ul_json_add_bool(o, "empty", !v) && ul_json_add_bool(o, "outOfUse", p->out_of_use);
	if (ok && v)
		ok = ul_json_add_string(o, "name", v->slot->name) &&
		     ul_json_add_string(o, "architecture", v->architecture) &&
		     ul_json_add_string(o, "designator", v->designator) &&
		     ul_json_add_string(o, "version", v->slot->version) && ul_json_add_bool(o, "newest", p->newest) &&
		     ul_json_add_bool(o, "first", p->first) &&
		     ul_json_add_string(o, "trial", ul_trial_state_words[p->trial ? p->trial->state : 0]) &&
		     (!p->used || ul_json_add_uint(o, "used", p->used)) &&
		     (v->no_signature.code ? ul_json_add_string(o, "noSignature", v->no_signature.why)
					   : ul_json_add_string(o, "rootHash", v->blob.root_hash) &&
						     ul_json_add_bool(o, "signed", v->blob.signature.len > 0));
	return ul_json_if(ok, o);
}

static struct json_object *parts_json(const struct ul_disk_map *map)
{
	struct json_object *list = json_object_new_array();
	bool ok = list != NULL;

	for (size_t i = 0; ok && i < map->n; i++)
		ok = ul_json_append(list, part_json(&map->at[i]));
	return ul_json_if(ok, list);
}

static int print_json(const char *disk, const struct ul_disk_map *map)
{
	ul_autojson struct json_object *o = ul_json_document(1);
	bool ok = o && ul_json_add_string(o, "disk", disk) && ul_json_add_bool(o, "verified", false) &&
		  ul_json_add_uint(o, "size", map->view.gpt.disk_size) &&
		  ul_json_add_uint(o, "sectorSize", map->view.gpt.sector_size) &&
		  ul_json_add_bool(o, "tableCopiesAgree", map->view.copies_equal) &&
		  ul_json_add(o, "parts", parts_json(map));

	return cli_print_json(ok ? o : NULL);
}

static int run(void *arguments)
{
	const struct arguments *a = arguments;
	struct ul_disk_map map;
	struct ul_error err;
	int r = ul_disk_map(a->disk, &map, &err);

	if (r < 0)
		return cli_fail(&err);
	r = 0;
	if (a->json)
		r = print_json(a->disk, &map);
	else
		print_text(a->disk, &map);
	ul_disk_map_free(&map);
	return r;
}

const struct cli_command cli_disk_show = {
	.group = "disk",
	.name = "show",
	.help = "show a disk's partitions, and what would start",
	.page = "underlay-disk",
	.options = options,
	.size = sizeof(struct arguments),
	.run = run,
};
