/* underlay initrd build: the arguments and the summary; the work is initrd/pack/initrd.c's. */
#include "cli/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/config.h"
#include "common/file.h"
#include "common/json.h"
#include "initrd/layout/modules.h"
#include "initrd/pack/initrd.h"

struct arguments {
	const char *output, *modules_list, *compress;
	bool no_modules, verbose, json;
	struct ul_initrd_options options;
	struct cli_texts certs, modules, files; /* files: FILE:PATH each */
	struct ul_names owned;                  /* names that the tables below point to */
	UL_VECTOR(struct ul_module_want) wants;
	UL_VECTOR(struct ul_initrd_file) added;
	char init[PATH_MAX];
};

#define AT(member) offsetof(struct arguments, member)

/* "none", "zstd", or "zstd,LEVEL". */
static bool parse_compress(const char *text, int *ret_level)
{
	bool leveled = strncmp(text, "zstd,", 5) == 0;
	uint64_t level = UL_INITRD_LEVEL;

	if (!strcmp(text, "none"))
		level = 0;
	else if (leveled ? !ul_parse_number(text + 5, &level) || level < 1 || level > 22 : strcmp(text, "zstd") != 0)
		return false;
	*ret_level = (int)level;
	return true;
}

static const char *check_compress(const char *text)
{
	int level;

	return parse_compress(text, &level) ? NULL : "zstd, zstd with a level from 1 to 22, or none";
}

/* FILE:PATH is split at the last colon, since paths in the initramfs have none. */
static const char *check_add(const char *text)
{
	const char *colon = strrchr(text, ':');

	return colon && colon != text && colon[1] == '/' ? NULL : "FILE:PATH with an absolute PATH";
}

static const struct cli_option options[] = {
	{"output", 'o', "FILE", CLI_FILE, AT(output), CLI_NEEDED,
	 .help = "the initramfs; it is replaced whole or not at all"},
	{"modules-dir", 0, "DIR", CLI_DIRECTORY, AT(options.modules_dir), 0,
	 .help = "the module tree of the kernel that will be booted, as /lib/modules/VERSION"},
	{"no-modules", 0, NULL, CLI_FLAG, AT(no_modules), 0, .help = "the kernel has everything built in"},
	{"init", 0, "FILE", CLI_FILE, AT(options.init), 0,
	 .help = "the underlay-init to pack; the one installed beside this command when not given"},
	{"config", 0, "FILE", CLI_FILE, AT(options.config), 0,
	 .help = "the policy, checked before it is packed; see underlay.conf(5)"},
	{"cert", 0, "FILE", CLI_FILES, AT(certs), 0, .help = "a certificate (PEM) whose key may sign images"},
	{"module", 0, "NAME", CLI_TEXTS, AT(modules), 0, .help = "pack and load this module too"},
	{"modules-list", 0, "FILE", CLI_FILE, AT(modules_list), 0,
	 .help = "a list to take the place of the built-in one: NAME [always|alias|name], one a line"},
	{"add", 0, "FILE:PATH", CLI_FILES, AT(files), 0, .check = check_add,
	 .help = "pack another file at an absolute path"},
	{"compress", 0, "zstd[,LEVEL]|none", CLI_TEXT, AT(compress), 0, .check = check_compress, .def = "zstd",
	 .help = "how to compress"},
	{"verbose", 'v', NULL, CLI_FLAG, AT(verbose), 0, .help = "list what was packed, by kind, with sizes"},
	{"json", 0, NULL, CLI_FLAG, AT(json), 0, .help = "print the summary as JSON"},
	{.help = NULL},
};

/* Forgetting the modules makes an initramfs that builds and never boots. */
static const struct cli_rule rules[] = {
	{CLI_EXACTLY_ONE, "--modules-dir --no-modules", "a kernel that has everything built in needs no modules"},
	{CLI_AT_MOST_ONE, "--no-modules --module", NULL},
	{CLI_AT_MOST_ONE, "--no-modules --modules-list", NULL},
	{.members = NULL},
};

/* The options in the form that the packer wants. */
static int take_options(struct arguments *a, struct ul_error *err)
{
	(void)parse_compress(a->compress, &a->options.level);
	a->options.certs = a->certs.at;
	a->options.cert_count = a->certs.n;
	for (size_t i = 0; i < a->files.n; i++) {
		const char *text = a->files.at[i], *colon = strrchr(text, ':');
		struct ul_initrd_file file = {.to = colon + 1};

		if (ul_names_add_n(&a->owned, text, (size_t)(colon - text)) < 0)
			return ul_error_nomem(err, "reading the options");
		file.from = a->owned.at[a->owned.n - 1];
		if (ul_vector_push(&a->added, file) < 0)
			return ul_error_nomem(err, "reading the options");
	}
	a->options.files = a->added.at;
	a->options.file_count = a->added.n;
	return 0;
}

/* underlay-init as it lies beside this program after `make`, or after `make install`. */
static int default_init(struct arguments *a, struct ul_error *err)
{
	static const char *const places[] = {"/underlay-init", "/../lib/underlay/underlay-init"};
	ssize_t n = readlink("/proc/self/exe", a->init, sizeof(a->init) - 1);
	char *slash;

	if (n < 0)
		return ul_error_errno(err, UL_E_SYSTEM, "finding underlay-init", "/proc/self/exe", "Give it by --init.",
				      errno);
	a->init[n] = '\0';
	slash = strrchr(a->init, '/');
	for (size_t i = 0; slash && i < UL_ARRAY_SIZE(places); i++) {
		size_t room = sizeof(a->init) - (size_t)(slash - a->init);

		if (snprintf(slash, room, "%s", places[i]) < (int)room && access(a->init, R_OK) == 0) {
			a->options.init = a->init;
			return 0;
		}
	}
	return ul_error_set(err, UL_E_SYSTEM, "finding underlay-init", a->init, "Give it by --init.",
			    "it is not installed beside this program");
}

/* want: its name is the first len bytes there. */
static int add_want(struct arguments *a, struct ul_module_want want, size_t len, struct ul_error *err)
{
	if (ul_names_add_n(&a->owned, want.name, len) < 0)
		return ul_error_nomem(err, "reading the list of modules");
	want.name = a->owned.at[a->owned.n - 1];
	return ul_vector_push(&a->wants, want) < 0 ? ul_error_nomem(err, "reading the list of modules") : 0;
}

/* One line of --modules-list: NAME, and how it is loaded where that is not `always`. */
static int parse_list_line(struct arguments *a, const char *line, struct ul_error *err)
{
	static const char *const words[] = {"always", "alias", "name"};
	size_t len = strcspn(line, " \t"), how = UL_MODULE_ALWAYS;
	const char *rest = line + len + strspn(line + len, " \t");

	if (len == 0 || line[0] == '#')
		return 0;
	if (*rest)
		for (how = 0; how < UL_ARRAY_SIZE(words) && strcmp(rest, words[how]) != 0;)
			how++;
	if (how == UL_ARRAY_SIZE(words))
		return ul_error_set(err, UL_E_INPUT, "reading the list of modules", a->modules_list,
				    "Write always, alias, name, or nothing.", "\"%.64s\" is not a way to load a module",
				    rest);
	return add_want(a, (struct ul_module_want){line, (enum ul_module_how)how, true, "--modules-list names it"}, len,
			err);
}

static int read_list(struct arguments *a, struct ul_error *err)
{
	ul_autobuffer struct ul_buffer text = {0};
	int r = ul_read_file(AT_FDCWD, a->modules_list, UL_MODULES_LIST_MAX, &text);
	char *line, *rest;

	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, "reading the list of modules", a->modules_list, NULL, -r);
	rest = ul_buffer_string(&text);
	if (!rest)
		return ul_error_nomem(err, "reading the list of modules");
	r = 0;
	while (r == 0 && (line = strsep(&rest, "\n"))) {
		char *end = line + strlen(line);

		while (end > line && strchr(" \t\r", end[-1]))
			*--end = '\0';
		r = parse_list_line(a, line + strspn(line, " \t"), err);
	}
	return r;
}

static int collect_wants(struct arguments *a, struct ul_error *err)
{
	int r = a->modules_list ? read_list(a, err) : 0;

	for (const struct ul_module_want *w = ul_module_defaults; r == 0 && !a->modules_list && w->name; w++)
		r = add_want(a, *w, strlen(w->name), err);
	for (size_t i = 0; r == 0 && i < a->modules.n; i++) {
		struct ul_module_want want = {a->modules.at[i], UL_MODULE_ALWAYS, true, "--module names it"};

		r = add_want(a, want, strlen(want.name), err);
	}
	a->options.wants = a->wants.at;
	a->options.want_count = a->wants.n;
	return r;
}

static void print_words(const char *label, const struct ul_names *words)
{
	if (words->n == 0)
		return;
	printf("%-18s", label);
	for (size_t i = 0; i < words->n; i++)
		printf(" %s", words->at[i]);
	putchar('\n');
}

static void print_table(const struct ul_initrd_report *r)
{
	printf("%-12s %6s %12s\n", "kind", "files", "bytes");
	for (int k = 0; k < UL_CPIO_KINDS; k++)
		if (r->files[k] > 0)
			printf("%-12s %6zu %12llu\n", ul_cpio_kind_name((enum ul_cpio_kind)k), r->files[k],
			       (unsigned long long)r->bytes[k]);
	print_words("modules packed:", &r->modules.packed);
	print_words("loaded always:", &r->modules.listed);
	print_words("built in:", &r->modules.builtin);
	print_words("not there:", &r->modules.missing);
	print_words("programs lacking:", &r->missing_programs);
}

static void print_summary(const struct arguments *a, const struct ul_initrd_report *r)
{
	if (a->verbose)
		print_table(r);
	printf("%s: %.2f MB (%.2f MB unpacked), %zu libraries, ", a->output, (double)r->output_bytes / 1e6,
	       (double)r->archive_bytes / 1e6, r->files[UL_CPIO_LIBRARY]);
	if (r->modules.kernel)
		printf("%zu modules for kernel %s\n", r->modules.packed.n, r->modules.kernel);
	else
		printf("no modules\n");
}

static struct json_object *words_json(const struct ul_names *words)
{
	struct json_object *list = json_object_new_array();
	bool ok = list != NULL;

	for (size_t i = 0; ok && i < words->n; i++)
		ok = ul_json_append_string(list, words->at[i]);
	return ul_json_if(ok, list);
}

static struct json_object *kinds_json(const struct ul_initrd_report *r)
{
	struct json_object *kinds = json_object_new_object();
	bool ok = kinds != NULL;

	for (int k = 0; ok && k < UL_CPIO_KINDS; k++) {
		struct json_object *kind = json_object_new_object();
		bool whole =
			ul_json_add_uint(kind, "files", r->files[k]) && ul_json_add_uint(kind, "bytes", r->bytes[k]);

		ok = ul_json_add(kinds, ul_cpio_kind_name((enum ul_cpio_kind)k), ul_json_if(whole, kind));
	}
	return ul_json_if(ok, kinds);
}

static int print_json(const struct arguments *a, const struct ul_initrd_report *r)
{
	ul_autojson struct json_object *obj = ul_json_document(1);
	bool ok = obj && ul_json_add(obj, "kinds", kinds_json(r)) && ul_json_add_string(obj, "output", a->output) &&
		  ul_json_add_uint(obj, "bytes", r->output_bytes) &&
		  ul_json_add_uint(obj, "unpackedBytes", r->archive_bytes) &&
		  ul_json_add_string(obj, "kernel", r->modules.kernel) &&
		  ul_json_add(obj, "modules", words_json(&r->modules.packed)) &&
		  ul_json_add(obj, "modulesAlways", words_json(&r->modules.listed)) &&
		  ul_json_add(obj, "modulesBuiltin", words_json(&r->modules.builtin)) &&
		  ul_json_add(obj, "modulesMissing", words_json(&r->modules.missing)) &&
		  ul_json_add(obj, "programsMissing", words_json(&r->missing_programs)) &&
		  ul_json_add_bool(obj, "insecure", r->insecure);

	return cli_print_json(ok ? obj : NULL);
}

static void free_owned(struct arguments **a)
{
	ul_names_free(&(*a)->owned);
	ul_vector_free(&(*a)->wants);
	ul_vector_free(&(*a)->added);
}

static int run(void *arguments)
{
	UL_CLEANUP(free_owned) struct arguments *a = arguments;
	UL_CLEANUP(ul_initrd_report_free) struct ul_initrd_report report = {0};
	struct ul_error err;
	int r = take_options(a, &err);

	if (r == 0 && !a->options.init)
		r = default_init(a, &err);
	if (r == 0 && a->options.modules_dir)
		r = collect_wants(a, &err);
	if (r == 0)
		r = ul_initrd_build(&a->options, a->output, cli_progress(), &report, &err);
	if (r < 0)
		return cli_fail(&err);
	cli_progress_done();
	if (report.insecure)
		fprintf(stderr,
			"underlay: warning: %s verifies nothing of what it starts: its policy says "
			"[verify] mode = insecure. Keep it to development.\n",
			a->output);
	if (report.lacks_certificates)
		fprintf(stderr,
			"underlay: warning: %s holds no certificate, and its policy's [verify] mode starts no image "
			"without one. Give --cert, unless another initramfs beside it brings one.\n",
			a->output);
	for (size_t i = 0; i < report.idle.n; i++)
		fprintf(stderr, "underlay: notice: %s: %s.\n", a->options.config, report.idle.at[i]);
	if (a->json)
		return print_json(a, &report);
	print_summary(a, &report);
	return 0;
}

const struct cli_command cli_initrd_build = {
	.group = "initrd",
	.name = "build",
	.help = "pack underlay-init, its libraries, modules, policy and certificates into an initramfs",
	.page = "underlay-initrd",
	.options = options,
	.rules = rules,
	.size = sizeof(struct arguments),
	.run = run,
};
