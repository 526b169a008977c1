/* The filesystem of a store image: the maker runs in a child that has the tree's mounts to itself. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/paths.h"
#include "common/workers.h"
#include "verity/image/erofs_owner.h"
#include "verity/image/job.h"

static const char WHAT[] = "writing the filesystem";

/* Milliseconds between looks at how much the maker has written. */
#define LOOK_INTERVAL 200

/* The child: enters the namespace, runs the maker, says by the pipe what failed. */
static _Noreturn void run_child(const struct ul_image_job *job, const struct ul_fs_job *fs, int report)
{
	struct ul_error err = {0};

	/* A group of its own, so that the parent can end the maker with it. */
	setpgid(0, 0);
	if (ul_staging_enter(job->staging, &err) < 0 || ul_fs_make(&job->tool, fs, &err) < 0) {
		ssize_t n = write(report, &err, sizeof(err));

		_exit(n == (ssize_t)sizeof(err) ? 1 : 2);
	}
	_exit(0);
}

static void report_size(const struct ul_image_job *job, const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0)
		ul_progress_report(job->o.progress, WHAT, (uint64_t)st.st_blocks * 512, 0);
}

/* A maker at work, and the look through the store beside it. */
struct making {
	struct ul_image_job *job;
	const struct ul_fs_job *fs;
	pid_t pid;
	int report; /* the read end of the child's pipe */
	struct ul_error said;
	size_t got; /* bytes of said */

	_Atomic bool scanned, stop; /* stop: the caller asked for it */
	int odd;                    /* what the scan gave; valid once scanned */
	struct ul_error scan_error;
};

/* Whether the scan, unless it came before, says that what was laid out is not what the image shall have. */
static bool is_in_vain(const struct making *m)
{
	return !m->job->scanned && (ul_staging_is_odd(m->job->staging) || (m->scanned && m->odd < 0));
}

/* Until the child closes its end. */
static void watch_child(struct making *m)
{
	uint8_t *into = (uint8_t *)&m->said;

	for (;;) {
		struct pollfd fd = {.fd = m->report, .events = POLLIN};
		ssize_t n;

		if (m->job->o.cancelled && m->job->o.cancelled())
			m->stop = true;
		if (m->stop || is_in_vain(m))
			kill(-m->pid, SIGTERM);
		if (poll(&fd, 1, LOOK_INTERVAL) <= 0) {
			report_size(m->job, m->fs->output);
			continue;
		}
		n = read(m->report, into + m->got, sizeof(m->said) - m->got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		m->got += (size_t)n;
	}
}

static void scan(struct making *m)
{
	m->odd = ul_staging_scan(m->job->staging, &m->stop, &m->scan_error);
	m->scanned = true;
}

static void do_part(void *context, unsigned int i)
{
	if (i == 0)
		watch_child(context);
	else
		scan(context);
}

/* Fork before there is a second thread. */
static int start_maker(struct making *m, struct ul_error *err)
{
	int ends[2], error;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, m->fs->output, NULL, errno);
	m->pid = fork();
	error = errno;
	if (m->pid == 0) {
		close(ends[0]);
		run_child(m->job, m->fs, ends[1]);
	}
	close(ends[1]);
	if (m->pid < 0) {
		close(ends[0]);
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, m->fs->output, NULL, error);
	}
	m->report = ends[0];
	return 0;
}

/* 1: what was laid out is not canonical throughout, which is known now. */
static int run_maker(struct ul_image_job *job, const struct ul_fs_job *fs, struct ul_error *err)
{
	struct making m = {.job = job, .fs = fs, .scanned = job->scanned};
	int status = 0, r = start_maker(&m, err);

	if (r < 0)
		return r;
	ul_workers_run(job->scanned ? 1 : 2, do_part, &m);
	close(m.report);
	while (waitpid(m.pid, &status, 0) < 0 && errno == EINTR)
		;
	if (m.stop)
		return ul_image_interrupted(job, err);
	/* Where there was no thread for it. */
	if (!m.scanned)
		scan(&m);
	job->scanned = true;
	if (m.odd < 0 && err)
		*err = m.scan_error;
	if (m.odd != 0 || status == 0)
		return m.odd;
	if (m.got != sizeof(m.said))
		return ul_error_set(err, UL_E_SYSTEM, WHAT, fs->output, NULL,
				    "the process that makes it ended without a reason (wait status %#x)",
				    (unsigned int)status);
	if (err)
		*err = m.said;
	return -(int)m.said.code;
}

/* The tree as it must be, now that it is known what is not canonical. */
static int lay_out_again(struct ul_image_job *job, const char *file, struct ul_error *err)
{
	int r = ul_remove_tree(AT_FDCWD, job->tree);

	if (r == 0)
		r = ul_remove_tree(AT_FDCWD, file);
	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, job->tree, NULL, -r);
	r = ul_image_lay_out_tree(job, err);
	return r < 0 ? r : ul_image_write_database(job, err);
}

/*
 * Bring the filesystem, which lies in a file of its own, to its place in the image. Where blocks can be shared (Btrfs,
 * XFS) it is there at once; elsewhere it stays where it is until it is hashed.
 */
static int share_with_image(struct ul_image_job *job, const char *path, struct ul_error *err)
{
	int r;

	job->fs_fd = open(path, O_RDWR | O_CLOEXEC);
	r = job->fs_fd < 0 ? -errno : ul_file_size(job->fs_fd, &job->fs_size);
	/* Hashing reads whole blocks. */
	if (r == 0 &&
	    ftruncate(job->fs_fd, (off_t)((job->fs_size + UL_IMAGE_BLOCK - 1) / UL_IMAGE_BLOCK * UL_IMAGE_BLOCK)) < 0)
		r = -errno;
	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, path, NULL, -r);
	if (ioctl(job->image_fd, FICLONERANGE,
		  &(struct file_clone_range){.src_fd = job->fs_fd, .dest_offset = UL_IMAGE_ALIGN}) == 0) {
		close(job->fs_fd);
		job->fs_fd = -1;
	}
	return unlink(path) < 0 ? ul_error_errno(err, UL_E_SYSTEM, WHAT, path, NULL, errno) : 0;
}

int ul_image_set_owner(struct ul_image_job *job, struct ul_error *err)
{
	if (job->tool.squashfs || !job->o.store_group)
		return 0;
	return ul_erofs_set_group(job->fs_fd < 0 ? job->image_fd : job->fs_fd, job->fs_fd < 0 ? UL_IMAGE_ALIGN : 0,
				  job->image, UL_LOWER_STORE, job->o.store_group, err);
}

int ul_image_make_filesystem(struct ul_image_job *job, struct ul_error *err)
{
	bool direct = job->tool.writes_at_offset;
	ul_autofree char *file = ul_path_join(job->work.path, direct ? "image" : "filesystem");
	struct ul_fs_job fs = {.tree = job->tree,
			       .output = file,
			       .offset = direct ? UL_IMAGE_ALIGN : 0,
			       .store_group = job->o.store_group,
			       .threads = job->o.threads};
	uint64_t size;
	int r;

	if (!file)
		return ul_error_nomem(err, WHAT);
	r = run_maker(job, &fs, err);
	if (r > 0) {
		r = lay_out_again(job, file, err);
		if (r == 0)
			r = run_maker(job, &fs, err);
	}
	if (r < 0)
		return r;
	job->image_fd = open(job->image, O_RDWR | O_CLOEXEC | (direct ? 0 : O_CREAT | O_EXCL), 0644);
	if (job->image_fd < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, job->image, NULL, errno);
	if (!direct)
		return share_with_image(job, file, err);
	r = ul_file_size(job->image_fd, &size);
	if (r < 0 || size <= UL_IMAGE_ALIGN)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, job->image, NULL, r < 0 ? -r : ENODATA);
	job->fs_size = size - UL_IMAGE_ALIGN;
	return 0;
}
