/*
 * Every call that changes a disk, of this program and of the libraries in it, SQLite too: what is defined here takes
 * the place of libc's functions. For one file of a program, which defines disk_call.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum disk_kind {
	DISK_GROWS, /* it needs a block that may not be there */
	DISK_MOVES, /* so it does where a directory is full */
	DISK_OTHER,
};

/* Asked before each call. 0: it is made; an errno: it fails with that. path: what it removes or makes; may be NULL. */
static int disk_call(enum disk_kind kind, const char *path);

ssize_t write(int fd, const void *buf, size_t n)
{
	/* A message to a terminal or pipe is no change. */
	int error = fd > 2 ? disk_call(DISK_GROWS, NULL) : 0;

	if (error)
		return errno = error, -1;
	return (ssize_t)syscall(SYS_write, fd, buf, n);
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t offset)
{
	int error = disk_call(DISK_GROWS, NULL);

	if (error)
		return errno = error, -1;
	return (ssize_t)syscall(SYS_pwrite64, fd, buf, n, offset);
}

/* The same under its other name, which this file's own calls are not compiled to. */
ssize_t plain_pwrite(int fd, const void *buf, size_t n, off_t offset) __asm__("pwrite");
ssize_t plain_pwrite(int fd, const void *buf, size_t n, off_t offset)
{
	return pwrite(fd, buf, n, offset);
}

int ftruncate(int fd, off_t len)
{
	int error = disk_call(DISK_OTHER, NULL);

	if (error)
		return errno = error, -1;
	return (int)syscall(SYS_ftruncate, fd, len);
}

int plain_ftruncate(int fd, off_t len) __asm__("ftruncate");
int plain_ftruncate(int fd, off_t len)
{
	return ftruncate(fd, len);
}

int fsync(int fd)
{
	int error = disk_call(DISK_OTHER, NULL);

	if (error)
		return errno = error, -1;
	return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	int error = disk_call(DISK_OTHER, NULL);

	if (error)
		return errno = error, -1;
	return (int)syscall(SYS_fdatasync, fd);
}

int syncfs(int fd)
{
	int error = disk_call(DISK_OTHER, NULL);

	if (error)
		return errno = error, -1;
	return (int)syscall(SYS_syncfs, fd);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	int error = disk_call(DISK_MOVES, NULL);

	if (error)
		return errno = error, -1;
	return (int)syscall(SYS_renameat, from_fd, from, to_fd, to);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned int flags)
{
	int error = disk_call(DISK_MOVES, NULL);

	if (error)
		return errno = error, -1;
	return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

int unlinkat(int fd, const char *path, int flags)
{
	int error = disk_call(DISK_OTHER, path);

	if (error)
		return errno = error, -1;
	return (int)syscall(SYS_unlinkat, fd, path, flags);
}

int unlink(const char *path)
{
	int error = disk_call(DISK_OTHER, path);

	if (error)
		return errno = error, -1;
	return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int mkdirat(int fd, const char *path, mode_t mode)
{
	int error = disk_call(DISK_GROWS, path);

	if (error)
		return errno = error, -1;
	return (int)syscall(SYS_mkdirat, fd, path, mode);
}
