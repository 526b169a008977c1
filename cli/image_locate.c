/* `underlay image locate`: what blocks of an image belong to, those that are named or those that are damaged. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/image.h"
#include "common/cleanup.h"
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
	uint64_t *list; /* owned */
	size_t n, size;
};

struct arguments {
	const char *image, *label;
	enum unit unit;
	bool damaged, json;
	struct numbers numbers;
};

/* The result, in parts that differ in what their numbers count. */
struct located {
	struct ul_places data, other;
	enum unit data_unit, other_unit;
};

static bool add_number(struct numbers *list, uint64_t number)
{
	if (list->n == list->size) {
		size_t size = list->size ? 2 * list->size : 64;
		uint64_t *grown = size <= UL_PLACES_MAX ? reallocarray(list->list, size, sizeof(*grown)) : NULL;

		if (!grown)
			return false;
		list->list = grown;
		list->size = size;
	}
	list->list[list->n++] = number;
	return true;
}

/* "N" or "N-M". NULL, or what is wrong. */
static const char *take_range(struct numbers *list, const char *text)
{
	uint64_t first, last;
	char *end;

	if (*text < '0' || *text > '9')
		return "a number, or two with a dash between them, is wanted";
	first = last = strtoull(text, &end, 10);
	if (*end == '-' && end[1] >= '0' && end[1] <= '9')
		last = strtoull(end + 1, &end, 10);
	if (*end || last < first || last > INT64_MAX)
		return "a number, or two with a dash between them, is wanted";
	if (last - first >= UL_PLACES_MAX)
		return "that range is too long";
	for (uint64_t i = first; i <= last; i++)
		if (!add_number(list, i))
			return "these are too many numbers";
	return NULL;
}

static const char *parse(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{"hash-block", no_argument, NULL, HASH_BLOCK},
		{"data-offset", no_argument, NULL, DATA_OFFSET},
		{"image-offset", no_argument, NULL, IMAGE_OFFSET},
		{"damaged", no_argument, NULL, 'd'},
		{"label", required_argument, NULL, 'l'},
		{"json", no_argument, NULL, 'j'},
		{0},
	};
	const char *wrong = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'd')
			a->damaged = true;
		else if (c == 'j')
			a->json = true;
		else if (c == 'l')
			a->label = optarg;
		else if (c == '?')
			return "wrong option";
		else if (a->unit != DATA_BLOCK)
			return "--hash-block, --data-offset and --image-offset exclude each other";
		else
			a->unit = (enum unit)c;
	}
	if (optind == argc)
		return "an image is wanted";
	a->image = argv[optind++];
	if (a->damaged ? optind < argc || a->unit != DATA_BLOCK : optind == argc)
		return a->damaged ? "--damaged finds the blocks itself" : "a block is wanted";
	for (; !wrong && optind < argc; optind++)
		wrong = take_range(&a->numbers, argv[optind]);
	return wrong;
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
					    "there are several");
		chosen = v;
	}
	if (!chosen)
		return ul_error_set(err, UL_E_NO_IMAGE, what, a->image, NULL,
				    a->label ? "none has that label" : "there is none");
	if (chosen->no_descriptor[0] && chosen->no_superblock[0])
		return ul_error_set(err, UL_E_DESCRIPTOR, what, a->image, NULL,
				    "neither descriptor (%.100s) nor superblock (%.100s) tells its "
				    "measures",
				    chosen->no_descriptor, chosen->no_superblock);
	*ret = chosen->slot;
	*ret_d = chosen->no_descriptor[0] ? &chosen->superblock : &chosen->descriptor;
	return 0;
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
			r = a->unit == HASH_BLOCK ? ul_locate_hash_block(d, numbers->list[i], &l->other, err)
						  : ul_locate_byte(slot, d, numbers->list[i], &l->other, err);
		return r;
	}
	if (a->unit == DATA_BLOCK)
		return ul_locate_blocks(&slot->data, d->data_block_size, numbers->list, numbers->n, &l->data, err);
	/* Of bytes, the blocks that they are in. */
	blocks = calloc(numbers->n + 1, sizeof(*blocks));
	if (!blocks)
		return ul_error_nomem(err, "locating a block");
	for (size_t i = 0; i < numbers->n; i++)
		blocks[i] = numbers->list[i] / d->data_block_size;
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

static int compare_numbers(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
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
		qsort(tree->list, tree->n, sizeof(*tree->list), compare_numbers);
	if (data->n > 1)
		qsort(data->list, data->n, sizeof(*data->list), compare_numbers);
	for (size_t i = 0; i < tree->n && r == 0; i++)
		r = ul_locate_hash_block(d, tree->list[i], &l->other, err);
	if (r == 0 && data->n > 0)
		r = ul_locate_blocks(&slot->data, d->data_block_size, data->list, data->n, &l->data, err);
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
	free(damage.data.list);
	free(damage.tree.list);
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

static bool add_row(struct json_object *list, const struct ul_place *p, enum unit unit)
{
	struct json_object *row = json_object_new_object();
	size_t store_path = ul_place_store_path(p);
	ul_autofree char *path = NULL, *store = NULL;
	char text[1200];
	bool ok = row && ul_json_add_string(row, "unit", unit_names[unit]) &&
		  ul_json_add_uint(row, "number", p->number) &&
		  ul_json_add_string(row, "kind", ul_place_kind_name(p->kind)) &&
		  ul_json_add_string(row, "text", ul_place_text(p, text, sizeof(text)));

	if (ok && p->path && p->kind != UL_PLACE_TABLE)
		ok = asprintf(&path, "/%s", p->path) >= 0 && ul_json_add_string(row, "path", path);
	if (ok && store_path)
		ok = asprintf(&store, "/%.*s", (int)store_path, p->path) >= 0 &&
		     ul_json_add_string(row, "storePath", store);
	if (ok && p->kind == UL_PLACE_FILE)
		ok = ul_json_add_uint(row, "fileStart", p->start) && ul_json_add_uint(row, "fileEnd", p->end);
	if (ok && p->kind == UL_PLACE_TREE)
		ok = ul_json_add_uint(row, "level", p->level) && ul_json_add_uint(row, "firstDataBlock", p->start) &&
		     ul_json_add_uint(row, "endDataBlock", p->end);
	if (ok && json_object_array_add(list, row) == 0)
		return true;
	json_object_put(row);
	return false;
}

static int print_json(const struct located *l)
{
	ul_autojson struct json_object *list = json_object_new_array();
	bool ok = list != NULL;
	struct ul_error err;

	for (size_t i = 0; ok && i < l->other.n; i++)
		ok = add_row(list, &l->other.at[i], l->other_unit);
	for (size_t i = 0; ok && i < l->data.n; i++)
		ok = add_row(list, &l->data.at[i], l->data_unit);
	if (!ok) {
		ul_error_nomem(&err, "writing JSON");
		return cli_fail(&err);
	}
	puts(json_object_to_json_string_ext(list, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	return 0;
}

static int locate(const struct arguments *a, struct located *l, struct ul_error *err)
{
	const struct ul_descriptor *d = NULL;
	const struct ul_slot *slot = NULL;
	struct ul_image_view view;
	int r = ul_image_view(a->image, &view, err);

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
int cli_image_locate(int argc, char **argv)
{
	struct arguments a = {.unit = DATA_BLOCK};
	struct located l = {.data_unit = DATA_BLOCK};
	const char *wrong = parse(argc, argv, &a);
	struct ul_error err;
	int r, status = 0;

	if (wrong) {
		free(a.numbers.list);
		return cli_usage_error(cli_current(), "%s", wrong);
	}
	r = locate(&a, &l, &err);
	if (a.json)
		status = print_json(&l);
	else {
		print_rows(&l.other, l.other_unit);
		print_rows(&l.data, l.data_unit);
	}
	if (r < 0)
		status = cli_fail(&err);
	else if (a.damaged && l.data.n + l.other.n > 0 && status == 0)
		status = 1;
	else if (a.damaged && !a.json)
		puts("no block is damaged");
	ul_places_free(&l.data);
	ul_places_free(&l.other);
	free(a.numbers.list);
	return status;
}
