/*
 * The private mount namespace of the tree. Root makes a mount namespace; others make a user namespace first, in
 * which they may. A Nix build sandbox allows the latter.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/number.h"
#include "verity/image/staging_internal.h"

static const char WHAT[] = "mounting the store paths in a private namespace";

/* Documentation/admin-guide/sysctl/fs.rst: the default of fs.mount-max, a namespace's limit. */
#define DEFAULT_MOUNT_MAX 100000
/* Left for mounts that others make before the namespace is copied from theirs. */
#define SPARE_MOUNTS 1000

static int write_map(const char *path, unsigned int id)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%u %u 1\n", id, id);

	return ul_write_file(AT_FDCWD, path, 0, text, (size_t)n);
}

/* Keep our own user and group, so that what is written later has the right owner. */
static int unshare_user(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int r;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return -errno;
	/* Kernels before 3.19 have no such file; else a group map is only allowed after it. */
	r = ul_write_file(AT_FDCWD, "/proc/self/setgroups", 0, "deny", 4);
	if (r < 0 && r != -ENOENT)
		return r;
	r = write_map("/proc/self/uid_map", uid);
	return r < 0 ? r : write_map("/proc/self/gid_map", gid);
}

static int enter_namespace(void)
{
	int r = 0;

	if (unshare(CLONE_NEWNS) < 0)
		r = errno == EPERM ? unshare_user() : -errno;
	if (r < 0)
		return r;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? -errno : 0;
}

static size_t count_mounts(void)
{
	ul_autobuffer struct ul_buffer text = {0};
	size_t n = 0;

	if (ul_read_file(AT_FDCWD, "/proc/self/mountinfo", 64 << 20, &text) < 0)
		return DEFAULT_MOUNT_MAX;
	for (size_t i = 0; i < text.len; i++)
		n += text.data[i] == '\n';
	return n;
}

static size_t read_mount_max(void)
{
	uint64_t max;

	return ul_read_number_file(AT_FDCWD, "/proc/sys/fs/mount-max", &max) < 0 ? DEFAULT_MOUNT_MAX : (size_t)max;
}

bool ul_staging_namespace_works(size_t *ret_max_mounts)
{
	size_t max = read_mount_max(), used = count_mounts();
	pid_t pid = fork();
	int status;

	if (pid == 0)
		/* A kernel may allow the namespace but a security module the mount not: try both. */
		_exit(enter_namespace() == 0 && mount("/", "/", NULL, MS_BIND | MS_REC, NULL) == 0 ? 0 : 1);
	if (pid < 0)
		return false;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	*ret_max_mounts = max > used + SPARE_MOUNTS ? max - used - SPARE_MOUNTS : 0;
	return status == 0;
}

int ul_staging_enter(const struct ul_staging *s, struct ul_error *err)
{
	int r;

	if (s->binds.n == 0)
		return 0;
	r = enter_namespace();
	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, s->store, NULL, -r);
	/*
	 * From here on the store is a mount of its own. A recursive bind looks at everything that is mounted on its
	 * source's mount; if the tree lay on the same mount, that would be every path that was bound before.
	 */
	if (mount(s->store, s->store, NULL, MS_BIND | MS_REC, NULL) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, s->store, NULL, errno);
	for (size_t i = 0; i < s->binds.n; i++)
		/*
		 * Recursive, because a user namespace may not bind a directory so that mounts below
		 * it, locked to it by a more privileged one, would come off.
		 */
		if (mount(s->binds.at[i].source, s->binds.at[i].target, NULL, MS_BIND | MS_REC, NULL) < 0)
			return ul_error_errno(err, UL_E_SYSTEM, WHAT, s->binds.at[i].source, NULL, errno);
	return 0;
}
