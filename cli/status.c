/*
 * `underlay status` and `underlay timeline`: what the boot wrote to /run/underlay/state.json (initrd/report/state.h has
 * its members), as text or as it stands.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json_visit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "cli/commands.h"
#include "cli/state.h"
#include "cli/status_damage.h"
#include "common/cleanup.h"
#include "common/file.h"
#include "common/json.h"
#include "common/paths.h"

struct status_options {
	const char *file;
	bool json;
};

/* Both commands take the same. */
static const struct cli_option options[] = {
	{"json", 0, NULL, CLI_FLAG, offsetof(struct status_options, json), 0, .help = "print JSON"},
	{"file", 0, "FILE", CLI_FILE, offsetof(struct status_options, file), 0, .def = UL_PATH_STATE,
	 .help = "what the boot wrote; of another file than the machine's own, the kernel is not asked"},
	{.help = NULL},
};

static struct json_object *member(struct json_object *obj, const char *key)
{
	struct json_object *value = NULL;

	if (!json_object_is_type(obj, json_type_object))
		return NULL;
	json_object_object_get_ex(obj, key, &value);
	return value;
}

static size_t length(struct json_object *list)
{
	return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

static const char *text_of(struct json_object *obj, const char *key)
{
	const char *text = ul_json_string(obj, key);

	return text ? text : "-";
}

static double ms_of(struct json_object *obj, const char *key)
{
	uint64_t us = 0;

	(void)ul_json_uint(obj, key, &us);
	return (double)us / 1000;
}

static bool is_insecure(struct json_object *lower)
{
	return !strcmp(text_of(lower, "verified"), "insecure");
}

static bool any_insecure(struct json_object *state)
{
	struct json_object *lowers = member(state, "lowers");
	bool any = false;

	for (size_t i = 0; i < length(lowers); i++)
		any |= is_insecure(json_object_array_get_idx(lowers, i));
	return any;
}

static void print_lower(struct json_object *lower)
{
	struct json_object *signer = member(lower, "signer");
	struct json_object *kernel = member(lower, "kernelSigner");
	uint64_t paths = 0;

	(void)ul_json_uint(lower, "paths", &paths);
	printf("lower      %s %s, %llu store paths, %s\n", text_of(lower, "name"), text_of(lower, "version"),
	       (unsigned long long)paths, text_of(lower, "filesystem"));
	if (is_insecure(lower)) {
		printf("  share    %s, of the host\n", text_of(lower, "share"));
		printf("  INSECURE nothing of it is verified, now or later\n");
		printf("  system   %s\n", text_of(lower, "system"));
		return;
	}
	printf("  device   %s\n", text_of(lower, "device"));
	printf("  root     %s\n", text_of(lower, "rootHash"));
	printf("  verified %s%s%s\n", text_of(lower, "verified"), signer ? ", signed by " : "",
	       signer ? text_of(signer, "subject") : "");
	if (signer)
		printf("  key      %s\n", text_of(signer, "fingerprint"));
	if (kernel)
		printf("  kernel   checked it by key %s of %s\n", text_of(kernel, "serial"), text_of(kernel, "issuer"));
	printf("  system   %s\n", text_of(lower, "system"));
}

static uint64_t count_of(struct json_object *counts, const char *key)
{
	uint64_t n = 0;

	(void)ul_json_uint(counts, key, &n);
	return n;
}

/* What the sessions of earlier boots left, and this boot joined. */
static void print_joined(struct json_object *joined)
{
	uint64_t sessions = count_of(joined, "sessions"), removed = count_of(joined, "removed");
	uint64_t entries = count_of(joined, "entries");
	uint64_t gone = count_of(joined, "sealed") + count_of(joined, "orphans");

	if (sessions == 0)
		return;
	printf("  joined   %llu entr%s of %llu session%s; %llu older one%s went", (unsigned long long)entries,
	       entries == 1 ? "y" : "ies", (unsigned long long)sessions, sessions == 1 ? "" : "s",
	       (unsigned long long)removed, removed == 1 ? "" : "s");
	if (gone > 0)
		printf(", %llu were the image's to have", (unsigned long long)gone);
	putchar('\n');
}

/* Others than root could enter it, and change what lies beneath the mounted store. */
static bool is_exposed(struct json_object *upper)
{
	struct stat st;

	return stat(text_of(upper, "mount"), &st) == 0 && (st.st_uid != 0 || (st.st_mode & 077) != 0);
}

/* What keeps a disk's old contents out of this boot's session. */
static void print_guard(struct json_object *upper)
{
	static const struct {
		const char *word, *told;
	} guards[] = {
		{"checked", "checked: the filesystem was checked whole"},
		{"anew", "anew: /nix/var was made anew"},
		{"none", "none: whatever wrote the disk may change this boot's layer"},
	};
	const char *word = text_of(upper, "guard");

	for (size_t i = 0; i < UL_ARRAY_SIZE(guards); i++)
		if (!strcmp(word, guards[i].word))
			printf("  guard    %s\n", guards[i].told);
	if (member(upper, "checkUs"))
		printf("  fsck     in %.1f ms\n", ms_of(upper, "checkUs"));
	if (member(upper, "anewUs"))
		printf("  anew     in %.1f ms\n", ms_of(upper, "anewUs"));
}

/* What earlier boots had on it, and this one has not. */
static void print_lost(struct json_object *upper)
{
	struct json_object *list = member(upper, "leftOut");
	uint64_t all = count_of(upper, "leftOutCount");

	if (member(upper, "keptLost"))
		puts("  LOST     what earlier boots built: its directory was not there any more, or not usable");
	for (size_t i = 0; i < length(list); i++)
		printf("  LEFT OUT of /nix/var: %s\n", json_object_get_string(json_object_array_get_idx(list, i)));
	if (all > length(list))
		printf("  LEFT OUT and %llu more\n", (unsigned long long)(all - length(list)));
	if (all > 0)
		printf("           until the next boot it lies in %s/%s: save what you need elsewhere\n",
		       text_of(upper, "mount"), text_of(upper, "leftIn"));
}

static void print_upper(struct json_object *upper)
{
	const char *mount = text_of(upper, "mount"), *device = ul_json_string(upper, "device");
	const char *fallback = ul_json_string(upper, "fallback");
	bool persistent = false, fresh = false;
	uint64_t mended = 0;
	struct statvfs fs;

	(void)ul_json_bool(upper, "persistent", &persistent);
	(void)ul_json_bool(upper, "fresh", &fresh);
	(void)ul_json_uint(upper, "mended", &mended);
	printf("upper      %s%s%s, %s\n", text_of(upper, "filesystem"), device ? " on " : "", device ? device : "",
	       !persistent ? "lost at the next boot"
	       : fresh     ? "persistent, made by this boot"
			   : "persistent");
	if (fallback)
		printf("  INSTEAD  of the disk's, because of %s\n", fallback);
	print_guard(upper);
	if (mended)
		printf("  mended   %llu things on it that were not what they must be: see the log\n",
		       (unsigned long long)mended);
	print_joined(member(upper, "joined"));
	print_lost(upper);
	if (member(upper, "exposed"))
		printf("  EXPOSED  others than root may enter %s: chown 0:0 and chmod 0700 it\n", mount);
	if (statvfs(mount, &fs) < 0 || fs.f_blocks == 0)
		return;
	printf("  used     %.1f of %.1f MB", (double)(fs.f_blocks - fs.f_bfree) * (double)fs.f_frsize / 1e6,
	       (double)fs.f_blocks * (double)fs.f_frsize / 1e6);
	if (fs.f_files > 0) /* btrfs has no limit */
		printf(", %llu of %llu inodes", (unsigned long long)(fs.f_files - fs.f_ffree),
		       (unsigned long long)fs.f_files);
	putchar('\n');
}

static void print_root(struct json_object *root)
{
	struct json_object *list = member(root, "unsealed");

	for (size_t i = 0; i < length(list); i++)
		printf("root       unsealed: %s, as it was mounted: whoever can write it decides what runs here\n",
		       json_object_get_string(json_object_array_get_idx(list, i)));
}

static void print_names(struct json_object *reconcile, const char *key, const char *title)
{
	struct json_object *list = member(reconcile, key);
	uint64_t all = count_of(member(reconcile, "counts"), key);

	for (size_t i = 0; i < length(list); i++) {
		struct json_object *row = json_object_array_get_idx(list, i);

		printf("  %-11s %s: %s\n", title, text_of(row, "name"), text_of(row, "why"));
	}
	if (all > length(list))
		printf("  %-11s and %llu more; all are in " UL_PATH_UPPER "/report.json\n", title,
		       (unsigned long long)(all - length(list)));
}

/* What was done to make the upper agree with the lower. */
static void print_reconcile(struct json_object *reconcile)
{
	struct json_object *counts = member(reconcile, "counts");
	bool changed = false, clean = false;

	(void)ul_json_bool(reconcile, "lowerChanged", &changed);
	(void)ul_json_bool(reconcile, "clean", &clean);
	printf("reconcile  %s image, %s; %llu quarantined, %llu invalidated, %llu checked, %llu swept\n",
	       changed ? "another" : "the same", clean ? "shut down cleanly" : "not shut down cleanly",
	       (unsigned long long)count_of(counts, "quarantined"), (unsigned long long)count_of(counts, "invalidated"),
	       (unsigned long long)count_of(reconcile, "checked"), (unsigned long long)count_of(counts, "swept"));
	if (member(reconcile, "databaseReason"))
		printf("  the database was written anew: %s\n", text_of(reconcile, "databaseReason"));
	print_names(reconcile, "quarantined", "quarantined");
	print_names(reconcile, "restored", "restored");
	print_names(reconcile, "invalidated", "invalidated");
	print_names(reconcile, "dangling", "dangling");
	print_names(reconcile, "notes", "note");
}

static void print_last_failure(struct json_object *failure)
{
	uint64_t when = 0;
	char text[32] = "at an unknown time";
	struct tm tm;
	time_t t;

	(void)ul_json_uint(failure, "when", &when);
	t = (time_t)when;
	if (when && gmtime_r(&t, &tm))
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
	printf("last failure  %s: %s (%s), %s\n", text_of(failure, "stage"), text_of(failure, "sentence"),
	       text_of(failure, "name"), text);
}

/* What the kernel says of the lower's mapping now. */
static struct json_object *damage_of(struct json_object *state, struct json_object *lower)
{
	struct json_object *list = member(state, "damage");

	for (size_t i = 0; i < length(list); i++) {
		struct json_object *row = json_object_array_get_idx(list, i);

		if (!strcmp(text_of(row, "mapping"), text_of(lower, "mapping")))
			return row;
	}
	return NULL;
}

static bool is_corrupt(struct json_object *state)
{
	struct json_object *list = member(state, "damage");
	bool corrupt = false, any = false;

	for (size_t i = 0; i < length(list); i++)
		any |= ul_json_bool(json_object_array_get_idx(list, i), "corrupt", &corrupt) && corrupt;
	return any;
}

/* Images that are not the one that was started, and whether that one had to prove itself. */
static void print_others(struct json_object *state)
{
	struct json_object *refused = member(state, "refused"), *passed = member(state, "passedOver");
	uint64_t left = 0;

	if (ul_json_uint(member(state, "trial"), "triesLeft", &left))
		printf("trial      it was on trial when it was started, %" PRIu64 " more %s; see `underlay slots`\n",
		       left, left == 1 ? "try" : "tries");
	for (size_t i = 0; i < length(passed); i++) {
		struct json_object *row = json_object_array_get_idx(passed, i);

		printf("passed     over %s: %s\n", text_of(row, "slot"), text_of(row, "why"));
	}
	for (size_t i = 0; i < length(refused); i++) {
		struct json_object *row = json_object_array_get_idx(refused, i);

		printf("refused    %s: %s\n", text_of(row, "slot"), text_of(row, "sentence"));
	}
}

static void print_status(struct json_object *state)
{
	struct json_object *lowers = member(state, "lowers");
	struct json_object *database = member(state, "database");
	struct json_object *failure = member(state, "failure");

	if (any_insecure(state))
		puts("INSECURE   NOTHING OF THIS SYSTEM IS VERIFIED: whoever writes the directory that the\n"
		     "           host shares decides what runs here. [verify] mode = insecure is for development.");
	printf("boot       %s after %.0f ms, by underlay-init %s\n", text_of(state, "result"),
	       ms_of(member(state, "timeline"), "totalUs"), text_of(state, "underlay"));
	for (size_t i = 0; i < length(lowers); i++) {
		struct json_object *lower = json_object_array_get_idx(lowers, i);

		print_lower(lower);
		if (damage_of(state, lower))
			cli_damage_print(damage_of(state, lower));
	}
	print_root(member(state, "root"));
	if (member(state, "upper"))
		print_upper(member(state, "upper"));
	if (member(state, "reconcile"))
		print_reconcile(member(state, "reconcile"));
	if (database)
		printf("database   %s in %.1f ms (%s)\n", text_of(database, "mode"), ms_of(database, "us"),
		       text_of(database, "why"));
	if (!strcmp(text_of(member(state, "system"), "from"), "profile"))
		printf("system     %s, of the upper's profile\n", text_of(member(state, "system"), "path"));
	else if (ul_json_string(member(state, "system"), "why"))
		printf("system     the image's, not the profile's: %s\n", text_of(member(state, "system"), "why"));
	print_others(state);
	if (failure)
		printf("failure    %s: %s (%s)\n", text_of(failure, "stage"), text_of(failure, "sentence"),
		       text_of(failure, "name"));
	if (member(state, "lastFailure"))
		print_last_failure(member(state, "lastFailure"));
}

static void print_timeline(struct json_object *state)
{
	struct json_object *timeline = member(state, "timeline");
	struct json_object *stages = member(timeline, "stages");
	double total = ms_of(timeline, "totalUs");

	printf("%-10s %10s %10s\n", "stage", "begins", "takes");
	printf("%-10s %10s %7.1f ms\n", "kernel", "", ms_of(timeline, "startUs"));
	for (size_t i = 0; i < length(stages); i++) {
		struct json_object *row = json_object_array_get_idx(stages, i);
		double us = ms_of(row, "us");
		int bar = total > 0 ? (int)(us / total * 40 + 0.5) : 0;

		printf("%-10s %7.1f ms %7.1f ms  %.*s\n", text_of(row, "name"), ms_of(row, "startUs"), us,
		       bar < 40 ? bar : 40, "########################################");
	}
	printf("%-10s %10s %7.1f ms\n", "total", "", total);
}

/* The boot failed, has not the upper that the policy wants, or not all that it had, or others may write to it, or it
 * verified nothing. */
static bool is_bad(struct json_object *state)
{
	struct json_object *upper = member(state, "upper");

	return member(state, "failure") || member(upper, "fallback") || member(upper, "exposed") ||
	       member(upper, "keptLost") || member(upper, "leftOut") || any_insecure(state);
}

/* The kernel knows what it found since, of this machine's own boot; nobody knows of another's. false: no memory. */
static bool ask_kernel(struct json_object *state)
{
	struct json_object *upper = member(state, "upper");

	return ul_json_add(state, "damage", cli_damage_ask(member(state, "lowers"))) &&
	       (!upper || !is_exposed(upper) || ul_json_add_bool(upper, "exposed", true));
}

/* A string of a document becomes what a terminal may be shown: names in it are as the disk has them. */
static int make_harmless(struct json_object *value, int flags, struct json_object *parent, const char *key,
			 size_t *index, void *user)
{
	(void)parent, (void)key, (void)index, (void)user;
	if (!(flags & JSON_C_VISIT_SECOND) && json_object_is_type(value, json_type_string)) {
		size_t size = 4 * (size_t)json_object_get_string_len(value) + 1;
		ul_autofree char *shown = malloc(size);

		if (!shown)
			return JSON_C_VISIT_RETURN_ERROR;
		ul_escape_text(shown, size, json_object_get_string(value));
		if (!json_object_set_string(value, shown))
			return JSON_C_VISIT_RETURN_ERROR;
	}
	return JSON_C_VISIT_RETURN_CONTINUE;
}

/* part: the member that --json prints; NULL: all of it. */
static int run(const struct status_options *o, void (*print)(struct json_object *), const char *part)
{
	ul_autojson struct json_object *state = NULL, *document = NULL;
	struct ul_error err;
	int status = 0;

	if (cli_state_load(o->file, &state, &err) < 0)
		return cli_fail(&err);
	if (!part && !strcmp(o->file, UL_PATH_STATE) && !ask_kernel(state)) {
		ul_error_nomem(&err, "asking for damage");
		return cli_fail(&err);
	}
	if (!o->json) {
		if (json_c_visit(state, 0, make_harmless, NULL) < 0) {
			ul_error_nomem(&err, "printing the boot's report");
			return cli_fail(&err);
		}
		print(state);
	} else if (!part) {
		status = cli_print_json(state);
	} else {
		document = ul_json_document(1);
		status = cli_print_json(ul_json_add_all(document, member(state, part)) ? document : NULL);
	}
	if (status)
		return status;
	return is_bad(state) || is_corrupt(state) ? 1 : 0;
}

static int run_status(void *arguments)
{
	return run(arguments, print_status, NULL);
}

static int run_timeline(void *arguments)
{
	return run(arguments, print_timeline, "timeline");
}

const struct cli_command cli_status = {
	.name = "status",
	.help = "what the boot did: image, upper, database",
	.page = "underlay-status",
	.options = options,
	.size = sizeof(struct status_options),
	.run = run_status,
};

const struct cli_command cli_timeline = {
	.name = "timeline",
	.help = "where the boot's time went",
	.page = "underlay-status",
	.options = options,
	.size = sizeof(struct status_options),
	.run = run_timeline,
};
