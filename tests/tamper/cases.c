#include "tests/tamper/cases.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/file.h"
#include "verity/format/partition_types.h"
#include "verity/format/signature.h"
#include "verity/open/slots.h"
#include "verity/format/superblock.h"
#include "tests/crc32.h"

#define IMAGE_MAX    ((size_t)64 << 20)
#define BLOCK        4096
#define ENTRIES_USED (3 * 128)

const char *const tamper_names[TAMPER_KINDS] = {
	[TAMPER_GPT_PRIMARY] = "GPT, primary copy",
	[TAMPER_GPT_BACKUP] = "GPT, backup copy",
	[TAMPER_GPT_RESEALED] = "GPT, checksums made right",
	[TAMPER_FS_SUPERBLOCK] = "filesystem's superblock",
	[TAMPER_MANIFEST] = "manifest",
	[TAMPER_FILESYSTEM] = "filesystem",
	[TAMPER_VERITY_SUPERBLOCK] = "dm-verity superblock",
	[TAMPER_HASH_TREE] = "hash tree",
	[TAMPER_ROOT_SIGNATURE] = "root hash's signature",
	[TAMPER_DESCRIPTOR] = "descriptor",
	[TAMPER_DESCRIPTOR_SIGNATURE] = "descriptor's signature",
	[TAMPER_JSON] = "signature JSON",
	[TAMPER_PADDING] = "signature partition's padding",
	[TAMPER_SWAP] = "two blocks swapped",
	[TAMPER_TRUNCATE] = "truncated",
	[TAMPER_EXTEND] = "extended",
	[TAMPER_SPLICE] = "spliced from another image",
};

static uint64_t next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* ---- what lies where ---- */

static bool complain(const char *path, const char *why)
{
	fprintf(stderr, "tamper: %s: %s\n", path, why);
	return false;
}

static struct tamper_range range_of(const struct ul_extent *e)
{
	return (struct tamper_range){(size_t)e->offset, (size_t)e->size};
}

/* The text of a JSON member "key":"..." behind `from`. */
static struct tamper_range member(const struct tamper_image *image, struct tamper_range json, const char *key,
				  size_t from)
{
	char pattern[64];
	const uint8_t *at;
	size_t end = json.at + json.len;

	snprintf(pattern, sizeof(pattern), "\"%s\":\"", key);
	at = memmem(image->bytes + from, end - from, pattern, strlen(pattern));
	if (!at)
		return (struct tamper_range){0};
	at += strlen(pattern);
	return (struct tamper_range){
		(size_t)(at - image->bytes),
		strcspn((const char *)at, "\""),
	};
}

static bool find_json(struct tamper_image *image)
{
	struct tamper_range json = {image->sig.at, 0}, *r = image->regions;

	json.len = strnlen((const char *)image->bytes + json.at, image->sig.len);
	r[TAMPER_JSON] = json;
	r[TAMPER_PADDING] = (struct tamper_range){json.at + json.len, image->sig.len - json.len};
	r[TAMPER_ROOT_SIGNATURE] = member(image, json, "signature", json.at);
	r[TAMPER_DESCRIPTOR] = member(image, json, "descriptor", json.at);
	r[TAMPER_DESCRIPTOR_SIGNATURE] = (struct tamper_range){0};
	if (r[TAMPER_DESCRIPTOR].len)
		r[TAMPER_DESCRIPTOR_SIGNATURE] = member(image, json, "signature", r[TAMPER_DESCRIPTOR].at);
	return json.len > 0 && json.len < image->sig.len && r[TAMPER_ROOT_SIGNATURE].len > 0;
}

static bool find_data(struct tamper_image *image)
{
	size_t size = (size_t)image->d.data_blocks * image->d.data_block_size;
	const uint8_t *data = image->bytes + image->data.at;
	const uint8_t *manifest = memmem(data, size, "ULMANIF\n", 8);
	struct tamper_range *r = image->regions;

	if (!manifest)
		return false;
	r[TAMPER_FS_SUPERBLOCK] = (struct tamper_range){image->data.at + 1024, 128};
	r[TAMPER_MANIFEST] = (struct tamper_range){
		(size_t)(manifest - image->bytes), (size_t)ul_get_le64(manifest + 32), /* the length of the whole */
	};
	r[TAMPER_FILESYSTEM] = (struct tamper_range){image->data.at, size};
	r[TAMPER_VERITY_SUPERBLOCK] = (struct tamper_range){image->hash.at, UL_SUPERBLOCK_SIZE};
	r[TAMPER_HASH_TREE] = (struct tamper_range){image->hash.at + (size_t)image->d.hash_start,
						    image->hash.len - (size_t)image->d.hash_start};
	return true;
}

static bool find_regions(const char *path, struct tamper_image *image)
{
	struct ul_slot_list list = {0};
	struct ul_signature_blob blob;
	struct ul_error err;

	if (ul_slots_probe_types(path, NULL, ul_partition_types_find(NULL, "usr"), NULL, &list, &err) < 0)
		return complain(path, err.why);
	if (list.n != 1 || !list.at[0].sig.device)
		return complain(path, "not one slot with a signature");
	image->data = range_of(&list.at[0].data);
	image->hash = range_of(&list.at[0].hash);
	image->sig = range_of(&list.at[0].sig);
	ul_slots_free(&list);
	if (ul_signature_parse(image->bytes + image->sig.at, image->sig.len, &blob, &err) < 0)
		return complain(path, err.why);
	if (ul_descriptor_parse(blob.descriptor.data, blob.descriptor.len, &image->d, &err) < 0)
		return complain(path, err.why);
	ul_signature_free(&blob);
	image->regions[TAMPER_GPT_PRIMARY] = (struct tamper_range){440, 1024 - 440 + ENTRIES_USED};
	image->regions[TAMPER_GPT_BACKUP] = (struct tamper_range){image->len - 33 * 512, ENTRIES_USED + 512};
	image->regions[TAMPER_GPT_RESEALED] = image->regions[TAMPER_GPT_PRIMARY];
	if (!find_json(image))
		return complain(path, "the signature's JSON is not as it is written");
	return find_data(image) || complain(path, "no manifest lies in it uncompressed");
}

/* A file or a disk. */
static bool read_whole(const char *path, struct ul_buffer *ret)
{
	ul_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t len = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);

	if (len <= 0 || (size_t)len > IMAGE_MAX || ul_buffer_reserve(ret, (size_t)len) < 0)
		return false;
	ret->len = (size_t)len;
	return ul_pread_full(fd, ret->data, ret->len, 0) == 0;
}

bool tamper_load(const char *path, struct tamper_image *ret)
{
	ul_autobuffer struct ul_buffer text = {0};
	struct tamper_image image = {0};

	if (!read_whole(path, &text))
		return complain(path, "cannot be read");
	image.bytes = text.data;
	image.len = text.len;
	if (!find_regions(path, &image))
		return false;
	text = (struct ul_buffer){0};
	*ret = image;
	return true;
}

bool tamper_make_foreign(struct tamper_image *image)
{
	ul_autobuffer struct ul_buffer json = {0};
	struct ul_signature_blob blob;
	uint8_t *sig = image->bytes + image->sig.at;
	struct ul_error err;

	if (ul_signature_parse(sig, image->sig.len, &blob, &err) < 0)
		return complain("foreign image", err.why);
	ul_buffer_free(&blob.descriptor);
	ul_buffer_free(&blob.descriptor_signature);
	if (ul_signature_format(&blob, &json, &err) < 0)
		return complain("foreign image", err.why);
	ul_signature_free(&blob);
	memset(sig, 0, image->sig.len);
	memcpy(sig, json.data, json.len);
	return find_json(image);
}

/* ---- changes ---- */

/* What an attacker does after a change to the table: the CRCs protect from accidents only. */
static void reseal(uint8_t *copy, size_t len, size_t header_at)
{
	uint8_t *h = copy + header_at;
	uint64_t entries = ul_get_le64(h + 72) * 512;
	uint64_t size = (uint64_t)ul_get_le32(h + 80) * ul_get_le32(h + 84);
	uint32_t header_size = ul_get_le32(h + 12);

	if (entries < len && size <= len - entries)
		ul_put_le32(h + 88, test_crc32(copy + entries, (size_t)size));
	ul_put_le32(h + 16, 0);
	ul_put_le32(h + 16, test_crc32(h, header_size <= 512 ? header_size : 92));
}

static void flip(uint8_t *copy, struct tamper_range where, uint64_t *rng)
{
	uint64_t bit = next(rng) % (where.len * 8);

	copy[where.at + bit / 8] ^= (uint8_t)(1 << bit % 8);
}

/* One bit in one copy, or the same one in both. */
static void flip_resealed(uint8_t *copy, const struct tamper_image *image, uint64_t *rng)
{
	size_t backup = image->len - 512;
	uint64_t bit = next(rng) % ((92 + ENTRIES_USED) * 8), which = next(rng) % 3;
	size_t byte = (size_t)bit / 8;
	uint8_t mask = (uint8_t)(1 << bit % 8);

	if (which != 1)
		copy[byte < 92 ? 512 + byte : 1024 + byte - 92] ^= mask;
	if (which != 0)
		copy[byte < 92 ? backup + byte : image->len - 33 * 512 + byte - 92] ^= mask;
	reseal(copy, image->len, 512);
	reseal(copy, image->len, backup);
}

static void swap(uint8_t *copy, const struct tamper_image *image, uint64_t *rng)
{
	const struct tamper_range *const from[] = {
		&image->regions[TAMPER_FILESYSTEM],
		&image->regions[TAMPER_HASH_TREE],
		&image->sig,
	};
	/* Mostly two of the data: the others are few. */
	const struct tamper_range *a = from[next(rng) % 4 % 3], *b = from[next(rng) % 4 % 3];
	size_t at = a->at + next(rng) % (a->len / BLOCK) * BLOCK;
	size_t to = b->at + next(rng) % (b->len / BLOCK) * BLOCK;
	uint8_t block[BLOCK];

	memcpy(block, copy + at, BLOCK);
	memcpy(copy + at, copy + to, BLOCK);
	memcpy(copy + to, block, BLOCK);
}

static size_t extend(uint8_t *copy, size_t len, uint64_t *rng)
{
	size_t more = 1 + next(rng) % TAMPER_ROOM;
	bool random = next(rng) & 1;

	if (next(rng) & 1)
		more &= ~(size_t)511;
	for (size_t i = 0; i < more; i++)
		copy[len + i] = random ? (uint8_t)next(rng) : 0;
	return len + more;
}

static void copy_range(uint8_t *copy, struct tamper_range to, const struct tamper_image *other,
		       struct tamper_range from)
{
	memcpy(copy + to.at, other->bytes + from.at, to.len < from.len ? to.len : from.len);
}

/* Parts of a partition each, or whole partitions, or the tables. */
static void graft(uint8_t *copy, const struct tamper_image *image, const struct tamper_image *other, uint64_t *rng)
{
	const struct tamper_range to[] = {image->data, image->hash, image->sig};
	const struct tamper_range from[] = {other->data, other->hash, other->sig};
	uint64_t what = next(rng) % 16, i = next(rng) % 3;
	struct tamper_range a = to[i], b = from[i];

	if (what < 8) { /* which of the partitions: all of them is the other image */
		for (size_t k = 0; k < 3; k++)
			if (what & 1 << k)
				copy_range(copy, to[k], other, from[k]);
		if (what)
			return;
	}
	if (what == 8) {
		memcpy(copy, other->bytes, 34 * 512);
		memcpy(copy + image->len - 33 * 512, other->bytes + other->len - 33 * 512, 33 * 512);
		return;
	}
	/* A run of blocks, at its own place or at another. */
	a.len = BLOCK * (1 + next(rng) % 64);
	if (a.len > to[i].len)
		a.len = to[i].len;
	a.at += next(rng) % ((to[i].len - a.len) / BLOCK + 1) * BLOCK;
	b.at += what % 2 ? a.at - to[i].at : next(rng) % (from[i].len / BLOCK) * BLOCK;
	b.len = b.at < from[i].at + from[i].len ? from[i].at + from[i].len - b.at : 0;
	copy_range(copy, a, other, b);
}

size_t tamper_change(enum tamper_region kind, uint64_t seed, uint64_t number, const struct tamper_image *image,
		     const struct tamper_image *other, uint8_t *copy)
{
	uint64_t rng = seed ^ ((uint64_t)kind << 56) ^ number * 0x2545f4914f6cdd1d;

	switch (kind) {
	case TAMPER_GPT_RESEALED:
		flip_resealed(copy, image, &rng);
		break;
	case TAMPER_SWAP:
		swap(copy, image, &rng);
		break;
	case TAMPER_TRUNCATE:
		return next(&rng) % 4 ? next(&rng) % image->len : image->len - 512 * (1 + next(&rng) % 64);
	case TAMPER_EXTEND:
		return extend(copy, image->len, &rng);
	case TAMPER_SPLICE:
		graft(copy, image, other, &rng);
		break;
	default:
		flip(copy, image->regions[kind], &rng);
	}
	return image->len;
}
