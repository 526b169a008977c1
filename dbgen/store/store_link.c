#include "dbgen/store/store_link.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char what[] = "looking for a store path";

#define LINKS_MAX 40 /* as the kernel has it */

/* A name on its way: `done` has been looked at and ends without a slash, `rest` has not. */
struct walk {
	const char *store_dir;
	char done[PATH_MAX], rest[2 * PATH_MAX];
	unsigned int links;
};

static void drop_last(struct walk *w)
{
	char *slash = strrchr(w->done, '/');

	if (slash)
		*slash = '\0';
}

/* Whether the store directory is this or lies below it: its own name is a text, wherever it may lead. */
static bool leads_to_store(const struct walk *w)
{
	return !strcmp(w->store_dir, w->done) || ul_store_base_in(w->done, w->store_dir);
}

/* Take the next component from the rest. 1: done; 0: there is none; -errno. */
static int advance(struct walk *w)
{
	char *start = w->rest + strspn(w->rest, "/");
	size_t len = strcspn(start, "/"), had = strlen(w->done);

	if (len == 0)
		return 0;
	if (len == 2 && !memcmp(start, "..", 2)) {
		drop_last(w);
	} else if (len != 1 || *start != '.') {
		if (had + 1 + len >= sizeof(w->done))
			return -ENAMETOOLONG;
		w->done[had] = '/';
		memcpy(w->done + had + 1, start, len);
		w->done[had + 1 + len] = '\0';
	}
	memmove(w->rest, start + len, strlen(start + len) + 1);
	return 1;
}

/* Where `done` is a link, what it says comes before the rest. */
static int follow(struct walk *w)
{
	char target[PATH_MAX];
	ssize_t len = leads_to_store(w) ? -1 : readlink(w->done, target, sizeof(target) - 1);
	size_t rest = strlen(w->rest);

	if (len < 0)
		return 0;
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	if ((size_t)len + 1 + rest >= sizeof(w->rest))
		return -ENAMETOOLONG;
	memmove(w->rest + len + 1, w->rest, rest + 1);
	memcpy(w->rest, target, (size_t)len);
	w->rest[len] = '/';
	if (target[0] == '/')
		w->done[0] = '\0';
	else
		drop_last(w);
	return 0;
}

static int start(struct walk *w, const char *text)
{
	if (*text != '/' && !getcwd(w->done, sizeof(w->done)))
		return -errno;
	if (!strcmp(w->done, "/"))
		w->done[0] = '\0';
	return snprintf(w->rest, sizeof(w->rest), "%s", text) < (int)sizeof(w->rest) ? 1 : -ENAMETOOLONG;
}

int ul_store_path_follow(const char *store_dir, const char *text, char ret[UL_STORE_PATH_SIZE], struct ul_error *err)
{
	struct walk w = {.store_dir = store_dir};
	int r = start(&w, text);

	while (r > 0 && (r = advance(&w)) > 0) {
		if (ul_store_base_of(store_dir, w.done)) {
			if (snprintf(ret, UL_STORE_PATH_SIZE, "%s", w.done) < UL_STORE_PATH_SIZE)
				return 0;
			r = -ENAMETOOLONG;
			break;
		}
		r = follow(&w);
		r = r < 0 ? r : 1;
	}
	if (r < 0)
		return ul_error_errno(err, UL_E_INPUT, what, text, "Give a store path, or a link to one.", -r);
	return ul_error_set(err, UL_E_INPUT, what, text, "Give a store path, or a link to one.",
			    "it does not lead into the store directory %s", store_dir);
}
