/* underlay manifest: create, show, export. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/source.h"
#include "common/buffer.h"
#include "common/encoding.h"
#include "common/file.h"
#include "common/json.h"
#include "dbgen/exchange/export.h"
#include "dbgen/store/store_link.h"

/* ---- create ---- */

struct create {
	const char *output, *store_dir;
	struct cli_texts registrations, path_infos, databases, roots;
	bool portable;
};

#define AT(member) offsetof(struct create, member)

static const struct cli_option create_options[] = {
	{"output", 'o', "FILE", CLI_FILE, AT(output), CLI_NEEDED,
	 .help = "the manifest; it is replaced whole or not at all"},
	{"registration", 0, "FILE", CLI_FILES, AT(registrations), 0,
	 .help = "a source: registration text, as `nix-store --dump-db` prints it; - is standard input"},
	{"json", 0, "FILE", CLI_FILES, AT(path_infos), 0,
	 .help = "a source: what `nix path-info --json` prints; - is standard input"},
	{"database", 0, "FILE", CLI_FILES, AT(databases), 0, .help = "a source: Nix's db.sqlite, which is only read"},
	{"closure", 0, "PATH", CLI_FILES, AT(roots), 0,
	 .help = "keep only this path, or the one it links to, and what it refers to, directly or not"},
	{"portable", 0, NULL, CLI_FLAG, AT(portable), 0,
	 .help = "keep only what is the same on every machine that has the paths"},
	{"store-dir", 0, "DIR", CLI_DIRECTORY, AT(store_dir), 0, .check = cli_check_absolute, .def = "/nix/store",
	 .help = "the store directory that the paths' names begin with"},
	{.help = NULL},
};

#undef AT

static const struct cli_rule create_rules[] = {
	{CLI_AT_LEAST_ONE, "--registration --json --database", NULL},
	{.members = NULL},
};

static int import_texts(struct ul_builder *b, cli_text_importer import, const struct cli_texts *files,
			struct ul_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < files->n; i++)
		r = cli_import_text(b, import, files->at[i], err);
	return r;
}

static int build(const struct create *c, struct ul_buffer *file, struct ul_error *err)
{
	ul_autobuilder struct ul_builder *b = ul_builder_new(c->store_dir);
	int r = b ? 0 : ul_error_nomem(err, "collecting store paths");

	if (r == 0 && c->roots.n > 0)
		r = cli_restrict(b, &c->roots, err);
	if (r == 0)
		r = import_texts(b, ul_import_registration, &c->registrations, err);
	if (r == 0)
		r = import_texts(b, ul_import_path_info, &c->path_infos, err);
	for (size_t i = 0; i < c->databases.n && r == 0; i++)
		r = ul_import_database(b, c->databases.at[i], err);
	if (r == 0 && c->portable)
		ul_builder_drop_local(b);
	if (r == 0)
		r = ul_builder_finish(b, file, err);
	if (r == 0)
		cli_print_notes(b);
	return r;
}

static int run_create(void *arguments)
{
	const struct create *c = arguments;
	ul_autobuffer struct ul_buffer file = {0};
	struct ul_error err = {0};
	int r = build(c, &file, &err);

	if (r == 0)
		r = ul_write_output("writing the manifest", c->output, file.data, file.len, &err);
	return r < 0 ? cli_fail(&err) : 0;
}

const struct cli_command cli_manifest_create = {
	.group = "manifest",
	.name = "create",
	.help = "make a manifest from what Nix knows of a store",
	.page = "underlay-manifest",
	.options = create_options,
	.rules = create_rules,
	.size = sizeof(struct create),
	.run = run_create,
};

/* ---- show ---- */

static int print_json(struct ul_manifest *m, const struct ul_manifest_totals *t, const uint8_t hash[32])
{
	ul_autojson struct json_object *o = ul_json_document(1);
	bool ok = o && ul_json_add_string(o, "storeDir", ul_manifest_store_dir(m)) &&
		  ul_json_add_uint(o, "paths", ul_manifest_n_paths(m)) &&
		  ul_json_add_uint(o, "references", ul_manifest_n_refs(m)) &&
		  ul_json_add_uint(o, "narBytes", t->nar_bytes) && ul_json_add_uint(o, "signed", t->with_signature) &&
		  ul_json_add_uint(o, "contentAddressed", t->with_ca) &&
		  ul_json_add_uint(o, "withDeriver", t->with_deriver) && ul_json_add_uint(o, "ultimate", t->ultimate) &&
		  ul_json_add_uint(o, "derivationOutputs", t->drv_outputs) &&
		  ul_json_add_uint(o, "realisations", t->realisations) && ul_json_add_uint(o, "bytes", t->bytes) &&
		  ul_json_add_hex(o, "sha256", hash, 32);

	return cli_print_json(ok ? o : NULL);
}

static void print_text(struct ul_manifest *m, const struct ul_manifest_totals *t, const uint8_t hash[32])
{
	uint32_t n = ul_manifest_n_paths(m);
	char hex[65];

	ul_hex_encode(hash, 32, hex);
	printf("store directory     %s\npaths               %" PRIu32 "\nreferences          %" PRIu64
	       "\nNAR bytes           %" PRIu64 "\nsigned              %" PRIu32 "\ncontent-addressed   %" PRIu32
	       "\nwith deriver        %" PRIu32 "\nultimate            %" PRIu32 "\nderivation outputs  %" PRIu32
	       "\nrealisations        %" PRIu32 "\nmanifest            %" PRIu64
	       " bytes, %.1f a path\nSHA-256             %s\n",
	       ul_manifest_store_dir(m), n, ul_manifest_n_refs(m), t->nar_bytes, t->with_signature, t->with_ca,
	       t->with_deriver, t->ultimate, t->drv_outputs, t->realisations, t->bytes, n ? (double)t->bytes / n : 0.0,
	       hex);
}

static int print_totals(struct ul_manifest *m, bool json)
{
	struct ul_manifest_totals t;
	struct ul_error err;
	uint8_t hash[32];

	if (ul_manifest_count(m, &t, &err) < 0 || ul_manifest_hash(m, hash, &err) < 0)
		return cli_fail(&err);
	if (json)
		return print_json(m, &t, hash);
	print_text(m, &t, hash);
	return 0;
}

/* The number of a path that was given in full, as a base name or by a link. */
static int look_up(struct ul_manifest *m, const char *text, uint32_t *ret, struct ul_error *err)
{
	const char *dir = ul_manifest_store_dir(m), *base = text;
	uint8_t digest[UL_DIGEST_SIZE];
	char path[UL_STORE_PATH_SIZE];
	int r = 0;

	if (!ul_store_base_parse(text, strnlen(text, UL_BASE_NAME_MAX + 1), digest)) {
		r = ul_store_path_follow(dir, text, path, err);
		base = path + strlen(dir) + 1;
	}
	if (r == 0)
		r = ul_manifest_find(m, base, ret, err);
	if (r != 0)
		return r < 0 ? r : 0;
	return ul_error_set(err, UL_E_CHECK, "looking up a path", text, NULL, "the manifest does not have it");
}

static int print_records(struct ul_manifest *m, const struct cli_texts *paths, bool json)
{
	uint32_t n = (uint32_t)paths->n;
	ul_autofree uint32_t *numbers = calloc(n, sizeof(*numbers));
	struct ul_error err;
	int r = numbers ? 0 : ul_error_nomem(&err, "looking up a path");

	for (uint32_t i = 0; i < n && r == 0; i++)
		r = look_up(m, paths->at[i], &numbers[i], &err);
	if (r == 0)
		r = json ? ul_export_path_info_of(m, numbers, n, stdout, &err)
			 : ul_export_records_of(m, numbers, n, stdout, &err);
	return r < 0 ? cli_fail(&err) : 0;
}

struct show {
	const char *manifest;
	struct cli_texts paths;
	bool json;
};

static const struct cli_option show_options[] = {
	{NULL, 0, "MANIFEST", CLI_FILE, offsetof(struct show, manifest), CLI_NEEDED, .help = "the manifest"},
	{NULL, 0, "PATH", CLI_FILES, offsetof(struct show, paths), 0,
	 .help = "a path, whole, by base name or by a link, to tell all of; the totals when none is given"},
	{"json", 0, NULL, CLI_FLAG, offsetof(struct show, json), 0,
	 .help = "print JSON; of paths, in the form of `nix path-info --json`"},
	{.help = NULL},
};

static int run_show(void *arguments)
{
	const struct show *a = arguments;
	ul_automanifest struct ul_manifest *m = NULL;
	struct ul_error err;

	if (ul_manifest_open_file(AT_FDCWD, a->manifest, &m, &err) < 0)
		return cli_fail(&err);
	return a->paths.n > 0 ? print_records(m, &a->paths, a->json) : print_totals(m, a->json);
}

const struct cli_command cli_manifest_show = {
	.group = "manifest",
	.name = "show",
	.help = "tell a manifest's totals, or all it holds of some paths",
	.page = "underlay-manifest",
	.options = show_options,
	.size = sizeof(struct show),
	.run = run_show,
};

/* ---- export ---- */

struct export
{
	const char *manifest, *format;
};

static const struct cli_option export_options[] = {
	{NULL, 0, "MANIFEST", CLI_FILE, offsetof(struct export, manifest), CLI_NEEDED, .help = "the manifest"},
	{"format", 0, "registration|json", CLI_WORD, offsetof(struct export, format), CLI_NEEDED,
	 .help = "what `nix-store --load-db` reads, or what `nix path-info --json` prints"},
	{.help = NULL},
};

static int run_export(void *arguments)
{
	const struct export *a = arguments;
	ul_automanifest struct ul_manifest *m = NULL;
	struct ul_error err;
	int r;

	if (ul_manifest_open_file(AT_FDCWD, a->manifest, &m, &err) < 0)
		return cli_fail(&err);
	r = strcmp(a->format, "json") ? ul_export_registration(m, stdout, &err) : ul_export_path_info(m, stdout, &err);
	return r < 0 ? cli_fail(&err) : 0;
}

const struct cli_command cli_manifest_export = {
	.group = "manifest",
	.name = "export",
	.help = "print a manifest in one of Nix's own forms",
	.page = "underlay-manifest",
	.options = export_options,
	.size = sizeof(struct export),
	.run = run_export,
};
