#include "tests/tools/upper_attack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/cleanup.h"

#define EVIL      "EVIL\n"
#define TARGET    "/evil-target"
#define LONG_NAME 250

_Noreturn void attack_die(const char *path)
{
	fprintf(stderr, "upper_attack: %s: %s\n", path, strerror(errno));
	exit(3);
}

void attack_file(const char *path, const char *text)
{
	ul_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0755);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		attack_die(path);
}

void attack_dir(const char *path)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		attack_die(path);
}

void attack_xattr(const char *path, const char *name, const void *value, size_t size)
{
	/* user.* is for files and directories only, and little of anything fits on ext4. */
	if (lsetxattr(path, name, value, size, 0) < 0 && errno != EPERM && errno != ENOSPC && errno != EOPNOTSUPP)
		attack_die(path);
}

size_t attack_origin(const char *file, const unsigned char *uuid, unsigned char ret[256])
{
	union {
		struct file_handle h;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} u = {.h = {.handle_bytes = MAX_HANDLE_SZ}};
	int mount;

	if (name_to_handle_at(AT_FDCWD, file, &u.h, &mount, 0) < 0)
		attack_die(file);
	/* struct ovl_fb: version, magic, length, flags, type, uuid, handle */
	ret[0] = 0;
	ret[1] = 0xfb;
	ret[2] = (unsigned char)(21 + u.h.handle_bytes);
	ret[3] = 0;
	ret[4] = (unsigned char)u.h.handle_type;
	memcpy(ret + 5, uuid, 16);
	memcpy(ret + 21, u.h.f_handle, u.h.handle_bytes);
	return ret[2];
}

/* A path of two parts; valid until the eighth call after. */
static const char *in(const char *dir, const char *name)
{
	static char paths[8][ATTACK_PATH_MAX];
	static unsigned int turn;
	char *path = paths[turn++ % 8];

	snprintf(path, ATTACK_PATH_MAX, "%.2000s/%.2000s", dir, name);
	return path;
}

static void tree(const char *dir, const char *text)
{
	attack_dir(dir);
	attack_file(in(dir, "init"), text);
	attack_dir(in(dir, "lib"));
	attack_file(in(dir, "lib/x"), text);
	attack_dir(in(dir, "lib/sub"));
	attack_file(in(dir, "lib/sub/y"), text);
	if (symlink("init", in(dir, "link")) < 0 && errno != EEXIST)
		attack_die(dir);
}

static void evil(const char *dir)
{
	tree(dir, EVIL);
	attack_file(in(dir, "ld.so.preload"), EVIL);
	attack_file(in(dir, "lib/evil.so"), EVIL);
	attack_file(in(dir, "lib/sub/evil.so"), EVIL);
	attack_dir(in(dir, "evil"));
}

void attack_make_store(bool links)
{
	char name[ATTACK_NAME_MAX];

	for (size_t i = 0; i < attack_n_kinds(); i++) {
		attack_name(name, i, 'd');
		tree(name, "sealed\n");
		attack_name(name, i, 'f');
		attack_file(name, "sealed\n");
		attack_name(name, i, 'l');
		if (symlink("nowhere", name) < 0)
			attack_die(name);
	}
	/* mkfs.erofs 1.5 cannot have one of 255; Nix's own are of 244 at most. */
	memset(name, 'n', LONG_NAME);
	name[LONG_NAME] = '\0';
	attack_dir(name);
	attack_dir(".dot");
	if (links)
		attack_dir(".links");
}

/* ---- the kinds ---- */

/* The directory, the file and the symlink that an attack is on, and what it needs to know of the sealed store. */
struct at {
	const char *d, *f, *l;
	const char *sealed; /* the directory there */
	const unsigned char *uuid;
};

static void overlay(const char *path, const char *mark, const char *value)
{
	char name[64];

	snprintf(name, sizeof(name), "trusted.overlay.%s", mark);
	attack_xattr(path, name, value, strlen(value));
}

static void origin(const char *path, const char *mark, const char *sealed, const unsigned char *uuid)
{
	unsigned char value[256];
	char name[64];

	snprintf(name, sizeof(name), "trusted.overlay.%s", mark);
	attack_xattr(path, name, value, attack_origin(sealed, uuid, value));
}

static void all_evil(const struct at *a)
{
	evil(a->d);
	attack_file(a->f, EVIL);
	attack_file(a->l, EVIL);
}

static void opaque_y(const struct at *a)
{
	all_evil(a);
	overlay(a->d, "opaque", "y");
}

static void opaque_x(const struct at *a)
{
	all_evil(a);
	overlay(a->d, "opaque", "x");
	overlay(a->d, "whiteouts", "y");
	overlay(in(a->d, "lib"), "whiteouts", "y");
	overlay(in(a->d, "lib"), "opaque", "x");
	attack_file(in(a->d, "init"), "");
	overlay(in(a->d, "init"), "whiteout", "y");
	attack_file(in(a->d, "lib/x"), "");
	overlay(in(a->d, "lib/x"), "whiteout", "y");
}

static void file(const struct at *a)
{
	attack_file(a->d, EVIL);
	evil(a->f);
	evil(a->l);
}

static void symlinks(const struct at *a)
{
	if (symlink("evil-target", a->d) < 0 || symlink("evil-target/init", a->f) < 0 ||
	    symlink("evil-target", a->l) < 0)
		attack_die(a->d);
}

static void nodes(const struct at *a, mode_t type)
{
	if (mknod(a->d, type | 0666, 0) < 0 || mknod(a->f, type | 0666, 0) < 0 || mknod(a->l, type | 0666, 0) < 0)
		attack_die(a->d);
}

static void fifo(const struct at *a)
{
	nodes(a, S_IFIFO);
}

static void whiteout_device(const struct at *a)
{
	nodes(a, S_IFCHR);
}

static void whiteout_attribute(const struct at *a)
{
	const char *const paths[] = {a->d, a->f, a->l};

	for (size_t i = 0; i < 3; i++) {
		attack_file(paths[i], "");
		overlay(paths[i], "whiteout", "y");
	}
	overlay(".", "opaque", "x");
}

static void redirect_absolute(const struct at *a)
{
	all_evil(a);
	overlay(a->d, "redirect", TARGET);
	overlay(a->f, "redirect", TARGET "/init");
}

static void redirect_relative(const struct at *a)
{
	all_evil(a);
	overlay(a->d, "redirect", TARGET + 1);
	overlay(a->f, "redirect", TARGET + 1);
}

static void metacopy(const struct at *a)
{
	all_evil(a);
	overlay(a->d, "metacopy", "");
	overlay(a->f, "metacopy", "");
	overlay(in(a->d, "init"), "metacopy", "");
}

static void metacopy_redirect(const struct at *a)
{
	metacopy(a);
	overlay(a->f, "redirect", TARGET "/init");
	overlay(in(a->d, "init"), "redirect", TARGET "/init");
}

static void metacopy_verity(const struct at *a)
{
	static const unsigned char value[] = {0, 4, 0, 1};

	all_evil(a);
	attack_xattr(a->f, "trusted.overlay.metacopy", value, sizeof(value));
	attack_xattr(in(a->d, "init"), "trusted.overlay.metacopy", value, sizeof(value));
}

static void origin_dir(const struct at *a)
{
	all_evil(a);
	origin(a->d, "origin", a->sealed, a->uuid);
	overlay(a->d, "impure", "y");
}

static void impure(const struct at *a)
{
	all_evil(a);
	overlay(a->d, "impure", "y");
}

static void nlink_mark(const struct at *a)
{
	all_evil(a);
	overlay(a->f, "nlink", "U+1");
	overlay(in(a->d, "init"), "nlink", "L-1");
}

static void upper_mark(const struct at *a)
{
	all_evil(a);
	origin(a->d, "upper", a->sealed, a->uuid);
}

static void uuid_mark(const struct at *a)
{
	all_evil(a);
	overlay(a->d, "uuid", "0123456789abcdef");
}

static void protattr(const struct at *a)
{
	all_evil(a);
	overlay(a->d, "protattr", "ia");
	overlay(a->f, "protattr", "i");
}

static void user_marks(const struct at *a)
{
	all_evil(a);
	attack_xattr(a->d, "user.overlay.opaque", "y", 1);
	attack_xattr(a->d, "user.overlay.redirect", TARGET, strlen(TARGET));
	attack_xattr(a->f, "user.overlay.metacopy", "", 0);
	attack_xattr(a->f, "user.overlay.redirect", TARGET "/init", strlen(TARGET "/init"));
}

static void deep_opaque(const struct at *a)
{
	all_evil(a);
	overlay(in(a->d, "lib"), "opaque", "y");
}

static void deep_redirect(const struct at *a)
{
	all_evil(a);
	overlay(in(a->d, "lib"), "redirect", TARGET);
}

static void deep_whiteouts(const struct at *a)
{
	all_evil(a);
	if (unlink(in(a->d, "lib/x")) < 0 || mknod(in(a->d, "lib/x"), S_IFCHR, 0) < 0 || unlink(in(a->d, "init")) < 0 ||
	    mknod(in(a->d, "init"), S_IFCHR, 0) < 0)
		attack_die(a->d);
}

static void deep_origin(const struct at *a)
{
	all_evil(a);
	origin(in(a->d, "init"), "origin", in(a->sealed, "lib/x"), a->uuid);
	origin(in(a->d, "lib"), "origin", in(a->sealed, "lib/sub"), a->uuid);
}

static void hard_links(const struct at *a)
{
	all_evil(a);
	if (unlink(in(a->d, "init")) < 0 || link(a->f, in(a->d, "init")) < 0 || link(a->f, "zzz-hard") < 0)
		attack_die(a->d);
}

static void spellings(const struct at *a)
{
	char name[ATTACK_NAME_MAX];

	for (size_t i = 0; i < attack_n_kinds(); i++) {
		attack_name(name, i, 'd');
		for (char *at = name; *at; at++)
			*at = (char)(*at >= 'a' && *at <= 'z' ? *at - 32 : *at);
		evil(name);
	}
	all_evil(a);
}

static void odd_bytes(const struct at *a)
{
	static const char *const endings[] = {" ", ".", "\xc2\xa0", "\xe2\x80\x8b", "\n", "\xff", "~", "\\"};
	static const char *const names[] = {"\xff\xfe", "\n", "...", " ", "-", ".links ", ".LINKS", "\x1b[2J"};
	char name[2 * ATTACK_NAME_MAX], first[ATTACK_NAME_MAX];

	all_evil(a);
	attack_name(first, 0, 'd');
	for (size_t i = 0; i < UL_ARRAY_SIZE(endings); i++) {
		snprintf(name, sizeof(name), "%s%s", first, endings[i]);
		evil(name);
	}
	for (size_t i = 0; i < UL_ARRAY_SIZE(names); i++)
		evil(names[i]);
	memset(name, 'n', 255);
	name[255] = '\0';
	evil(name);
	name[LONG_NAME] = '\0';
	evil(name);
	memset(name, 'N', LONG_NAME);
	evil(name);
	evil(".dot");
	evil(".links");
}

static const struct {
	const char *name;
	void (*write)(const struct at *);
} kinds[] = {
	{"merge", all_evil},
	{"opaque", opaque_y},
	{"opaque-x", opaque_x},
	{"file", file},
	{"symlink", symlinks},
	{"fifo", fifo},
	{"whiteout-device", whiteout_device},
	{"whiteout-attribute", whiteout_attribute},
	{"redirect-absolute", redirect_absolute},
	{"redirect-relative", redirect_relative},
	{"metacopy", metacopy},
	{"metacopy-redirect", metacopy_redirect},
	{"metacopy-verity", metacopy_verity},
	{"origin", origin_dir},
	{"impure", impure},
	{"nlink", nlink_mark},
	{"upper", upper_mark},
	{"uuid", uuid_mark},
	{"protattr", protattr},
	{"user", user_marks},
	{"deep-opaque", deep_opaque},
	{"deep-redirect", deep_redirect},
	{"deep-whiteouts", deep_whiteouts},
	{"deep-origin", deep_origin},
	{"hard-links", hard_links},
	{"spellings", spellings},
	{"odd-bytes", odd_bytes},
};

void attack_name(char ret[ATTACK_NAME_MAX], size_t kind, char type)
{
	snprintf(ret, ATTACK_NAME_MAX, "%031zu%c-%s", kind, type, kinds[kind].name);
}

size_t attack_n_kinds(void)
{
	return UL_ARRAY_SIZE(kinds);
}

void attack_write_kinds(const char *sealed, const unsigned char *uuid)
{
	char d[ATTACK_NAME_MAX], f[ATTACK_NAME_MAX], l[ATTACK_NAME_MAX], path[ATTACK_PATH_MAX], alias[64];

	evil(TARGET + 1);
	for (size_t i = 0; i < UL_ARRAY_SIZE(kinds); i++) {
		attack_name(d, i, 'd');
		attack_name(f, i, 'f');
		attack_name(l, i, 'l');
		snprintf(path, sizeof(path), "%s/%s", sealed, d);
		kinds[i].write(&(struct at){d, f, l, path, uuid});
		/* A file of another name that says it was copied up from the sealed one, or from one inside. */
		snprintf(alias, sizeof(alias), "zzz-alias-%02zu", i);
		attack_file(alias, EVIL);
		snprintf(path, sizeof(path), "%s/%s%s", sealed, i % 2 ? d : f, i % 2 ? "/init" : "");
		origin(alias, "origin", path, uuid);
	}
}
