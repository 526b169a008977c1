/* `underlay gc`: the collector of the upper's garbage. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/gc_layout.h"
#include "common/config.h"
#include "common/json.h"
#include "common/paths.h"
#include "dbgen/collect/collect.h"
#include "dbgen/collect/settings.h"

struct arguments {
	const char *max_freed, *keep_free, *max_inodes, *keep_inodes; /* sizes and numbers as texts; NULL: no limit */
	const char *keep_outputs, *keep_derivations;
	const char *root, *file;
	bool dry_run, json;
};

#define AT(member) offsetof(struct arguments, member)

/* ---- sizes ---- */

static uint64_t size_of(const char *value)
{
	uint64_t n = UL_COLLECT_NO_LIMIT;

	return value && ul_parse_size(value, &n) ? n : UL_COLLECT_NO_LIMIT;
}

/* ---- the table ---- */

static const struct cli_option options[] = {
	{"max-freed", 0, "SIZE", CLI_TEXT, AT(max_freed), 0, .check = cli_check_size,
	 .help = "stop when so many bytes were freed; K, M, G, T are powers of 1024"},
	{"max-inodes", 0, "N", CLI_TEXT, AT(max_inodes), 0, .check = cli_check_size,
	 .help = "stop when so many inodes were freed"},
	{"keep-free", 0, "SIZE", CLI_TEXT, AT(keep_free), 0, .check = cli_check_size,
	 .help = "do nothing, or stop, where the upper has so many bytes free"},
	{"keep-free-inodes", 0, "N", CLI_TEXT, AT(keep_inodes), 0, .check = cli_check_size,
	 .help = "do nothing, or stop, where it has so many inodes free; with --keep-free both have to be free"},
	{"keep-outputs", 0, "yes|no", CLI_WORD, AT(keep_outputs), 0,
	 .help = "whether derivations that are alive keep their outputs; as nix.conf has it when not given"},
	{"keep-derivations", 0, "yes|no", CLI_WORD, AT(keep_derivations), 0,
	 .help = "whether paths that are alive keep what they were made by; as nix.conf has it when not given"},
	{"dry-run", 0, NULL, CLI_FLAG, AT(dry_run), 0, .help = "only tell what would go"},
	{"json", 0, NULL, CLI_FLAG, AT(json), 0, .help = "print the result as JSON"},
	{"root", 0, "DIR", CLI_DIRECTORY, AT(root), 0, .check = cli_check_absolute,
	 .help = "the directory that is / of the machine, where it is not this one's"},
	{"file", 0, "FILE", CLI_FILE, AT(file), 0, .def = UL_PATH_STATE,
	 .help = "what the boot wrote: where layers and databases lie"},
	{.help = NULL},
};

/* ---- telling ---- */

static struct json_object *item_json(const struct ul_collect_item *item)
{
	struct json_object *obj = json_object_new_object();

	return ul_json_if(ul_json_add_string(obj, "name", item->name) && ul_json_add_bool(obj, "valid", item->valid) &&
				  ul_json_add_bool(obj, "kept", item->kept) &&
				  ul_json_add_uint(obj, "bytes", item->bytes) &&
				  ul_json_add_uint(obj, "inodes", item->inodes) &&
				  ul_json_add_string(obj, "trouble", item->trouble),
			  obj);
}

static int print_json(const struct ul_collect_result *r, bool dry_run)
{
	ul_autojson struct json_object *document = ul_json_document(1);
	struct json_object *list = json_object_new_array();
	bool ok = ul_json_add_bool(document, "dryRun", dry_run) && ul_json_add_uint(document, "own", r->own) &&
		  ul_json_add_uint(document, "alive", r->alive) && ul_json_add_uint(document, "dead", r->dead) &&
		  ul_json_add_uint(document, "bytes", r->bytes) && ul_json_add_uint(document, "inodes", r->inodes) &&
		  ul_json_add_bool(document, "later", r->later) &&
		  ul_json_add_uint(document, "laterBytes", r->later_bytes) &&
		  ul_json_add_uint(document, "laterInodes", r->later_inodes) &&
		  ul_json_add_uint(document, "links", r->links) && ul_json_add_bool(document, "limited", r->limited) &&
		  ul_json_add_bool(document, "stopped", r->stopped) &&
		  ul_json_add_uint(document, "rootsUs", r->roots_us) &&
		  ul_json_add_uint(document, "graphUs", r->graph_us) &&
		  ul_json_add_uint(document, "totalUs", r->total_us);

	ok = ul_json_add(document, "items", list) && ok;
	for (size_t i = 0; ok && i < r->items.n; i++)
		ok = ul_json_append(list, item_json(&r->items.at[i]));
	return cli_print_json(ok ? document : NULL);
}

static void print_text(const struct ul_collect_result *r, bool dry_run)
{
	cli_progress_done();
	for (size_t i = 0; i < r->items.n; i++) {
		const struct ul_collect_item *item = &r->items.at[i];

		printf("%s/%s%s%s\n", UL_PATH_STORE, item->name,
		       item->trouble ? ": not all of it could be removed: " : "", item->trouble ? item->trouble : "");
	}
	printf("%s: %zu entr%s, %.1f MB, %llu inodes; of %llu own paths %llu are alive%s\n",
	       dry_run ? "would go" : "gone", r->items.n, r->items.n == 1 ? "y" : "ies", (double)r->bytes / 1e6,
	       (unsigned long long)r->inodes, (unsigned long long)r->own, (unsigned long long)r->alive,
	       r->stopped   ? "; interrupted"
	       : r->limited ? "; the rest is above the limit"
			    : "");
	if (r->later)
		printf("%.1f MB that earlier boots left, and the trash: space comes back at the next boot, as this upper "
		       "was not checked whole\n",
		       (double)r->later_bytes / 1e6);
}

/* ---- the run ---- */

/* NIX_CONFIG is for this machine's Nix. */
static int read_settings(const struct arguments *a, const char *root, struct ul_collect_options *o,
			 struct ul_error *err)
{
	struct ul_collect_settings settings = {.keep_outputs = false};
	int r = ul_collect_settings_read(root, *root ? NULL : getenv("NIX_CONFIG"), &settings, err);

	o->keep_outputs = a->keep_outputs ? !strcmp(a->keep_outputs, "yes") : settings.keep_outputs;
	o->keep_derivations = a->keep_derivations ? !strcmp(a->keep_derivations, "yes") : settings.keep_derivations;
	return r;
}

static int run(void *arguments)
{
	const struct arguments *a = arguments;
	const char *root = a->root && strcmp(a->root, "/") != 0 ? a->root : "";
	struct ul_collect_options o = {
		.max_freed = size_of(a->max_freed),
		.max_inodes = size_of(a->max_inodes),
		.keep_free = size_of(a->keep_free),
		.keep_inodes = size_of(a->keep_inodes),
		.dry_run = a->dry_run,
		.stop = cli_interrupted,
		.progress = cli_progress(),
	};
	struct ul_collect_result result = {.own = 0};
	struct cli_gc_layout layout;
	struct ul_error err;
	int r = cli_gc_layout_read(a->file, root, &layout, &err), status = 0;

	o.at = layout.at;
	if (r == 0)
		r = read_settings(a, root, &o, &err);
	if (r == 0) {
		cli_catch_signals();
		r = ul_collect(&o, &result, &err);
	}
	if (a->json && r == 0)
		status = print_json(&result, a->dry_run);
	else if (!a->json && (r == 0 || result.items.n > 0))
		print_text(&result, a->dry_run);
	if (r == 0 && status == 0 && result.troubles > 0)
		status = 3;
	ul_collect_result_free(&result);
	cli_gc_layout_free(&layout);
	return r < 0 ? cli_fail(&err) : status;
}

const struct cli_command cli_gc = {
	.name = "gc",
	.help = "delete what nothing needs any more of what was added to the sealed store",
	.page = "underlay-gc",
	.options = options,
	.size = sizeof(struct arguments),
	.run = run,
};
