/* `underlay image verify`: the whole check of an image, step by step; the first bad thing is the last line. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "common/encoding.h"
#include "common/json.h"
#include "common/paths.h"
#include "verity/image/check.h"

struct arguments {
	const char *image, *cert, *certs, *root_hash_text;
	uint8_t root_hash[UL_ROOT_HASH_MAX];
	struct ul_image_check_options options;
	bool json;
};

#define AT(member) offsetof(struct arguments, member)

static const char *check_root_hash(const char *text)
{
	size_t digits = strlen(text);

	if ((digits == 64 || digits == 128) && strspn(text, "0123456789abcdefABCDEF") == digits)
		return NULL;
	return "a root hash, 64 or 128 digits of hex";
}

static const struct cli_option options[] = {
	{NULL, 0, "IMAGE", CLI_FILE, AT(image), CLI_NEEDED, .help = "the image"},
	{"cert", 0, "FILE", CLI_FILE, AT(cert), 0, .help = "trust this certificate (PEM)"},
	{"certs", 0, "DIR", CLI_DIRECTORY, AT(certs), 0,
	 .help = "trust every *.crt of a directory; " UL_PATH_CERTS " where nothing is given to trust"},
	{"root-hash", 0, "HEX", CLI_TEXT, AT(root_hash_text), 0, .check = check_root_hash,
	 .help = "the root hash that the image must have; alone it is trust enough"},
	{"rollback-min", 0, "N", CLI_NUMBER, AT(options.policy.rollback_min), 0, .max = INT64_MAX,
	 .help = "refuse a rollback index below N, and an image without a descriptor"},
	{"seal-only", 0, NULL, CLI_FLAG, AT(options.seal_only), 0,
	 .help = "leave the content out, for which the image is mounted, by root"},
	{"contents", 0, NULL, CLI_FLAG, AT(options.contents), 0,
	 .help = "hash every store path too and compare with the manifest"},
	CLI_THREADS_ROW(AT(options.threads), "as many as there are processors when not given"),
	{"json", 0, NULL, CLI_FLAG, AT(json), 0, .help = "print the steps, the verdict and its reason as JSON"},
	{.help = NULL},
};

static const struct cli_rule rules[] = {
	{CLI_AT_MOST_ONE, "--cert --certs", NULL},
	{CLI_AT_MOST_ONE, "--seal-only --contents", NULL},
	{.members = NULL},
};

static void print_step(void *user, enum ul_image_finding kind, const char *step, const char *text)
{
	(void)user;
	cli_progress_done();
	printf("%-4s  %-15s  %s\n", kind == UL_IMAGE_OK ? "ok" : "note", step, text);
	fflush(stdout);
}

/* user: the array of steps. A step that there is no memory for is left out. */
static void keep_step(void *user, enum ul_image_finding kind, const char *step, const char *text)
{
	struct json_object *row = json_object_new_object();
	bool ok = ul_json_add_string(row, "step", step) && ul_json_add_bool(row, "ok", kind == UL_IMAGE_OK) &&
		  ul_json_add_string(row, "text", text);

	(void)ul_json_append(user, ul_json_if(ok, row));
}

/* A root hash alone is trust enough; else certificates, by default those of the machine. */
static int load_trust(struct arguments *a, struct ul_trust **ret, struct ul_error *err)
{
	struct ul_seal_policy *policy = &a->options.policy;
	int r;

	if (a->root_hash_text) {
		size_t len = strlen(a->root_hash_text) / 2;

		(void)ul_hex_decode(a->root_hash_text, 2 * len, a->root_hash, len);
		policy->pinned_root_hash = a->root_hash;
		policy->pinned_root_hash_len = len;
	}
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
	ul_autojson struct json_object *o = ul_json_document(1);
	struct json_object *steps = json_object_new_array();
	struct ul_error err = {0};
	char sentence[1200];
	int status;
	bool ok;

	a->options.found = keep_step;
	a->options.user = steps;
	ok = o && ul_json_add(o, "steps", steps);
	if (!ok)
		return cli_print_json(NULL);
	(void)ul_image_check(a->image, &a->options, result, &err);
	ok = ul_json_add_string(o, "image", a->image) && ul_json_add_bool(o, "good", err.code == UL_OK) &&
	     ul_json_add_string(o, "code", ul_code_name(err.code));
	if (err.code != UL_OK)
		ok = ok && ul_json_add_string(o, "reason", ul_error_sentence(&err, sentence, sizeof(sentence)));
	status = cli_print_json(ok ? o : NULL);
	return status ? status : ul_code_exit_status(err.code);
}

static int run(void *arguments)
{
	struct arguments *a = arguments;
	struct ul_image_check_result result = {0};
	struct ul_trust *trust = NULL;
	struct ul_error err;
	int status;

	if (load_trust(a, &trust, &err) < 0)
		return cli_fail(&err);
	status = a->json ? check_json(a, &result) : check_text(a, &result);
	ul_seal_free(&result.seal);
	ul_trust_free(trust);
	return status;
}

const struct cli_command cli_image_verify = {
	.group = "image",
	.name = "verify",
	.help = "verify a store image whole, offline",
	.page = "underlay-image",
	.options = options,
	.rules = rules,
	.size = sizeof(struct arguments),
	.run = run,
};
