/* `underlay image verify`: the whole check of an image, step by step; the first bad thing is the last line. */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/image.h"
#include "common/encoding.h"
#include "common/json.h"
#include "common/paths.h"
#include "verity/image/check.h"

struct arguments {
	const char *image, *cert, *certs;
	uint8_t root_hash[UL_ROOT_HASH_MAX];
	struct ul_image_check_options options;
	bool json;
};

static void print_step(void *user, enum ul_image_finding kind, const char *step, const char *text)
{
	(void)user;
	cli_progress_done();
	printf("%-4s  %-15s  %s\n", kind == UL_IMAGE_OK ? "ok" : "note", step, text);
	fflush(stdout);
}

/* user: the array of steps; one that memory does not suffice for is left out. */
static void keep_step(void *user, enum ul_image_finding kind, const char *step, const char *text)
{
	struct json_object *row = json_object_new_object();

	if (!row || !ul_json_add_string(row, "step", step) || !ul_json_add_bool(row, "ok", kind == UL_IMAGE_OK) ||
	    !ul_json_add_string(row, "text", text) || json_object_array_add(user, row) < 0)
		json_object_put(row);
}

static const char *take_root_hash(struct arguments *a, const char *text)
{
	struct ul_seal_policy *policy = &a->options.policy;
	size_t digits = strlen(text);

	if ((digits != 64 && digits != 128) || !ul_hex_decode(text, digits, a->root_hash, digits / 2))
		return "--root-hash wants 64 or 128 digits of hex";
	policy->pinned_root_hash = a->root_hash;
	policy->pinned_root_hash_len = digits / 2;
	return NULL;
}

/* NULL, or what is wrong with the option. */
static const char *take_option(struct arguments *a, int option)
{
	switch (option) {
	case 'c':
		a->cert = optarg;
		return a->certs ? "--cert and --certs exclude each other" : NULL;
	case 'd':
		a->certs = optarg;
		return a->cert ? "--cert and --certs exclude each other" : NULL;
	case 'r':
		return take_root_hash(a, optarg);
	case 'm':
		return cli_parse_number(optarg, 0, INT64_MAX, &a->options.policy.rollback_min)
			       ? NULL
			       : "--rollback-min wants a number";
	case 'j':
		return cli_parse_threads(optarg, &a->options.threads) ? NULL
								      : "--threads wants a number from 1 to 1024";
	case 's':
		a->options.seal_only = true;
		return NULL;
	case 'n':
		a->options.contents = true;
		return NULL;
	case 'J':
		a->json = true;
		return NULL;
	default:
		return "wrong option";
	}
}

static const char *parse(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{"cert", required_argument, NULL, 'c'},
		{"certs", required_argument, NULL, 'd'},
		{"root-hash", required_argument, NULL, 'r'},
		{"rollback-min", required_argument, NULL, 'm'},
		{"seal-only", no_argument, NULL, 's'},
		{"contents", no_argument, NULL, 'n'},
		{"threads", required_argument, NULL, 'j'},
		{"json", no_argument, NULL, 'J'},
		{0},
	};
	const char *wrong;
	int c;

	while ((c = getopt_long(argc, argv, "j:", options, NULL)) != -1) {
		wrong = take_option(a, c);
		if (wrong)
			return wrong;
	}
	if (argc - optind != 1)
		return "one image is wanted";
	a->image = argv[optind];
	if (a->options.contents && a->options.seal_only)
		return "--contents and --seal-only exclude each other";
	return NULL;
}

/* A root hash alone is trust enough; else certificates, by default those of the machine. */
static int load_trust(struct arguments *a, struct ul_trust **ret, struct ul_error *err)
{
	struct ul_seal_policy *policy = &a->options.policy;
	int r;

	policy->mode = UL_VERIFY_PINNED;
	if (policy->pinned_root_hash && !a->cert && !a->certs)
		return 0;
	policy->mode = UL_VERIFY_USER;
	if (a->cert)
		r = ul_trust_load_file(a->cert, ret, err);
	else
		r = ul_trust_load_dir(AT_FDCWD, a->certs ? a->certs : UL_PATH_CERTS, ret, err);
	if (r == 0)
		policy->trust = *ret;
	return r;
}

static int check_text(struct arguments *a, struct ul_image_check_result *result)
{
	struct ul_error err;

	a->options.found = print_step;
	a->options.progress = cli_progress();
	if (ul_image_check(a->image, &a->options, result, &err) < 0)
		return cli_fail(&err);
	cli_progress_done();
	puts("good");
	return 0;
}

static int check_json(struct arguments *a, struct ul_image_check_result *result)
{
	ul_autojson struct json_object *o = json_object_new_object();
	struct json_object *steps = json_object_new_array();
	struct ul_error err = {0};
	char sentence[1200];
	int r;

	if (!o || !steps || json_object_object_add(o, "steps", steps) < 0) {
		json_object_put(steps);
		ul_error_nomem(&err, "writing JSON");
		return cli_fail(&err);
	}
	a->options.found = keep_step;
	a->options.user = steps;
	r = ul_image_check(a->image, &a->options, result, &err);
	ul_json_add_string(o, "image", a->image);
	ul_json_add_bool(o, "good", r == 0);
	ul_json_add_string(o, "code", ul_code_name(err.code));
	if (r < 0)
		ul_json_add_string(o, "reason", ul_error_sentence(&err, sentence, sizeof(sentence)));
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	return ul_code_exit_status(err.code);
}

int cli_image_verify(int argc, char **argv)
{
	struct arguments a = {0};
	struct ul_image_check_result result = {0};
	struct ul_trust *trust = NULL;
	struct ul_error err;
	const char *wrong = parse(argc, argv, &a);
	int status;

	if (wrong)
		return cli_usage_error(cli_current(), "%s", wrong);
	if (load_trust(&a, &trust, &err) < 0)
		return cli_fail(&err);
	status = a.json ? check_json(&a, &result) : check_text(&a, &result);
	ul_seal_free(&result.seal);
	ul_trust_free(trust);
	return status;
}
