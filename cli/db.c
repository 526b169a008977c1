/* underlay db: Nix's database from a manifest. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/commands.h"
#include "dbgen/database/db.h"

static void print_left_out(void *user, const char *name, const char *why)
{
	char shown[1200];

	(void)user;
	cli_progress_done();
	ul_escape_text(shown, sizeof(shown), name);
	fprintf(stderr, "underlay: not merged: %s: %s\n", shown, why);
}

/* SQLite would say of a file that is not there what it says of one that is no database. */
static int readable(const char *database, struct ul_error *err)
{
	static const char what[] = "reading the database";
	struct stat st;

	if (stat(database, &st) < 0 || access(database, R_OK) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, database, NULL, errno);
	if (!S_ISREG(st.st_mode))
		return ul_error_set(err, UL_E_DATABASE, what, database, NULL, "it is not a regular file");
	return 0;
}

static void print_dropped(void *user, const char *path, enum ul_db_drop why)
{
	static const char *const reasons[] = {
		[UL_DB_MALFORMED] = "Nix could not have written its row, or the row cannot be read",
		[UL_DB_MISSING] = "its files are not there",
		[UL_DB_VANISHED] = "it refers to a path that is not there",
		[UL_DB_REFERENCE] = "it refers to a path that is not there",
	};

	print_left_out(user, path, reasons[why]);
}

/* ---- build ---- */

struct build {
	const char *manifest, *directory;
	struct ul_db_options db;
};

#define AT(member) offsetof(struct build, member)

static const struct cli_option build_options[] = {
	{NULL, 0, "MANIFEST", CLI_FILE, AT(manifest), CLI_NEEDED, .help = "what the database is to hold"},
	{"output", 'o', "DIR", CLI_DIRECTORY, AT(directory), CLI_NEEDED,
	 .help = "an existing directory, for db.sqlite and schema"},
	CLI_THREADS_ROW(AT(db.threads), "as many as there are processors when not given"),
	{"low-memory", 0, NULL, CLI_FLAG, AT(db.low_memory), 0,
	 .help = "stay under 64 MB of memory at a million paths, at the price of time"},
	{"durable", 0, NULL, CLI_FLAG, AT(db.durable), 0,
	 .help = "whatever happens, the old or the new database is there, whole"},
	{"merge-from", 0, "DATABASE", CLI_FILE, AT(db.merge_from), 0,
	 .help = "add the rows of another database whose paths the manifest does not have"},
	{"sqlite", 0, NULL, CLI_FLAG, AT(db.use_sqlite), 0,
	 .help = "write through SQLite's API, the slower way, kept to compare against"},
	{.help = NULL},
};

#undef AT

static int run_build(void *arguments)
{
	struct build *a = arguments;
	ul_automanifest struct ul_manifest *m = NULL;
	struct ul_error err;
	int r;

	a->db.dropped = print_dropped;
	a->db.left_out = print_left_out;
	a->db.progress = cli_progress();
	r = ul_manifest_open_file(AT_FDCWD, a->manifest, &m, &err);
	if (r == 0 && a->db.merge_from)
		r = readable(a->db.merge_from, &err);
	if (r == 0)
		r = ul_db_build(m, AT_FDCWD, a->directory, &a->db, &err);
	cli_progress_done();
	return r < 0 ? cli_fail(&err) : 0;
}

const struct cli_command cli_db_build = {
	.group = "db",
	.name = "build",
	.help = "write db.sqlite and schema from a manifest",
	.page = "underlay-db",
	.options = build_options,
	.size = sizeof(struct build),
	.run = run_build,
};

/* ---- compare ---- */

struct compare {
	const char *manifest, *database;
};

static const struct cli_option compare_options[] = {
	{NULL, 0, "MANIFEST", CLI_FILE, offsetof(struct compare, manifest), CLI_NEEDED,
	 .help = "what the database should hold"},
	{NULL, 0, "DATABASE", CLI_FILE, offsetof(struct compare, database), CLI_NEEDED, .help = "a db.sqlite of Nix"},
	{.help = NULL},
};

static int run_compare(void *arguments)
{
	const struct compare *a = arguments;
	ul_automanifest struct ul_manifest *m = NULL;
	struct ul_error err;
	int r = ul_manifest_open_file(AT_FDCWD, a->manifest, &m, &err);

	if (r == 0)
		r = readable(a->database, &err);
	if (r == 0)
		r = ul_db_compare(m, a->database, &err);
	return r < 0 ? cli_fail(&err) : 0;
}

const struct cli_command cli_db_compare = {
	.group = "db",
	.name = "compare",
	.help = "check that a database holds exactly what a manifest says",
	.page = "underlay-db",
	.options = compare_options,
	.size = sizeof(struct compare),
	.run = run_compare,
};
