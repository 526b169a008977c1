#include "verity/locate/locate.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/compare.h"
#include "common/cleanup.h"
#include "common/paths.h"
#include "verity/format/fec_geometry.h"
#include "verity/format/hash_tree_geometry.h"
#include "verity/locate/erofs_walk.h"
#include "verity/locate/image_view.h"
#include "verity/locate/squashfs_map.h"

static const char WHAT[] = "locating a block";

void ul_places_free(struct ul_places *places)
{
	for (size_t i = 0; i < places->n; i++)
		free(places->at[i].path);
	ul_vector_free(places);
	places->left_out = 0;
}

/* Append; path is copied. */
static int add(struct ul_places *p, const struct ul_place *row, struct ul_error *err)
{
	struct ul_place place = *row;

	place.path = row->path ? strdup(row->path) : NULL;
	if ((!row->path || place.path) && ul_vector_push(p, place) == 0)
		return 0;
	free(place.path);
	return ul_error_nomem(err, WHAT);
}

/* ---- data blocks ---- */

struct wanted {
	uint64_t number;
	size_t asked;      /* its place in the caller's list */
	unsigned int rows; /* it has so many */
};

struct search {
	struct wanted *wanted; /* by number */
	size_t n;
	uint32_t block_size;
	struct ul_places found; /* number: the caller's place in the list, until the end */
	int failed;
	struct ul_error *err;
};

static int by_number(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;

	int order = ul_order(x->number, y->number);

	return order ? order : ul_order(x->asked, y->asked);
}

static int by_asked(const void *a, const void *b)
{
	const struct ul_place *x = a, *y = b;

	int order = ul_order(x->number, y->number);

	return order ? order : ul_order(x->kind, y->kind);
}

/* The wanted blocks that the bytes [at, at + len) touch. */
static void hit(struct search *s, uint64_t at, uint64_t len, const struct ul_place *row)
{
	uint64_t first = at / s->block_size, last = (at + (len - 1)) / s->block_size;
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->wanted[middle].number < first)
			low = middle + 1;
		else
			high = middle;
	}
	for (size_t i = low; i < s->n && s->wanted[i].number <= last && s->failed == 0; i++) {
		struct ul_place place = *row;

		if (s->wanted[i].rows == UL_PLACES_PER_BLOCK) {
			s->found.left_out++;
			continue;
		}
		/* The block's own share, where the data is plain. */
		if (row->kind == UL_PLACE_FILE && row->end - row->start == len) {
			uint64_t begin = s->wanted[i].number * s->block_size, skip;

			skip = begin > at ? begin - at : 0;
			place.start = row->start + skip;
			if (place.end - place.start > begin + s->block_size - (at + skip))
				place.end = place.start + (begin + s->block_size - (at + skip));
		}
		place.number = s->wanted[i].asked;
		s->wanted[i].rows++;
		s->failed = add(&s->found, &place, s->err);
	}
}

static void on_piece(void *user, const struct ul_erofs_piece *piece)
{
	static const enum ul_place_kind kinds[] = {
		[UL_EROFS_SUPERBLOCK] = UL_PLACE_SUPERBLOCK,
		[UL_EROFS_INODE] = UL_PLACE_INODE,
		[UL_EROFS_DIRECTORY] = UL_PLACE_DIRECTORY,
		[UL_EROFS_FILE] = UL_PLACE_FILE,
	};
	struct ul_place row = {.kind = kinds[piece->kind],
			       .path = (char *)piece->path,
			       .start = piece->file_start,
			       .end = piece->file_end};

	if (piece->kind == UL_EROFS_SUPERBLOCK)
		row.path = NULL;
	hit(user, piece->at, piece->len, &row);
}

static void on_table(void *user, const char *name, uint64_t at, uint64_t len)
{
	struct ul_place row = {.kind = UL_PLACE_TABLE, .path = (char *)name};

	if (len > 0)
		hit(user, at, len, &row);
}

static int walk(struct search *s, int fd, const struct ul_extent *data, struct ul_error *err)
{
	char type[32];

	ul_filesystem_type(fd, data->offset, data->size, type);
	if (!strcmp(type, "erofs"))
		return ul_erofs_walk(fd, data, on_piece, s, err);
	if (!strcmp(type, "squashfs"))
		return ul_squashfs_map(fd, data, on_table, s, err);
	return ul_error_set(err, UL_E_FILESYSTEM, WHAT, data->device, NULL,
			    "the filesystem is %s: only erofs tells which file a block belongs to",
			    *type ? type : "unknown");
}

/* A row for what was found nowhere; then the rows in the caller's order, with the caller's numbers. */
static int finish(struct search *s, const uint64_t *numbers, bool complete, struct ul_error *err)
{
	for (size_t i = 0; i < s->n && s->failed == 0; i++) {
		struct ul_place row = {.number = s->wanted[i].asked,
				       .kind = complete ? UL_PLACE_UNUSED : UL_PLACE_UNKNOWN};

		if (s->wanted[i].rows == 0)
			s->failed = add(&s->found, &row, err);
	}
	ul_vector_sort(&s->found, by_asked);
	for (size_t i = 0; i < s->found.n; i++)
		s->found.at[i].number = numbers[s->found.at[i].number];
	return s->failed;
}

int ul_locate_blocks(const struct ul_extent *data, uint32_t block_size, const uint64_t *numbers, size_t n,
		     struct ul_places *ret, struct ul_error *err)
{
	ul_autoclose int fd = open(data->device, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ul_autofree struct wanted *wanted = calloc(n + 1, sizeof(*wanted));
	struct search s = {.wanted = wanted, .n = n, .block_size = block_size, .err = err};
	int r, finished;

	if (fd < 0)
		return ul_error_errno(err, UL_E_DEVICE, WHAT, data->device, NULL, errno);
	if (!wanted)
		return ul_error_nomem(err, WHAT);
	for (size_t i = 0; i < n; i++) {
		if (numbers[i] >= data->size / block_size)
			return ul_error_set(err, UL_E_INPUT, WHAT, data->device, NULL,
					    "it has %" PRIu64 " data blocks, so there is no number %" PRIu64,
					    data->size / block_size, numbers[i]);
		wanted[i] = (struct wanted){.number = numbers[i], .asked = i};
	}
	qsort(wanted, n, sizeof(*wanted), by_number);
	r = walk(&s, fd, data, err);
	/* A walk that broke off says why; what was found until then stands, and the rest is not known. */
	finished = finish(&s, numbers, r == 0, r < 0 ? NULL : err);
	*ret = s.found;
	return r < 0 ? r : finished;
}

/* ---- the hash partition, and the rest ---- */

int ul_locate_hash_block(const struct ul_descriptor *d, uint64_t number, struct ul_places *ret, struct ul_error *err)
{
	struct ul_hash_tree_geometry g;
	struct ul_place row = {.number = number, .kind = UL_PLACE_VERITY};
	uint64_t at, covers = 1;

	if (!ul_hash_tree_measure(d, &g) || number > INT64_MAX / d->hash_block_size)
		return ul_error_set(err, UL_E_INPUT, WHAT, NULL, NULL, "there is no hash block %" PRIu64, number);
	at = number * d->hash_block_size;
	if (d->fec_roots && at >= d->fec_start) {
		row.kind = at - d->fec_start < ul_fec_size(d) ? UL_PLACE_FEC : UL_PLACE_UNUSED;
	} else if (at >= d->hash_start) {
		row.kind = UL_PLACE_UNUSED;
		for (unsigned int i = 0; i < g.levels; i++) {
			uint64_t first = d->hash_start + g.start[i];

			covers *= g.digests_per_block;
			if (at < first || (at - first) / d->hash_block_size >= g.blocks[i])
				continue;
			row.kind = UL_PLACE_TREE;
			row.level = i;
			row.start = (at - first) / d->hash_block_size * covers;
			row.end = d->data_blocks - row.start < covers ? d->data_blocks : row.start + covers;
		}
	}
	return add(ret, &row, err);
}

static bool within(const struct ul_extent *e, uint64_t byte)
{
	return e->device && byte >= e->offset && byte - e->offset < e->size;
}

int ul_locate_byte(const struct ul_slot *slot, const struct ul_descriptor *d, uint64_t byte, struct ul_places *ret,
		   struct ul_error *err)
{
	struct ul_place row = {.number = byte, .kind = UL_PLACE_OUTSIDE};
	struct ul_places places = {0};
	uint64_t block;
	int r;

	if (within(&slot->data, byte)) {
		block = (byte - slot->data.offset) / d->data_block_size;
		r = ul_locate_blocks(&slot->data, d->data_block_size, &block, 1, &places, err);
	} else if (within(&slot->hash, byte)) {
		r = ul_locate_hash_block(d, (byte - slot->hash.offset) / d->hash_block_size, &places, err);
	} else {
		if (within(&slot->sig, byte))
			row.kind = UL_PLACE_SIGNATURE;
		return add(ret, &row, err);
	}
	for (size_t i = 0; i < places.n; i++) {
		places.at[i].number = byte;
		if (add(ret, &places.at[i], NULL) < 0)
			r = ul_error_nomem(err, WHAT);
	}
	ret->left_out += places.left_out;
	ul_places_free(&places);
	return r;
}

/* ---- in words ---- */

static const char store[] = UL_LOWER_STORE "/";

size_t ul_place_store_path(const struct ul_place *place)
{
	size_t len = sizeof(store) - 1;

	if (!place->path || strncmp(place->path, store, len) != 0)
		return 0;
	return len + strcspn(place->path + len, "/");
}

/* "/nix/store/HASH-NAME: bin/tool"; outside of store paths, the path in the image. */
static void path_text(const struct ul_place *place, char *buf, size_t size)
{
	size_t len = ul_place_store_path(place);
	const char *rest = place->path + len;
	char text[2048];

	if (len == 0)
		snprintf(text, sizeof(text), "/%s", place->path);
	else
		snprintf(text, sizeof(text), "/%.*s%s%s", (int)len, place->path, *rest ? ": " : "",
			 *rest ? rest + 1 : "");
	ul_escape_text(buf, size, text);
}

char *ul_place_text(const struct ul_place *place, char *buf, size_t size)
{
	char path[1024] = "";

	if (place->path)
		path_text(place, path, sizeof(path));
	switch (place->kind) {
	case UL_PLACE_FILE:
		snprintf(buf, size, "%s, bytes %" PRIu64 " to %" PRIu64, path, place->start, place->end - 1);
		break;
	case UL_PLACE_DIRECTORY:
		snprintf(buf, size, "%s, the directory's entries", path);
		break;
	case UL_PLACE_INODE:
		snprintf(buf, size, "%s, its inode", path);
		break;
	case UL_PLACE_SUPERBLOCK:
		snprintf(buf, size, "the filesystem's superblock");
		break;
	case UL_PLACE_TABLE:
		snprintf(buf, size, "the filesystem's %s", place->path);
		break;
	case UL_PLACE_UNUSED:
		snprintf(buf, size, "no file");
		break;
	case UL_PLACE_UNKNOWN:
		snprintf(buf, size, "not known: the filesystem's map cannot be read whole");
		break;
	case UL_PLACE_VERITY:
		snprintf(buf, size, "dm-verity's superblock");
		break;
	case UL_PLACE_TREE:
		snprintf(buf, size, "the hash tree, level %u: covers data blocks %" PRIu64 " to %" PRIu64, place->level,
			 place->start, place->end - 1);
		break;
	case UL_PLACE_FEC:
		snprintf(buf, size, "the error correction's parity (FEC)");
		break;
	case UL_PLACE_SIGNATURE:
		snprintf(buf, size, "the signature partition");
		break;
	case UL_PLACE_OUTSIDE:
		snprintf(buf, size, "outside of the image's partitions");
		break;
	}
	return buf;
}

const char *ul_place_kind_name(enum ul_place_kind kind)
{
	static const char *const names[] = {
		[UL_PLACE_FILE] = "file",           [UL_PLACE_DIRECTORY] = "directory",
		[UL_PLACE_INODE] = "inode",         [UL_PLACE_SUPERBLOCK] = "superblock",
		[UL_PLACE_TABLE] = "table",         [UL_PLACE_UNUSED] = "none",
		[UL_PLACE_UNKNOWN] = "unknown",     [UL_PLACE_VERITY] = "verity-superblock",
		[UL_PLACE_TREE] = "hash-tree",      [UL_PLACE_FEC] = "fec",
		[UL_PLACE_SIGNATURE] = "signature", [UL_PLACE_OUTSIDE] = "outside",
	};

	return names[kind];
}
