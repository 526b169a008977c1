/*
 * Looks at sealed paths while the disk errs. What was sealed is recorded before, for a look at the sealed filesystem
 * itself would meet the error in the overlay's place. Each answer of the view is then an error, or what was recorded.
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
#include <unistd.h>

#include "common/cleanup.h"
#include "common/dir.h"
#include "common/names.h"

#define CONTENTS_MAX 4096 /* bytes of each file that are read: a look is to be quick */

struct walk {
	struct ul_names lines;
	uint64_t errors;
};

/* FNV-1a: nobody attacks this comparison. false: an error. */
static bool hash_contents(const char *path, mode_t mode, uint64_t *ret)
{
	unsigned char buf[CONTENTS_MAX];
	ul_autoclose int fd = -1;
	uint64_t hash = 14695981039346656037ULL;
	ssize_t n = 0;

	if (S_ISLNK(mode)) {
		n = readlink(path, (char *)buf, sizeof(buf));
	} else if (S_ISREG(mode)) {
		fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		(void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
		n = fd < 0 ? -1 : pread(fd, buf, sizeof(buf), 0);
	}
	for (ssize_t i = 0; i < n; i++)
		hash = (hash ^ buf[i]) * 1099511628211ULL;
	*ret = hash;
	return n >= 0;
}

static void walk_directory(struct walk *w, const char *path, const char *shown);

static void walk_entry(struct walk *w, const char *path, const char *shown)
{
	char line[2 * ATTACK_PATH_MAX];
	uint64_t hash = 0;
	struct stat st;

	if (lstat(path, &st) < 0 || !hash_contents(path, st.st_mode, &hash)) {
		w->errors++;
		return;
	}
	snprintf(line, sizeof(line), "%s %o %u:%u %lld %016" PRIx64, shown, st.st_mode, st.st_uid, st.st_gid,
		 S_ISDIR(st.st_mode) ? 0LL : (long long)st.st_size, hash);
	if (ul_names_add(&w->lines, line) < 0)
		attack_die(path);
	if (S_ISDIR(st.st_mode))
		walk_directory(w, path, shown);
}

static void walk_directory(struct walk *w, const char *path, const char *shown)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int r = ul_dir_open(AT_FDCWD, path, &dir);

	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0) {
		char below[ATTACK_PATH_MAX], name[ATTACK_PATH_MAX];

		/* Nix fills `.links` itself. */
		if (!*shown && !strcmp(entry->d_name, ".links"))
			continue;
		snprintf(below, sizeof(below), "%.3000s/%.255s", path, entry->d_name);
		snprintf(name, sizeof(name), "%.3000s%s%.255s", shown, *shown ? "/" : "", entry->d_name);
		walk_entry(w, below, name);
	}
	w->errors += r < 0;
}

void attack_record(const char *sealed)
{
	struct walk w = {.errors = 0};

	walk_directory(&w, sealed, "");
	ul_names_sort(&w.lines, false);
	for (size_t i = 0; i < w.lines.n; i++)
		puts(w.lines.at[i]);
	if (w.errors > 0 || w.lines.n == 0 || fflush(stdout) != 0)
		attack_die(sealed);
	ul_names_free(&w.lines);
}

/* The lines of a record, and the names at its top. */
static void read_record(const char *path, struct ul_names *ret_lines, struct ul_names *ret_top)
{
	ul_autofclose FILE *file = fopen(path, "re");
	char line[2 * ATTACK_PATH_MAX];

	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (ul_names_add(ret_lines, line) < 0)
			attack_die(path);
		line[strcspn(line, " ")] = '\0';
		if (!strchr(line, '/') && ul_names_add(ret_top, line) < 0)
			attack_die(path);
	}
	if (!file || ret_top->n == 0)
		attack_die(path);
	ul_names_sort(ret_lines, false);
	ul_names_sort(ret_top, false);
}

/* Every sealed name is asked for by itself: what a directory does not list is found, or not, all the same. */
int attack_look(const char *record, const char *view, bool strict)
{
	ul_autonames struct ul_names lines = {0}, top = {0};
	struct walk w = {.errors = 0};
	uint64_t other = 0;
	bool whole;

	read_record(record, &lines, &top);
	for (size_t i = 0; i < top.n; i++) {
		char path[ATTACK_PATH_MAX];

		snprintf(path, sizeof(path), "%.3000s/%.255s", view, top.at[i]);
		walk_entry(&w, path, top.at[i]);
	}
	for (size_t i = 0; i < w.lines.n; i++)
		if (!ul_names_find(&lines, w.lines.at[i]) && ++other <= 20)
			printf("# not sealed: %s\n", w.lines.at[i]);
	printf("%zu looked at, %" PRIu64 " errors, %" PRIu64 " not sealed\n", w.lines.n, w.errors, other);
	whole = w.errors == 0 && w.lines.n == lines.n;
	ul_names_free(&w.lines);
	return other > 0 || (strict && !whole);
}
