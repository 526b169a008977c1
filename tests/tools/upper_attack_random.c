#include "tests/tools/upper_attack.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/dir.h"
#include "common/names.h"
#include "dbgen/layers/join.h"
#include "dbgen/layers/session.h"

/* The figures of a run. */
struct run {
	const struct attack_random *of;
	struct ul_names paths; /* of the sealed store, relative; the names at its top first */
	size_t n_top;
	uint64_t state;
	uint64_t entries, compared, joined, not_joined, not_mounted;
};

/* splitmix64 */
static uint64_t next(struct run *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static size_t below(struct run *r, size_t n)
{
	return (size_t)(next(r) % n);
}

static bool one_in(struct run *r, size_t n)
{
	return below(r, n) == 0;
}

/* ---- names ---- */

static void list_sealed(struct run *r, const char *sealed, const char *rel, unsigned int depth)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	char path[ATTACK_PATH_MAX], name[ATTACK_PATH_MAX];
	struct stat st;
	int more;

	snprintf(path, sizeof(path), "%.2000s/%.2000s", sealed, rel);
	if (ul_dir_open(AT_FDCWD, path, &dir) < 0)
		attack_die(path);
	while ((more = ul_dir_next(dir, &entry)) > 0) {
		snprintf(name, sizeof(name), "%.2000s%s%.255s", rel, *rel ? "/" : "", entry->d_name);
		if ((depth == 0) == (*rel == '\0') && ul_names_add(&r->paths, name) < 0)
			attack_die(name);
		if (depth > 0 && fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISDIR(st.st_mode))
			list_sealed(r, sealed, name, depth);
	}
	if (more < 0)
		attack_die(path);
}

/* A name that resembles a sealed one, or nothing at all. */
static void spell(struct run *r, char name[ATTACK_NAME_MAX])
{
	static const char *const endings[] = {" ",  ".",    "~",     "\xc2\xa0", "\xcc\x81", "\xe2\x80\x8b",
					      "\n", "\xff", ".bad-1"};
	size_t len = strlen(name), k;

	switch (below(r, 6)) {
	case 0:
		for (k = 0; k < len; k++)
			if (one_in(r, 2) && ((name[k] | 32) >= 'a' && (name[k] | 32) <= 'z'))
				name[k] ^= 32;
		break;
	case 1:
		snprintf(name + (len > 240 ? 240 : len), 16, "%s", endings[below(r, UL_ARRAY_SIZE(endings))]);
		break;
	case 2:
		name[1 + below(r, len)] = '\0';
		break;
	case 3:
		len = 1 + below(r, 255);
		for (k = 0; k < len; k++)
			while (name[k] = (char)(1 + below(r, 255)), name[k] == '/')
				;
		name[len] = '\0';
		if (!strcmp(name, ".") || !strcmp(name, ".."))
			strcpy(name, "...");
		break;
	case 4:
		memset(name, 'n', 255);
		name[one_in(r, 2) ? 255 : 250] = '\0';
		break;
	default:
		strcpy(name, one_in(r, 2) ? ".links" : ".dot");
	}
}

/* ---- entries ---- */

static void random_mark(struct run *r, const char *path)
{
	static const char *const marks[] = {"opaque",    "redirect", "metacopy",      "origin",   "impure",
					    "nlink",     "upper",    "uuid",          "protattr", "whiteout",
					    "whiteouts", "verity",   "overlay.opaque"};
	static const char *const values[] = {"y", "x",  "",    "n",   "/evil-target", "evil-target",
					     "/", "..", "U+1", "L-1", "ia",           "a/b"};
	char name[64], file[ATTACK_PATH_MAX];
	unsigned char value[256];
	const char *text = values[below(r, UL_ARRAY_SIZE(values))];
	size_t size = strlen(text);

	memcpy(value, text, size);
	snprintf(name, sizeof(name), "%s.overlay.%s", one_in(r, 4) ? "user" : "trusted",
		 marks[below(r, UL_ARRAY_SIZE(marks))]);
	if (strstr(name, "origin") || strstr(name, "upper") || one_in(r, 10)) {
		snprintf(file, sizeof(file), "%.2000s/%.2000s", r->of->sealed, r->paths.at[below(r, r->paths.n)]);
		size = attack_origin(file, r->of->uuid, value);
		if (one_in(r, 8))
			value[below(r, size)] ^= (unsigned char)(1U << below(r, 8));
	} else if (strstr(name, "redirect") && one_in(r, 2)) {
		size = (size_t)snprintf((char *)value, sizeof(value), "/%.250s", r->paths.at[below(r, r->paths.n)]);
		size = size > 255 ? 255 : size;
	}
	attack_xattr(path, name, value, size);
}

static void fill(struct run *r, const char *path, unsigned int depth);

/* An entry of any type, of whatever name; what is there already stays. */
static void entry(struct run *r, const char *path, unsigned int depth)
{
	static const char *const names[] = {"init", "lib", "link", "x", "sub", "y", "ld.so.preload", "evil.so"};
	static const mode_t types[] = {S_IFCHR, S_IFCHR, S_IFIFO, S_IFSOCK, S_IFBLK};
	struct stat st;

	r->entries++;
	switch (below(r, 10)) {
	case 0:
	case 1:
	case 2:
		if (lstat(path, &st) < 0)
			attack_file(path, one_in(r, 4) ? "" : "EVIL\n");
		break;
	case 3:
		(void)!symlink(one_in(r, 2) ? "evil-target" : names[below(r, UL_ARRAY_SIZE(names))], path);
		break;
	case 4:
		(void)!mknod(path, types[below(r, UL_ARRAY_SIZE(types))] | 0666, one_in(r, 4) ? 0x103 : 0);
		break;
	case 5:
		(void)!link("zzz-link", path);
		break;
	default:
		if (mkdir(path, (mode_t)below(r, 010000)) == 0 && depth < 4)
			fill(r, path, depth + 1);
	}
	while (one_in(r, 2))
		if (lstat(path, &st) == 0)
			random_mark(r, path);
	if (one_in(r, 8) && lstat(path, &st) == 0 && !S_ISLNK(st.st_mode))
		(void)!chmod(path, (mode_t)below(r, 010000));
}

static void fill(struct run *r, const char *path, unsigned int depth)
{
	static const char *const names[] = {"init", "lib", "link", "x", "sub", "y", "ld.so.preload", "evil.so"};
	char name[ATTACK_PATH_MAX];

	for (size_t i = 0; i < UL_ARRAY_SIZE(names); i++)
		if (one_in(r, 2)) {
			snprintf(name, sizeof(name), "%.3000s/%s", path, names[i]);
			entry(r, name, depth);
		}
}

/* In the current directory: a layer. */
static void write_layer(struct run *r)
{
	char name[ATTACK_NAME_MAX];

	attack_file("zzz-link", "EVIL\n");
	for (size_t n = 5 + below(r, 40); n > 0; n--) {
		snprintf(name, sizeof(name), "%s", r->paths.at[below(r, r->n_top)]);
		if (one_in(r, 3))
			spell(r, name);
		if (*name)
			entry(r, name, 0);
	}
	while (one_in(r, 2))
		random_mark(r, ".");
}

static void enter(const char *path)
{
	if (chdir(path) < 0)
		attack_die(path);
}

static void write_upper(struct run *r, const char *upper)
{
	char session[128];

	enter(upper);
	attack_dir(UL_KEPT);
	enter(UL_KEPT);
	write_layer(r);
	enter(upper);
	attack_dir(UL_SESSIONS);
	for (size_t n = below(r, 4); n > 0; n--) {
		snprintf(session, sizeof(session), UL_SESSIONS "/%08zu-0123456789abcdef", n);
		attack_dir(session);
		strcat(session, "/up");
		attack_dir(session);
		enter(session);
		write_layer(r);
		enter(upper);
	}
	/* What is to be a directory may be anything; so may the trash. */
	if (one_in(r, 20))
		(void)!symlink("../..", UL_TRASH);
	if (one_in(r, 20))
		(void)!mknod(UL_SESSIONS "/stranger", S_IFCHR, 0);
	while (one_in(r, 3))
		random_mark(r, one_in(r, 2) ? "." : UL_SESSIONS);
}

/* ---- a boot ---- */

static void boot(struct run *r, const char *upper)
{
	const struct attack_random *a = r->of;
	char session[UL_SESSION_NAME_MAX], options[5 * ATTACK_PATH_MAX];
	struct ul_join_report report;
	struct ul_error err = {0};
	int fd = open(upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
	    sealed = open(a->sealed, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct ul_join join = {.upper_fd = fd, .sealed = &sealed, .n_sealed = 1};

	if (fd < 0 || sealed < 0)
		attack_die(upper);
	/* A join that cannot be done leaves what it leaves: the sealed names must not care. */
	if (ul_join_sessions(&join, &report, &err) < 0) {
		printf("# not joined: %s: %s\n", err.object, err.why);
		r->not_joined++;
	}
	r->joined += report.joined;
	if (ul_session_make(fd, 01775, 0, session, &err) < 0) {
		fprintf(stderr, "upper_attack: %s: %s\n", err.object, err.why);
		exit(3);
	}
	snprintf(options, sizeof(options),
		 "lowerdir=%s%s%s%s%s:%s/kept,upperdir=%s/sessions/%s/up,workdir=%s/sessions/%s/work,"
		 "index=off,metacopy=off,redirect_dir=nofollow,xino=off",
		 a->sealed, a->guarded && a->links ? ":" : "", a->guarded && a->links ? a->links : "",
		 a->guarded ? ":" : "", a->guarded ? a->names : "", upper, upper, session, upper, session);
	close(sealed);
	close(fd);
	if (mount("overlay", a->view, "overlay", MS_NODEV | MS_NOSUID, options) < 0) {
		printf("# not mounted: %s\n", strerror(errno));
		r->not_mounted++;
		if (mount("none", a->view, "tmpfs", 0, NULL) < 0)
			attack_die(a->view);
	}
}

/* The names in the current boot's view, looked at before the sealed ones are. */
static bool look(struct run *r, const char *kept, bool modes)
{
	struct attack_compare c = {.sealed = r->of->sealed,
				   .view = r->of->view,
				   .kept = kept,
				   .modes = modes,
				   .say = r->of->guarded ? 20 : 0};

	attack_touch(kept, r->of->view);
	attack_compare(&c);
	r->compared += c.entries;
	return c.differences == 0;
}

/* One upper, booted twice; between the boots its own names are changed through the view. */
static bool one_tree(struct run *r, uint64_t seed)
{
	char upper[ATTACK_PATH_MAX], kept[ATTACK_PATH_MAX];
	struct ul_trash trash;
	bool good, empty;
	int top;

	snprintf(upper, sizeof(upper), "%.2000s/%llu", r->of->upper, (unsigned long long)seed);
	snprintf(kept, sizeof(kept), "%.2100s/" UL_KEPT, upper);
	r->state = seed;
	attack_dir(upper);
	write_upper(r, upper);
	enter("/");
	boot(r, upper);
	good = look(r, kept, true);
	attack_disturb(r->of->view, r->of->sealed, 10);
	good &= look(r, kept, false);
	if (umount(r->of->view) < 0)
		attack_die(r->of->view);
	boot(r, upper);
	good &= look(r, kept, true);
	if (umount(r->of->view) < 0)
		attack_die(r->of->view);
	if (!good)
		printf("# seed %llu: something sealed changed\n", (unsigned long long)seed);
	top = open(r->of->upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(kept, sizeof(kept), "%llu", (unsigned long long)seed);
	if (ul_trash_open(top, UL_TRASH, &trash) < 0 || ul_trash_move(&trash, top, kept) < 0 ||
	    ul_trash_empty(&trash, UINT_MAX, &empty) < 0 || !empty)
		attack_die(upper);
	ul_trash_close(&trash);
	close(top);
	return good;
}

unsigned int attack_random(const struct attack_random *a)
{
	struct run r = {.of = a};
	unsigned int bad = 0;

	umask(0);
	list_sealed(&r, a->sealed, "", 0);
	r.n_top = r.paths.n;
	list_sealed(&r, a->sealed, "", 1);
	for (unsigned int i = 0; i < a->trees; i++)
		bad += !one_tree(&r, a->seed + i);
	printf("# %u trees from seed %llu: %llu entries written, %llu joined, %llu joins refused, %llu mounts refused, "
	       "%llu sealed paths compared\n%u changed something sealed\n",
	       a->trees, (unsigned long long)a->seed, (unsigned long long)r.entries, (unsigned long long)r.joined,
	       (unsigned long long)r.not_joined, (unsigned long long)r.not_mounted, (unsigned long long)r.compared,
	       bad);
	ul_names_free(&r.paths);
	return bad;
}
