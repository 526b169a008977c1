/* `underlay db reconcile` and `underlay mark-clean`: what the boot does to a persistent upper, by hand. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "cli/image_requirements.h"
#include "cli/upper_running.h"
#include "common/encoding.h"
#include "common/file.h"
#include "common/json.h"
#include "common/paths.h"
#include "dbgen/layers/join.h"
#include "dbgen/layers/session.h"
#include "dbgen/manifest/format.h"
#include "dbgen/reconcile/reconcile.h"
#include "initrd/upper/upper.h"
#include "verity/image/check.h"
#include "verity/locate/image_view.h"

struct arguments {
	const char *upper, *lower, *cert, *mode;
	bool json;
	struct ul_reconcile_options o;
};

/* What is open of the lower. */
struct lower {
	struct ul_manifest *manifest;
	struct ul_trust *trust;
	struct ul_image_check_result checked;
	struct ul_slot_list slots;
	struct ul_lower_view view;
	bool mounted;
	char database[128], identity[2 * UL_ROOT_HASH_MAX + 1];
};

#define AT(member) offsetof(struct arguments, member)

static const struct cli_option options[] = {
	{"upper", 0, "DIR", CLI_DIRECTORY, AT(upper), CLI_NEEDED,
	 .help = "the root of the upper's filesystem, which holds kept, sessions and var"},
	{"lower", 0, "MANIFEST|IMAGE", CLI_FILE, AT(lower), CLI_NEEDED,
	 .help = "what the upper is to agree with; an image is verified first, all of it"},
	{"cert", 0, "FILE", CLI_FILE, AT(cert), 0,
	 .help = "the certificate (PEM) that the image must be signed by; those of " UL_PATH_CERTS " when not given"},
	{"mode", 0, "attach|rebuild", CLI_WORD, AT(mode), 0, .def = "attach", .help = "how the database will be used"},
	{"refuse", 0, NULL, CLI_FLAG, AT(o.refuse), 0,
	 .help = "fail, and change nothing, where paths of the upper would become invalid"},
	{"dry-run", 0, NULL, CLI_FLAG, AT(o.dry_run), 0, .help = "only tell what would be done"},
	{"json", 0, NULL, CLI_FLAG, AT(json), 0, .help = "print the report as JSON"},
	{.help = NULL},
};

/* ---- the lower ---- */

static bool is_manifest(const char *path)
{
	ul_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char magic[8];

	return fd >= 0 && ul_pread_full(fd, magic, sizeof(magic), 0) == 0 &&
	       !memcmp(magic, UL_MANIFEST_MAGIC, sizeof(magic));
}

/* All of it is verified, as the boot's dm-verity would do block by block; then it is mounted for this process alone. */
static int open_image(const struct arguments *a, struct lower *l, struct ul_error *err)
{
	struct ul_image_check_options check = {.demands = {.seal = {.mode = UL_VERIFY_USER}},
					       .system_may_be_elsewhere = true,
					       .progress = cli_progress()};
	const struct ul_descriptor *d = &l->checked.seal.d;
	int r = cli_trust_load(a->cert, NULL, &l->trust, err);

	check.demands.seal.trust = l->trust;
	if (r == 0)
		r = ul_image_slots(a->lower, NULL, &l->slots, err);
	if (r == 0)
		r = ul_image_one_slot(&l->slots, "opening the lower", a->lower, NULL, err);
	if (r == 0)
		r = ul_image_check(a->lower, &check, &l->checked, err);
	cli_progress_done();
	if (r == 0)
		r = ul_lower_mount(&l->slots.at[0].data, &l->view, err);
	if (r < 0)
		return r;
	l->mounted = true;
	ul_hex_encode(d->root_hash, d->root_hash_len, l->identity);
	snprintf(l->database, sizeof(l->database), "%s/" UL_LOWER_DB "/db.sqlite", l->view.path);
	return ul_manifest_open_file(l->view.fd, UL_LOWER_MANIFEST, &l->manifest, err);
}

static int open_lower(struct arguments *a, struct lower *l, struct ul_error *err)
{
	int r;

	if (is_manifest(a->lower)) {
		r = ul_manifest_open_file(AT_FDCWD, a->lower, &l->manifest, err);
	} else {
		r = open_image(a, l, err);
		a->o.lower.identity = l->identity;
		a->o.lower.name = l->checked.seal.d.name;
		a->o.lower.version = l->checked.seal.d.version;
		if (a->o.mode == UL_RECONCILE_ATTACH && access(l->database, R_OK) == 0)
			a->o.lower.database = l->database;
	}
	a->o.lower.manifest = l->manifest;
	return r;
}

static void close_lower(struct lower *l)
{
	ul_manifest_close(l->manifest);
	if (l->mounted)
		ul_lower_unmount(&l->view);
	ul_image_check_result_free(&l->checked);
	ul_slots_free(&l->slots);
	ul_trust_free(l->trust);
}

/* ---- telling ---- */

static void print_text(const struct ul_reconcile_report *r, bool dry_run)
{
	size_t n;
	const struct ul_reconcile_item *items = ul_reconcile_items(r, &n);

	for (size_t i = 0; i < n; i++) {
		char name[2000], why[2000];

		ul_escape_text(name, sizeof(name), items[i].name);
		ul_escape_text(why, sizeof(why), items[i].why);
		printf("%-12s %s: %s\n", ul_reconcile_action_name(items[i].action), name, why);
	}
	printf("%s: %s lower, %llu quarantined, %llu restored, %llu swept, %llu invalidated, %llu updated, %llu checked\n",
	       dry_run ? "would be done" : "done", r->lower_changed ? "another" : "the same",
	       (unsigned long long)r->n[UL_RECONCILE_QUARANTINED], (unsigned long long)r->n[UL_RECONCILE_RESTORED],
	       (unsigned long long)r->n[UL_RECONCILE_SWEPT], (unsigned long long)r->n[UL_RECONCILE_INVALIDATED],
	       (unsigned long long)r->n[UL_RECONCILE_UPDATED], (unsigned long long)r->checked);
	if (!r->database_kept)
		printf("the database %s anew: %s\n", dry_run ? "would be written" : "is written", r->database_reason);
	if (r->sessions > 0)
		printf("the next boot joins %llu session%s\n", (unsigned long long)r->sessions,
		       r->sessions == 1 ? "" : "s");
}

static int print_json(const struct arguments *a, const struct ul_reconcile_report *r)
{
	ul_autojson struct json_object *report =
		ul_reconcile_report_json(r, a->o.lower.name, a->o.lower.version, UL_RECONCILE_LISTED);
	ul_autojson struct json_object *document = ul_json_document(1);
	bool ok = report && ul_json_add_all(document, report) && ul_json_add_bool(document, "dryRun", a->o.dry_run);

	return cli_print_json(ok ? document : NULL);
}

/* What an upper has that a boot has used, an older Underlay's (store) among them. */
static bool is_upper(int fd)
{
	static const char *const names[] = {UL_KEPT, UL_SESSIONS, "lower.json", "var/nix", "store"};

	for (size_t i = 0; i < UL_ARRAY_SIZE(names); i++)
		if (faccessat(fd, names[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0 || (errno != ENOENT && errno != ENOTDIR))
			return true;
	return false;
}

/* A mount point on which nothing is mounted agrees with any lower, and what was meant would stay as it is. */
static int open_upper(const char *path, int *ret, struct ul_error *err)
{
	static const char what[] = "opening the upper";

	*ret = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret < 0)
		return ul_error_errno(err, UL_E_UPPER, what, path, NULL, errno);
	if (is_upper(*ret))
		return 0;
	return ul_error_set(err, UL_E_UPPER, what, path, "Mount the upper, and name the root of its filesystem.",
			    "it is not an upper: it has neither " UL_KEPT ", " UL_SESSIONS " nor var/nix");
}

/* What an older Underlay left is laid out anew first, as the boot does it: its entries would not be found. */
static int take_over(const struct arguments *a, int fd, struct ul_error *err)
{
	if (faccessat(fd, "store", F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
	    faccessat(fd, "work", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (a->o.dry_run || a->o.refuse)
		return ul_error_set(err, UL_E_UPPER, "opening the upper", a->upper,
				    "Boot it once, or leave --dry-run and --refuse out.",
				    "an older Underlay laid it out, and it has to be laid out anew first");
	return ul_upper_take_over(fd, err);
}

static int run(void *arguments)
{
	struct arguments *a = arguments;
	struct lower lower = {.view = {.fd = -1}};
	struct ul_reconcile_report report = {0};
	ul_autoclose int fd = -1, lock = -1;
	struct ul_error err;
	int r, status = 0;

	a->o.mode = strcmp(a->mode, "rebuild") ? UL_RECONCILE_ATTACH : UL_RECONCILE_REBUILD;
	r = open_upper(a->upper, &fd, &err);
	/* A dry run, too: it locks the database, and SQLite brings home what the log holds when it is closed. */
	if (r == 0)
		r = cli_upper_refuse_running(fd, a->upper, &err);
	if (r == 0 && !a->o.dry_run)
		r = ul_upper_lock(fd, a->upper, &lock, &err);
	if (r == 0)
		r = take_over(a, fd, &err);
	if (r == 0)
		r = open_lower(a, &lower, &err);
	a->o.upper_fd = fd;
	a->o.upper_path = a->upper;
	if (r == 0)
		r = ul_reconcile(&a->o, &report, &err);
	if (r == 0 && a->json)
		status = print_json(a, &report);
	else if (r == 0)
		print_text(&report, a->o.dry_run);
	ul_reconcile_report_free(&report);
	close_lower(&lower);
	return r < 0 ? cli_fail(&err) : status;
}

const struct cli_command cli_db_reconcile = {
	.group = "db",
	.name = "reconcile",
	.help = "make a persistent upper agree with an image",
	.page = "underlay-db",
	.options = options,
	.size = sizeof(struct arguments),
	.run = run,
};

/* ---- the clean mark ---- */

struct mark {
	const char *upper;
};

static const struct cli_option mark_options[] = {
	{"upper", 0, "DIR", CLI_DIRECTORY, offsetof(struct mark, upper), 0, .def = UL_PATH_UPPER,
	 .help = "the root of the upper's filesystem"},
	{.help = NULL},
};

static int run_mark(void *arguments)
{
	const struct mark *a = arguments;
	ul_autoclose int fd = -1;
	struct ul_error err;
	bool marked = false;
	int r = open_upper(a->upper, &fd, &err);

	if (r == 0)
		r = ul_reconcile_mark_clean(fd, a->upper, &marked, &err);
	if (r == 0 && !marked)
		printf("%s is lost at the next boot: there is nothing to mark\n", a->upper);
	return r < 0 ? cli_fail(&err) : 0;
}

const struct cli_command cli_mark_clean = {
	.name = "mark-clean",
	.help = "say that the system was shut down in good order",
	.page = "underlay",
	.options = mark_options,
	.size = sizeof(struct mark),
	.run = run_mark,
};
