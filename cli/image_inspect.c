/* `underlay image inspect`: what an image says of itself, for people and for programs. Verifies nothing. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/image.h"
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
		printf("  %2u  %-24s %14" PRIu64 " bytes at %-14" PRIu64 " %s  %s\n", p->number,
		       type_name(p->type, name), p->size, p->offset, p->uuid, label);
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

static void print_slot(const struct ul_slot_view *v)
{
	const struct ul_slot *s = v->slot;
	char hex[65];

	printf("slot: %s %s (%s, %s)\n", s->name[0] ? s->name : "(no name)",
	       s->version[0] ? s->version : "(no version)", v->designator, v->architecture);
	printf("  file system: %s, %" PRIu64 " bytes\n", v->filesystem[0] ? v->filesystem : "unknown", s->data.size);
	if (v->no_signature.code) {
		printf("  signature: %s\n", v->no_signature.why);
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

/* Adding to NULL fails, and a failed object is NULL: only the end needs to be looked at. */
static bool add_object(struct json_object *to, const char *key, struct json_object *value)
{
	if (value && json_object_object_add(to, key, value) == 0)
		return true;
	json_object_put(value);
	return false;
}

static bool add_hex(struct json_object *to, const char *key, const void *data, size_t len)
{
	char hex[2 * UL_SALT_MAX + 1];

	ul_hex_encode(data, len, hex);
	return ul_json_add_string(to, key, hex);
}

static struct json_object *json_table(const struct ul_image_view *view)
{
	struct json_object *list = json_object_new_array();
	bool ok = list != NULL;

	for (size_t i = 0; ok && i < view->gpt.n; i++) {
		const struct ul_partition *p = &view->gpt.partitions[i];
		struct json_object *row = json_object_new_object();

		ok = row && ul_json_add_uint(row, "number", p->number) && ul_json_add_uint(row, "offset", p->offset) &&
		     ul_json_add_uint(row, "size", p->size) && ul_json_add_string(row, "type", p->type) &&
		     ul_json_add_string(row, "uuid", p->uuid) && ul_json_add_string(row, "label", p->label) &&
		     json_object_array_add(list, row) == 0;
		if (!ok)
			json_object_put(row);
	}
	if (ok)
		return list;
	json_object_put(list);
	return NULL;
}

static struct json_object *json_parameters(const struct ul_descriptor *d, bool identity)
{
	struct json_object *o = json_object_new_object();
	bool ok = o && ul_json_add_string(o, "hash", d->hash) && add_hex(o, "salt", d->salt, d->salt_len) &&
		  ul_json_add_uint(o, "dataBlockSize", d->data_block_size) &&
		  ul_json_add_uint(o, "hashBlockSize", d->hash_block_size) &&
		  ul_json_add_uint(o, "dataBlocks", d->data_blocks) && ul_json_add_uint(o, "hashStart", d->hash_start);

	if (ok && identity)
		ok = add_hex(o, "rootHash", d->root_hash, d->root_hash_len) && ul_json_add_string(o, "name", d->name) &&
		     ul_json_add_string(o, "version", d->version) &&
		     ul_json_add_uint(o, "rollbackIndex", d->rollback_index) &&
		     ul_json_add_uint(o, "fecRoots", d->fec_roots) && ul_json_add_uint(o, "fecStart", d->fec_start) &&
		     ul_json_add_uint(o, "fecSize", ul_fec_size(d)) &&
		     (!d->has_manifest || add_hex(o, "manifest", d->manifest_hash, 32));
	if (ok)
		return o;
	json_object_put(o);
	return NULL;
}

static struct json_object *json_slot(const struct ul_slot_view *v)
{
	struct json_object *o = json_object_new_object();
	const struct ul_slot *s = v->slot;
	bool ok = o && ul_json_add_string(o, "name", s->name) && ul_json_add_string(o, "version", s->version) &&
		  ul_json_add_string(o, "label", s->label) && ul_json_add_string(o, "architecture", v->architecture) &&
		  ul_json_add_string(o, "designator", v->designator) &&
		  ul_json_add_string(o, "filesystem", v->filesystem[0] ? v->filesystem : NULL) &&
		  ul_json_add_string(o, "dataUuid", s->data_uuid) && ul_json_add_string(o, "hashUuid", s->hash_uuid);

	if (ok && v->no_signature.code)
		ok = ul_json_add_string(o, "noSignature", v->no_signature.why);
	else if (ok)
		ok = ul_json_add_string(o, "rootHash", v->blob.root_hash) &&
		     ul_json_add_bool(o, "signed", v->blob.signature.len > 0) &&
		     (!v->blob.has_fingerprint || add_hex(o, "claimedSigner", v->blob.fingerprint, 32));
	if (ok)
		ok = v->no_descriptor[0] ? ul_json_add_string(o, "noDescriptor", v->no_descriptor)
					 : add_object(o, "descriptor", json_parameters(&v->descriptor, true));
	if (ok)
		ok = v->no_superblock[0] ? ul_json_add_string(o, "noSuperblock", v->no_superblock)
					 : add_object(o, "superblock", json_parameters(&v->superblock, false));
	if (ok)
		return o;
	json_object_put(o);
	return NULL;
}

static bool fill_json(struct json_object *o, const char *image, const struct ul_image_view *view)
{
	struct json_object *slots = json_object_new_array();
	bool ok = add_object(o, "slots", slots) && ul_json_add_string(o, "image", image) &&
		  ul_json_add_bool(o, "verified", false) && ul_json_add_uint(o, "size", view->gpt.disk_size) &&
		  ul_json_add_uint(o, "sectorSize", view->gpt.sector_size) &&
		  ul_json_add_bool(o, "tableFromBackup", view->gpt.from_backup) &&
		  ul_json_add_bool(o, "tableCopiesAgree", view->copies_equal) &&
		  add_object(o, "partitions", json_table(view));

	for (size_t i = 0; ok && i < view->slots.n; i++) {
		struct json_object *slot = json_slot(&view->views[i]);

		ok = slot && json_object_array_add(slots, slot) == 0;
		if (!ok)
			json_object_put(slot);
	}
	return ok;
}

static int print_json(const char *image, const struct ul_image_view *view)
{
	ul_autojson struct json_object *o = json_object_new_object();
	struct ul_error err;

	if (!o || !fill_json(o, image, view)) {
		ul_error_nomem(&err, "writing JSON");
		return cli_fail(&err);
	}
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	return 0;
}

int cli_image_inspect(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {0}};
	struct ul_image_view view;
	struct ul_error err;
	bool json = false;
	int c, status = 0;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'j')
			return cli_usage_error(cli_current(), "wrong option");
		json = true;
	}
	if (argc - optind != 1)
		return cli_usage_error(cli_current(), "one image is wanted");
	if (ul_image_view(argv[optind], &view, &err) < 0)
		return cli_fail(&err);
	if (json)
		status = print_json(argv[optind], &view);
	else
		print_text(argv[optind], &view);
	ul_image_view_free(&view);
	return status;
}
