/* underlay db: Nix's database from a manifest. */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/reconcile.h"
#include "common/cleanup.h"
#include "dbgen/database/db.h"

static void close_manifest(struct ul_manifest **m)
{
	ul_manifest_close(*m);
}

#define autoclose_manifest UL_CLEANUP(close_manifest)

static void print_dropped(void *user, const char *path, enum ul_db_drop why)
{
	static const char *const reasons[] = {
		[UL_DB_MALFORMED] = "Nix could not have written its row, or the row cannot be read",
		[UL_DB_MISSING] = "its files are not there",
		[UL_DB_REFERENCE] = "it refers to a path that is not there",
	};
	char shown[1200];

	(void)user;
	cli_progress_done();
	ul_escape_text(shown, sizeof(shown), path);
	fprintf(stderr, "underlay: not merged: %s: %s\n", shown, reasons[why]);
}

static int build(int argc, char **argv)
{
	static const struct option options[] = {
		{"output", required_argument, NULL, 'o'},
		{"threads", required_argument, NULL, 'j'},
		{"low-memory", no_argument, NULL, 'l'},
		{"sqlite", no_argument, NULL, 's'},
		{"durable", no_argument, NULL, 'd'},
		{"merge-from", required_argument, NULL, 'm'},
		{NULL, 0, NULL, 0},
	};
	struct ul_db_options db = {.dropped = print_dropped, .progress = cli_progress()};
	autoclose_manifest struct ul_manifest *m = NULL;
	const char *directory = NULL;
	struct ul_error err;
	int c, r;

	while ((c = getopt_long(argc, argv, "o:j:", options, NULL)) != -1) {
		if (c == 'o')
			directory = optarg;
		else if (c == 'j' && !cli_parse_threads(optarg, &db.threads))
			return cli_usage_error(cli_current(), "%s is no number of threads", optarg);
		else if (c == 'l')
			db.low_memory = true;
		else if (c == 's')
			db.use_sqlite = true;
		else if (c == 'd')
			db.durable = true;
		else if (c == 'm')
			db.merge_from = optarg;
		else if (c == '?')
			return cli_usage_error(cli_current(), "see the arguments");
	}
	if (argc - optind != 1)
		return cli_usage_error(cli_current(), "one manifest is wanted");
	if (!directory)
		return cli_usage_error(cli_current(), "-o DIRECTORY is missing");
	r = ul_manifest_open_file(AT_FDCWD, argv[optind], &m, &err);
	if (r == 0)
		r = ul_db_build(m, AT_FDCWD, directory, &db, &err);
	cli_progress_done();
	return r < 0 ? cli_fail(&err) : 0;
}

static int compare(int argc, char **argv)
{
	static const struct option options[] = {{NULL, 0, NULL, 0}};
	autoclose_manifest struct ul_manifest *m = NULL;
	struct ul_error err;
	int r;

	if (getopt_long(argc, argv, "", options, NULL) != -1)
		return cli_usage_error(cli_current(), "see the arguments");
	if (argc - optind != 2)
		return cli_usage_error(cli_current(), "a manifest and a database are wanted");
	r = ul_manifest_open_file(AT_FDCWD, argv[optind], &m, &err);
	if (r == 0)
		r = ul_db_compare(m, argv[optind + 1], &err);
	return r < 0 ? cli_fail(&err) : 0;
}

const struct cli_command cli_db_commands[] = {
	{"db", "build",
	 "MANIFEST -o DIRECTORY [--threads N] [--low-memory] [--sqlite] [--durable]"
	 " [--merge-from DATABASE]",
	 "write db.sqlite and schema from a manifest", build},
	{"db", "compare", "MANIFEST DATABASE", "check that a database holds exactly what a manifest says", compare},
	{"db", "reconcile",
	 "--upper DIRECTORY --lower MANIFEST|IMAGE [--cert CERT.PEM] [--mode attach|rebuild]"
	 " [--refuse] [--dry-run] [--json]",
	 "make a persistent upper agree with an image", cli_db_reconcile},
	{NULL, NULL, NULL, NULL, NULL},
};
