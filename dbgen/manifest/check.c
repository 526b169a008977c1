/*
 * Checking a store: the manifest's paths become a list, the workers take them in order of falling size (so no
 * large one is left for the end), and what was found is told afterwards, in path order, together with
 * what the store holds besides.
 */
#include "dbgen/manifest/check.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/compare.h"
#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/encoding.h"
#include "common/dir.h"
#include "common/file.h"
#include "common/names.h"
#include "common/workers.h"
#include "dbgen/store/nar.h"
#include "dbgen/store/store_path.h"

static const char what[] = "checking the store";

enum state { STATE_RIGHT, STATE_BAD, STATE_MISSING };

struct item {
	size_t name; /* offset of the base name in check.names */
	uint8_t hash[UL_NAR_HASH_SIZE];
	uint64_t size; /* bytes of the NAR; 0: not known */
	enum state state;
	char *detail; /* owned; where state is STATE_BAD */
};

struct check {
	struct ul_manifest *m;
	int dirfd;
	const struct ul_check_options *options;
	struct ul_buffer names; /* base names, each with a NUL */
	struct item *items;     /* in path order */
	uint32_t *by_size;      /* numbers of items, largest first */
	uint32_t n;
	uint64_t total; /* bytes of all NARs as the manifest has them */

	_Atomic uint32_t next;
	_Atomic uint64_t bytes;
	atomic_bool stop;
	pthread_mutex_t lock;
	uint32_t failed_at; /* item of the error kept: the lowest one */
	struct ul_error err;
	int failure; /* 0, or the error's negative code */
};

/* ---- the list ---- */

static int add_batch(struct check *c, const struct ul_batch *b, struct ul_error *err)
{
	for (uint32_t i = 0; i < b->n; i++) {
		struct item *item = &c->items[b->first + i];
		uint32_t len = b->name.off[i + 1] - b->name.off[i];
		char digits[UL_HASH_DIGITS + 1];

		ul_store_digest_text(b->digest + (size_t)i * UL_DIGEST_SIZE, digits);
		digits[UL_HASH_DIGITS] = '-';
		item->name = c->names.len;
		memcpy(item->hash, b->nar_hash + (size_t)i * UL_NAR_HASH_SIZE, UL_NAR_HASH_SIZE);
		item->size = b->nar_size[i];
		if (__builtin_add_overflow(c->total, item->size, &c->total))
			c->total = UINT64_MAX;
		if (ul_buffer_append(&c->names, digits, sizeof(digits)) < 0 ||
		    ul_buffer_append(&c->names, b->name.bytes + b->name.off[i], len) < 0 ||
		    ul_buffer_append(&c->names, "", 1) < 0)
			return ul_error_nomem(err, what);
	}
	return 0;
}

static int by_falling_size(const void *a, const void *b, void *user)
{
	const struct item *items = user;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	int order = ul_order(items[y].size, items[x].size);

	return order ? order : ul_order(x, y);
}

static int make_list(struct check *c, struct ul_error *err)
{
	struct ul_batch_reader *reader = ul_batch_reader_new(c->m);
	int r = 0;

	c->n = ul_manifest_n_paths(c->m);
	c->items = calloc(c->n ? c->n : 1, sizeof(*c->items));
	c->by_size = calloc(c->n ? c->n : 1, sizeof(*c->by_size));
	if (!reader || !c->items || !c->by_size)
		r = ul_error_nomem(err, what);
	for (uint32_t k = 0; r == 0 && k < ul_manifest_n_batches(c->m); k++) {
		struct ul_batch b;

		r = ul_manifest_read_batch(reader, k, UL_COL_NAME | UL_COL_NAR, &b, err);
		if (r == 0)
			r = add_batch(c, &b, err);
	}
	ul_batch_reader_free(reader);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < c->n; i++)
		c->by_size[i] = i;
	qsort_r(c->by_size, c->n, sizeof(*c->by_size), by_falling_size, c->items);
	return 0;
}

static const char *name_of(const struct check *c, uint32_t i)
{
	return (const char *)c->names.data + c->items[i].name;
}

/* ---- the workers ---- */

/* Keep the failure of the lowest path; the check ends soon. */
static void fail(struct check *c, uint32_t i, int code, const struct ul_error *err)
{
	pthread_mutex_lock(&c->lock);
	if (c->failure == 0 || i < c->failed_at) {
		c->failure = code;
		c->failed_at = i;
		c->err = *err;
	}
	pthread_mutex_unlock(&c->lock);
	c->stop = true;
}

static char *difference(const struct item *item, const uint8_t hash[32], uint64_t size)
{
	char is[64], wanted[64], *text;
	int n;

	if (item->size != 0 && item->size != size) {
		n = asprintf(&text, "its NAR has %" PRIu64 " bytes, the manifest says %" PRIu64, size, item->size);
	} else {
		ul_nix32_encode(hash, 32, is);
		ul_nix32_encode(item->hash, 32, wanted);
		n = asprintf(&text, "its NAR hash is sha256:%s, the manifest says sha256:%s", is, wanted);
	}
	return n < 0 ? NULL : text;
}

/*
 * Whether a failed read is the path's own fault: a file of a wrong kind, a file that went away or that the disk
 * (or dm-verity) does not give. Other failures (no permission, no memory) say nothing about the store.
 */
static bool is_finding(int r, const struct ul_error *err)
{
	return r == -UL_E_CHECK ||
	       (r == -UL_E_SYSTEM && (err->errnum == EIO || err->errnum == ENOENT || err->errnum == ELOOP ||
				      err->errnum == ENOTDIR || err->errnum == EBADMSG || err->errnum == EUCLEAN));
}

/* 0, or the negative code of a failure that ends the check. */
static int check_item(struct check *c, struct ul_nar_hasher *hasher, uint32_t i, struct ul_error *err)
{
	struct item *item = &c->items[i];
	uint8_t hash[32];
	struct stat st;
	uint64_t size;
	int r;

	if (fstatat(c->dirfd, name_of(c, i), &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT) {
		item->state = STATE_MISSING;
		return 0;
	}
	r = ul_nar_hasher_run(hasher, c->dirfd, name_of(c, i), hash, &size, err);
	if (r < 0 && !is_finding(r, err))
		return r;
	if (r == 0 && memcmp(hash, item->hash, sizeof(hash)) == 0 && (item->size == 0 || item->size == size))
		return 0;
	item->state = STATE_BAD;
	if (r == 0)
		item->detail = difference(item, hash, size);
	else if (asprintf(&item->detail, "%s: %s", err->object, err->why) < 0)
		item->detail = NULL;
	return item->detail ? 0 : ul_error_nomem(err, what);
}

struct worker {
	struct check *check;
	bool reports; /* only one does */
};

static void hashed(void *user, uint64_t bytes)
{
	struct worker *w = user;
	uint64_t done = atomic_fetch_add(&w->check->bytes, bytes) + bytes;

	if (w->reports)
		ul_progress_report(w->check->options->progress, what, done, w->check->total);
}

static void work(void *context, unsigned int number)
{
	struct check *c = context;
	struct worker w = {.check = c, .reports = number == 0};
	struct ul_nar_hasher *hasher = ul_nar_hasher_new();
	struct ul_error err;
	uint32_t k;

	if (!hasher)
		fail(c, 0, ul_error_nomem(&err, what), &err);
	else
		ul_nar_hasher_watch(hasher, hashed, &w);
	while (!c->stop && (k = atomic_fetch_add(&c->next, 1)) < c->n) {
		int r = check_item(c, hasher, c->by_size[k], &err);

		if (r < 0)
			fail(c, c->by_size[k], r, &err);
	}
	ul_nar_hasher_free(hasher);
}

/* ---- what the store holds besides ---- */

static int read_directory(DIR *dir, struct ul_names *names)
{
	struct dirent *e;
	int r;

	while ((r = ul_dir_next(dir, &e)) > 0) {
		/* `.links` is where Nix keeps the other names of hard-linked files: not a path of the store. */
		if (strcmp(e->d_name, ".links") != 0)
			r = ul_names_add(names, e->d_name);
		if (r < 0)
			break;
	}
	ul_names_sort(names, false);
	return r;
}

static int list_store(int dirfd, struct ul_names *names, struct ul_error *err)
{
	ul_autodir DIR *dir = NULL;
	int r = ul_dir_open(dirfd, ".", &dir);

	if (r == 0)
		r = read_directory(dir, names);
	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, "listing the store", NULL, NULL, -r) : 0;
}

/* ---- telling ---- */

static int tell(struct check *c, struct ul_check_result *result, enum ul_check_finding kind, const char *name,
		const char *detail, struct ul_error *err)
{
	ul_autofree char *path = NULL;

	*(kind == UL_CHECK_BAD ? &result->bad : kind == UL_CHECK_MISSING ? &result->missing : &result->extra) += 1;
	if (!c->options->found)
		return 0;
	path = ul_path_join(ul_manifest_store_dir(c->m), name);
	if (!path)
		return ul_error_nomem(err, what);
	c->options->found(c->options->user, kind, path, detail);
	return 0;
}

/* Two sorted lists, the manifest's and the directory's, become one. */
static int tell_all(struct check *c, const struct ul_names *l, struct ul_check_result *result, struct ul_error *err)
{
	uint32_t i = 0;
	size_t k = 0;
	int r = 0;

	while (r == 0 && (i < c->n || k < l->n)) {
		int order = i == c->n ? 1 : k == l->n ? -1 : strcmp(name_of(c, i), l->at[k]);

		if (order > 0) {
			r = tell(c, result, UL_CHECK_EXTRA, l->at[k++], "the manifest does not list it", err);
			continue;
		}
		if (c->items[i].state == STATE_BAD)
			r = tell(c, result, UL_CHECK_BAD, name_of(c, i), c->items[i].detail, err);
		if (c->items[i].state == STATE_MISSING)
			r = tell(c, result, UL_CHECK_MISSING, name_of(c, i), "the store does not hold it", err);
		i++;
		k += order == 0;
	}
	return r;
}

static int run_workers(struct check *c, struct ul_error *err)
{
	/* Two for a processor: one hashes while the other waits for the disk. */
	unsigned int wanted = c->options->threads ? c->options->threads : 2 * ul_workers_count(0);
	unsigned int threads = ul_workers_count(wanted);

	ul_workers_run(c->n < threads && c->n > 0 ? c->n : threads, work, c);
	if (c->failure < 0 && err)
		*err = c->err;
	return c->failure;
}

int ul_store_check(struct ul_manifest *m, int store_dirfd, const struct ul_check_options *options,
		   struct ul_check_result *ret, struct ul_error *err)
{
	struct check c = {.m = m, .dirfd = store_dirfd, .options = options, .lock = PTHREAD_MUTEX_INITIALIZER};
	struct ul_check_result result = {0};
	ul_autonames struct ul_names l = {0};
	int r = make_list(&c, err);

	if (r == 0)
		r = run_workers(&c, err);
	if (r == 0 && !options->ignore_extra)
		r = list_store(store_dirfd, &l, err);
	if (r == 0)
		r = tell_all(&c, &l, &result, err);
	result.paths = c.n;
	result.bytes = c.bytes;
	for (uint32_t i = 0; c.items && i < c.n; i++)
		free(c.items[i].detail);
	free(c.items);
	free(c.by_size);
	ul_buffer_free(&c.names);
	if (r == 0)
		*ret = result;
	return r;
}
