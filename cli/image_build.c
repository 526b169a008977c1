/* `underlay image build`: the arguments, where the manifest comes from, and the summary. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/image_key.h"
#include "cli/source.h"
#include "common/cleanup.h"
#include "common/encoding.h"
#include "common/file.h"
#include "common/json.h"
#include "dbgen/store/store_link.h"
#include "verity/format/fec_geometry.h"
#include "verity/image/build.h"

#define LIVE_STORE    "/nix/store"
#define LIVE_DATABASE "/nix/var/nix/db/db.sqlite"
/* The group nixbld on NixOS and where Nix's installer made it. */
#define NIXBLD_GROUP "30000"

struct arguments {
	struct ul_image_options image;
	const char *manifest, *registration, *database, *store_dir, *sector;
	struct cli_key key;
	struct cli_texts roots;          /* of the closure; the system is one */
	char system[UL_STORE_PATH_SIZE]; /* what image.system leads to */
	bool portable, json, verbose;
};

#define AT(member) offsetof(struct arguments, member)

static const struct cli_option options[] = {
	{"output", 'o', "IMAGE", CLI_FILE, AT(image.output), CLI_NEEDED,
	 .help = "the image; it appears whole or not at all"},
	{"name", 0, "NAME", CLI_TEXT, AT(image.name), CLI_NEEDED,
	 .help = "what the image is called: letters, digits and . + ~ ^ -"},
	{"version", 0, "VERSION", CLI_TEXT, AT(image.version), CLI_NEEDED,
	 .help = "its version; newer ones are started first"},
	{"system", 0, "PATH", CLI_DIRECTORY, AT(image.system), 0,
	 .help = "the store path whose init is started, or a link to it"},
	{"closure", 0, "PATH", CLI_FILES, AT(roots), 0,
	 .help = "another path, or a link to it, to take with all that it refers to"},
	{"manifest", 0, "FILE", CLI_FILE, AT(manifest), 0, .help = "take the paths of this manifest, all of them"},
	{"registration", 0, "FILE", CLI_FILE, AT(registration), 0,
	 .help = "take the paths of this registration text, as inside a Nix build"},
	{"database", 0, "FILE", CLI_FILE, AT(database), 0,
	 .help = "take the paths of this db.sqlite; without any of the three, closures of " LIVE_DATABASE},
	{"store", 0, "DIR", CLI_DIRECTORY, AT(image.store), 0,
	 .help = "the directory that holds the paths; the store directory when not given"},
	{"store-dir", 0, "DIR", CLI_DIRECTORY, AT(store_dir), 0, .check = cli_check_absolute, .def = LIVE_STORE,
	 .help = "the store directory that the paths' names begin with"},
	{"key", 0, "FILE", CLI_FILE, AT(key.key), 0,
	 .help = "sign with this key (PEM); without one the image is left to be signed later"},
	{"cert", 0, "FILE", CLI_FILE, AT(key.cert), 0, .help = "the key's certificate (PEM)"},
	{"passphrase-file", 0, "FILE", CLI_FILE, AT(key.passphrase_file), 0,
	 .help = "the first line of this file is the key's passphrase"},
	{"format", 0, "erofs|squashfs", CLI_WORD, AT(image.format), 0, .def = "erofs", .help = "the filesystem"},
	{"compression", 0, "NAME[,LEVEL]", CLI_TEXT, AT(image.compression), 0,
	 .help = "none, lz4, lz4hc, zstd, or what else the installed mkfs.erofs or mksquashfs knows"},
	{"rollback-index", 0, "N", CLI_NUMBER, AT(image.rollback_index), 0, .max = INT64_MAX, .def = "0",
	 .help = "what a policy's rollback-min is compared with"},
	{"fec", 0, "ROOTS", CLI_NUMBER32, AT(image.fec_roots), 0, .min = UL_FEC_ROOTS_MIN, .max = UL_FEC_ROOTS_MAX,
	 .bare = "2", .help = "add parity from which dm-verity mends damaged blocks, ROOTS of 255 parts of the image"},
	{"no-database", 0, NULL, CLI_FLAG, AT(image.no_database), 0,
	 .help = "leave the attached database out: the boot rebuilds one"},
	{"portable", 0, NULL, CLI_FLAG, AT(portable), 0,
	 .help = "leave out what Nix knows of the paths on this machine only, so that every machine makes the same image"},
	{"machine", 0, "NAME", CLI_TEXT, AT(image.machine), 0,
	 .help = "the machine that the image is for, as `uname -m` names it; this one when not given"},
	{"designator", 0, "usr|root", CLI_WORD, AT(image.designator), 0, .def = "usr",
	 .help = "which partition types to use"},
	CLI_SECTOR_ROW(AT(sector), "of the disk that the image is written to as it is"),
	CLI_THREADS_ROW(AT(image.threads), "as many as there are processors when not given"),
	{"store-group", 0, "GID", CLI_NUMBER32, AT(image.store_group), 0, .max = UINT16_MAX, .def = NIXBLD_GROUP,
	 .help = "the group of nix/store in the image, nixbld on NixOS; 0 leaves it to root"},
	{"force", 0, NULL, CLI_FLAG, AT(image.replace), 0, .help = "replace an image that is there"},
	{"no-namespace", 0, NULL, CLI_FLAG, AT(image.no_namespace), 0,
	 .help = "copy the closure instead of mounting it in a private namespace"},
	{"json", 0, NULL, CLI_FLAG, AT(json), 0, .help = "print the summary as JSON"},
	{"verbose", 'v', NULL, CLI_FLAG, AT(verbose), 0, .help = "tell how the tree was laid out"},
	{.help = NULL},
};

static const struct cli_rule rules[] = {
	{CLI_AT_MOST_ONE, "--manifest --registration --database", NULL},
	{CLI_TOGETHER, "--key --cert", NULL},
	{CLI_NEEDS, "--passphrase-file --key", NULL},
	{CLI_AT_MOST_ONE, "--manifest --closure", "a manifest is taken whole"},
	{CLI_AT_MOST_ONE, "--manifest --portable", "a manifest is taken whole"},
	{CLI_AT_LEAST_ONE, "--system --closure --manifest --registration --database",
	 "one of them must say which paths to take"},
	{.members = NULL},
};

/* ---- the manifest ---- */

/* The system may be given by a link. */
static int follow_system(struct arguments *a, const char *store_dir, struct ul_error *err)
{
	int r = a->image.system ? ul_store_path_follow(store_dir, a->image.system, a->system, err) : 0;

	if (r == 0 && a->image.system)
		a->image.system = a->system;
	return r;
}

/*
 * A source that is named was made for the image, so all of it is taken unless closures are named too; of the live
 * store, only the closures.
 */
static int build_manifest(struct arguments *a, struct ul_buffer *ret, struct ul_error *err)
{
	ul_autobuilder struct ul_builder *b = ul_builder_new(a->store_dir);
	bool restricted = a->roots.n > 0 || (!a->registration && !a->database);
	int r;

	if (!b)
		return ul_error_nomem(err, "reading the store's database");
	r = follow_system(a, a->store_dir, err);
	if (r == 0 && a->image.system && ul_vector_push(&a->roots, a->image.system) < 0)
		r = ul_error_nomem(err, "reading the store's database");
	if (r == 0 && restricted)
		r = cli_restrict(b, &a->roots, err);
	if (r == 0 && a->registration)
		r = cli_import_text(b, ul_import_registration, a->registration, err);
	else if (r == 0 && !a->database && access(LIVE_DATABASE, F_OK) < 0 && errno == ENOENT)
		r = ul_error_set(err, UL_E_SYSTEM, "reading Nix's database", LIVE_DATABASE,
				 "Name what lists the store paths by --database, --registration or --manifest.",
				 "this machine has none");
	else if (r == 0)
		r = ul_import_database(b, a->database ? a->database : LIVE_DATABASE, err);
	if (r == 0 && a->portable)
		ul_builder_drop_local(b);
	if (r == 0)
		r = ul_builder_finish(b, ret, err);
	if (r == 0)
		cli_print_notes(b);
	return r;
}

/* bytes holds the manifest where it was made here: it must live as long. */
static int get_manifest(struct arguments *a, struct ul_buffer *bytes, struct ul_manifest **ret, struct ul_error *err)
{
	int r;

	if (a->manifest) {
		r = ul_manifest_open_file(AT_FDCWD, a->manifest, ret, err);
		return r < 0 ? r : follow_system(a, ul_manifest_store_dir(*ret), err);
	}
	r = build_manifest(a, bytes, err);
	return r < 0 ? r : ul_manifest_open_memory(bytes->data, bytes->len, ret, err);
}

/* ---- the summary ---- */

static void print_staging(const struct ul_staging_report *s)
{
	if (s->bind_mounts)
		printf("  laid out by %" PRIu64 " bind mounts", s->bound);
	else
		printf("  laid out by %" PRIu64 " hard links (no mount namespace)", s->linked);
	printf(" and %" PRIu64 " copied files (%.1f MB)\n", s->copied, (double)s->copied_bytes / 1e6);
}

static void print_text(const struct arguments *a, const struct ul_image_result *result, const struct ul_signer_name *by)
{
	char hex[65];

	ul_hex_encode(result->root_hash, sizeof(result->root_hash), hex);
	printf("%s: %s %s\n", a->image.output, a->image.name, a->image.version);
	printf("  %.1f MB, %" PRIu32 " store paths\n", (double)result->size / 1e6, result->paths);
	printf("  root hash %s\n", hex);
	if (*by->subject)
		printf("  signed by %s\n", by->subject);
	else
		printf("  not signed; see underlay image sign\n");
	if (a->verbose)
		print_staging(&result->staging);
}

static struct json_object *staging_json(const struct ul_staging_report *s)
{
	struct json_object *obj = json_object_new_object();

	return ul_json_if(
		ul_json_add_bool(obj, "bindMounts", s->bind_mounts) && ul_json_add_uint(obj, "bound", s->bound) &&
			ul_json_add_uint(obj, "linked", s->linked) && ul_json_add_uint(obj, "copied", s->copied) &&
			ul_json_add_uint(obj, "copiedBytes", s->copied_bytes),
		obj);
}

static int print_json(const struct arguments *a, const struct ul_image_result *result, const struct ul_signer_name *by)
{
	ul_autojson struct json_object *obj = ul_json_document(1);
	bool is_signed = *by->subject != '\0';
	bool ok = obj && ul_json_add_string(obj, "image", a->image.output) &&
		  ul_json_add_string(obj, "name", a->image.name) &&
		  ul_json_add_string(obj, "version", a->image.version) && ul_json_add_uint(obj, "size", result->size) &&
		  ul_json_add_uint(obj, "dataSize", result->data_size) &&
		  ul_json_add_uint(obj, "hashSize", result->hash_size) &&
		  ul_json_add_uint(obj, "fecSize", result->fec_size) && ul_json_add_uint(obj, "paths", result->paths) &&
		  ul_json_add_hex(obj, "rootHash", result->root_hash, sizeof(result->root_hash)) &&
		  ul_json_add_string(obj, "signer", is_signed ? by->subject : NULL) &&
		  ul_json_add_string(obj, "signerFingerprint", is_signed ? by->fingerprint : NULL) &&
		  ul_json_add(obj, "staging", staging_json(&result->staging));

	return cli_print_json(ok ? obj : NULL);
}

/* ---- the command ---- */

static int build(struct arguments *a, struct ul_image_result *result, struct ul_signer_name *by, struct ul_error *err)
{
	ul_automanifest struct ul_manifest *m = NULL;
	UL_CLEANUP(cli_free_signer) struct ul_signer *signer = NULL;
	ul_autobuffer struct ul_buffer bytes = {0};
	int r = a->key.key ? cli_load_signer(&a->key, &signer, err) : 0;

	if (r == 0)
		r = get_manifest(a, &bytes, &m, err);
	if (r < 0)
		return r;
	a->image.signer = signer;
	a->image.sector = cli_sector_size(a->sector);
	a->image.progress = cli_progress();
	a->image.cancelled = cli_interrupted;
	r = ul_image_build(m, &a->image, result, err);
	if (r == 0 && signer)
		r = cli_signer_of(a->image.output, a->key.cert, by, err);
	return r;
}

static int run(void *arguments)
{
	struct arguments *a = arguments;
	struct ul_image_result result;
	struct ul_signer_name by = {.subject = ""};
	struct ul_error err;

	cli_catch_signals();
	if (build(a, &result, &by, &err) < 0)
		return cli_fail(&err);
	cli_progress_done();
	if (a->json)
		return print_json(a, &result, &by);
	print_text(a, &result, &by);
	return 0;
}

const struct cli_command cli_image_build = {
	.group = "image",
	.name = "build",
	.help = "seal a closure into a store image",
	.page = "underlay-image",
	.options = options,
	.rules = rules,
	.size = sizeof(struct arguments),
	.run = run,
};
