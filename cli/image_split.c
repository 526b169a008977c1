/* `underlay image split`: the arguments and the summary; the work is verity/disk/split.c's. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/efi_machine.h"
#include "common/json.h"
#include "verity/disk/split.h"

struct arguments {
	struct ul_split_options options;
	uint32_t tries;
	bool json;
};

#define AT(member) offsetof(struct arguments, member)

/* Each becomes a line of a file of systemd's, which a control character or a backslash at its end would break. */
static bool fits_line(const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return false;
	return len > 0 && text[len - 1] != '\\';
}

static const char *check_device(const char *text)
{
	return *text == '/' && fits_line(text) ? NULL : "an absolute path, as in /dev/nvme0n1";
}

static const char *check_source(const char *text)
{
	return (*text == '/' || strstr(text, "://")) && fits_line(text) ? NULL : "a URL or an absolute path";
}

static const struct cli_option options[] = {
	{NULL, 0, "IMAGE", CLI_FILE, AT(options.image), CLI_NEEDED, .help = "the image, or a disk that holds one"},
	{"output", 'o', "DIR", CLI_DIRECTORY, AT(options.directory), CLI_NEEDED,
	 .help = "the directory to put the files into, beside those of other versions"},
	{"device", 0, "PATH", CLI_TEXT, AT(options.device), CLI_NEEDED, .check = check_device,
	 .help = "the machines' own disk, as they name it: /dev/nvme0n1, or a link of /dev/disk"},
	{"uki", 0, "UKI", CLI_FILE, AT(options.uki), 0, .help = "the unified kernel image that goes with it"},
	{"source", 0, "URL", CLI_TEXT, AT(options.source), 0, .check = check_source, .def = "/var/lib/underlay/updates",
	 .help = "where the machines find the directory: an https:// URL, or a directory of theirs"},
	{"tries", 0, "N", CLI_NUMBER32, AT(tries), 0, .min = 0, .max = 99, .def = "3",
	 .help = "how often systemd-boot tries a new UKI; 0: it does not count"},
	{"json", 0, NULL, CLI_FLAG, AT(json), 0, .help = "print the summary as JSON"},
	{.help = NULL},
};

static const struct cli_rule rules[] = {
	{CLI_NEEDS, "--tries --uki", NULL},
	{.members = NULL},
};

static int print_json(const struct arguments *a, const struct ul_split_result *result)
{
	ul_autojson struct json_object *o = ul_json_document(1);
	struct json_object *files = json_object_new_array();
	bool ok = o && ul_json_add_string(o, "directory", a->options.directory) &&
		  ul_json_add_string(o, "name", result->name) && ul_json_add_string(o, "version", result->version) &&
		  ul_json_add_bool(o, "signed", result->is_signed) && ul_json_add(o, "files", files);

	for (size_t i = 0; ok && i < result->n_files; i++)
		ok = ul_json_append_string(files, result->files[i]);
	return cli_print_json(ok ? o : NULL);
}

static int run(void *arguments)
{
	struct arguments *a = arguments;
	struct ul_split_result result;
	struct ul_error err;
	int r;

	if (a->options.uki) {
		const struct ul_pe_machine *machine;

		if (cli_read_efi_machine(a->options.uki, true, &machine, &err) < 0)
			return cli_fail(&err);
		a->options.uki_architecture = machine->architecture;
	}
	a->options.tries = a->tries;
	a->options.progress = cli_progress();
	cli_catch_signals();
	a->options.cancelled = cli_interrupted;
	r = ul_image_split(&a->options, &result, &err);
	cli_progress_done();
	if (r < 0)
		return cli_fail(&err);
	if (a->json)
		return print_json(a, &result);
	printf("%s: %s %s for systemd-sysupdate%s\n", a->options.directory, result.name, result.version,
	       result.is_signed ? "" : " (the image is not signed; see underlay image sign)");
	for (size_t i = 0; i < result.n_files; i++)
		printf("  %s\n", result.files[i]);
	return 0;
}

const struct cli_command cli_image_split = {
	.group = "image",
	.name = "split",
	.help = "write an image as the files that systemd-sysupdate downloads",
	.page = "underlay-image",
	.options = options,
	.rules = rules,
	.size = sizeof(struct arguments),
	.run = run,
};
