/* `underlay image verify`: the whole check of an image, step by step; the first bad thing is the last line. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/commands.h"
#include "cli/image_requirements.h"
#include "common/json.h"
#include "verity/image/check.h"

struct arguments {
	const char *image;
	struct cli_demand_options demands;
	struct ul_image_check_options options;
	bool json;
};

#define AT(member) offsetof(struct arguments, member)

static const struct cli_option options[] = {
	{NULL, 0, "IMAGE", CLI_FILE, AT(image), CLI_NEEDED, .help = "an image, or a disk with some"},
	CLI_CERT_ROW(AT(demands)),
	CLI_CERTS_ROW(AT(demands)),
	CLI_POLICY_ROW(AT(demands)),
	{"root-hash", 0, "HEX", CLI_TEXT, AT(demands.root_hash), 0, .check = cli_check_root_hash,
	 .help = "the root hash that the image must have; alone it is trust enough"},
	CLI_ROLLBACK_ROW(AT(demands)),
	CLI_NAME_ROW(AT(demands)),
	{"descriptor", 0, "required|optional", CLI_WORD, AT(demands.descriptor), 0, .def = "required",
	 .help = "optional: accept images without a signed descriptor, as other makers write them"},
	{"seal-only", 0, NULL, CLI_FLAG, AT(options.seal_only), 0,
	 .help = "leave the content out, for which the image is mounted, by root"},
	{"contents", 0, NULL, CLI_FLAG, AT(options.contents), 0,
	 .help = "hash every store path too and compare with the manifest"},
	CLI_THREADS_ROW(AT(options.threads), "as many as there are processors when not given"),
	{"json", 0, NULL, CLI_FLAG, AT(json), 0, .help = "print the steps, the verdict and its reason as JSON"},
	{.help = NULL},
};

static const struct cli_rule rules[] = {
	CLI_ONE_TRUST_RULE,
	CLI_ROLLBACK_RULE,
	CLI_NAME_RULE,
	{CLI_AT_MOST_ONE, "--seal-only --contents", NULL},
	{CLI_AT_MOST_ONE, "--policy --root-hash", CLI_POLICY_SAYS_IT},
	{CLI_AT_MOST_ONE, "--policy --descriptor", CLI_POLICY_SAYS_IT},
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
	struct cli_demands demands;
	struct ul_error err;
	int status;

	if (cli_demands_load(&a->demands, &demands, &err) < 0) {
		cli_demands_free(&demands);
		return cli_fail(&err);
	}
	a->options.demands = demands.demands;
	a->options.designator = demands.designator;
	a->options.system_may_be_elsewhere = !a->demands.policy;
	status = a->json ? check_json(a, &result) : check_text(a, &result);
	ul_image_check_result_free(&result);
	cli_demands_free(&demands);
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
