/*
 * What somebody writes on an upper while the machine is off, for host-level tests:
 *
 *     upper_attack store [--no-links]            fill the current directory with a store to be sealed
 *     upper_attack kinds KEPT SEALED UUID        every kind of attack on it; UUID of the sealed filesystem
 *     upper_attack touch KEPT VIEW               look at each of KEPT's names through the overlay VIEW
 *     upper_attack compare SEALED VIEW [KEPT [any-mode]]   whether the view serves each sealed path as it is
 *     upper_attack record SEALED                 print what `look` compares with
 *     upper_attack look RECORD VIEW [strict]     whether each answer is an error, or as recorded; strict: no errors
 *     upper_attack origin SEALED-FILE UUID FILE  give FILE the trusted.overlay.origin that names the sealed file
 *     upper_attack disturb VIEW SEALED N         change what a running system may; N names are added
 *     upper_attack view VIEW [SEALED]            print all that a program sees; not those of sealed names
 *     upper_attack random SEALED NAMES LINKS UPPER VIEW UUID SEED TREES [unguarded]   random uppers, each booted twice
 *
 * LINKS: "-" where the store has `.links`. Paths are absolute. Exit status 1: something sealed changed.
 */
#include "tests/tools/upper_attack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/dir.h"
#include "common/names.h"

static unsigned char uuid[16];

static void parse_uuid(const char *text)
{
	size_t n = 0;

	for (; *text && n < sizeof(uuid); text++)
		if (*text != '-') {
			if (sscanf(text, "%2hhx", &uuid[n++]) != 1)
				attack_die(text);
			text++;
		}
}

/* ---- the running system ---- */

/* Its own name: renamed, linked, copied up, deleted, made again. What fails, fails. */
static void disturb_own(const char *path, unsigned int turn)
{
	char other[ATTACK_PATH_MAX];

	snprintf(other, sizeof(other), "%.3000s~", path);
	switch (turn % 6) {
	case 0:
		(void)!rename(path, other);
		break;
	case 1:
		(void)!link(path, other);
		break;
	case 2:
		(void)!chmod(path, 0755);
		(void)!lsetxattr(path, "user.new", "x", 1, 0);
		break;
	case 3:
		(void)!unlink(path);
		(void)!mkdir(path, 0755);
		break;
	case 4:
		(void)!truncate(path, 3);
		break;
	default:
		(void)!utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW);
	}
}

/* A sealed one: copied up, as an optimiser or a careless root does; its bytes and its listing stay. */
static void disturb_sealed(const char *path)
{
	char below[ATTACK_PATH_MAX];

	(void)!chmod(path, 0755);
	for (const char *const *name = (const char *const[]){"lib", "lib/x", "init", "lib/sub", NULL}; *name; name++) {
		snprintf(below, sizeof(below), "%.3000s/%s", path, *name);
		(void)!chmod(below, 0755);
		(void)!utimensat(AT_FDCWD, below, NULL, 0);
	}
}

void attack_disturb(const char *view, const char *sealed, unsigned int additions)
{
	ul_autonames struct ul_names names = {0};
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	char path[ATTACK_PATH_MAX], other[ATTACK_PATH_MAX];
	struct stat st;
	int r = ul_dir_open(AT_FDCWD, view, &dir);

	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0)
		r = ul_names_add(&names, entry->d_name);
	if (r < 0)
		attack_die(view);
	for (size_t i = 0; i < names.n; i++) {
		snprintf(path, sizeof(path), "%.3000s/%.255s", view, names.at[i]);
		snprintf(other, sizeof(other), "%.3000s/%.255s", sealed, names.at[i]);
		if (lstat(other, &st) < 0)
			disturb_own(path, (unsigned int)i);
		else if (i % 2)
			disturb_sealed(path);
	}
	for (unsigned int i = 0; i < additions; i++) {
		snprintf(path, sizeof(path), "%.3000s/%032u-new", view, i);
		attack_dir(path);
		snprintf(other, sizeof(other), "%.3000s/file", path);
		attack_file(other, "new\n");
		if (i % 2 && (unlink(other) < 0 || rmdir(path) < 0))
			attack_die(path);
	}
}

/* ---- the verbs ---- */

static int compare(int argc, char **argv)
{
	struct attack_compare c = {.sealed = argv[2],
				   .view = argv[3],
				   .kept = argc > 4 && *argv[4] ? argv[4] : NULL,
				   .modes = argc <= 5,
				   .say = 20};

	attack_compare(&c);
	printf("%" PRIu64 " of %" PRIu64 " differ\n", c.differences, c.entries);
	return c.differences != 0;
}

static int kinds(char **argv)
{
	parse_uuid(argv[4]);
	if (chdir(argv[2]) < 0)
		attack_die(argv[2]);
	attack_write_kinds(argv[3], uuid);
	return 0;
}

static int origin(char **argv)
{
	unsigned char value[256];
	size_t size;

	parse_uuid(argv[3]);
	size = attack_origin(argv[2], uuid, value);
	/* Nothing is passed over here as attack_xattr does: the attack is this attribute. */
	if (lsetxattr(argv[4], "trusted.overlay.origin", value, size, 0) < 0)
		attack_die(argv[4]);
	return 0;
}

static int random_trees(int argc, char **argv)
{
	struct attack_random a = {.sealed = argv[2],
				  .names = argv[3],
				  .links = strcmp(argv[4], "-") != 0 ? argv[4] : NULL,
				  .upper = argv[5],
				  .view = argv[6],
				  .uuid = uuid,
				  .seed = strtoull(argv[8], NULL, 10),
				  .trees = (unsigned int)strtoul(argv[9], NULL, 10),
				  .guarded = argc <= 10};

	parse_uuid(argv[7]);
	return attack_random(&a) != 0;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (!strcmp(verb, "store")) {
		attack_make_store(argc == 2);
		return 0;
	}
	if (!strcmp(verb, "view") && argc > 2) {
		attack_print_view(argv[2], argc > 3 ? argv[3] : NULL);
		return 0;
	}
	if (!strcmp(verb, "kinds") && argc == 5)
		return kinds(argv);
	if (!strcmp(verb, "compare") && argc > 3)
		return compare(argc, argv);
	if (!strcmp(verb, "record") && argc == 3) {
		attack_record(argv[2]);
		return 0;
	}
	if (!strcmp(verb, "look") && argc > 3)
		return attack_look(argv[2], argv[3], argc > 4);
	if (!strcmp(verb, "origin") && argc == 5)
		return origin(argv);
	if (!strcmp(verb, "random") && argc > 9)
		return random_trees(argc, argv);
	if (!strcmp(verb, "touch") && argc == 4) {
		attack_touch(argv[2], argv[3]);
		return 0;
	}
	if (!strcmp(verb, "disturb") && argc == 5) {
		attack_disturb(argv[2], argv[3], (unsigned int)strtoul(argv[4], NULL, 10));
		return 0;
	}
	fputs("usage: upper_attack store|kinds|touch|compare|record|look|origin|disturb|view|random ...\n", stderr);
	return 2;
}
