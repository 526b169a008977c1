/* underlay manifest: create, show, export. (check stands in cli/manifest_check.c.) */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/manifest_check.h"
#include "common/buffer.h"
#include "common/encoding.h"
#include "common/file.h"
#include "common/json.h"
#include "dbgen/exchange/export.h"
#include "dbgen/exchange/import.h"

/* Largest text that is read as a source, in bytes. json-c takes no more. */
#define SOURCE_MAX INT32_MAX

/* ---- create ---- */

/* The options in the order in which they were given; values are argv's. */
struct create {
	const char *output, *store_dir;
	struct {
		int kind; /* the option's letter */
		const char *file;
	} * sources;
	const char **roots;
	size_t n_sources, n_roots;
	bool portable;
};

static int import_text(struct ul_builder *b, int kind, const char *file, struct ul_error *err)
{
	ul_autobuffer struct ul_buffer text = {0};
	bool standard_input = !strcmp(file, "-");
	const char *name = standard_input ? "standard input" : file;
	int r = ul_read_file(AT_FDCWD, standard_input ? "/dev/stdin" : file, SOURCE_MAX, &text);

	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, "reading the source", name, NULL, -r);
	return kind == 'r' ? ul_import_registration(b, (const char *)text.data, text.len, name, err)
			   : ul_import_path_info(b, (const char *)text.data, text.len, name, err);
}

static int build(const struct create *c, struct ul_buffer *file, struct ul_error *err)
{
	struct ul_builder *b = ul_builder_new(c->store_dir);
	int r = b ? 0 : ul_error_nomem(err, "collecting store paths");

	for (size_t i = 0; i < c->n_sources && r == 0; i++)
		r = c->sources[i].kind == 'd' ? ul_import_database(b, c->sources[i].file, err)
					      : import_text(b, c->sources[i].kind, c->sources[i].file, err);
	if (r == 0 && c->n_roots > 0)
		r = ul_builder_restrict(b, c->roots, c->n_roots, err);
	if (r == 0 && c->portable)
		ul_builder_drop_local(b);
	if (r == 0)
		r = ul_builder_finish(b, file, err);
	ul_builder_free(b);
	return r;
}

static int create(const struct create *c)
{
	ul_autobuffer struct ul_buffer file = {0};
	struct ul_error err = {0};
	int r = build(c, &file, &err);

	if (r == 0) {
		r = ul_write_file_atomic(AT_FDCWD, c->output, 0644, file.data, file.len);
		if (r < 0)
			r = ul_error_errno(&err, UL_E_SYSTEM, "writing the manifest", c->output, NULL, -r);
	}
	return r < 0 ? cli_fail(&err) : 0;
}

static int parse_create(struct create *c, int argc, char **argv)
{
	static const struct option options[] = {
		{"output", required_argument, NULL, 'o'},       {"store-dir", required_argument, NULL, 's'},
		{"registration", required_argument, NULL, 'r'}, {"json", required_argument, NULL, 'j'},
		{"database", required_argument, NULL, 'd'},     {"closure", required_argument, NULL, 'c'},
		{"portable", no_argument, NULL, 'p'},           {NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
		switch (option) {
		case 'o':
			c->output = optarg;
			break;
		case 's':
			c->store_dir = optarg;
			break;
		case 'c':
			c->roots[c->n_roots++] = optarg;
			break;
		case 'p':
			c->portable = true;
			break;
		case 'r':
		case 'j':
		case 'd':
			c->sources[c->n_sources].kind = option;
			c->sources[c->n_sources++].file = optarg;
			break;
		default:
			return cli_usage_error(cli_current(), "there is no such option");
		}
	}
	if (optind < argc)
		return cli_usage_error(cli_current(), "\"%s\" is one argument too many", argv[optind]);
	if (!c->output)
		return cli_usage_error(cli_current(), "-o is missing");
	if (c->n_sources == 0)
		return cli_usage_error(cli_current(), "a source is missing");
	return 0;
}

static int run_create(int argc, char **argv)
{
	struct create c = {.store_dir = "/nix/store"};
	int status = 3;

	c.sources = calloc((size_t)argc, sizeof(*c.sources));
	c.roots = calloc((size_t)argc, sizeof(*c.roots));
	if (c.sources && c.roots) {
		status = parse_create(&c, argc, argv);
		if (status == 0)
			status = create(&c);
	}
	free(c.sources);
	free(c.roots);
	return status;
}

/* ---- show ---- */

static int print_totals(struct ul_manifest *m, bool json, struct ul_error *err)
{
	struct ul_manifest_totals t;
	uint8_t hash[32];
	char hex[65];
	uint32_t n = ul_manifest_n_paths(m);
	int r = ul_manifest_count(m, &t, err);

	if (r < 0)
		return r;
	ul_manifest_hash(m, hash);
	ul_hex_encode(hash, sizeof(hash), hex);
	if (json) {
		ul_autojson struct json_object *o = json_object_new_object();

		if (!o || !ul_json_add_string(o, "storeDir", ul_manifest_store_dir(m)) ||
		    !ul_json_add_uint(o, "paths", n) || !ul_json_add_uint(o, "references", ul_manifest_n_refs(m)) ||
		    !ul_json_add_uint(o, "narBytes", t.nar_bytes) || !ul_json_add_uint(o, "signed", t.with_signature) ||
		    !ul_json_add_uint(o, "contentAddressed", t.with_ca) ||
		    !ul_json_add_uint(o, "withDeriver", t.with_deriver) ||
		    !ul_json_add_uint(o, "ultimate", t.ultimate) ||
		    !ul_json_add_uint(o, "derivationOutputs", t.drv_outputs) ||
		    !ul_json_add_uint(o, "realisations", t.realisations) || !ul_json_add_uint(o, "bytes", t.bytes) ||
		    !ul_json_add_string(o, "sha256", hex))
			return ul_error_nomem(err, "printing the totals");
		puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
		return 0;
	}
	printf("store directory     %s\npaths               %" PRIu32 "\nreferences          %" PRIu64
	       "\nNAR bytes           %" PRIu64 "\nsigned              %" PRIu32 "\ncontent-addressed   %" PRIu32
	       "\nwith deriver        %" PRIu32 "\nultimate            %" PRIu32 "\nderivation outputs  %" PRIu32
	       "\nrealisations        %" PRIu32 "\nmanifest            %" PRIu64
	       " bytes, %.1f a path\nSHA-256             %s\n",
	       ul_manifest_store_dir(m), n, ul_manifest_n_refs(m), t.nar_bytes, t.with_signature, t.with_ca,
	       t.with_deriver, t.ultimate, t.drv_outputs, t.realisations, t.bytes, n ? (double)t.bytes / n : 0.0, hex);
	return 0;
}

/* The number of a path that was given in full or as a base name. */
static int look_up(struct ul_manifest *m, const char *path, uint32_t *ret, struct ul_error *err)
{
	const char *dir = ul_manifest_store_dir(m), *base = path;
	size_t len = strlen(dir);
	int r;

	if (!strncmp(path, dir, len) && path[len] == '/')
		base = path + len + 1;
	r = ul_manifest_find(m, base, ret, err);
	if (r != 0)
		return r < 0 ? r : 0;
	return ul_error_set(err, UL_E_CHECK, "looking up a path", path, NULL, "the manifest does not have it");
}

static int print_records(struct ul_manifest *m, char **paths, uint32_t n, bool json, struct ul_error *err)
{
	ul_autofree uint32_t *numbers = calloc(n, sizeof(*numbers));
	int r = numbers ? 0 : ul_error_nomem(err, "looking up a path");

	for (uint32_t i = 0; i < n && r == 0; i++)
		r = look_up(m, paths[i], &numbers[i], err);
	if (r < 0)
		return r;
	return json ? ul_export_path_info_of(m, numbers, n, stdout, err)
		    : ul_export_records_of(m, numbers, n, stdout, err);
}

static int run_show(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};
	struct ul_error err = {0};
	struct ul_manifest *m;
	bool json = false;
	int option, r;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option != 'j')
			return cli_usage_error(cli_current(), "there is no such option");
		json = true;
	}
	if (optind >= argc)
		return cli_usage_error(cli_current(), "FILE is missing");
	if (ul_manifest_open_file(AT_FDCWD, argv[optind], &m, &err) < 0)
		return cli_fail(&err);
	optind++;
	r = optind < argc ? print_records(m, argv + optind, (uint32_t)(argc - optind), json, &err)
			  : print_totals(m, json, &err);
	ul_manifest_close(m);
	return r < 0 ? cli_fail(&err) : 0;
}

/* ---- export ---- */

static int run_export(int argc, char **argv)
{
	static const struct option options[] = {{"format", required_argument, NULL, 'f'}, {NULL, 0, NULL, 0}};
	int (*exporter)(struct ul_manifest * m, FILE * out, struct ul_error * err) = NULL;
	struct ul_error err = {0};
	struct ul_manifest *m;
	int option, r;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option != 'f')
			return cli_usage_error(cli_current(), "there is no such option");
		if (!strcmp(optarg, "registration"))
			exporter = ul_export_registration;
		else if (!strcmp(optarg, "json"))
			exporter = ul_export_path_info;
		else
			return cli_usage_error(cli_current(), "there is no format \"%s\"", optarg);
	}
	if (argc - optind != 1)
		return cli_usage_error(cli_current(), "one FILE is wanted");
	if (!exporter)
		return cli_usage_error(cli_current(), "--format is missing");
	if (ul_manifest_open_file(AT_FDCWD, argv[optind], &m, &err) < 0)
		return cli_fail(&err);
	r = exporter(m, stdout, &err);
	ul_manifest_close(m);
	return r < 0 ? cli_fail(&err) : 0;
}

const struct cli_command cli_manifest_commands[] = {
	{"manifest", "create",
	 "-o FILE [--store-dir DIR] (--registration FILE | --json FILE | --database FILE)..."
	 " [--closure PATH]... [--portable]",
	 "make a manifest from what Nix knows of a store", run_create},
	{"manifest", "show", "[--json] FILE [PATH...]", "tell a manifest's totals, or all it holds of some paths",
	 run_show},
	{"manifest", "export", "--format registration|json FILE", "print a manifest in one of Nix's own forms",
	 run_export},
	{"manifest", "check", "[--store DIR] [-j N] [--ignore-extra] [--json] MANIFEST",
	 "compare every path of a store with the manifest", cli_manifest_check},
	{NULL, NULL, NULL, NULL, NULL}};
