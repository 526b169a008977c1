/* `underlay image locate`: what blocks of an image belong to, those that are named or those that are damaged. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/compare.h"
#include "cli/commands.h"
#include "common/cleanup.h"
#include "common/config.h"
#include "common/encoding.h"
#include "common/json.h"
#include "verity/image/hash_tree.h"
#include "verity/locate/image_view.h"
#include "verity/locate/locate.h"

enum unit { DATA_BLOCK, HASH_BLOCK, DATA_OFFSET, IMAGE_OFFSET };

static const char *const unit_names[] = {
	[DATA_BLOCK] = "data block",
	[HASH_BLOCK] = "hash block",
	[DATA_OFFSET] = "byte of the data",
	[IMAGE_OFFSET] = "byte of the image",
};

struct numbers {
	UL_VECTOR_MEMBERS(uint64_t);
};

struct arguments {
	const char *image, *label;
	struct cli_texts ranges;
	bool hash_block, data_offset, image_offset, damaged, json;
	enum unit unit;
	struct numbers numbers;
};

/* The result, in parts that differ in what their numbers count. */
struct located {
	struct ul_places data, other;
	enum unit data_unit, other_unit;
};

static bool add_number(struct numbers *list, uint64_t number)
{
	return list->n < UL_PLACES_MAX && ul_vector_push(list, number) == 0;
}

/* "N" or "N-M", M included. */
static bool parse_range(const char *text, uint64_t *ret_first, uint64_t *ret_last)
{
	const char *dash = strchr(text, '-');
	char first[32];

	if (!dash) {
		*ret_last = 0;
		return ul_parse_number(text, ret_first) && (*ret_last = *ret_first) <= INT64_MAX;
	}
	if ((size_t)(dash - text) >= sizeof(first))
		return false;
	snprintf(first, sizeof(first), "%.*s", (int)(dash - text), text);
	return ul_parse_number(first, ret_first) && ul_parse_number(dash + 1, ret_last) && *ret_first <= *ret_last &&
	       *ret_last <= INT64_MAX;
}

static const char *check_range(const char *text)
{
	uint64_t first, last;

	return parse_range(text, &first, &last) ? NULL : "a number, or two in order with a dash between them";
}

#define AT(member) offsetof(struct arguments, member)

static const struct cli_option options[] = {
	{NULL, 0, "IMAGE", CLI_FILE, AT(image), CLI_NEEDED, .help = "an image, or a disk with one"},
	{NULL, 0, "NUMBER[-NUMBER]", CLI_TEXTS, AT(ranges), 0, .check = check_range,
	 .help = "data blocks, as the kernel's log numbers them, or what an option says; the last is included"},
	{"hash-block", 0, NULL, CLI_FLAG, AT(hash_block), 0, .help = "the numbers are blocks of the hash partition"},
	{"data-offset", 0, NULL, CLI_FLAG, AT(data_offset), 0, .help = "they are bytes of the data partition"},
	{"image-offset", 0, NULL, CLI_FLAG, AT(image_offset), 0, .help = "they are bytes of the image"},
	{"damaged", 0, NULL, CLI_FLAG, AT(damaged), 0,
	 .help = "read the whole image and locate every block that does not match the hash tree"},
	{"label", 0, "LABEL", CLI_TEXT, AT(label), 0, .help = "of several images on a disk, the one with this label"},
	{"json", 0, NULL, CLI_FLAG, AT(json), 0, .help = "print the places as JSON"},
	{.help = NULL},
};

static const struct cli_rule rules[] = {
	{CLI_EXACTLY_ONE, "NUMBER[-NUMBER] --damaged", NULL},
	{CLI_AT_MOST_ONE, "--hash-block --data-offset --image-offset", NULL},
	{CLI_AT_MOST_ONE, "--damaged --hash-block", NULL},
	{CLI_AT_MOST_ONE, "--damaged --data-offset", NULL},
	{CLI_AT_MOST_ONE, "--damaged --image-offset", NULL},
	{.members = NULL},
};

/* The options in the form that the work wants. */
static int take_numbers(struct arguments *a, struct ul_error *err)
{
	a->unit = a->hash_block     ? HASH_BLOCK
		  : a->data_offset  ? DATA_OFFSET
		  : a->image_offset ? IMAGE_OFFSET
				    : DATA_BLOCK;
	for (size_t i = 0; i < a->ranges.n; i++) {
		uint64_t first = 0, last = 0;

		(void)parse_range(a->ranges.at[i], &first, &last);
		for (uint64_t n = first; n <= last; n++)
			if (!add_number(&a->numbers, n))
				return ul_error_set(err, UL_E_USAGE, "reading the numbers", a->ranges.at[i],
						    "Ask for fewer at a time.", "there are more than %u of them",
						    UL_PLACES_MAX);
	}
	return 0;
}

/* The one slot that is meant, and its measures: the descriptor's, else the superblock's. */
static int choose_slot(const struct arguments *a, const struct ul_image_view *view, const struct ul_slot **ret,
		       const struct ul_descriptor **ret_d, struct ul_error *err)
{
	static const char what[] = "choosing the image on the disk";
	const struct ul_slot_view *chosen = NULL;

	for (size_t i = 0; i < view->slots.n; i++) {
		const struct ul_slot_view *v = &view->views[i];

		if (a->label && strcmp(v->slot->label, a->label) != 0)
			continue;
		if (chosen)
			return ul_error_set(err, UL_E_USAGE, what, a->image,
					    "Name one by --label; `underlay image inspect` lists them.",
					    "it holds several store images");
		chosen = v;
	}
	if (!chosen && a->label)
		return ul_error_set(err, UL_E_NO_IMAGE, what, a->image, "`underlay image inspect` lists the labels.",
				    "no store image in it has the label \"%s\"", a->label);
	if (!chosen)
		return ul_error_set(err, UL_E_NO_IMAGE, what, a->image, NULL, "it holds no store image");
	if (chosen->no_descriptor[0] && chosen->no_superblock[0])
		return ul_error_set(err, UL_E_DESCRIPTOR, what, a->image, NULL,
				    "neither descriptor (%.100s) nor superblock (%.100s) tells its "
				    "measures",
				    chosen->no_descriptor, chosen->no_superblock);
	*ret = chosen->slot;
	*ret_d = chosen->no_descriptor[0] ? &chosen->superblock : &chosen->descriptor;
	return 0;
}

/* As ul_locate_blocks has it of a data block. */
static int locate_hash_block(const struct ul_slot *slot, const struct ul_descriptor *d, uint64_t number,
			     struct ul_places *ret, struct ul_error *err)
{
	uint64_t n = slot->hash.size / d->hash_block_size;

	if (number < n)
		return ul_locate_hash_block(d, number, ret, err);
	return ul_error_set(err, UL_E_INPUT, "locating a block", slot->disk, NULL,
			    "it has %" PRIu64 " hash blocks, so there is no number %" PRIu64, n, number);
}

static int locate_named(const struct arguments *a, const struct ul_slot *slot, const struct ul_descriptor *d,
			struct located *l, struct ul_error *err)
{
	const struct numbers *numbers = &a->numbers;
	ul_autofree uint64_t *blocks = NULL;
	int r = 0;

	l->data_unit = l->other_unit = a->unit;
	if (a->unit == HASH_BLOCK || a->unit == IMAGE_OFFSET) {
		for (size_t i = 0; i < numbers->n && r == 0; i++)
			r = a->unit == HASH_BLOCK ? locate_hash_block(slot, d, numbers->at[i], &l->other, err)
						  : ul_locate_byte(slot, d, numbers->at[i], &l->other, err);
		return r;
	}
	if (a->unit == DATA_BLOCK)
		return ul_locate_blocks(&slot->data, d->data_block_size, numbers->at, numbers->n, &l->data, err);
	/* Bytes lie in blocks. */
	blocks = calloc(numbers->n + 1, sizeof(*blocks));
	if (!blocks)
		return ul_error_nomem(err, "locating a block");
	for (size_t i = 0; i < numbers->n; i++)
		blocks[i] = numbers->at[i] / d->data_block_size;
	l->data_unit = DATA_BLOCK;
	return ul_locate_blocks(&slot->data, d->data_block_size, blocks, numbers->n, &l->data, err);
}

/* ---- what is damaged ---- */

struct damage {
	struct numbers data, tree;
	bool too_many;
};

static void on_bad(void *user, bool in_tree, uint64_t block)
{
	struct damage *damage = user;

	if (!add_number(in_tree ? &damage->tree : &damage->data, block))
		damage->too_many = true;
}

static int locate_found(struct damage *damage, const struct ul_slot *slot, const struct ul_descriptor *d,
			struct located *l, struct ul_error *err)
{
	struct numbers *data = &damage->data, *tree = &damage->tree;
	int r = 0;

	l->data_unit = DATA_BLOCK;
	l->other_unit = HASH_BLOCK;
	if (damage->too_many)
		return ul_error_set(err, UL_E_CORRUPT, "looking for damage", slot->disk, "Write the image again.",
				    "more than %zu blocks are damaged", data->n + tree->n);
	if (tree->n > 1)
		qsort(tree->at, tree->n, sizeof(*tree->at), ul_compare_u64);
	if (data->n > 1)
		qsort(data->at, data->n, sizeof(*data->at), ul_compare_u64);
	for (size_t i = 0; i < tree->n && r == 0; i++)
		r = ul_locate_hash_block(d, tree->at[i], &l->other, err);
	if (r == 0 && data->n > 0)
		r = ul_locate_blocks(&slot->data, d->data_block_size, data->at, data->n, &l->data, err);
	return r;
}

static int locate_damaged(const struct ul_slot *slot, const struct ul_descriptor *d, const char *root_hash,
			  struct located *l, struct ul_error *err)
{
	ul_autoclose int fd = open(slot->disk, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct ul_image_fds fds = {fd, slot->data.offset, fd, slot->hash.offset};
	struct ul_work work = {.progress = cli_progress()};
	struct ul_descriptor with_hash = *d;
	struct damage damage = {.too_many = false};
	int r;

	if (fd < 0)
		return ul_error_errno(err, UL_E_DEVICE, "looking for damage", slot->disk, NULL, errno);
	if (!with_hash.root_hash_len && root_hash) {
		size_t len = strlen(root_hash) / 2;

		if (len <= UL_ROOT_HASH_MAX && ul_hex_decode(root_hash, 2 * len, with_hash.root_hash, len))
			with_hash.root_hash_len = len;
	}
	r = ul_hash_tree_scan(&fds, &with_hash, &work, on_bad, &damage, err);
	cli_progress_done();
	if (r == 0)
		r = locate_found(&damage, slot, d, l, err);
	free(damage.data.at);
	free(damage.tree.at);
	return r;
}

/* ---- what is printed ---- */

static void print_rows(const struct ul_places *places, enum unit unit)
{
	char text[1200];

	for (size_t i = 0; i < places->n; i++)
		printf("%s %" PRIu64 ": %s\n", unit_names[unit], places->at[i].number,
		       ul_place_text(&places->at[i], text, sizeof(text)));
	if (places->left_out)
		printf("and %" PRIu64 " more uses of these blocks\n", places->left_out);
}

/* The range that a place tells of, [start, end). */
static bool add_range(struct json_object *row, const struct ul_place *p)
{
	if (p->kind == UL_PLACE_FILE)
		return ul_json_add_uint(row, "fileStart", p->start) && ul_json_add_uint(row, "fileEnd", p->end);
	if (p->kind == UL_PLACE_TREE)
		return ul_json_add_uint(row, "level", p->level) && ul_json_add_uint(row, "dataBlockStart", p->start) &&
		       ul_json_add_uint(row, "dataBlockEnd", p->end);
	return true;
}

static struct json_object *row_json(const struct ul_place *p, enum unit unit)
{
	struct json_object *row = json_object_new_object();
	size_t store_path = ul_place_store_path(p);
	ul_autofree char *path = NULL, *store = NULL;
	char text[1200];
	bool ok = ul_json_add_string(row, "unit", unit_names[unit]) && ul_json_add_uint(row, "number", p->number) &&
		  ul_json_add_string(row, "kind", ul_place_kind_name(p->kind)) &&
		  ul_json_add_string(row, "text", ul_place_text(p, text, sizeof(text)));

	if (ok && p->path && p->kind != UL_PLACE_TABLE)
		ok = asprintf(&path, "/%s", p->path) >= 0 && ul_json_add_string(row, "path", path);
	if (ok && store_path)
		ok = asprintf(&store, "/%.*s", (int)store_path, p->path) >= 0 &&
		     ul_json_add_string(row, "storePath", store);
	return ul_json_if(ok && add_range(row, p), row);
}

/* incomplete: why not all could be found out; NULL: it was. */
static int print_json(const struct located *l, const struct ul_error *incomplete)
{
	char sentence[1200];
	ul_autojson struct json_object *document = ul_json_document(1);
	struct json_object *list = json_object_new_array();
	bool ok = ul_json_add(document, "places", list);

	for (size_t i = 0; ok && i < l->other.n; i++)
		ok = ul_json_append(list, row_json(&l->other.at[i], l->other_unit));
	for (size_t i = 0; ok && i < l->data.n; i++)
		ok = ul_json_append(list, row_json(&l->data.at[i], l->data_unit));
	ok = ok && ul_json_add_uint(document, "leftOut", l->other.left_out + l->data.left_out);
	if (ok && incomplete)
		ok = ul_json_add_string(document, "incomplete",
					ul_error_sentence(incomplete, sentence, sizeof(sentence)));
	return cli_print_json(ok ? document : NULL);
}

static int locate(struct arguments *a, struct located *l, struct ul_error *err)
{
	const struct ul_descriptor *d = NULL;
	const struct ul_slot *slot = NULL;
	struct ul_image_view view;
	int r = take_numbers(a, err);

	if (r < 0)
		return r;
	r = ul_image_view(a->image, &view, err);
	if (r < 0)
		return r;
	r = choose_slot(a, &view, &slot, &d, err);
	if (r == 0 && a->damaged)
		r = locate_damaged(slot, d, view.views[slot - view.slots.at].blob.root_hash, l, err);
	else if (r == 0)
		r = locate_named(a, slot, d, l, err);
	ul_image_view_free(&view);
	return r;
}

/* Exit status 1: damage was looked for and found, or what was to be told could not be told. */
static int run(void *arguments)
{
	struct arguments *a = arguments;
	struct located l = {.data_unit = DATA_BLOCK};
	struct ul_error err;
	int r = locate(a, &l, &err), status = 0;

	/* The map of a damaged filesystem is often damaged, too: what was found until then is told in either form. */
	if (a->json && (r == 0 || l.data.n + l.other.n > 0)) {
		status = print_json(&l, r < 0 ? &err : NULL);
	} else if (!a->json) {
		print_rows(&l.other, l.other_unit);
		print_rows(&l.data, l.data_unit);
	}
	if (r < 0)
		status = cli_fail(&err);
	else if (a->damaged && l.data.n + l.other.n > 0 && status == 0)
		status = 1;
	else if (a->damaged && !a->json)
		puts("no block is damaged");
	ul_places_free(&l.data);
	ul_places_free(&l.other);
	ul_vector_free(&a->numbers);
	return status;
}

const struct cli_command cli_image_locate = {
	.group = "image",
	.name = "locate",
	.help = "name the file that a block of a store image belongs to",
	.page = "underlay-image",
	.options = options,
	.rules = rules,
	.size = sizeof(struct arguments),
	.run = run,
};
