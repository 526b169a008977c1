/* underlay manifest check: is a store directory what the manifest says? */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/manifest_check.h"
#include "common/cleanup.h"
#include "common/json.h"
#include "dbgen/manifest/check.h"

struct check_arguments {
	const char *manifest, *store;
	struct ul_check_options options;
	bool json;
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

/* user: the JSON array. What cannot be added is missing from it, so the count tells. */
static void collect_finding(void *user, enum ul_check_finding kind, const char *path, const char *detail)
{
	struct json_object *finding = json_object_new_object();
	char shown[1024], why[1024];

	/* JSON is UTF-8; a file name need not be. */
	ul_escape_text(shown, sizeof(shown), path);
	ul_escape_text(why, sizeof(why), detail);
	if (finding && ul_json_add_string(finding, "finding", kinds[kind]) &&
	    ul_json_add_string(finding, "path", shown) && ul_json_add_string(finding, "detail", why) &&
	    json_object_array_add(user, finding) == 0)
		return;
	json_object_put(finding);
}

static int print_json(struct json_object *findings, const struct ul_check_result *result)
{
	ul_autojson struct json_object *json = json_object_new_object();

	if (!json || !ul_json_add_uint(json, "paths", result->paths) ||
	    !ul_json_add_uint(json, "bytes", result->bytes) || !ul_json_add_uint(json, "bad", result->bad) ||
	    !ul_json_add_uint(json, "missing", result->missing) || !ul_json_add_uint(json, "extra", result->extra) ||
	    json_object_array_length(findings) != result->bad + result->missing + result->extra ||
	    json_object_object_add(json, "findings", json_object_get(findings)) != 0)
		return -1;
	puts(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	return 0;
}

static int check(struct check_arguments *a, struct ul_manifest *m)
{
	const char *store = a->store ? a->store : ul_manifest_store_dir(m);
	ul_autoclose int fd = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ul_autojson struct json_object *findings = a->json ? json_object_new_array() : NULL;
	struct ul_check_result result;
	struct ul_error err = {0};

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
	if (a->json && (!findings || print_json(findings, &result) < 0)) {
		ul_error_nomem(&err, "printing the result");
		return cli_fail(&err);
	}
	if (!a->json)
		printf("%" PRIu64 " paths, %" PRIu64 " bytes of NARs checked: %" PRIu64 " bad, %" PRIu64
		       " missing, %" PRIu64 " extra\n",
		       result.paths, result.bytes, result.bad, result.missing, result.extra);
	return result.bad || result.missing || result.extra ? 1 : 0;
}

static int parse(struct check_arguments *a, int argc, char **argv)
{
	static const struct option options[] = {{"store", required_argument, NULL, 's'},
						{"jobs", required_argument, NULL, 'j'},
						{"ignore-extra", no_argument, NULL, 'i'},
						{"json", no_argument, NULL, 'J'},
						{NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "j:", options, NULL)) != -1) {
		switch (option) {
		case 's':
			a->store = optarg;
			break;
		case 'j':
			if (!cli_parse_threads(optarg, &a->options.threads))
				return cli_usage_error(cli_current(), "%s is no number of threads", optarg);
			break;
		case 'i':
			a->options.ignore_extra = true;
			break;
		case 'J':
			a->json = true;
			break;
		default:
			return cli_usage_error(cli_current(), "there is no such option");
		}
	}
	if (argc - optind != 1)
		return cli_usage_error(cli_current(), "one MANIFEST is wanted");
	a->manifest = argv[optind];
	return 0;
}

int cli_manifest_check(int argc, char **argv)
{
	struct check_arguments a = {0};
	struct ul_error err = {0};
	struct ul_manifest *m;
	int status = parse(&a, argc, argv);

	if (status != 0)
		return status;
	if (ul_manifest_open_file(AT_FDCWD, a.manifest, &m, &err) < 0)
		return cli_fail(&err);
	status = check(&a, m);
	ul_manifest_close(m);
	return status;
}
