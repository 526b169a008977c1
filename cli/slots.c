/* `underlay slots`: the images on the machine's disk, what became of each, and which is next; and to forget that. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/trials.h"
#include "common/encoding.h"
#include "common/json.h"
#include "verity/trial/sentence.h"

struct arguments {
	const char *action, *version, *disk;
	bool json;
};

#define AT(member) offsetof(struct arguments, member)

static const struct cli_option options[] = {
	{NULL, 0, "list|forget", CLI_WORD, AT(action), 0, .def = "list", .called = "ACTION",
	 .help = "list: what there is; forget: make an image new again, which is then tried as often as a new one"},
	{NULL, 0, "VERSION", CLI_TEXT, AT(version), 0, .help = "of the image to forget"},
	CLI_TRIALS_DISK_ROW(AT(disk)),
	{"json", 0, NULL, CLI_FLAG, AT(json), 0, .help = "print the list as JSON"},
	{.help = NULL},
};

static void print_text(const struct ul_disk_trials *trials)
{
	printf("Kept in %s. Nothing of the disk is verified here.\n", trials->store.object);
	for (size_t i = 0; i < trials->n; i++) {
		const struct ul_disk_trial *t = &trials->at[i];
		const struct ul_trial *entry = ul_disk_trial_entry(trials, t);
		char title[CLI_TRIAL_TITLE], sentence[UL_TRIAL_SENTENCE], number[16] = "";

		if (t->number)
			snprintf(number, sizeof(number), "%u", t->number);
		printf("  %3s  %-24s %s%s%s%s\n", number, cli_trial_title(t, title), t->running ? "runs; " : "",
		       ul_trial_sentence(entry, t->running, sentence), t->next ? "; started next" : "",
		       t->number || t->running ? "" : "; not on this disk");
	}
}

static struct json_object *row(const struct ul_disk_trials *trials, const struct ul_disk_trial *t)
{
	const struct ul_trial *entry = ul_disk_trial_entry(trials, t);
	struct json_object *o = json_object_new_object();
	char hex[2 * UL_ROOT_HASH_MAX + 1];
	bool ok = o != NULL;

	ul_hex_encode(t->root_hash, t->root_hash_len, hex);
	if (ok && t->number)
		ok = ul_json_add_uint(o, "slot", t->number) && ul_json_add_string(o, "name", t->name);
	ok = ok && ul_json_add_string(o, "version", t->version) &&
	     (!t->root_hash_len || ul_json_add_string(o, "rootHash", hex)) &&
	     ul_json_add_bool(o, "running", t->running) && ul_json_add_bool(o, "next", t->next) &&
	     ul_json_add_string(o, "state", ul_trial_state_words[entry ? entry->state : 0]);
	if (ok && entry && entry->state == UL_TRIAL_TRYING)
		ok = ul_json_add_uint(o, "triesLeft", entry->tries_left);
	if (ok && entry && entry->state != UL_TRIAL_GOOD)
		ok = ul_json_add_string(o, "reason", ul_trial_reason_words[entry->reason]) &&
		     (!entry->code || ul_json_add_string(o, "code", ul_code_name((enum ul_code)entry->code)));
	return ul_json_if(ok, o);
}

static int print_json(const struct ul_disk_trials *trials)
{
	ul_autojson struct json_object *o = ul_json_document(1);
	struct json_object *list = json_object_new_array();
	bool ok = list != NULL;

	for (size_t i = 0; ok && i < trials->n; i++)
		ok = ul_json_append(list, row(trials, &trials->at[i]));
	ok = o && ul_json_add_string(o, "kept", trials->store.place == UL_TRIAL_PARTITION ? "partition" : "efi") &&
	     ul_json_add(o, "images", ul_json_if(ok, list));
	return cli_print_json(ok ? o : NULL);
}

static int run(void *arguments)
{
	const struct arguments *a = arguments;
	bool forget = !strcmp(a->action, "forget");
	struct ul_disk_trials trials;
	struct ul_error err;
	int r;

	if (forget && !a->version)
		return cli_usage_error(&cli_slots, "VERSION is missing");
	if (!forget && a->version)
		return cli_usage_error(&cli_slots, "\"%s\" is one argument too many", a->version);
	if (forget && a->json)
		return cli_usage_error(&cli_slots, "--json is of the list");
	r = cli_trials_open(a->disk, forget ? UL_TRIAL_CHANGE : UL_TRIAL_READ, &trials, &err);
	if (r < 0)
		return cli_fail(&err);
	r = forget ? ul_disk_trials_forget(&trials, a->version, &err) : 0;
	if (r < 0)
		r = cli_fail(&err);
	else if (forget)
		printf("%s is new again\n", a->version);
	else if (a->json)
		r = print_json(&trials);
	else
		print_text(&trials);
	ul_disk_trials_close(&trials);
	return r;
}

const struct cli_command cli_slots = {
	.name = "slots",
	.help = "show the images on the machine's disk, and what became of each; or forget that",
	.page = "underlay-slots",
	.options = options,
	.size = sizeof(struct arguments),
	.run = run,
};
