/* `underlay image build`: the arguments, where the manifest comes from, and the summary. */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/image.h"
#include "common/cleanup.h"
#include "common/encoding.h"
#include "common/file.h"
#include "common/json.h"
#include "dbgen/exchange/import.h"
#include "verity/format/fec_geometry.h"
#include "verity/image/build.h"

#define LIVE_STORE    "/nix/store"
#define LIVE_DATABASE "/nix/var/nix/db/db.sqlite"
/* Bytes of registration text: two million paths' worth. */
#define REGISTRATION_MAX (UINT64_C(4) << 30)
/* The group nixbld on NixOS and where Nix's installer made it. */
#define NIXBLD_GROUP 30000
#define CLOSURES_MAX 1024

enum { OPT_SYSTEM = 256, OPT_NAME, OPT_VERSION, OPT_CLOSURE, OPT_MANIFEST, OPT_REGISTRATION };
enum { OPT_DATABASE = 512, OPT_STORE, OPT_STORE_DIR, OPT_KEY, OPT_CERT, OPT_PASSPHRASE };
enum { OPT_FORMAT = 768, OPT_COMPRESSION, OPT_ROLLBACK, OPT_NO_DATABASE, OPT_MACHINE };
enum { OPT_DESIGNATOR = 1024, OPT_FORCE, OPT_NO_NAMESPACE, OPT_STORE_GROUP, OPT_JSON, OPT_FEC };
enum { OPT_PORTABLE = 1280 };

static const struct option long_options[] = {
	{"output", required_argument, NULL, 'o'},
	{"system", required_argument, NULL, OPT_SYSTEM},
	{"name", required_argument, NULL, OPT_NAME},
	{"version", required_argument, NULL, OPT_VERSION},
	{"closure", required_argument, NULL, OPT_CLOSURE},
	{"manifest", required_argument, NULL, OPT_MANIFEST},
	{"registration", required_argument, NULL, OPT_REGISTRATION},
	{"database", required_argument, NULL, OPT_DATABASE},
	{"store", required_argument, NULL, OPT_STORE},
	{"store-dir", required_argument, NULL, OPT_STORE_DIR},
	{"key", required_argument, NULL, OPT_KEY},
	{"cert", required_argument, NULL, OPT_CERT},
	{"passphrase-file", required_argument, NULL, OPT_PASSPHRASE},
	{"format", required_argument, NULL, OPT_FORMAT},
	{"compression", required_argument, NULL, OPT_COMPRESSION},
	{"rollback-index", required_argument, NULL, OPT_ROLLBACK},
	{"no-database", no_argument, NULL, OPT_NO_DATABASE},
	{"fec", optional_argument, NULL, OPT_FEC},
	{"portable", no_argument, NULL, OPT_PORTABLE},
	{"machine", required_argument, NULL, OPT_MACHINE},
	{"designator", required_argument, NULL, OPT_DESIGNATOR},
	{"threads", required_argument, NULL, 'j'},
	{"store-group", required_argument, NULL, OPT_STORE_GROUP},
	{"force", no_argument, NULL, OPT_FORCE},
	{"no-namespace", no_argument, NULL, OPT_NO_NAMESPACE},
	{"json", no_argument, NULL, OPT_JSON},
	{"verbose", no_argument, NULL, 'v'},
	{0},
};

struct arguments {
	struct ul_image_options image;
	const char *manifest, *registration, *database, *store_dir;
	struct cli_key key;
	const char *roots[CLOSURES_MAX + 1]; /* of the closure; the system is one */
	size_t n_roots;
	bool portable, json, verbose;
};

/* ---- interruption ---- */

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

static bool was_interrupted(void)
{
	return interrupted != 0;
}

/* The first signal asks the build to stop and clean up, the second one ends the program at once. */
static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

/* ---- arguments ---- */

/* Options that are a text and no more. */
static const char **text_option(struct arguments *a, int option)
{
	switch (option) {
	case 'o':
		return &a->image.output;
	case OPT_SYSTEM:
		return &a->image.system;
	case OPT_NAME:
		return &a->image.name;
	case OPT_VERSION:
		return &a->image.version;
	case OPT_MANIFEST:
		return &a->manifest;
	case OPT_REGISTRATION:
		return &a->registration;
	case OPT_DATABASE:
		return &a->database;
	case OPT_STORE:
		return &a->image.store;
	case OPT_STORE_DIR:
		return &a->store_dir;
	case OPT_KEY:
		return &a->key.key;
	case OPT_CERT:
		return &a->key.cert;
	case OPT_PASSPHRASE:
		return &a->key.passphrase_file;
	case OPT_FORMAT:
		return &a->image.format;
	case OPT_COMPRESSION:
		return &a->image.compression;
	case OPT_MACHINE:
		return &a->image.machine;
	case OPT_DESIGNATOR:
		return &a->image.designator;
	default:
		return NULL;
	}
}

static int take_option(struct arguments *a, int option)
{
	const char **text = text_option(a, option);
	uint64_t number = 0;

	if (text) {
		*text = optarg;
		return 0;
	}
	switch (option) {
	case OPT_CLOSURE:
		if (a->n_roots == CLOSURES_MAX)
			return cli_usage_error(cli_current(), "too many closures");
		a->roots[a->n_roots++] = optarg;
		return 0;
	case OPT_ROLLBACK:
		if (!cli_parse_number(optarg, 0, INT64_MAX, &a->image.rollback_index))
			return cli_usage_error(cli_current(), "%s is no rollback index", optarg);
		return 0;
	case 'j':
		if (!cli_parse_threads(optarg, &a->image.threads))
			return cli_usage_error(cli_current(), "%s is no number of threads", optarg);
		return 0;
	case OPT_STORE_GROUP:
		if (!cli_parse_number(optarg, 0, UINT16_MAX, &number))
			return cli_usage_error(cli_current(), "%s is no group number", optarg);
		a->image.store_group = (uint32_t)number;
		return 0;
	case OPT_FEC:
		if (optarg && !cli_parse_number(optarg, UL_FEC_ROOTS_MIN, UL_FEC_ROOTS_MAX, &number))
			return cli_usage_error(cli_current(), "--fec takes 2 to 24 roots");
		a->image.fec_roots = optarg ? (uint32_t)number : UL_FEC_ROOTS_MIN;
		return 0;
	case OPT_NO_DATABASE:
		a->image.no_database = true;
		return 0;
	case OPT_PORTABLE:
		a->portable = true;
		return 0;
	case OPT_FORCE:
		a->image.replace = true;
		return 0;
	case OPT_NO_NAMESPACE:
		a->image.no_namespace = true;
		return 0;
	case OPT_JSON:
		a->json = true;
		return 0;
	case 'v':
		a->verbose = true;
		return 0;
	default:
		return cli_usage_error(cli_current(), "see the arguments");
	}
}

static int parse_arguments(int argc, char **argv, struct arguments *a)
{
	int c, r;

	while ((c = getopt_long(argc, argv, "o:j:v", long_options, NULL)) != -1) {
		r = take_option(a, c);
		if (r)
			return r;
	}
	if (optind < argc)
		return cli_usage_error(cli_current(), "%s is too much", argv[optind]);
	if (!a->image.output || !a->image.name || !a->image.version)
		return cli_usage_error(cli_current(), "-o, --name and --version are needed");
	if (!a->manifest + !a->registration + !a->database < 2)
		return cli_usage_error(cli_current(), "--manifest, --registration and --database exclude each other");
	if (!a->key.key != !a->key.cert)
		return cli_usage_error(cli_current(), "--key and --cert belong together");
	if (a->manifest && (a->n_roots || a->portable))
		return cli_usage_error(cli_current(), "a manifest is taken whole: no --closure, no --portable");
	if (!a->manifest && !a->registration && !a->database && !a->image.system && !a->n_roots)
		return cli_usage_error(cli_current(), "of the live store, --system or --closure says what to take");
	return 0;
}

/* ---- the manifest ---- */

static void free_builder(struct ul_builder **b)
{
	ul_builder_free(*b);
}

static void close_manifest(struct ul_manifest **m)
{
	ul_manifest_close(*m);
}

static int import_registration(struct ul_builder *b, const char *path, struct ul_error *err)
{
	ul_autobuffer struct ul_buffer text = {0};
	int r = ul_read_file(AT_FDCWD, path, REGISTRATION_MAX, &text);

	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, "reading the registration", path, NULL, -r);
	return ul_import_registration(b, (const char *)text.data, text.len, path, err);
}

/*
 * A source that is named was made for the image, so all of it is taken unless closures are named too; of the live
 * store, only the closures.
 */
static int build_manifest(struct arguments *a, struct ul_buffer *ret, struct ul_error *err)
{
	UL_CLEANUP(free_builder)
	struct ul_builder *b = ul_builder_new(a->store_dir ? a->store_dir : LIVE_STORE);
	bool restricted = a->n_roots > 0 || (!a->registration && !a->database);
	int r;

	if (!b)
		return ul_error_nomem(err, "reading the store's database");
	if (a->image.system)
		a->roots[a->n_roots++] = a->image.system;
	if (a->registration)
		r = import_registration(b, a->registration, err);
	else
		r = ul_import_database(b, a->database ? a->database : LIVE_DATABASE, err);
	if (r == 0 && restricted)
		r = ul_builder_restrict(b, a->roots, a->n_roots, err);
	if (r == 0 && a->portable)
		ul_builder_drop_local(b);
	return r < 0 ? r : ul_builder_finish(b, ret, err);
}

/* bytes holds the manifest where it was made here: it must live as long. */
static int get_manifest(struct arguments *a, struct ul_buffer *bytes, struct ul_manifest **ret, struct ul_error *err)
{
	int r;

	if (a->manifest)
		return ul_manifest_open_file(AT_FDCWD, a->manifest, ret, err);
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

static bool add_staging(struct json_object *json, const struct ul_staging_report *s)
{
	struct json_object *staging = json_object_new_object();

	if (!staging || json_object_object_add(json, "staging", staging) != 0) {
		json_object_put(staging);
		return false;
	}
	return ul_json_add_bool(staging, "bindMounts", s->bind_mounts) &&
	       ul_json_add_uint(staging, "bound", s->bound) && ul_json_add_uint(staging, "linked", s->linked) &&
	       ul_json_add_uint(staging, "copied", s->copied) &&
	       ul_json_add_uint(staging, "copiedBytes", s->copied_bytes);
}

static int print_json(const struct arguments *a, const struct ul_image_result *result, const struct ul_signer_name *by)
{
	ul_autojson struct json_object *json = json_object_new_object();
	bool is_signed = *by->subject != '\0';
	struct ul_error err;
	char hex[65];

	ul_hex_encode(result->root_hash, sizeof(result->root_hash), hex);
	if (!json || !ul_json_add_string(json, "image", a->image.output) ||
	    !ul_json_add_string(json, "name", a->image.name) ||
	    !ul_json_add_string(json, "version", a->image.version) || !ul_json_add_uint(json, "size", result->size) ||
	    !ul_json_add_uint(json, "dataSize", result->data_size) ||
	    !ul_json_add_uint(json, "hashSize", result->hash_size) ||
	    !ul_json_add_uint(json, "fecSize", result->fec_size) || !ul_json_add_uint(json, "paths", result->paths) ||
	    !ul_json_add_string(json, "rootHash", hex) ||
	    !ul_json_add_string(json, "signer", is_signed ? by->subject : NULL) ||
	    !ul_json_add_string(json, "signerFingerprint", is_signed ? by->fingerprint : NULL) ||
	    !add_staging(json, &result->staging)) {
		ul_error_nomem(&err, "printing the summary");
		return cli_fail(&err);
	}
	puts(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	return 0;
}

/* ---- the command ---- */

static int build(struct arguments *a, struct ul_image_result *result, struct ul_signer_name *by, struct ul_error *err)
{
	UL_CLEANUP(close_manifest) struct ul_manifest *m = NULL;
	UL_CLEANUP(cli_free_signer) struct ul_signer *signer = NULL;
	ul_autobuffer struct ul_buffer bytes = {0};
	int r = a->key.key ? cli_load_signer(&a->key, &signer, err) : 0;

	if (r == 0)
		r = get_manifest(a, &bytes, &m, err);
	if (r < 0)
		return r;
	a->image.signer = signer;
	a->image.progress = cli_progress();
	a->image.cancelled = was_interrupted;
	r = ul_image_build(m, &a->image, result, err);
	if (r == 0 && signer)
		r = cli_signer_of(a->image.output, a->key.cert, by, err);
	return r;
}

int cli_image_build(int argc, char **argv)
{
	struct arguments a = {.image.store_group = NIXBLD_GROUP};
	struct ul_image_result result;
	struct ul_signer_name by = {.subject = ""};
	struct ul_error err;
	int r = parse_arguments(argc, argv, &a);

	if (r)
		return r;
	catch_signals();
	if (build(&a, &result, &by, &err) < 0)
		return cli_fail(&err);
	cli_progress_done();
	if (a.json)
		return print_json(&a, &result, &by);
	print_text(&a, &result, &by);
	return 0;
}
