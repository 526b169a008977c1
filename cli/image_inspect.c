/* `underlay image inspect`: what an image says of itself, for people and for programs. Verifies nothing. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "common/encoding.h"
#include "common/json.h"
#include "verity/format/fec_geometry.h"
#include "verity/locate/image_view.h"
#include "verity/format/partition_types.h"

/* ---- for people ---- */

static const char *type_name(const char *uuid, char buf[64])
{
	for (const struct ul_partition_types *t = ul_partition_types; t->architecture; t++) {
		const char *what = !strcmp(uuid, t->data)         ? ""
				   : !strcmp(uuid, t->verity)     ? "-verity"
				   : !strcmp(uuid, t->verity_sig) ? "-verity-sig"
								  : NULL;

		if (!what)
			continue;
		snprintf(buf, 64, "%s-%s%s", t->designator, t->architecture, what);
		return buf;
	}
	return uuid;
}

static void print_table(const struct ul_image_view *view)
{
	char name[64], label[3 * UL_GPT_LABEL_SIZE];

	printf("partition table: GPT, %zu partitions%s\n", view->gpt.n,
	       view->gpt.from_backup ? ", from its backup copy" : "");
	if (!view->copies_equal)
		printf("  damaged: %s\n", view->copies.why);
	for (size_t i = 0; i < view->gpt.n; i++) {
		const struct ul_partition *p = &view->gpt.partitions[i];

		ul_escape_text(label, sizeof(label), p->label);
		printf("  %2u  %-24s %14" PRIu64 " bytes at %-14" PRIu64 " %s  %s%s\n", p->number,
		       type_name(p->type, name), p->size, p->offset, p->uuid, label,
		       p->no_auto ? "  (no auto: out of use)" : "");
	}
}

static void print_parameters(const struct ul_descriptor *d)
{
	char salt[2 * UL_SALT_MAX + 1];

	ul_hex_encode(d->salt, d->salt_len, salt);
	printf("    %s, salt %s\n", d->hash, d->salt_len ? salt : "none");
	printf("    %" PRIu64 " data blocks of %u bytes; hash blocks of %u bytes from %" PRIu64 "\n", d->data_blocks,
	       d->data_block_size, d->hash_block_size, d->hash_start);
	if (d->fec_roots)
		printf("    FEC: %u roots, %" PRIu64 " bytes from %" PRIu64 "\n", d->fec_roots, ul_fec_size(d),
		       d->fec_start);
}

/*
 * An image that nobody signed says its root hash by its partitions' UUIDs, which are its two halves (UAPI.2); of one of
 * 64 bytes they are a part. "": not known.
 */
static const char *hash_of_uuids(const struct ul_slot_view *v, char ret[2 * 32 + 1])
{
	const char *const uuids[] = {v->slot->data_uuid, v->slot->hash_uuid};
	size_t n = 0;

	for (size_t i = 0; i < 2; i++)
		for (const char *c = uuids[i]; *c && n < 2 * 32; c++)
			if (*c != '-')
				ret[n++] = *c;
	ret[n] = '\0';
	if (n < 2 * 32 || v->no_superblock[0] || strcmp(v->superblock.hash, "sha256") != 0)
		ret[0] = '\0';
	return ret;
}

static void print_slot(const struct ul_slot_view *v)
{
	const struct ul_slot *s = v->slot;
	char hex[65];

	printf("slot: %s %s (%s, %s)\n", s->name[0] ? s->name : "(no name)",
	       s->version[0] ? s->version : "(no version)", v->designator, v->architecture);
	printf("  file system: %s, %" PRIu64 " bytes\n", v->filesystem[0] ? v->filesystem : "unknown", s->data.size);
	if (v->no_signature.code) {
		printf("  signature: %s\n", v->no_signature.why);
		if (hash_of_uuids(v, hex)[0])
			printf("  root hash: %s, by the partitions' UUIDs\n", hex);
	} else {
		printf("  root hash: %s\n", v->blob.root_hash);
		ul_hex_encode(v->blob.fingerprint, 32, hex);
		if (v->blob.signature.len == 0)
			puts("  not signed");
		else
			printf("  signed, as it says, by the certificate with SHA-256 %s\n",
			       v->blob.has_fingerprint ? hex : "(not said)");
	}
	if (v->no_descriptor[0]) {
		printf("  descriptor: %s\n", v->no_descriptor);
	} else {
		printf("  descriptor: %s %s, rollback index %" PRIu64 "\n", v->descriptor.name, v->descriptor.version,
		       v->descriptor.rollback_index);
		print_parameters(&v->descriptor);
		ul_hex_encode(v->descriptor.manifest_hash, 32, hex);
		printf("    manifest SHA-256 %s\n", v->descriptor.has_manifest ? hex : "none");
	}
	if (v->no_superblock[0]) {
		printf("  superblock: %s\n", v->no_superblock);
	} else {
		printf("  superblock:%s\n", v->no_descriptor[0] ? "" : " (ignored, as there is a descriptor)");
		print_parameters(&v->superblock);
	}
}

static void print_text(const char *image, const struct ul_image_view *view)
{
	char name[512];

	ul_escape_text(name, sizeof(name), image);
	printf("%s: %" PRIu64 " bytes. Nothing of what follows is verified.\n", name, view->gpt.disk_size);
	print_table(view);
	if (view->slots.n == 0)
		puts("no store image: no data partition with a hash partition beside it");
	for (size_t i = 0; i < view->slots.n; i++)
		print_slot(&view->views[i]);
}

/* ---- for programs ---- */

static struct json_object *partition_json(const struct ul_partition *p)
{
	struct json_object *row = json_object_new_object();

	return ul_json_if(ul_json_add_uint(row, "number", p->number) && ul_json_add_uint(row, "offset", p->offset) &&
				  ul_json_add_uint(row, "size", p->size) && ul_json_add_string(row, "type", p->type) &&
				  ul_json_add_string(row, "uuid", p->uuid) &&
				  ul_json_add_string(row, "label", p->label) &&
				  ul_json_add_bool(row, "noAuto", p->no_auto),
			  row);
}

static struct json_object *json_table(const struct ul_image_view *view)
{
	struct json_object *list = json_object_new_array();
	bool ok = list != NULL;

	for (size_t i = 0; ok && i < view->gpt.n; i++)
		ok = ul_json_append(list, partition_json(&view->gpt.partitions[i]));
	return ul_json_if(ok, list);
}

static struct json_object *json_parameters(const struct ul_descriptor *d, bool identity)
{
	struct json_object *o = json_object_new_object();
	bool ok = ul_json_add_string(o, "hash", d->hash) && ul_json_add_hex(o, "salt", d->salt, d->salt_len) &&
		  ul_json_add_uint(o, "dataBlockSize", d->data_block_size) &&
		  ul_json_add_uint(o, "hashBlockSize", d->hash_block_size) &&
		  ul_json_add_uint(o, "dataBlocks", d->data_blocks) && ul_json_add_uint(o, "hashStart", d->hash_start);

	if (ok && identity)
		ok = ul_json_add_hex(o, "rootHash", d->root_hash, d->root_hash_len) &&
		     ul_json_add_string(o, "name", d->name) && ul_json_add_string(o, "version", d->version) &&
		     ul_json_add_uint(o, "rollbackIndex", d->rollback_index) &&
		     ul_json_add_uint(o, "fecRoots", d->fec_roots) && ul_json_add_uint(o, "fecStart", d->fec_start) &&
		     ul_json_add_uint(o, "fecSize", ul_fec_size(d)) &&
		     (!d->has_manifest || ul_json_add_hex(o, "manifest", d->manifest_hash, 32));
	return ul_json_if(ok, o);
}

static struct json_object *json_slot(const struct ul_slot_view *v)
{
	struct json_object *o = json_object_new_object();
	const struct ul_slot *s = v->slot;
	char hex[65];
	bool ok = ul_json_add_string(o, "name", s->name) && ul_json_add_string(o, "version", s->version) &&
		  ul_json_add_string(o, "label", s->label) && ul_json_add_string(o, "architecture", v->architecture) &&
		  ul_json_add_string(o, "designator", v->designator) &&
		  ul_json_add_string(o, "filesystem", v->filesystem[0] ? v->filesystem : NULL) &&
		  ul_json_add_string(o, "dataUuid", s->data_uuid) && ul_json_add_string(o, "hashUuid", s->hash_uuid);

	if (ok && v->no_signature.code)
		ok = ul_json_add_string(o, "noSignature", v->no_signature.why) &&
		     (!hash_of_uuids(v, hex)[0] || ul_json_add_string(o, "rootHash", hex));
	else if (ok)
		ok = ul_json_add_string(o, "rootHash", v->blob.root_hash) &&
		     ul_json_add_bool(o, "signed", v->blob.signature.len > 0) &&
		     (!v->blob.has_fingerprint || ul_json_add_hex(o, "claimedSigner", v->blob.fingerprint, 32));
	if (ok)
		ok = v->no_descriptor[0] ? ul_json_add_string(o, "noDescriptor", v->no_descriptor)
					 : ul_json_add(o, "descriptor", json_parameters(&v->descriptor, true));
	if (ok)
		ok = v->no_superblock[0] ? ul_json_add_string(o, "noSuperblock", v->no_superblock)
					 : ul_json_add(o, "superblock", json_parameters(&v->superblock, false));
	return ul_json_if(ok, o);
}

static struct json_object *json_slots(const struct ul_image_view *view)
{
	struct json_object *list = json_object_new_array();
	bool ok = list != NULL;

	for (size_t i = 0; ok && i < view->slots.n; i++)
		ok = ul_json_append(list, json_slot(&view->views[i]));
	return ul_json_if(ok, list);
}

static int print_json(const char *image, const struct ul_image_view *view)
{
	ul_autojson struct json_object *o = ul_json_document(1);
	bool ok = o && ul_json_add_string(o, "image", image) && ul_json_add_bool(o, "verified", false) &&
		  ul_json_add_uint(o, "size", view->gpt.disk_size) &&
		  ul_json_add_uint(o, "sectorSize", view->gpt.sector_size) &&
		  ul_json_add_bool(o, "tableFromBackup", view->gpt.from_backup) &&
		  ul_json_add_bool(o, "tableCopiesAgree", view->copies_equal) &&
		  ul_json_add(o, "partitions", json_table(view)) && ul_json_add(o, "slots", json_slots(view));

	return cli_print_json(ok ? o : NULL);
}

/* ---- the command ---- */

struct arguments {
	const char *image;
	bool json;
};

static const struct cli_option options[] = {
	{NULL, 0, "IMAGE", CLI_FILE, offsetof(struct arguments, image), CLI_NEEDED,
	 .help = "an image, or a disk with some"},
	{"json", 0, NULL, CLI_FLAG, offsetof(struct arguments, json), 0, .help = "print it as JSON"},
	{.help = NULL},
};

static int run(void *arguments)
{
	const struct arguments *a = arguments;
	struct ul_image_view view;
	struct ul_error err;
	int status = 0;

	if (ul_image_view(a->image, &view, &err) < 0)
		return cli_fail(&err);
	if (a->json)
		status = print_json(a->image, &view);
	else
		print_text(a->image, &view);
	ul_image_view_free(&view);
	return status;
}

const struct cli_command cli_image_inspect = {
	.group = "image",
	.name = "inspect",
	.help = "show what a store image says of itself, unverified",
	.page = "underlay-image",
	.options = options,
	.size = sizeof(struct arguments),
	.run = run,
};
