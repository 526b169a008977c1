/* underlay initrd build: the arguments and the summary; the work is initrd/pack/initrd.c's. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/config.h"
#include "common/file.h"
#include "common/json.h"
#include "initrd/layout/modules.h"
#include "initrd/pack/initrd.h"

/* Most times that an option may be given. */
#define REPEAT_MAX 256

enum { OPT_INIT = 256, OPT_CONFIG, OPT_CERT, OPT_MODULES_DIR, OPT_NO_MODULES, OPT_MODULE };
enum { OPT_MODULES_LIST = 512, OPT_COMPRESS, OPT_ADD, OPT_JSON };

static const struct option long_options[] = {
	{"output", required_argument, NULL, 'o'},
	{"init", required_argument, NULL, OPT_INIT},
	{"config", required_argument, NULL, OPT_CONFIG},
	{"cert", required_argument, NULL, OPT_CERT},
	{"modules-dir", required_argument, NULL, OPT_MODULES_DIR},
	{"no-modules", no_argument, NULL, OPT_NO_MODULES},
	{"module", required_argument, NULL, OPT_MODULE},
	{"modules-list", required_argument, NULL, OPT_MODULES_LIST},
	{"compress", required_argument, NULL, OPT_COMPRESS},
	{"add", required_argument, NULL, OPT_ADD},
	{"verbose", no_argument, NULL, 'v'},
	{"json", no_argument, NULL, OPT_JSON},
	{0},
};

struct arguments {
	const char *output, *modules_list;
	bool no_modules, verbose, json;
	struct ul_initrd_options options;
	const char *certs[REPEAT_MAX];
	const char *modules[REPEAT_MAX];
	size_t module_count;
	struct ul_initrd_file files[REPEAT_MAX];
	struct ul_words owned;        /* names that the tables below point to */
	struct ul_module_want *wants; /* owned */
	char init[PATH_MAX];
};

/* "none", "zstd", or "zstd,LEVEL". */
static bool parse_compress(const char *text, int *ret_level)
{
	uint64_t level;

	*ret_level = UL_INITRD_LEVEL;
	if (!strcmp(text, "zstd"))
		return true;
	if (!strcmp(text, "none")) {
		*ret_level = 0;
		return true;
	}
	if (strncmp(text, "zstd,", 5) != 0 || !cli_parse_number(text + 5, 1, 22, &level))
		return false;
	*ret_level = (int)level;
	return true;
}

/* FILE:PATH, split at the last colon, since paths in the initramfs have none. */
static int parse_add(struct arguments *a, const char *text)
{
	const char *colon = strrchr(text, ':');

	if (!colon || colon == text || colon[1] != '/')
		return cli_usage_error(cli_current(), "--add wants FILE:PATH with an absolute PATH");
	if (ul_words_add(&a->owned, text, (size_t)(colon - text)) < 0)
		return cli_usage_error(cli_current(), "out of memory");
	a->files[a->options.file_count++] = (struct ul_initrd_file){a->owned.list[a->owned.count - 1], colon + 1};
	return 0;
}

static int full(const char *option, size_t count)
{
	return count < REPEAT_MAX ? 0 : cli_usage_error(cli_current(), "%s may be given %d times", option, REPEAT_MAX);
}

static int parse_repeated(struct arguments *a, int option, const char *value)
{
	int status;

	switch (option) {
	case OPT_CERT:
		status = full("--cert", a->options.cert_count);
		if (status == 0)
			a->certs[a->options.cert_count++] = value;
		return status;
	case OPT_MODULE:
		status = full("--module", a->module_count);
		if (status == 0)
			a->modules[a->module_count++] = value;
		return status;
	default:
		status = full("--add", a->options.file_count);
		return status ? status : parse_add(a, value);
	}
}

static int parse_option(struct arguments *a, int option, const char *value)
{
	switch (option) {
	case 'o':
		a->output = value;
		return 0;
	case 'v':
		a->verbose = true;
		return 0;
	case OPT_JSON:
		a->json = true;
		return 0;
	case OPT_INIT:
		a->options.init = value;
		return 0;
	case OPT_CONFIG:
		a->options.config = value;
		return 0;
	case OPT_MODULES_DIR:
		a->options.modules_dir = value;
		return 0;
	case OPT_NO_MODULES:
		a->no_modules = true;
		return 0;
	case OPT_MODULES_LIST:
		a->modules_list = value;
		return 0;
	case OPT_COMPRESS:
		return parse_compress(value, &a->options.level)
			       ? 0
			       : cli_usage_error(cli_current(), "--compress wants none, zstd, or zstd,LEVEL with "
								"a level from 1 to 22");
	case OPT_CERT:
	case OPT_MODULE:
	case OPT_ADD:
		return parse_repeated(a, option, value);
	default:
		return cli_usage_error(cli_current(), "wrong option");
	}
}

static int parse_arguments(struct arguments *a, int argc, char **argv)
{
	int option, status = 0;

	a->options.level = UL_INITRD_LEVEL;
	a->options.certs = a->certs;
	a->options.files = a->files;
	while (status == 0 && (option = getopt_long(argc, argv, "+o:v", long_options, NULL)) != -1)
		status = parse_option(a, option, optarg);
	if (status)
		return status;
	if (optind < argc)
		return cli_usage_error(cli_current(), "\"%s\" is one argument too many", argv[optind]);
	if (!a->output)
		return cli_usage_error(cli_current(), "-o says where to write, and is missing");
	/* Forgetting the modules makes an initramfs that builds and never boots. */
	if (!a->options.modules_dir == !a->no_modules)
		return cli_usage_error(cli_current(), "give either --modules-dir, or --no-modules for a kernel "
						      "that has everything built in");
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

static int add_want(struct arguments *a, const char *name, size_t len, enum ul_module_how how, const char *why,
		    struct ul_error *err)
{
	size_t n = a->options.want_count;
	struct ul_module_want *wants = reallocarray(a->wants, n + 1, sizeof(*wants));

	if (!wants || ul_words_add(&a->owned, name, len) < 0) {
		a->wants = wants ? wants : a->wants;
		return ul_error_nomem(err, "reading the list of modules");
	}
	a->wants = wants;
	wants[n] = (struct ul_module_want){a->owned.list[a->owned.count - 1], how, true, why};
	a->options.wants = wants;
	a->options.want_count = n + 1;
	return 0;
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
				    "Write always, alias, name, or nothing.", "\"%.64s\" is no way to load a module",
				    rest);
	return add_want(a, line, len, (enum ul_module_how)how, "--modules-list names it", err);
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

	for (const struct ul_module_want *w = ul_module_defaults; r == 0 && !a->modules_list && w->name; w++) {
		r = add_want(a, w->name, strlen(w->name), w->how, w->why, err);
		if (r == 0)
			a->wants[a->options.want_count - 1].required = w->required;
	}
	for (size_t i = 0; r == 0 && i < a->module_count; i++)
		r = add_want(a, a->modules[i], strlen(a->modules[i]), UL_MODULE_ALWAYS, "--module names it", err);
	return r;
}

static void print_words(const char *label, const struct ul_words *words)
{
	if (words->count == 0)
		return;
	printf("%-18s", label);
	for (size_t i = 0; i < words->count; i++)
		printf(" %s", words->list[i]);
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
		printf("%zu modules for kernel %s\n", r->modules.packed.count, r->modules.kernel);
	else
		printf("no modules\n");
}

static bool json_words(struct json_object *obj, const char *key, const struct ul_words *words)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; list && i < words->count; i++) {
		struct json_object *text = json_object_new_string(words->list[i]);

		if (!text || json_object_array_add(list, text) < 0) {
			json_object_put(list);
			return false;
		}
	}
	return list && json_object_object_add(obj, key, list) == 0;
}

static bool fill_json(struct json_object *obj, const struct arguments *a, const struct ul_initrd_report *r)
{
	struct json_object *kinds = json_object_new_object();
	bool ok = kinds && json_object_object_add(obj, "kinds", kinds) == 0;

	ok = ok && ul_json_add_string(obj, "output", a->output);
	ok = ok && ul_json_add_uint(obj, "bytes", r->output_bytes);
	ok = ok && ul_json_add_uint(obj, "unpacked_bytes", r->archive_bytes);
	for (int k = 0; ok && k < UL_CPIO_KINDS; k++) {
		struct json_object *kind = json_object_new_object();
		const char *name = ul_cpio_kind_name((enum ul_cpio_kind)k);

		ok = kind && json_object_object_add(kinds, name, kind) == 0 &&
		     ul_json_add_uint(kind, "files", r->files[k]) && ul_json_add_uint(kind, "bytes", r->bytes[k]);
	}
	ok = ok && ul_json_add_string(obj, "kernel", r->modules.kernel);
	return ok && json_words(obj, "modules", &r->modules.packed) &&
	       json_words(obj, "modules_always", &r->modules.listed) &&
	       json_words(obj, "modules_builtin", &r->modules.builtin) &&
	       json_words(obj, "modules_missing", &r->modules.missing) &&
	       json_words(obj, "programs_missing", &r->missing_programs) &&
	       ul_json_add_bool(obj, "insecure", r->insecure);
}

static int print_json(const struct arguments *a, const struct ul_initrd_report *r)
{
	ul_autojson struct json_object *obj = json_object_new_object();
	struct ul_error err;

	if (!obj || !fill_json(obj, a, r)) {
		ul_error_nomem(&err, "printing JSON");
		return cli_fail(&err);
	}
	puts(json_object_to_json_string_ext(obj, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	return 0;
}

static void arguments_free(struct arguments *a)
{
	ul_words_free(&a->owned);
	free(a->wants);
}

static int build(int argc, char **argv)
{
	UL_CLEANUP(arguments_free) struct arguments a = {0};
	UL_CLEANUP(ul_initrd_report_free) struct ul_initrd_report report = {0};
	struct ul_error err;
	int r = parse_arguments(&a, argc, argv);

	if (r)
		return r;
	if (!a.options.init)
		r = default_init(&a, &err);
	if (r == 0 && a.options.modules_dir)
		r = collect_wants(&a, &err);
	if (r == 0)
		r = ul_initrd_build(&a.options, a.output, cli_progress(), &report, &err);
	if (r < 0)
		return cli_fail(&err);
	cli_progress_done();
	if (report.insecure)
		fprintf(stderr,
			"underlay: warning: %s verifies nothing of what it starts: its policy says "
			"[verify] mode = insecure. Keep it to development.\n",
			a.output);
	for (size_t i = 0; i < report.idle.n; i++)
		fprintf(stderr, "underlay: notice: %s: %s.\n", a.options.config, report.idle.at[i]);
	if (a.json)
		return print_json(&a, &report);
	print_summary(&a, &report);
	return 0;
}

const struct cli_command cli_initrd_commands[] = {
	{"initrd", "build",
	 "-o FILE (--modules-dir DIR | --no-modules) [--init FILE] [--config FILE] [--cert FILE]... "
	 "[--module NAME]... [--modules-list FILE] [--add FILE:PATH]... "
	 "[--compress zstd[,LEVEL]|none] [--verbose] [--json]",
	 "pack underlay-init, its libraries, modules, policy and certificates into an initramfs", build},
	{NULL, NULL, NULL, NULL, NULL},
};
