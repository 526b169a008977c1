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

static void list(const char *path, struct ul_names *ret)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int r = ul_dir_open(AT_FDCWD, path, &dir);

	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0)
		r = ul_names_add(ret, entry->d_name);
	if (r < 0) {
		errno = -r;
		attack_die(path);
	}
	ul_names_sort(ret, false);
}

/* ---- looking at what somebody prepared ---- */

static void touch_one(const char *path)
{
	char byte[16];
	struct stat st;

	if (lstat(path, &st) < 0)
		return;
	(void)lgetxattr(path, "user.x", byte, sizeof(byte));
	if (S_ISREG(st.st_mode)) {
		ul_autoclose int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

		if (fd >= 0 && read(fd, byte, sizeof(byte)) < 0)
			return;
	} else if (S_ISLNK(st.st_mode)) {
		if (readlink(path, byte, sizeof(byte)) < 0 || stat(path, &st) < 0)
			return;
	} else if (S_ISDIR(st.st_mode)) {
		ul_autodir DIR *dir = opendir(path);

		while (dir && readdir(dir))
			;
	}
}

void attack_touch(const char *kept, const char *view)
{
	ul_autonames struct ul_names names = {0};

	list(kept, &names);
	for (size_t i = 0; i < names.n; i++) {
		char below[ATTACK_PATH_MAX], seen[ATTACK_PATH_MAX];
		struct stat st;

		snprintf(below, sizeof(below), "%.3000s/%.255s", kept, names.at[i]);
		snprintf(seen, sizeof(seen), "%.3000s/%.255s", view, names.at[i]);
		touch_one(seen);
		if (lstat(below, &st) == 0 && S_ISDIR(st.st_mode))
			attack_touch(below, seen);
	}
}

/* ---- the comparison ---- */

static void differs(struct attack_compare *c, const char *path, const char *how)
{
	c->differences++;
	if (c->say > 0) {
		c->say--;
		printf("# differs: %s: %s\n", path, how);
	}
}

static void compare_bytes(struct attack_compare *c, const char *sealed, const char *view)
{
	ul_autoclose int a = open(sealed, O_RDONLY | O_CLOEXEC), b = open(view, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	char x[65536], y[65536];
	ssize_t n, m;

	if (a < 0)
		attack_die(sealed);
	if (b < 0) {
		differs(c, view, strerror(errno));
		return;
	}
	do {
		n = read(a, x, sizeof(x));
		m = read(b, y, sizeof(y));
		if (n < 0)
			attack_die(sealed);
		if (n != m || memcmp(x, y, (size_t)n) != 0) {
			differs(c, view, m < 0 ? strerror(errno) : "other bytes");
			return;
		}
	} while (n > 0);
}

static void compare_links(struct attack_compare *c, const char *sealed, const char *view)
{
	char x[ATTACK_PATH_MAX] = {0}, y[ATTACK_PATH_MAX] = {0};

	if (readlink(sealed, x, sizeof(x) - 1) < 0)
		attack_die(sealed);
	if (readlink(view, y, sizeof(y) - 1) < 0 || strcmp(x, y) != 0)
		differs(c, view, "another target");
}

static void compare_directory(struct attack_compare *c, const char *sealed, const char *view, const char *kept,
			      bool top);

static void compare_entry(struct attack_compare *c, const char *sealed, const char *view, const char *kept)
{
	struct stat s, v;

	c->entries++;
	if (lstat(sealed, &s) < 0)
		attack_die(sealed);
	if (lstat(view, &v) < 0) {
		differs(c, view, strerror(errno));
		return;
	}
	if ((s.st_mode & S_IFMT) != (v.st_mode & S_IFMT)) {
		differs(c, view, "another type");
		return;
	}
	if (c->modes && (s.st_mode != v.st_mode || s.st_uid != v.st_uid || s.st_gid != v.st_gid))
		differs(c, view, "another owner or mode");
	if (S_ISDIR(s.st_mode))
		compare_directory(c, sealed, view, kept, false);
	else if (S_ISREG(s.st_mode))
		compare_bytes(c, sealed, view);
	else if (S_ISLNK(s.st_mode))
		compare_links(c, sealed, view);
}

/* Inside a sealed directory a name that only the kept layer has must not be found, whether it is listed or not. */
static void compare_lookups(struct attack_compare *c, const struct ul_names *sealed, const char *view, const char *kept)
{
	ul_autonames struct ul_names names = {0};
	char path[ATTACK_PATH_MAX];
	struct stat st;

	if (lstat(kept, &st) < 0 || !S_ISDIR(st.st_mode))
		return;
	list(kept, &names);
	for (size_t i = 0; i < names.n; i++) {
		if (ul_names_find(sealed, names.at[i]))
			continue;
		snprintf(path, sizeof(path), "%.3000s/%.255s", view, names.at[i]);
		if (lstat(path, &st) == 0 || errno != ENOENT)
			differs(c, path, "a name of the kept layer is found");
	}
}

/* Each sealed name once, and inside of sealed directories no other. */
static void compare_listing(struct attack_compare *c, const struct ul_names *sealed, const char *view, bool top)
{
	ul_autonames struct ul_names seen = {0};
	size_t at = 0;

	list(view, &seen);
	for (size_t i = 0; i < sealed->n; i++) {
		size_t n = 0;

		for (; at < seen.n && strcmp(seen.at[at], sealed->at[i]) < 0; at++)
			if (!top)
				differs(c, view, "more is listed");
		for (; at < seen.n && strcmp(seen.at[at], sealed->at[i]) == 0; at++)
			n++;
		if (n != 1)
			differs(c, view, n ? "a sealed name is listed twice" : "a sealed name is not listed");
	}
	if (!top && at < seen.n)
		differs(c, view, "more is listed");
}

static void compare_directory(struct attack_compare *c, const char *sealed, const char *view, const char *kept,
			      bool top)
{
	ul_autonames struct ul_names names = {0};

	list(sealed, &names);
	compare_listing(c, &names, view, top);
	if (!top && kept)
		compare_lookups(c, &names, view, kept);
	for (size_t i = 0; i < names.n; i++) {
		char s[ATTACK_PATH_MAX], v[ATTACK_PATH_MAX], k[ATTACK_PATH_MAX];

		/* Nix itself fills it. */
		if (top && !c->modes && !strcmp(names.at[i], ".links"))
			continue;
		snprintf(s, sizeof(s), "%.3000s/%.255s", sealed, names.at[i]);
		snprintf(v, sizeof(v), "%.3000s/%.255s", view, names.at[i]);
		snprintf(k, sizeof(k), "%.3000s/%.255s", kept ? kept : "", names.at[i]);
		compare_entry(c, s, v, kept ? k : NULL);
	}
}

void attack_compare(struct attack_compare *c)
{
	compare_directory(c, c->sealed, c->view, c->kept, true);
}

/* ---- the view, as text ---- */

static void print_attributes(const char *path)
{
	ul_autonames struct ul_names names = {0};
	char buf[65536], value[65536];
	ssize_t n = llistxattr(path, buf, sizeof(buf));

	for (const char *at = buf; n > 0 && at < buf + n; at += strlen(at) + 1)
		if (ul_names_add(&names, at) < 0)
			attack_die(path);
	ul_names_sort(&names, false);
	for (size_t i = 0; i < names.n; i++) {
		ssize_t len = lgetxattr(path, names.at[i], value, sizeof(value));

		printf(" %s=", names.at[i]);
		for (ssize_t k = 0; k < len; k++)
			printf("%02x", (unsigned char)value[k]);
	}
}

static void print_contents(const char *path, const struct stat *st)
{
	unsigned char buf[65536];
	uint64_t hash = 14695981039346656037ULL; /* FNV-1a: nobody attacks this comparison */
	ul_autoclose int fd = -1;
	ssize_t n = 0;

	if (S_ISLNK(st->st_mode)) {
		n = readlink(path, (char *)buf, sizeof(buf));
	} else if (S_ISREG(st->st_mode)) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? -1 : read(fd, buf, sizeof(buf));
	}
	while (n > 0) {
		for (ssize_t i = 0; i < n; i++)
			hash = (hash ^ buf[i]) * 1099511628211ULL;
		n = fd < 0 ? 0 : read(fd, buf, sizeof(buf));
	}
	if (n < 0)
		attack_die(path);
	printf(" %016" PRIx64, hash);
}

static void print_directory(const char *view, const char *shown, const char *sealed)
{
	ul_autonames struct ul_names names = {0};

	list(view, &names);
	for (size_t i = 0; i < names.n; i++) {
		char path[ATTACK_PATH_MAX], name[ATTACK_PATH_MAX], other[ATTACK_PATH_MAX];
		struct stat st;

		snprintf(path, sizeof(path), "%.3000s/%.255s", view, names.at[i]);
		snprintf(name, sizeof(name), "%.3000s/%.255s", shown, names.at[i]);
		snprintf(other, sizeof(other), "%.3000s/%.255s", sealed ? sealed : "", names.at[i]);
		if (sealed && (lstat(other, &st) == 0 || !strcmp(names.at[i], ".links")))
			continue;
		if (lstat(path, &st) < 0)
			attack_die(path);
		printf("%s %o %u:%u %lld %" PRIdMAX ".%09ld", name + 1, st.st_mode, st.st_uid, st.st_gid,
		       S_ISDIR(st.st_mode) ? 0LL : (long long)st.st_size, (intmax_t)st.st_mtim.tv_sec,
		       st.st_mtim.tv_nsec);
		print_contents(path, &st);
		print_attributes(path);
		putchar('\n');
		if (S_ISDIR(st.st_mode))
			print_directory(path, name, NULL);
	}
}

void attack_print_view(const char *view, const char *sealed)
{
	print_directory(view, "", sealed);
}
