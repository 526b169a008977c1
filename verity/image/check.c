/* Verifying a store image offline: one function a step, in the order in which each rests on the last. */
#include "verity/image/check.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encoding.h"
#include "common/file.h"
#include "verity/format/fec_geometry.h"
#include "verity/format/gpt.h"
#include "verity/format/image_layout.h"
#include "verity/format/superblock.h"
#include "verity/image/fec.h"
#include "verity/image/hash_tree.h"
#include "verity/locate/image_view.h"

struct check {
	const char *image;
	int fd;
	const struct ul_image_check_options *options;
	const struct ul_slot *slot;
	struct ul_image_check_result result;
};

__attribute__((format(printf, 4, 5))) static void say(const struct check *c, enum ul_image_finding kind,
						      const char *step, const char *format, ...)
{
	char text[512], safe[512];
	va_list args;

	if (!c->options->found)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	ul_escape_text(safe, sizeof(safe), text);
	c->options->found(c->options->user, kind, step, safe);
}

static int check_table(struct check *c, struct ul_slot_list *list, struct ul_error *err)
{
	struct ul_gpt gpt;
	int r = ul_gpt_read(c->fd, c->image, &gpt, err);

	if (r < 0)
		return r;
	if (gpt.present)
		r = ul_gpt_check_copies(c->fd, c->image, err);
	else
		r = ul_error_set(err, UL_E_PARTITIONS, "checking the partition table", c->image, NULL,
				 "it has no partition table (GPT)");
	if (r == 0)
		say(c, UL_IMAGE_OK, "partition table", "%zu partitions, both copies agree", gpt.n);
	ul_gpt_free(&gpt);
	if (r == 0)
		r = ul_image_slots(c->image, list, err);
	if (r == 0 && list->n == 0)
		r = ul_error_set(err, UL_E_PARTITIONS, "checking the partition table", c->image, NULL,
				 "it holds no data partition with a hash partition beside it");
	return r;
}

static int check_seal(struct check *c, struct ul_error *err)
{
	struct ul_seal *seal = &c->result.seal;
	const struct ul_seal_policy *policy = &c->options->policy;
	char hex[2 * UL_ROOT_HASH_MAX + 1];
	int r = ul_seal_decide(c->slot, policy, seal, err);

	if (r < 0)
		return r;
	ul_hex_encode(seal->d.root_hash, seal->d.root_hash_len, hex);
	say(c, UL_IMAGE_OK, "root hash", "%s", hex);
	if (seal->by.subject[0])
		say(c, UL_IMAGE_OK, "signature", "by %s (%s)", seal->by.subject, seal->by.fingerprint);
	else
		say(c, UL_IMAGE_NOTE, "signature", "not checked: the root hash was given, and that is enough");
	if (!seal->from_descriptor)
		say(c, UL_IMAGE_NOTE, "descriptor", "the image is foreign: its unsigned superblock is used");
	else if (seal->d.name[0])
		say(c, UL_IMAGE_OK, "descriptor", "%s %s, rollback index %" PRIu64, seal->d.name, seal->d.version,
		    seal->d.rollback_index);
	return 0;
}

static int check_uuids(struct check *c, struct ul_error *err)
{
	const struct ul_descriptor *d = &c->result.seal.d;
	const char *which = NULL;

	if (!ul_uuid_is(c->slot->data_uuid, d->root_hash))
		which = "data";
	else if (!ul_uuid_is(c->slot->hash_uuid, d->root_hash + d->root_hash_len - 16))
		which = "hash";
	if (!which) {
		say(c, UL_IMAGE_OK, "partition UUIDs", "those of the root hash");
		return 0;
	}
	if (c->result.seal.from_descriptor)
		return ul_error_set(err, UL_E_ROOT_HASH, "checking the partition UUIDs", c->image,
				    "Write the image again.",
				    "the %s partition's UUID is not the root hash's: the "
				    "signature belongs to another image",
				    which);
	say(c, UL_IMAGE_NOTE, "partition UUIDs", "the %s partition's is not the root hash's", which);
	return 0;
}

static struct ul_image_fds fds_of(const struct check *c)
{
	return (struct ul_image_fds){c->fd, c->slot->data.offset, c->fd, c->slot->hash.offset};
}

static struct ul_work work_of(const struct check *c)
{
	return (struct ul_work){.threads = c->options->threads, .progress = c->options->progress};
}

static int check_tree(struct check *c, struct ul_error *err)
{
	const struct ul_descriptor *d = &c->result.seal.d;
	struct ul_image_fds fds = fds_of(c);
	struct ul_work work = work_of(c);
	int r = ul_hash_tree_check(&fds, d, &work, NULL, err);

	if (r < 0)
		return r;
	say(c, UL_IMAGE_OK, "hash tree", "%" PRIu64 " blocks of %u bytes match", d->data_blocks, d->data_block_size);
	return 0;
}

/* A damaged area makes no wrong byte right, but it would not mend what it is there for. */
static int check_fec(struct check *c, struct ul_error *err)
{
	const struct ul_descriptor *d = &c->result.seal.d;
	struct ul_image_fds fds = fds_of(c);
	struct ul_work work = work_of(c);
	int r;

	if (!d->fec_roots)
		return 0;
	r = ul_fec_check(&fds, d, &work, err);
	if (r == 0)
		say(c, UL_IMAGE_OK, "FEC", "%u roots, %" PRIu64 " bytes of parity are right", d->fec_roots,
		    ul_fec_size(d));
	return r;
}

static bool same_parameters(const struct ul_descriptor *a, const struct ul_descriptor *b)
{
	return strcmp(a->hash, b->hash) == 0 && a->salt_len == b->salt_len &&
	       memcmp(a->salt, b->salt, a->salt_len) == 0 && a->data_block_size == b->data_block_size &&
	       a->hash_block_size == b->hash_block_size && a->data_blocks == b->data_blocks &&
	       a->hash_start == b->hash_start;
}

/* Underlay never reads the superblock of an image with a descriptor; veritysetup and systemd do. */
static void check_superblock(const struct check *c)
{
	uint8_t bytes[UL_SUPERBLOCK_SIZE];
	struct ul_descriptor d;
	struct ul_error reason;

	if (!c->result.seal.from_descriptor)
		return;
	if (c->slot->hash.size < sizeof(bytes) || ul_pread_full(c->fd, bytes, sizeof(bytes), c->slot->hash.offset) < 0)
		say(c, UL_IMAGE_NOTE, "superblock", "it cannot be read (Underlay ignores it)");
	else if (ul_superblock_parse(bytes, c->image, &d, NULL, &reason) < 0)
		say(c, UL_IMAGE_NOTE, "superblock", "%s (Underlay ignores it)", reason.why);
	else if (!same_parameters(&d, &c->result.seal.d))
		say(c, UL_IMAGE_NOTE, "superblock", "it differs from the descriptor (Underlay ignores it)");
	else
		say(c, UL_IMAGE_OK, "superblock", "agrees with the descriptor");
}

static void check_label(const struct check *c)
{
	const struct ul_descriptor *d = &c->result.seal.d;

	if (d->name[0] && (strcmp(c->slot->name, d->name) != 0 || strcmp(c->slot->version, d->version) != 0))
		say(c, UL_IMAGE_NOTE, "label", "\"%s\" is not %s_%s, which slots are sorted by", c->slot->label,
		    d->name, d->version);
}

static int check_content(struct check *c, struct ul_error *err)
{
	const struct ul_image_check_options *o = c->options;
	const struct ul_descriptor *d = &c->result.seal.d;
	struct ul_content_result *content = &c->result.content;
	struct ul_work work = work_of(c);
	struct ul_lower_view lower;
	int r;

	if (o->seal_only) {
		say(c, UL_IMAGE_NOTE, "content", "not checked (--seal-only)");
		return 0;
	}
	r = ul_lower_mount(&c->slot->data, &lower, err);
	if (r < 0)
		return r;
	/* Only a descriptor that was believed has a name. */
	r = ul_content_check(&lower, d->name[0] ? d : NULL, o->contents ? &work : NULL, content, err);
	ul_lower_unmount(&lower);
	if (r < 0)
		return r;
	if (!content->manifest) {
		say(c, UL_IMAGE_NOTE, "content", "no manifest: nothing to compare");
		return 0;
	}
	say(c, UL_IMAGE_OK, "manifest", "%" PRIu64 " store paths", content->paths);
	if (content->database)
		say(c, UL_IMAGE_OK, "database", "agrees with the manifest");
	if (o->contents)
		say(c, UL_IMAGE_OK, "store", "%" PRIu64 " bytes of NARs match the manifest", content->nar_bytes);
	return 0;
}

static int check_slot(struct check *c, struct ul_error *err)
{
	int r;

	ul_seal_free(&c->result.seal);
	c->result = (struct ul_image_check_result){0};
	r = check_seal(c, err);
	if (r == 0)
		r = check_uuids(c, err);
	if (r == 0)
		r = check_tree(c, err);
	if (r == 0)
		r = check_fec(c, err);
	if (r < 0)
		return r;
	check_superblock(c);
	check_label(c);
	return check_content(c, err);
}

int ul_image_check(const char *image, const struct ul_image_check_options *options, struct ul_image_check_result *ret,
		   struct ul_error *err)
{
	ul_autoclose int fd = open(image, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct check c = {.image = image, .fd = fd, .options = options};
	struct ul_slot_list list = {0};
	int r;

	if (fd < 0)
		return ul_error_errno(err, UL_E_DEVICE, "verifying the image", image, NULL, errno);
	r = check_table(&c, &list, err);
	for (size_t i = 0; r == 0 && i < list.n; i++) {
		c.slot = &list.at[i];
		r = check_slot(&c, err);
	}
	ul_slots_free(&list);
	if (r < 0) {
		ul_seal_free(&c.result.seal);
		return r;
	}
	*ret = c.result;
	return 0;
}
