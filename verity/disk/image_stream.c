#include "verity/disk/image_stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/encoding.h"
#include "common/file.h"
#include "verity/format/image_layout.h"
#include "verity/format/version.h"

static const char WHAT[] = "reading the image", OBJECT[] = "standard input";
static const char TODO[] = "Give an image as `underlay image build` makes it.";

#define PIECE (1024u * 1024)

/* len bytes, or fewer at the end; -errno. */
static ssize_t read_some(struct ul_image_stream *s, uint8_t *buf, size_t len)
{
	size_t have = 0;

	while (have < len) {
		ssize_t n = read(s->fd, buf + have, len - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	s->at += have;
	return (ssize_t)have;
}

/* Bytes of the whole image, by the place of the backup table: UEFI specification, 5.3.2. 0: there is no table. */
static uint64_t size_of(const uint8_t *head)
{
	for (uint32_t sector = 512; sector <= UL_IMAGE_BLOCK; sector *= 8)
		if (!memcmp(head + sector, "EFI PART", 8)) {
			uint64_t last = ul_get_le64(head + sector + 32);

			return last < (uint64_t)INT64_MAX / sector - 1 ? (last + 1) * sector : 0;
		}
	return 0;
}

/* As a file of the image's size, in which nothing but its table is. */
static int read_table(const uint8_t *head, struct ul_gpt *ret, struct ul_error *err)
{
	ul_autoclose int fd = memfd_create("table", MFD_CLOEXEC);
	uint64_t size = size_of(head);
	int r;

	if (fd < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, OBJECT, NULL, errno);
	if (size < 2ull * UL_IMAGE_ALIGN)
		return ul_error_set(err, UL_E_INPUT, WHAT, OBJECT, TODO, "it does not begin with a partition table");
	r = ul_pwrite_full(fd, head, UL_IMAGE_ALIGN, 0);
	if (r < 0 || ftruncate(fd, (off_t)size) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, OBJECT, NULL, r < 0 ? -r : errno);
	return ul_gpt_read(fd, OBJECT, ret, err);
}

/* In the order in which they lie, none reaching into the next. */
static bool are_three(const struct ul_partition part[3], const struct ul_partition_types *types)
{
	const char *const wanted[] = {types->data, types->verity, types->verity_sig};
	uint64_t end = UL_IMAGE_ALIGN;

	for (size_t i = 0; i < 3; i++) {
		if (strcmp(part[i].type, wanted[i]) != 0 || part[i].offset < end)
			return false;
		end = part[i].offset + part[i].size;
	}
	return part[2].size >= UL_SIG_PARTITION_SIZE;
}

static int take_parts(const struct ul_gpt *gpt, struct ul_image_stream *s, struct ul_error *err)
{
	s->types = gpt->n == 3 ? ul_partition_types_of(gpt->partitions[0].type) : NULL;
	if (!s->types || !are_three(gpt->partitions, s->types))
		return ul_error_set(err, UL_E_INPUT, WHAT, OBJECT, TODO,
				    "its partitions are not the three of a store image, one after the other");
	memcpy(s->part, gpt->partitions, sizeof(s->part));
	return 0;
}

/* "xxxxxxxx-xxxx-..." to 16 bytes. */
static bool uuid_bytes(const char *text, uint8_t ret[16])
{
	char hex[33];
	size_t n = 0;

	for (const char *c = text; *c && n < 32; c++)
		if (*c != '-')
			hex[n++] = *c;
	hex[n] = '\0';
	return ul_hex_decode(hex, n, ret, 16);
}

/* The first and the last 128 bits are all of a SHA-256: Discoverable Partitions Specification. */
static int take_names(struct ul_image_stream *s, struct ul_error *err)
{
	const char *label = s->part[0].label, *cut = strchr(label, '_');
	struct ul_descriptor *d = &s->d;

	d->root_hash_len = 32;
	if (!uuid_bytes(s->part[0].uuid, d->root_hash) || !uuid_bytes(s->part[1].uuid, d->root_hash + 16))
		return ul_error_set(err, UL_E_INPUT, WHAT, OBJECT, TODO, "its partitions have no UUIDs");
	if (cut && (size_t)(cut - label) < sizeof(d->name) && strlen(cut + 1) < sizeof(d->version)) {
		memcpy(d->name, label, (size_t)(cut - label));
		memcpy(d->version, cut + 1, strlen(cut + 1));
	}
	if (!ul_image_name_valid(d->name) || !ul_image_version_valid(d->version))
		return ul_error_set(err, UL_E_INPUT, WHAT, OBJECT, TODO,
				    "its data partition's label is not NAME_VERSION");
	return 0;
}

int ul_image_stream_open(int fd, struct ul_image_stream *ret, struct ul_error *err)
{
	ul_autofree uint8_t *head = malloc(UL_IMAGE_ALIGN);
	struct ul_gpt gpt = {0};
	ssize_t n;
	int r;

	*ret = (struct ul_image_stream){.fd = fd};
	if (!head)
		return ul_error_nomem(err, WHAT);
	n = read_some(ret, head, UL_IMAGE_ALIGN);
	if (n < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, OBJECT, NULL, (int)-n);
	if (n < (ssize_t)UL_IMAGE_ALIGN)
		return ul_error_set(err, UL_E_INPUT, WHAT, OBJECT, TODO, "it ends after %zd bytes", n);
	r = read_table(head, &gpt, err);
	if (r < 0)
		return r;
	r = take_parts(&gpt, ret, err);
	ul_gpt_free(&gpt);
	return r < 0 ? r : take_names(ret, err);
}

/* Take what lies up to `end`, and hand on what of it is the part's. */
static int take_to(struct ul_image_stream *s, uint64_t begin, uint64_t end, const struct ul_stream_taker *taker,
		   uint8_t *buffer)
{
	uint64_t first = s->at;

	while (s->at < end) {
		uint64_t at = s->at;
		size_t len = end - at < PIECE ? (size_t)(end - at) : PIECE;
		ssize_t n = read_some(s, buffer, len);
		int r = 0;

		if (n < (ssize_t)len)
			return n < 0 ? (int)n : -ENODATA;
		if (taker->cancelled && taker->cancelled())
			return -ECANCELED;
		if (first == begin)
			r = taker->piece(taker->user, buffer, len, at - begin);
		if (r < 0)
			return r;
		ul_progress_report(taker->progress, "writing", s->at - first, end - first);
	}
	return 0;
}

int ul_image_stream_take(struct ul_image_stream *s, unsigned int part, const struct ul_stream_taker *taker)
{
	ul_autofree uint8_t *buffer = aligned_alloc(4096, PIECE);
	uint64_t begin = s->part[part].offset;
	int r = buffer ? 0 : -ENOMEM;

	if (r == 0 && s->at < begin)
		r = take_to(s, UINT64_MAX, begin, taker, buffer);
	return r < 0 ? r : take_to(s, begin, begin + s->part[part].size, taker, buffer);
}

void ul_image_stream_drain(struct ul_image_stream *s)
{
	uint8_t buffer[4096];

	while (read_some(s, buffer, sizeof(buffer)) == (ssize_t)sizeof(buffer))
		;
}
