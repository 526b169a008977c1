/*
 * The layers of a store, for host-level tests:
 *
 *     layers names STORE NAMES         fill the empty directory NAMES with the names of STORE's directories
 *     layers links STORE LINKS         make the layer of `.links` in LINKS where STORE lacks it; prints 1 or 0
 *     layers check STORE NAMES         whether they are right
 *     layers session UPPER MODE        make a session below UPPER; prints its name
 *     layers join UPPER SEALED...      join UPPER's sessions into its kept layer
 *     layers empty UPPER MOST          remove at most MOST files of UPPER's trash
 *
 * Prints what was done as words and numbers; a failure as the boot would, with its exit status.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dbgen/layers/join.h"
#include "dbgen/layers/names.h"
#include "dbgen/layers/session.h"

#define SEALED_MAX 16

static int open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0) {
		perror(path);
		exit(3);
	}
	return fd;
}

static int join(int argc, char **argv, struct ul_error *err)
{
	int sealed[SEALED_MAX];
	struct ul_join what = {.upper_fd = open_dir(argv[2]), .sealed = sealed};
	struct ul_join_report report;
	int r;

	for (int i = 3; i < argc && what.n_sealed < SEALED_MAX; i++)
		sealed[what.n_sealed++] = open_dir(argv[i]);
	r = ul_join_sessions(&what, &report, err);
	printf("sessions %" PRIu64 " joined %" PRIu64 " removed %" PRIu64 " sealed %" PRIu64 " orphans %" PRIu64
	       " mended %" PRIu64 "\n",
	       report.sessions, report.joined, report.removed, report.sealed, report.orphans, report.mended);
	return r;
}

static int empty(char **argv, struct ul_error *err)
{
	struct ul_trash trash;
	bool all;
	int r = ul_trash_open(open_dir(argv[2]), UL_TRASH, &trash);

	if (r >= 0)
		r = ul_trash_empty(&trash, (unsigned int)strtoul(argv[3], NULL, 10), &all);
	if (r < 0)
		return ul_error_errno(err, UL_E_UPPER, "emptying the trash", argv[2], NULL, -r);
	puts(all ? "empty" : "more");
	return 0;
}

static int links(char **argv, struct ul_error *err)
{
	bool missing = false;
	int r = ul_layer_links_missing(open_dir(argv[2]), "looking at the store", &missing, err);

	if (r == 0 && missing)
		r = ul_layer_links_make(open_dir(argv[3]), "making the layer of links", err);
	if (r == 0)
		printf("%d\n", missing);
	return r;
}

int main(int argc, char **argv)
{
	char name[UL_SESSION_NAME_MAX], sentence[1200];
	const char *verb = argc > 3 ? argv[1] : "";
	struct ul_error err = {0};
	uint64_t n;
	int r;

	if (!strcmp(verb, "names")) {
		r = ul_layer_names_make(open_dir(argv[2]), open_dir(argv[3]), "making the names", &n, &err);
		if (r == 0)
			printf("%" PRIu64 "\n", n);
	} else if (!strcmp(verb, "links")) {
		r = links(argv, &err);
	} else if (!strcmp(verb, "check")) {
		r = ul_layer_names_check(open_dir(argv[2]), open_dir(argv[3]), "checking the names", &err);
	} else if (!strcmp(verb, "session")) {
		r = ul_session_make(open_dir(argv[2]), (mode_t)strtoul(argv[3], NULL, 8), 0, name, &err);
		if (r == 0)
			puts(name);
	} else if (!strcmp(verb, "join")) {
		r = join(argc, argv, &err);
	} else if (!strcmp(verb, "empty")) {
		r = empty(argv, &err);
	} else {
		fputs("usage: layers names|check|links STORE DIR | session UPPER MODE | join UPPER SEALED... | empty UPPER MOST\n",
		      stderr);
		return 2;
	}
	if (r == 0)
		return 0;
	fprintf(stderr, "layers: %s\n", ul_error_sentence(&err, sentence, sizeof(sentence)));
	return ul_code_exit_status(err.code);
}
