/*
 * The boot's lock is gone when the system runs, since its holder has become the system's PID 1. So the machine is asked
 * in three ways, of which each finds an upper that the others miss: what the boot says of itself (state.json); overlays
 * whose upper directory lies in the directory; and /nix/var, which is its var/. The last two also for PID 1, whose
 * mounts may be others than those of this process.
 */
#include "cli/upper_running.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/state.h"
#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/file.h"
#include "common/json.h"
#include "common/mountinfo.h"
#include "common/paths.h"
#include "dbgen/layers/session.h"

#define MOUNTINFO_MAX (16 * 1024 * 1024) /* bytes that are read of it */

static const char what[] = "opening the upper";

struct search {
	int fd; /* the directory */
	struct stat st;
	const char *root; /* whose mounts these are: before each of their paths */
	char why[200];    /* why it is in use */
};

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* ---- what the boot says ---- */

static bool is_state_upper(struct search *s)
{
	ul_autojson struct json_object *state = NULL;
	struct json_object *upper = NULL;
	const char *mount;
	struct ul_error ignored;
	struct stat st;

	/* One that cannot be read says nothing, and the mounts are asked all the same. */
	if (cli_state_load(UL_PATH_STATE, &state, &ignored) < 0)
		return false;
	json_object_object_get_ex(state, "upper", &upper);
	mount = ul_json_string(upper, "mount");
	if (!mount || stat(mount, &st) < 0 || !is_same(&st, &s->st))
		return false;
	snprintf(s->why, sizeof(s->why), UL_PATH_STATE " names it");
	return true;
}

/* ---- what is mounted ---- */

/* From the directory path upwards. */
static bool lies_in(const struct search *s, const char *path)
{
	ul_autoclose int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st, below = {0};

	for (int i = 0; fd >= 0 && i < PATH_MAX / 2 && fstat(fd, &st) == 0; i++) {
		int above;

		if (is_same(&st, &s->st))
			return true;
		if (is_same(&st, &below))
			return false;
		below = st;
		above = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		ul_cleanup_close(&fd);
		fd = above;
	}
	return false;
}

/* ".../sessions/NAME/up": whether the directory has that session. */
static bool has_session(const struct search *s, const char *upperdir)
{
	ul_autoclose int sessions = openat(s->fd, UL_SESSIONS, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	const char *found = strstr(upperdir, "/" UL_SESSIONS "/");
	char name[NAME_MAX + 1];
	struct stat st;

	if (!found || sessions < 0)
		return false;
	found += sizeof(UL_SESSIONS) + 1;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(found, "/"), found);
	return *name && *name != '.' && fstatat(sessions, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/*
 * upperdir: as it was when the overlay was mounted. Where nothing is there any more the session's random name tells.
 */
static bool is_upperdir_in(const struct search *s, const char *upperdir)
{
	ul_autofree char *path = ul_path_join(s->root, upperdir);
	struct stat st;

	if (path && stat(path, &st) == 0)
		return lies_in(s, path);
	return has_session(s, upperdir);
}

/* "36 35 98:0 /root /mount/point options optional... - overlay source options,upperdir=/path,..." */
static bool is_overlay_in(struct search *s, char *line)
{
	char *super = strstr(line, " - overlay "), *option, *point = line;

	if (!super)
		return false;
	*super = '\0';
	for (int field = 0; field < 4 && point; field++)
		(void)strsep(&point, " ");
	super = strrchr(super + 1, ' ');
	while ((option = strsep(&super, ","))) {
		if (strncmp(option, "upperdir=", 9) != 0)
			continue;
		ul_mountinfo_unescape(option + 9);
		if (!is_upperdir_in(s, option + 9))
			continue;
		snprintf(s->why, sizeof(s->why), "the overlay on %.*s writes to it",
			 point ? (int)strcspn(point, " ") : 0, point ? point : "");
		return true;
	}
	return false;
}

static bool is_var_of(struct search *s)
{
	ul_autofree char *path = ul_path_join(s->root, UL_PATH_VAR);
	struct stat st, var;

	if (!path || stat(path, &st) < 0 || fstatat(s->fd, "var", &var, AT_SYMLINK_NOFOLLOW) < 0 || !is_same(&st, &var))
		return false;
	snprintf(s->why, sizeof(s->why), UL_PATH_VAR " is its var");
	return true;
}

/* 1: it is in use; 0; or -errno: the mounts of that process cannot be read. */
static int search(struct search *s, const char *mountinfo, const char *root)
{
	ul_autobuffer struct ul_buffer text = {0};
	char *rest, *line;
	int r = ul_read_file(AT_FDCWD, mountinfo, MOUNTINFO_MAX, &text);

	if (r < 0)
		return r;
	rest = ul_buffer_string(&text);
	if (!rest)
		return -ENOMEM;
	s->root = root;
	while ((line = strsep(&rest, "\n")))
		if (is_overlay_in(s, line))
			return 1;
	return is_var_of(s);
}

int cli_upper_refuse_running(int fd, const char *path, struct ul_error *err)
{
	struct search s = {.fd = fd};
	int r;

	if (fstat(fd, &s.st) < 0)
		return ul_error_errno(err, UL_E_UPPER, what, path, NULL, errno);
	r = is_state_upper(&s) ? 1 : search(&s, "/proc/self/mountinfo", "");
	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, "looking whether a system runs on the upper",
				      "/proc/self/mountinfo", "Mount /proc.", -r);
	/* Not everybody may see those of PID 1, or there is none that has any. */
	if (r == 0)
		r = search(&s, "/proc/1/mountinfo", "/proc/1/root");
	return r <= 0 ? 0
		      : ul_error_set(err, UL_E_UPPER, what, path,
				     "Reboot, which does the same; or run it from another system.",
				     "a system runs on it (%s), and its database would be changed under Nix", s.why);
}
