#include "dbgen/layers/trash.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "common/dir.h"
#include "dbgen/layers/open.h"

/* A cut may have left many: a start of its own finds a free name at once, whatever the trash holds. */
static unsigned long first_number(void)
{
	return (unsigned long)(uint32_t)ul_random_number() << 24;
}

int ul_trash_open(int dirfd, const char *name, struct ul_trash *ret)
{
	int fd, r = ul_layer_dir_own(dirfd, name, 0700, &fd);

	if (r >= 0)
		*ret = (struct ul_trash){.fd = fd, .next = first_number()};
	return r;
}

void ul_trash_close(struct ul_trash *t)
{
	ul_cleanup_close(&t->fd);
	t->fd = -1;
}

int ul_trash_move(struct ul_trash *t, int dirfd, const char *name)
{
	char target[32];
	int r;

	do {
		snprintf(target, sizeof(target), "%lu", t->next++);
		r = ul_layer_rename(dirfd, name, t->fd, target);
	} while (r == -EEXIST);
	return r;
}

static bool flatten(struct ul_trash *t, int above, const char *name, unsigned int *left);

/*
 * A directory that lies in another one, fd. It comes up to the trash; where fd is a subvolume, which it cannot leave,
 * what it holds comes up to fd, which stands for the trash then.
 */
static bool flatten_below(struct ul_trash *t, int fd, const char *name, unsigned int *left)
{
	struct ul_trash top = {.fd = fd, .next = t->next, .inner = true};
	int r = ul_trash_move(t, fd, name);
	bool progress;

	/* Where a snapshot had a subvolume in it, it has an empty directory that can only be removed. */
	if (r < 0 && unlinkat(fd, name, AT_REMOVEDIR) == 0)
		return true;
	/* What is in it is of the same subvolume, or one itself: there is no third level. */
	if (r != -EXDEV || t->inner)
		return r == 0;
	progress = flatten(&top, fd, name, left);
	t->next = top.next;
	return progress;
}

/*
 * A directory in `above`: its files go, its directories come up to the trash. true: something went. What cannot be
 * listed keeps the directory from being removed, and is found again at the next boot.
 */
static bool flatten(struct ul_trash *t, int above, const char *name, unsigned int *left)
{
	ul_autodir DIR *dir = NULL;
	bool progress = false;
	struct dirent *entry;

	if (ul_dir_open(above, name, &dir) < 0)
		return false;
	(void)ul_take_flags_off(dirfd(dir), ".");
	while (*left > 0 && ul_dir_next_readable(dir, &entry)) {
		int fd = dirfd(dir);

		--*left;
		if (unlinkat(fd, entry->d_name, 0) == 0 ||
		    (errno != EISDIR && ul_take_flags_off(fd, entry->d_name) && unlinkat(fd, entry->d_name, 0) == 0))
			progress = true;
		else if (errno == EISDIR)
			progress |= flatten_below(t, fd, entry->d_name, left);
	}
	return unlinkat(above, name, AT_REMOVEDIR) == 0 || progress;
}

/* One look at all of it. 1: something went, and another look may find more. */
static int empty_once(struct ul_trash *t, unsigned int *left, bool *ret_empty)
{
	ul_autodir DIR *dir = NULL;
	bool progress = false;
	struct dirent *entry;
	int r = ul_dir_open(t->fd, ".", &dir);

	*ret_empty = true;
	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0) {
		*ret_empty = false;
		if (*left == 0)
			return 0;
		--*left;
		if (unlinkat(t->fd, entry->d_name, 0) == 0)
			progress = true;
		else if (errno == EISDIR)
			progress |= flatten(t, t->fd, entry->d_name, left);
		else
			progress |= ul_take_flags_off(t->fd, entry->d_name);
	}
	return r < 0 ? r : progress;
}

int ul_trash_empty(struct ul_trash *t, unsigned int most, bool *ret_empty)
{
	bool empty = false;
	int r;

	while ((r = empty_once(t, &most, &empty)) > 0 && !empty)
		;
	*ret_empty = empty;
	return r < 0 ? r : 0;
}
