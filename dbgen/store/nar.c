/*
 * NAR hashing without the NAR: what would be written goes into one buffer, file contents are read straight
 * into it, and a full buffer goes to SHA-256. The tree is walked with a stack of our own, so depth costs
 * memory and no recursion; it ends where the kernel's PATH_MAX does.
 */
#include "dbgen/store/nar.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/buffer.h"
#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/dir.h"
#include "common/vector.h"

#define BUFFER_SIZE (256 * 1024) /* bytes: large reads that stay in a core's cache */
#define BIG_FILE    (128 * 1024) /* bytes: from here on the kernel is told to read ahead further */
#define AHEAD       24           /* files of a directory that are opened before their turn */
#define AHEAD_BYTES (512 * 1024) /* of each, asked for; the kernel reads a longer one ahead by itself */

static const char what[] = "hashing a store path";

struct entry {
	const char *name; /* in the frame's names */
	unsigned char type;
	int fd; /* opened before its turn; -1: not */
};

/* A directory that is being walked. */
struct frame {
	struct ul_buffer names; /* type, name, NUL of each entry */
	struct entry *entries;  /* sorted */
	size_t n, next;
	size_t asked;    /* entries before this one were asked for */
	size_t path_len; /* of the directory in h->path */
};

struct ul_nar_hasher {
	EVP_MD *md;
	EVP_MD_CTX *ctx;
	uint8_t *buffer;
	size_t used;
	uint64_t size; /* bytes of the NAR that went to SHA-256 */
	uint64_t most; /* bytes that it may have; 0: any number */
	bool failed;   /* libcrypto failed once */

	void (*hashed)(void *user, uint64_t bytes);
	void *user;

	int dirfd;
	char path[PATH_MAX];
	size_t path_len;
	UL_VECTOR(struct frame) stack;
};

/* ---- the stream ---- */

static void flush(struct ul_nar_hasher *h)
{
	if (!EVP_DigestUpdate(h->ctx, h->buffer, h->used))
		h->failed = true;
	h->size += h->used;
	if (h->hashed)
		h->hashed(h->user, h->used);
	h->used = 0;
}

/* Room for n bytes, n much smaller than the buffer. */
static uint8_t *room(struct ul_nar_hasher *h, size_t n)
{
	uint8_t *at;

	if (BUFFER_SIZE - h->used < n)
		flush(h);
	at = h->buffer + h->used;
	h->used += n;
	return at;
}

static size_t padding(uint64_t len)
{
	return (size_t)(-len & 7);
}

/* str(s) of at most PATH_MAX bytes. */
static void put(struct ul_nar_hasher *h, const char *s, size_t len)
{
	uint8_t *at = room(h, 8 + len + padding(len));

	ul_put_le64(at, len);
	memcpy(at + 8, s, len);
	memset(at + 8 + len, 0, padding(len));
}

#define PUT(h, literal) put(h, literal, sizeof(literal) - 1)

/* ---- nodes ---- */

static int failed(struct ul_nar_hasher *h, int errnum, struct ul_error *err)
{
	if (errnum == ENOMEM)
		return ul_error_nomem(err, what);
	return ul_error_errno(err, UL_E_SYSTEM, what, h->path, NULL, errnum);
}

static int changed(struct ul_nar_hasher *h, struct ul_error *err)
{
	return ul_error_set(err, UL_E_CHECK, what, h->path, "Check again when nothing writes there.",
			    "it changed while it was read");
}

/*
 * Exactly size bytes, and then the end. The one byte more that is asked for finds a file that grew, without
 * another system call for each of the many small files.
 */
static int put_contents(struct ul_nar_hasher *h, int fd, uint64_t size, struct ul_error *err)
{
	uint64_t left = size;
	bool end_seen = false;

	ul_put_le64(room(h, 8), size);
	while (left > 0 || !end_seen) {
		size_t space = BUFFER_SIZE - h->used, ask;
		ssize_t n;

		if (space < 4096 && left >= space) {
			flush(h);
			space = BUFFER_SIZE;
		}
		ask = left < space ? (size_t)left + 1 : space;
		n = read(fd, h->buffer + h->used, ask);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed(h, errno, err);
		if ((uint64_t)n > left || (n == 0 && left > 0))
			return changed(h, err);
		h->used += (size_t)n;
		left -= (uint64_t)n;
		/* Less than asked for at the very end is the end: a file has no other short reads. */
		end_seen = left == 0 && (size_t)n < ask;
		if (h->used == BUFFER_SIZE)
			flush(h);
	}
	memset(room(h, padding(size)), 0, padding(size));
	return 0;
}

/* more: bytes of contents that would follow. */
static int check_size(struct ul_nar_hasher *h, uint64_t more, struct ul_error *err)
{
	uint64_t size = h->size + h->used;

	if (h->most == 0 || (size <= h->most && more <= h->most - size))
		return 0;
	return ul_error_set(err, UL_E_CHECK, what, h->path, NULL, "it is larger than it should be");
}

/* O_NONBLOCK: what became a FIFO since the directory was read must not hang us. */
static int open_regular(struct ul_nar_hasher *h)
{
	return openat(h->dirfd, h->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

/* opened: the file, where it was opened before its turn; else -1. */
static int put_regular(struct ul_nar_hasher *h, int opened, struct ul_error *err)
{
	ul_autoclose int fd = opened >= 0 ? opened : open_regular(h);
	struct stat st;

	if (fd < 0)
		return failed(h, errno, err);
	if (fstat(fd, &st) < 0)
		return failed(h, errno, err);
	if (!S_ISREG(st.st_mode))
		return changed(h, err);
	if (check_size(h, (uint64_t)st.st_size, err) < 0)
		return -UL_E_CHECK;
	if (st.st_size >= BIG_FILE)
		posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	PUT(h, "regular");
	if (st.st_mode & S_IXUSR) {
		PUT(h, "executable");
		PUT(h, "");
	}
	PUT(h, "contents");
	return put_contents(h, fd, (uint64_t)st.st_size, err);
}

static int put_symlink(struct ul_nar_hasher *h, struct ul_error *err)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(h->dirfd, h->path, target, sizeof(target));

	if (n < 0)
		return failed(h, errno, err);
	if ((size_t)n == sizeof(target))
		return failed(h, ENAMETOOLONG, err);
	PUT(h, "symlink");
	PUT(h, "target");
	put(h, target, (size_t)n);
	return 0;
}

/* ---- directories ---- */

static int read_names(DIR *dir, struct frame *f)
{
	struct dirent *e;
	int r;

	while ((r = ul_dir_next(dir, &e)) > 0) {
		if (ul_buffer_append(&f->names, &e->d_type, 1) < 0 ||
		    ul_buffer_append(&f->names, e->d_name, strlen(e->d_name) + 1) < 0)
			return ENOMEM;
		f->n++;
	}
	return -r;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static int sort_names(struct frame *f)
{
	const char *at = (const char *)f->names.data;

	f->entries = calloc(f->n ? f->n : 1, sizeof(*f->entries));
	if (!f->entries)
		return ENOMEM;
	for (size_t i = 0; i < f->n; i++) {
		f->entries[i] = (struct entry){.name = at + 1, .type = (unsigned char)*at, .fd = -1};
		at += strlen(at + 1) + 2;
	}
	qsort(f->entries, f->n, sizeof(*f->entries), by_bytes);
	return 0;
}

/* h->path becomes that of an entry; false: it is too long. */
static bool set_path(struct ul_nar_hasher *h, const struct frame *f, const char *name)
{
	size_t len = strlen(name);

	h->path_len = f->path_len;
	if (h->path_len + 1 + len >= sizeof(h->path))
		return false;
	h->path[h->path_len++] = '/';
	memcpy(h->path + h->path_len, name, len + 1);
	h->path_len += len;
	return true;
}

/*
 * Have the disk busy with the next files while this one is hashed: small files, which the kernel's own
 * reading ahead does not reach, cost a wait each otherwise. A file that cannot be opened is reported at its turn.
 */
static void ask_ahead(struct ul_nar_hasher *h, struct frame *f)
{
	size_t end = f->next + AHEAD < f->n ? f->next + AHEAD : f->n;

	for (; f->asked < end; f->asked++) {
		struct entry *e = &f->entries[f->asked];

		if (e->type != DT_REG || !set_path(h, f, e->name))
			continue;
		e->fd = open_regular(h);
		if (e->fd >= 0)
			posix_fadvise(e->fd, 0, AHEAD_BYTES, POSIX_FADV_WILLNEED);
	}
}

/* Close what waits for its turn: a deep tree would hold too many files open. Its pages stay asked for. */
static void close_ahead(struct frame *f)
{
	for (size_t i = f->next; i < f->asked; i++) {
		if (f->entries[i].fd >= 0)
			close(f->entries[i].fd);
		f->entries[i].fd = -1;
	}
}

static void pop(struct ul_nar_hasher *h)
{
	struct frame *f = &h->stack.at[--h->stack.n];

	close_ahead(f);
	ul_buffer_free(&f->names);
	free(f->entries);
}

/* Begin the directory at h->path: its sorted entries are a new frame. */
static int push(struct ul_nar_hasher *h, struct ul_error *err)
{
	ul_autodir DIR *dir = NULL;
	struct frame *f;
	int r = ul_dir_open(h->dirfd, h->path, &dir);

	if (r < 0)
		return failed(h, -r, err);
	if (ul_vector_push(&h->stack, (struct frame){.path_len = h->path_len}) < 0)
		return ul_error_nomem(err, what);
	f = &h->stack.at[h->stack.n - 1];
	r = read_names(dir, f);
	if (r == 0)
		r = sort_names(f);
	return r ? failed(h, r, err) : 0;
}

/* ---- the walk ---- */

/* Begin the node at h->path; a directory's entries and end follow by the frame that it pushes. */
static int begin_node(struct ul_nar_hasher *h, unsigned char type, int opened, struct ul_error *err)
{
	struct stat st;
	int r;

	if (type == DT_UNKNOWN) {
		if (fstatat(h->dirfd, h->path, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return failed(h, errno, err);
		type = IFTODT(st.st_mode);
	}
	PUT(h, "(");
	PUT(h, "type");
	switch (type) {
	case DT_REG:
		r = put_regular(h, opened, err);
		break;
	case DT_LNK:
		r = put_symlink(h, err);
		break;
	case DT_DIR:
		PUT(h, "directory");
		return push(h, err);
	default:
		return ul_error_set(err, UL_E_CHECK, what, h->path,
				    "Remove it: a store holds files, directories and symlinks.",
				    "it is a device, socket or FIFO");
	}
	PUT(h, ")");
	return r;
}

static int begin_entry(struct ul_nar_hasher *h, struct frame *f, struct ul_error *err)
{
	struct entry *e;
	int fd;

	ask_ahead(h, f);
	e = &f->entries[f->next++];
	fd = e->fd;
	e->fd = -1;
	PUT(h, "entry");
	PUT(h, "(");
	PUT(h, "name");
	put(h, e->name, strlen(e->name));
	PUT(h, "node");
	if (!set_path(h, f, e->name))
		return failed(h, ENAMETOOLONG, err);
	if (e->type == DT_DIR)
		close_ahead(f);
	return begin_node(h, e->type, fd, err);
}

static int walk(struct ul_nar_hasher *h, struct ul_error *err)
{
	int r;

	PUT(h, "nix-archive-1");
	r = begin_node(h, DT_UNKNOWN, -1, err);
	while (r == 0 && h->stack.n > 0 && (r = check_size(h, 0, err)) == 0) {
		size_t depth = h->stack.n;
		struct frame *f = &h->stack.at[depth - 1];

		if (f->next < f->n) {
			r = begin_entry(h, f, err);
			if (h->stack.n > depth)
				continue;
		} else {
			PUT(h, ")");
			pop(h);
			if (h->stack.n == 0)
				break;
		}
		PUT(h, ")"); /* of the entry */
	}
	while (h->stack.n > 0)
		pop(h);
	return r;
}

int ul_nar_hasher_run(struct ul_nar_hasher *h, int dirfd, const char *path, uint8_t ret_hash[32], uint64_t *ret_size,
		      struct ul_error *err)
{
	size_t len = strlen(path);
	int r;

	if (len >= sizeof(h->path))
		return ul_error_errno(err, UL_E_SYSTEM, what, path, NULL, ENAMETOOLONG);
	memcpy(h->path, path, len + 1);
	h->path_len = len;
	h->dirfd = dirfd;
	h->used = 0;
	h->size = 0;
	h->failed = !EVP_DigestInit_ex2(h->ctx, h->md, NULL);
	r = walk(h, err);
	if (r < 0)
		return r;
	flush(h);
	if (h->failed || !EVP_DigestFinal_ex(h->ctx, ret_hash, NULL))
		return ul_error_set(err, UL_E_SYSTEM, what, path, NULL, "libcrypto computed no digest");
	*ret_size = h->size;
	return 0;
}

struct ul_nar_hasher *ul_nar_hasher_new(void)
{
	struct ul_nar_hasher *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	h->ctx = EVP_MD_CTX_new();
	h->buffer = malloc(BUFFER_SIZE);
	if (h->md && h->ctx && h->buffer)
		return h;
	ul_nar_hasher_free(h);
	return NULL;
}

void ul_nar_hasher_free(struct ul_nar_hasher *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	EVP_MD_free(h->md);
	free(h->buffer);
	ul_vector_free(&h->stack);
	free(h);
}

void ul_nar_hasher_watch(struct ul_nar_hasher *h, void (*hashed)(void *user, uint64_t bytes), void *user)
{
	h->hashed = hashed;
	h->user = user;
}

int ul_nar_hash(int dirfd, const char *path, uint8_t ret_hash[32], uint64_t *ret_size, struct ul_error *err)
{
	return ul_nar_hash_of_size(dirfd, path, 0, ret_hash, ret_size, err);
}

int ul_nar_hash_of_size(int dirfd, const char *path, uint64_t most, uint8_t ret_hash[32], uint64_t *ret_size,
			struct ul_error *err)
{
	struct ul_nar_hasher *h = ul_nar_hasher_new();
	int r;

	if (!h)
		return ul_error_nomem(err, what);
	h->most = most;
	r = ul_nar_hasher_run(h, dirfd, path, ret_hash, ret_size, err);
	ul_nar_hasher_free(h);
	return r;
}
