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
#include "verity/format/partition_types.h"
#include "verity/format/superblock.h"
#include "verity/image/fec.h"
#include "verity/image/hash_tree.h"
#include "verity/locate/image_view.h"
#include "verity/open/slot_pairs.h"

struct check {
	const char *image;
	int fd;
	const struct ul_image_check_options *options;
	const struct ul_slot *slot;
	char demanded[2 * UL_ROOT_HASH_MAX + 1]; /* root hash, in hex; "": any will do */
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

static int list_slots(const struct check *c, struct ul_slot_list *ret, struct ul_error *err)
{
	const char *designator = c->options->designator;
	int r = 0;

	if (!designator)
		return ul_image_slots(c->image, c->demanded, ret, err);
	for (const struct ul_partition_types *t = ul_partition_types; r == 0 && t->architecture; t++)
		if (!strcmp(t->designator, designator))
			r = ul_slots_probe_types(c->image, NULL, t, c->demanded, ret, err);
	return r;
}

static int check_table(struct check *c, struct ul_slot_list *list, struct ul_error *err)
{
	bool out_of_use = false;
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
	for (size_t i = 0; i < gpt.n; i++)
		out_of_use = out_of_use || (gpt.partitions[i].no_auto && ul_partition_types_of(gpt.partitions[i].type));
	ul_gpt_free(&gpt);
	if (r == 0)
		r = list_slots(c, list, err);
	if (r == 0 && list->n == 0)
		r = ul_error_set(err, UL_E_PARTITIONS, "checking the partition table", c->image, NULL,
				 "it holds no data partition with a hash partition beside it%s",
				 out_of_use ? " that is in use: the flag \"no auto\" takes one out" : "");
	return r;
}

/* Leave the slots that the boot would look at, by their labels. */
static int check_names(const struct check *c, struct ul_slot_list *list, struct ul_error *err)
{
	const char *name = c->options->demands.name;
	char other[UL_TITLE_SIZE] = "";

	for (size_t i = 0; i < list->n;) {
		if (ul_judge_label(&list->at[i], name)) {
			i++;
			continue;
		}
		ul_slot_title(&list->at[i], other, sizeof(other));
		say(c, UL_IMAGE_NOTE, "label", "%s: another image than %s, passed over", other, name);
		ul_slots_remove(list, i);
	}
	return list->n > 0 ? 0 : ul_judge_no_label(c->image, other, err);
}

/* Where a slot has the UUIDs of the root hash that is demanded, it is what was asked for; the boot takes it, too. */
static void check_pinned(const struct check *c, struct ul_slot_list *list)
{
	const struct ul_slot_uuids wanted = ul_slot_uuids_of(c->demanded);
	char other[UL_TITLE_SIZE];
	bool found = false;

	for (size_t i = 0; i < list->n; i++)
		found = found || !strcmp(list->at[i].data_uuid, wanted.data);
	for (size_t i = 0; found && i < list->n;) {
		if (!strcmp(list->at[i].data_uuid, wanted.data)) {
			i++;
			continue;
		}
		ul_slot_title(&list->at[i], other, sizeof(other));
		say(c, UL_IMAGE_NOTE, "root hash", "%s: of another root hash, passed over", other);
		ul_slots_remove(list, i);
	}
}

static int check_seal(struct check *c, struct ul_error *err)
{
	struct ul_seal *seal = &c->result.seal;
	char hex[2 * UL_ROOT_HASH_MAX + 1];
	int r = ul_judge_seal(c->slot, &c->options->demands, seal, err);

	if (r < 0)
		return r;
	ul_hex_encode(seal->d.root_hash, seal->d.root_hash_len, hex);
	say(c, UL_IMAGE_OK, "root hash", "%s", hex);
	if (seal->by.subject[0])
		say(c, UL_IMAGE_OK, "signature", "by %s (%s)", seal->by.subject, seal->by.fingerprint);
	else
		say(c, UL_IMAGE_NOTE, "signature", "not checked: the root hash was given, and that is enough");
	if (!seal->from_descriptor)
		say(c, UL_IMAGE_NOTE, "descriptor", "there is none: the unsigned superblock is used");
	else if (seal->d.name[0])
		say(c, UL_IMAGE_OK, "descriptor", "%s %s, rollback index %" PRIu64, seal->d.name, seal->d.version,
		    seal->d.rollback_index);
	return 0;
}

/* They help to find a slot's partitions, as labels do; what is trusted is the root hash. */
static void check_uuids(const struct check *c)
{
	const struct ul_descriptor *d = &c->result.seal.d;
	const char *which = NULL;

	if (!ul_uuid_is(c->slot->data_uuid, d->root_hash))
		which = "data";
	else if (!ul_uuid_is(c->slot->hash_uuid, d->root_hash + d->root_hash_len - 16))
		which = "hash";
	if (!which)
		say(c, UL_IMAGE_OK, "partition UUIDs", "those of the root hash");
	else
		say(c, UL_IMAGE_NOTE, "partition UUIDs",
		    "the %s partition's is not the root hash's, which only systemd needs", which);
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
		say(c, UL_IMAGE_NOTE, "label",
		    "\"%s\" is not the signed %s_%s; the boot chooses and orders images by the label: write it anew",
		    c->slot->label, d->name, d->version);
}

static int check_filesystem(const struct check *c, struct ul_error *err)
{
	const struct ul_extent *data = &c->slot->data;
	const struct ul_judged_filesystem *type = NULL;
	int r = ul_judge_filesystem(c->fd, data->offset, data->device, c->options->demands.filesystems, &type, err);

	if (r == 0)
		say(c, UL_IMAGE_OK, "file system", "%s", type->name);
	return r;
}

static void tell_manifest(const struct check *c)
{
	const struct ul_judged *judged = &c->result.content.judged;

	if (!judged->foreign) {
		say(c, UL_IMAGE_OK, "manifest", "%" PRIu64 " store paths", judged->info.paths);
		return;
	}
	say(c, UL_IMAGE_NOTE, "image", "of another maker, with its store at /%s",
	    strcmp(judged->store, ".") ? judged->store : "");
	if (judged->manifest)
		say(c, UL_IMAGE_OK, "manifest", "made from %s", judged->registration);
	else
		say(c, UL_IMAGE_NOTE, "manifest", "there is none, and no registration to make it from");
}

static void tell_content(const struct check *c)
{
	const struct ul_content_result *content = &c->result.content;
	const struct ul_judged *judged = &content->judged;

	tell_manifest(c);
	if (!judged->foreign && !c->result.seal.from_descriptor)
		say(c, UL_IMAGE_NOTE, "descriptor", "the image was made with one, and it was taken away");
	if (judged->system)
		say(c, UL_IMAGE_OK, "system", "%s", judged->system);
	else
		say(c, UL_IMAGE_NOTE, "system",
		    "the image does not name one: it starts where a policy does ([system] path)");
	if (content->database)
		say(c, UL_IMAGE_OK, "database", "agrees with the manifest");
	if (content->names)
		say(c, UL_IMAGE_OK, "names", "those of the store's directories");
	else if (!judged->foreign)
		say(c, UL_IMAGE_NOTE, "names", "there are none: the boot makes them");
	if (c->options->contents && judged->manifest)
		say(c, UL_IMAGE_OK, "store", "%" PRIu64 " bytes of NARs match the manifest", content->nar_bytes);
}

static int check_content(struct check *c, struct ul_error *err)
{
	struct ul_work work = work_of(c);
	struct ul_lower_view lower;
	struct ul_content_question question = {
		.lower = &lower,
		.slot = c->slot,
		.seal = &c->result.seal,
		.demands = &c->options->demands,
		.system_may_be_elsewhere = c->options->system_may_be_elsewhere,
		.contents = c->options->contents ? &work : NULL,
	};
	int r;

	if (c->options->seal_only) {
		say(c, UL_IMAGE_NOTE, "content", "not checked (--seal-only)");
		return 0;
	}
	r = ul_lower_mount(&c->slot->data, &lower, err);
	if (r < 0)
		return r;
	r = ul_content_check(&question, &c->result.content, err);
	ul_lower_unmount(&lower);
	if (r == 0)
		tell_content(c);
	return r;
}

static int check_slot(struct check *c, struct ul_error *err)
{
	int r;

	ul_image_check_result_free(&c->result);
	r = check_seal(c, err);
	if (r < 0)
		return r;
	check_uuids(c);
	r = check_tree(c, err);
	if (r == 0)
		r = check_fec(c, err);
	if (r < 0)
		return r;
	check_superblock(c);
	check_label(c);
	r = check_filesystem(c, err);
	return r < 0 ? r : check_content(c, err);
}

int ul_image_check(const char *image, const struct ul_image_check_options *options, struct ul_image_check_result *ret,
		   struct ul_error *err)
{
	/* O_NONBLOCK: a pipe must not keep us waiting. */
	ul_autoclose int fd = open(image, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct check c = {.image = image, .fd = fd, .options = options};
	const struct ul_seal_policy *seal = &options->demands.seal;
	struct ul_slot_list list = {0};
	int r;

	if (seal->pinned_root_hash)
		ul_hex_encode(seal->pinned_root_hash, seal->pinned_root_hash_len, c.demanded);
	if (fd < 0)
		return ul_error_errno(err, UL_E_DEVICE, "verifying the image", image, NULL, errno);
	r = check_table(&c, &list, err);
	if (r == 0)
		r = check_names(&c, &list, err);
	if (r == 0)
		check_pinned(&c, &list);
	for (size_t i = 0; r == 0 && i < list.n; i++) {
		c.slot = &list.at[i];
		r = check_slot(&c, err);
	}
	ul_slots_free(&list);
	if (r < 0) {
		ul_image_check_result_free(&c.result);
		return r;
	}
	*ret = c.result;
	return 0;
}

void ul_image_check_result_free(struct ul_image_check_result *result)
{
	ul_seal_free(&result->seal);
	ul_judged_free(&result->content.judged);
	*result = (struct ul_image_check_result){0};
}
