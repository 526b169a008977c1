/* underlay manifest check: is a store directory what the manifest says? */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "cli/commands.h"
#include "common/cleanup.h"
#include "common/json.h"
#include "dbgen/manifest/check.h"

struct arguments {
	const char *manifest, *store;
	struct ul_check_options options;
	bool json;
};

#define AT(member) offsetof(struct arguments, member)

static const struct cli_option options[] = {
	{NULL, 0, "MANIFEST", CLI_FILE, AT(manifest), CLI_NEEDED, .help = "what the store should hold"},
	{"store", 0, "DIR", CLI_DIRECTORY, AT(store), 0,
	 .help = "the directory that holds the paths; the manifest's store directory when not given"},
	CLI_THREADS_ROW(AT(options.threads), "two for each processor when not given"),
	{"ignore-extra", 0, NULL, CLI_FLAG, AT(options.ignore_extra), 0,
	 .help = "what lies in the directory and not in the manifest does not count"},
	{"json", 0, NULL, CLI_FLAG, AT(json), 0, .help = "print findings and totals as JSON"},
	{.help = NULL},
};

static const char *const kinds[] = {[UL_CHECK_BAD] = "bad", [UL_CHECK_MISSING] = "missing", [UL_CHECK_EXTRA] = "extra"};

static void print_finding(void *user, enum ul_check_finding kind, const char *path, const char *detail)
{
	char shown[1024], why[1024];

	(void)user;
	cli_progress_done();
	/* A name in the store may be anyone's: nothing of it reaches the terminal as it is. */
	ul_escape_text(shown, sizeof(shown), path);
	ul_escape_text(why, sizeof(why), detail);
	printf("%s %s: %s\n", kinds[kind], shown, why);
}

/* user: the JSON array. A finding that there is no memory for is missing from it, so the count tells. */
static void collect_finding(void *user, enum ul_check_finding kind, const char *path, const char *detail)
{
	struct json_object *finding = json_object_new_object();
	bool ok = ul_json_add_string(finding, "finding", kinds[kind]) && ul_json_add_string(finding, "path", path) &&
		  ul_json_add_string(finding, "detail", detail);

	(void)ul_json_append(user, ul_json_if(ok, finding));
}

static int print_json(struct json_object *findings, const struct ul_check_result *result)
{
	ul_autojson struct json_object *json = ul_json_document(1);
	bool ok = json && findings && ul_json_add_uint(json, "paths", result->paths) &&
		  ul_json_add_uint(json, "bytes", result->bytes) && ul_json_add_uint(json, "bad", result->bad) &&
		  ul_json_add_uint(json, "missing", result->missing) &&
		  ul_json_add_uint(json, "extra", result->extra) &&
		  json_object_array_length(findings) == result->bad + result->missing + result->extra &&
		  ul_json_add(json, "findings", json_object_get(findings));

	return cli_print_json(ok ? json : NULL);
}

static int check(struct arguments *a, struct ul_manifest *m)
{
	const char *store = a->store ? a->store : ul_manifest_store_dir(m);
	ul_autoclose int fd = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ul_autojson struct json_object *findings = a->json ? json_object_new_array() : NULL;
	struct ul_check_result result;
	struct ul_error err = {0};
	int status = 0;

	if (fd < 0) {
		ul_error_errno(&err, UL_E_SYSTEM, "opening the store", store,
			       "Give the store's directory with --store.", errno);
		return cli_fail(&err);
	}
	a->options.found = a->json ? collect_finding : print_finding;
	a->options.user = findings;
	a->options.progress = cli_progress();
	if (ul_store_check(m, fd, &a->options, &result, &err) < 0)
		return cli_fail(&err);
	cli_progress_done();
	if (a->json)
		status = print_json(findings, &result);
	else
		printf("%" PRIu64 " paths, %" PRIu64 " bytes of NARs checked: %" PRIu64 " bad, %" PRIu64
		       " missing, %" PRIu64 " extra\n",
		       result.paths, result.bytes, result.bad, result.missing, result.extra);
	if (status)
		return status;
	return result.bad || result.missing || result.extra ? 1 : 0;
}

static int run(void *arguments)
{
	struct arguments *a = arguments;
	ul_automanifest struct ul_manifest *m = NULL;
	struct ul_error err = {0};

	if (ul_manifest_open_file(AT_FDCWD, a->manifest, &m, &err) < 0)
		return cli_fail(&err);
	return check(a, m);
}

const struct cli_command cli_manifest_check = {
	.group = "manifest",
	.name = "check",
	.help = "compare every path of a store with the manifest",
	.page = "underlay-manifest",
	.options = options,
	.size = sizeof(struct arguments),
	.run = run,
};
