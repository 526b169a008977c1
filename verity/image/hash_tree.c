/*
 * The hash tree, by all processors. Data is taken in pieces, each the part that a few leaf blocks cover: a
 * worker reads it, makes (or checks) the leaf blocks and hashes them while they are in the cache. What is left
 * is the digests of the leaf blocks, a 16,000th of the data: the upper levels are made in memory.
 *
 * A check ends with the lowest defect whoever finds what first: pieces are handed out in order, and only
 * those above the lowest defect known are skipped.
 */
#include "verity/image/hash_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/file.h"
#include "common/workers.h"
#include "verity/format/hash_tree_geometry.h"
#include "verity/image/block_hasher.h"
#include "verity/image/superblock_write.h"

#define PIECE_SIZE   (4 * 1024 * 1024) /* bytes of data that a worker takes at once, about */
#define READ_SIZE    (64 * 1024)       /* bytes of a read: what a core's nearest caches hold */
#define SINK_SIZE    (1024 * 1024)     /* the same, where the bytes go on to a disk */
#define AHEAD_PIECES 4                 /* that the disk is told to read before their turn */

static const char TODO_WRITE[] = "Write the image again.";

/* ---- one run over the data ---- */

enum defect {
	DEFECT_NONE,
	DEFECT_READ,
	DEFECT_COPY,
	DEFECT_WRITE,
	DEFECT_CANCELLED,
	DEFECT_CRYPTO,
	DEFECT_LEAF,
	DEFECT_DATA
};

struct run {
	struct ul_descriptor *d;
	struct ul_hash_tree_geometry g;
	struct ul_image_fds fds;
	bool copies;                                           /* the data from read_fd to its place on the way */
	int read_fd;                                           /* where it lies: data_fd, or ul_hash_tree_copy's */
	uint64_t read_offset;                                  /* bytes */
	uint64_t tree_offset;                                  /* bytes, in hash_fd */
	bool check;                                            /* else write */
	const struct ul_hash_tree_sink *sink;                  /* that gets what was found right; NULL */
	void (*bad)(void *user, bool in_tree, uint64_t block); /* go on after a bad block; NULL */
	void *user;
	uint8_t *digests; /* of the leaf blocks (of the data block where there is no tree) */
	struct ul_progress *progress;
	bool (*cancelled)(void);

	uint64_t leaves_per_piece;
	_Atomic uint64_t next_leaf;
	_Atomic uint64_t blocks_done;

	/* The lowest defect: the data block at which it stands (a leaf: the first it covers). */
	_Atomic uint64_t defect_at; /* UINT64_MAX: none */
	pthread_mutex_t lock;
	enum defect defect;
	int defect_errno;
};

static void found(struct run *run, enum defect defect, uint64_t block, int errnum)
{
	pthread_mutex_lock(&run->lock);
	if (block < run->defect_at) {
		run->defect_at = block;
		run->defect = defect;
		run->defect_errno = errnum;
	}
	pthread_mutex_unlock(&run->lock);
}

/* Whether the run goes on after this bad block, which its caller has then been told of. */
static bool passed_over(struct run *run, bool in_tree, uint64_t block)
{
	if (!run->bad)
		return false;
	pthread_mutex_lock(&run->lock);
	run->bad(run->user, in_tree, block);
	pthread_mutex_unlock(&run->lock);
	return true;
}

/* A worker's own buffers. */
struct worker {
	struct run *run;
	struct ul_block_hasher hasher;
	uint8_t *data;   /* read_size bytes */
	uint8_t *leaves; /* leaves_per_piece hash blocks */
};

/* Read data blocks into w->data, and copy them where they are not in the image yet. */
static enum defect read_blocks(struct worker *w, uint64_t first, uint64_t n, int *ret_errno)
{
	const struct run *run = w->run;
	uint64_t at = first * run->d->data_block_size;
	size_t len = (size_t)n * run->d->data_block_size;

	*ret_errno = -ul_pread_full(run->read_fd, w->data, len, run->read_offset + at);
	if (*ret_errno)
		return DEFECT_READ;
	if (run->copies)
		*ret_errno = -ul_pwrite_full(run->fds.data_fd, w->data, len, run->fds.data_offset + at);
	return *ret_errno ? DEFECT_COPY : DEFECT_NONE;
}

/* Bytes of a read. A sink gets as much of it as a leaf covers: disks are written in large pieces. */
static size_t read_size(const struct run *run)
{
	size_t block_size = run->d->data_block_size, size = run->sink ? SINK_SIZE : READ_SIZE;

	return block_size > size ? block_size : size;
}

/* What `n` blocks from `first` on are, which were found right. */
static bool hand_on(struct worker *w, uint64_t first, uint64_t n)
{
	struct run *run = w->run;
	uint64_t block_size = run->d->data_block_size;
	int r = 0;

	if (!run->sink)
		return true;
	/* A digest that was not made might be that of the block before, and equal. */
	if (w->hasher.failed) {
		found(run, DEFECT_CRYPTO, first, 0);
		return false;
	}
	r = run->sink->put(run->sink->user, w->data, (size_t)(n * block_size), first * block_size);
	if (r < 0)
		found(run, DEFECT_COPY, first, -r);
	return r == 0;
}

/* Digest `n` data blocks from `first` on, into or against `digests`. false: a defect was found. */
static bool do_blocks(struct worker *w, uint64_t first, uint64_t n, uint8_t *digests)
{
	struct run *run = w->run;
	size_t block_size = run->d->data_block_size, len = run->d->root_hash_len;
	uint64_t per_read = read_size(run) / block_size;
	uint8_t digest[UL_ROOT_HASH_MAX] = {0};

	for (uint64_t done = 0, take; done < n; done += take) {
		enum defect defect;
		int errnum;

		take = n - done < per_read ? n - done : per_read;
		defect = read_blocks(w, first + done, take, &errnum);
		if (defect != DEFECT_NONE) {
			found(run, defect, first + done, errnum);
			return false;
		}
		for (uint64_t i = 0; i < take; i++) {
			uint8_t *at = digests + (done + i) * len;

			ul_block_hash(&w->hasher, w->data + i * block_size, block_size, run->check ? digest : at);
			if (run->check && memcmp(digest, at, len) != 0 && !passed_over(run, false, first + done + i)) {
				found(run, DEFECT_DATA, first + done + i, 0);
				return false;
			}
		}
		if (!hand_on(w, first + done, take))
			return false;
		run->blocks_done += take;
	}
	return true;
}

/* One leaf block and the data that it covers. */
static bool do_leaf(struct worker *w, uint64_t leaf, uint8_t *block)
{
	struct run *run = w->run;
	size_t len = run->d->root_hash_len, size = run->d->hash_block_size;
	uint64_t first = leaf * run->g.digests_per_block, n = run->d->data_blocks - first;
	uint8_t digest[UL_ROOT_HASH_MAX], *kept = run->digests + leaf * len;

	if (n > run->g.digests_per_block)
		n = run->g.digests_per_block;
	if (run->check) {
		ul_block_hash(&w->hasher, block, size, digest);
		if (memcmp(digest, kept, len) != 0 || !ul_all_zero(block + n * len, size - n * len)) {
			if (passed_over(run, true, run->d->hash_start / size + run->g.start[0] / size + leaf))
				return true;
			found(run, DEFECT_LEAF, first, 0);
			return false;
		}
		return do_blocks(w, first, n, block);
	}
	if (!do_blocks(w, first, n, block))
		return false;
	memset(block + n * len, 0, size - n * len);
	ul_block_hash(&w->hasher, block, size, kept);
	return true;
}

static void do_piece(struct worker *w, uint64_t leaf, uint64_t n)
{
	struct run *run = w->run;
	size_t size = run->d->hash_block_size;
	uint64_t first = leaf * run->g.digests_per_block;
	uint64_t offset = run->tree_offset + run->g.start[0] + leaf * size;
	int r;

	if (run->check) {
		r = ul_pread_full(run->fds.hash_fd, w->leaves, (size_t)n * size, offset);
		if (r < 0) {
			found(run, DEFECT_READ, first, -r);
			return;
		}
	}
	for (uint64_t i = 0; i < n; i++)
		if (!do_leaf(w, leaf + i, w->leaves + i * size))
			return;
	if (!run->check) {
		r = ul_pwrite_full(run->fds.hash_fd, w->leaves, (size_t)n * size, offset);
		if (r < 0)
			found(run, DEFECT_WRITE, first, -r);
	}
}

/* Where holes cannot be made the source goes as a whole, a little later. */
static void give_back(const struct run *run, uint64_t leaf)
{
	uint64_t leaf_data = (uint64_t)run->g.digests_per_block * run->d->data_block_size;

	if (run->copies)
		(void)!fallocate(run->read_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(leaf * leaf_data),
				 (off_t)(run->leaves_per_piece * leaf_data));
}

/*
 * The kernel's own reading ahead takes several readers of one file for random reads. Each piece asks for the one
 * a few places further on; the first for all up to there.
 */
static void ask_ahead(const struct run *run, uint64_t leaf)
{
	uint64_t leaf_data = (uint64_t)run->g.digests_per_block * run->d->data_block_size;
	uint64_t first = leaf * leaf_data, len = run->leaves_per_piece * leaf_data;

	if (leaf == AHEAD_PIECES * run->leaves_per_piece) {
		len += first;
		first = 0;
	}
	posix_fadvise(run->read_fd, (off_t)(run->read_offset + first), (off_t)len, POSIX_FADV_WILLNEED);
}

static const char *step_of(const struct run *run)
{
	return run->sink ? "writing" : run->check ? "checking the hash tree" : "hashing";
}

static void run_worker(void *context, unsigned int number)
{
	struct run *run = context;
	struct worker w = {.run = run};
	size_t block_size = run->d->data_block_size;

	w.data = aligned_alloc(UL_HASH_TREE_ALIGN, read_size(run));
	w.leaves = malloc((size_t)run->leaves_per_piece * run->d->hash_block_size);
	if (!ul_block_hasher_init(&w.hasher, run->d) || !w.data || !w.leaves) {
		found(run, DEFECT_CRYPTO, 0, ENOMEM);
		goto out;
	}
	for (;;) {
		uint64_t leaf = atomic_fetch_add(&run->next_leaf, run->leaves_per_piece), n;

		if (leaf >= run->g.blocks[0] || leaf * run->g.digests_per_block >= run->defect_at)
			break;
		if (run->cancelled && run->cancelled()) {
			found(run, DEFECT_CANCELLED, 0, 0);
			break;
		}
		ask_ahead(run, leaf + AHEAD_PIECES * run->leaves_per_piece);
		n = run->g.blocks[0] - leaf;
		do_piece(&w, leaf, n < run->leaves_per_piece ? n : run->leaves_per_piece);
		give_back(run, leaf);
		if (number == 0)
			ul_progress_report(run->progress, step_of(run), run->blocks_done * block_size,
					   run->d->data_blocks * block_size);
	}
	if (w.hasher.failed)
		found(run, DEFECT_CRYPTO, 0, 0);
out:
	ul_block_hasher_end(&w.hasher);
	free(w.data);
	free(w.leaves);
}

/* The whole run. A single data block has no leaf: its digest is the root hash. */
static void run_all(struct run *run, unsigned int threads)
{
	uint64_t leaf_data = (uint64_t)run->g.digests_per_block * run->d->data_block_size;
	uint64_t pieces;

	if (run->g.levels == 0) {
		struct worker w = {.run = run};

		w.data = aligned_alloc(UL_HASH_TREE_ALIGN, read_size(run));
		if (!ul_block_hasher_init(&w.hasher, run->d) || !w.data)
			found(run, DEFECT_CRYPTO, 0, ENOMEM);
		else if (do_blocks(&w, 0, 1, run->digests) && w.hasher.failed)
			found(run, DEFECT_CRYPTO, 0, 0);
		ul_block_hasher_end(&w.hasher);
		free(w.data);
		return;
	}
	run->leaves_per_piece = leaf_data < PIECE_SIZE ? PIECE_SIZE / leaf_data : 1;
	pieces = (run->g.blocks[0] - 1) / run->leaves_per_piece + 1;
	threads = ul_workers_count(threads);
	ul_workers_run(pieces < threads ? (unsigned int)pieces : threads, run_worker, run);
}

static int run_failed(const struct run *run, const char *what, struct ul_error *err)
{
	char object[64];

	snprintf(object, sizeof(object), "data block %llu", (unsigned long long)run->defect_at);
	switch (run->defect) {
	case DEFECT_READ:
		if (run->defect_errno == ENODATA)
			return ul_error_set(err, run->check ? UL_E_CORRUPT : UL_E_INPUT, what, object,
					    run->check ? TODO_WRITE : NULL, "the file or device ends before it");
		return ul_error_errno(err, UL_E_SYSTEM, what, object, "Check the disk.", run->defect_errno);
	case DEFECT_COPY:
		return ul_error_errno(err, UL_E_SYSTEM,
				      run->sink ? "writing the data" : "copying the filesystem into the image", object,
				      NULL, run->defect_errno);
	case DEFECT_CANCELLED:
		return ul_error_set(err, UL_E_SYSTEM, what, NULL, NULL, "interrupted");
	case DEFECT_WRITE:
		return ul_error_errno(err, UL_E_SYSTEM, what, "the hash tree", NULL, run->defect_errno);
	case DEFECT_LEAF:
		return ul_error_set(err, UL_E_CORRUPT, what, object, TODO_WRITE,
				    "the block of the hash tree that covers it does not match the root hash");
	case DEFECT_DATA:
		return ul_error_set(err, UL_E_CORRUPT, what, object, TODO_WRITE, "it does not match the hash tree");
	default:
		if (run->defect_errno == ENOMEM)
			return ul_error_nomem(err, what);
		return ul_error_set(err, UL_E_SYSTEM, what, NULL, NULL, "libcrypto failed to compute a digest");
	}
}

/* ---- the levels above the leaves ---- */

/*
 * The blocks of level i (1 or more) and their digests, from the digests of the level below. *digests holds
 * those, and gets the new ones; blocks is zeroed.
 */
static void build_level(struct ul_block_hasher *h, const struct ul_hash_tree_geometry *g, unsigned int i,
			uint8_t *digests, uint8_t *blocks)
{
	size_t len = h->d->root_hash_len, size = h->d->hash_block_size;

	memcpy(blocks, digests, (size_t)g->blocks[i - 1] * len);
	for (uint64_t k = 0; k < g->blocks[i]; k++)
		ul_block_hash(h, blocks + k * size, size, digests + k * len);
}

static int write_upper_levels(struct run *run, struct ul_error *err)
{
	static const char what[] = "writing the hash tree";
	struct ul_block_hasher h;
	int r = 0;

	if (!ul_block_hasher_init(&h, run->d))
		h.failed = true;
	for (unsigned int i = 1; i < run->g.levels && r == 0 && !h.failed; i++) {
		size_t bytes = (size_t)run->g.blocks[i] * run->d->hash_block_size;
		ul_autofree uint8_t *blocks = calloc(1, bytes);

		r = blocks ? 0 : -ENOMEM;
		if (r == 0) {
			build_level(&h, &run->g, i, run->digests, blocks);
			r = ul_pwrite_full(run->fds.hash_fd, blocks, bytes, run->tree_offset + run->g.start[i]);
		}
	}
	ul_block_hasher_end(&h);
	if (r < 0)
		return ul_error_errno(err, r == -ENOMEM ? UL_E_MEMORY : UL_E_SYSTEM, what, NULL, NULL, -r);
	if (h.failed)
		return ul_error_set(err, UL_E_SYSTEM, what, NULL, NULL, "libcrypto failed to compute a digest");
	memcpy(run->d->root_hash, run->digests, run->d->root_hash_len);
	return 0;
}

/* Check level i against `digests` (of its blocks) and give the digests that it holds instead. */
static int check_level(struct run *run, struct ul_block_hasher *h, unsigned int i, uint8_t **digests)
{
	const struct ul_hash_tree_geometry *g = &run->g;
	size_t len = run->d->root_hash_len, size = run->d->hash_block_size;
	size_t bytes = (size_t)g->blocks[i] * size, used = (size_t)g->blocks[i - 1] * len;
	ul_autofree uint8_t *blocks = malloc(bytes);
	uint8_t digest[UL_ROOT_HASH_MAX];
	int r = blocks ? ul_pread_full(run->fds.hash_fd, blocks, bytes, run->tree_offset + g->start[i]) : -ENOMEM;

	if (r < 0)
		return r;
	for (uint64_t k = 0; k < g->blocks[i]; k++) {
		ul_block_hash(h, blocks + k * size, size, digest);
		if (h->failed || memcmp(digest, *digests + k * len, len) != 0)
			return -EBADMSG;
	}
	if (!ul_all_zero(blocks + used, bytes - used))
		return -EBADMSG;
	free(*digests);
	*digests = ul_steal(blocks);
	return 0;
}

/* From the root hash down to the digests of the leaf blocks, which are left in run->digests. */
static int check_upper_levels(struct run *run, struct ul_error *err)
{
	static const char what[] = "checking the hash tree";
	struct ul_block_hasher h;
	int r = 0;

	if (!ul_block_hasher_init(&h, run->d))
		h.failed = true;
	memcpy(run->digests, run->d->root_hash, run->d->root_hash_len);
	for (unsigned int i = run->g.levels; i-- > 1 && r == 0 && !h.failed;)
		r = check_level(run, &h, i, &run->digests);
	ul_block_hasher_end(&h);
	if (h.failed)
		return ul_error_set(err, UL_E_SYSTEM, what, NULL, NULL, "libcrypto failed to compute a digest");
	if (r == -EBADMSG)
		return ul_error_set(err, UL_E_CORRUPT, what, NULL, TODO_WRITE,
				    "the hash tree does not match the root hash");
	if (r == -ENODATA)
		return ul_error_set(err, UL_E_CORRUPT, what, NULL, TODO_WRITE, "the hash tree is cut short");
	if (r < 0)
		return ul_error_errno(err, r == -ENOMEM ? UL_E_MEMORY : UL_E_SYSTEM, what, NULL,
				      r == -ENOMEM ? NULL : "Check the disk.", -r);
	return 0;
}

/* ---- the two runs ---- */

static int bad_measures(const struct ul_descriptor *d, const char *what, struct ul_error *err)
{
	return ul_error_set(
		err, UL_E_INPUT, what, NULL, NULL,
		"there is no hash tree of %s with %zu bytes of salt over %llu blocks of %u bytes, in blocks of %u "
		"bytes from byte %llu",
		d->hash, d->salt_len, (unsigned long long)d->data_blocks, (unsigned int)d->data_block_size,
		(unsigned int)d->hash_block_size, (unsigned long long)d->hash_start);
}

/* Geometry and sizes are checked before a byte is allocated: what is not there needs no memory. */
static int prepare(struct run *run, struct ul_descriptor *d, const char *what, struct ul_error *err)
{
	uint64_t data_end, tree_end, size;
	size_t leaves;
	int r;

	run->d = d;
	run->defect_at = UINT64_MAX;
	if (d->salt_len > UL_SALT_MAX || d->root_hash_len != (strcmp(d->hash, "sha512") ? 32 : 64) ||
	    !ul_hash_tree_measure(d, &run->g) ||
	    __builtin_add_overflow(run->fds.data_offset, d->data_blocks * d->data_block_size, &data_end) ||
	    __builtin_add_overflow(run->tree_offset, run->g.size, &tree_end) || data_end > INT64_MAX ||
	    tree_end > INT64_MAX)
		return bad_measures(d, what, err);
	data_end = data_end - run->fds.data_offset + run->read_offset;
	r = ul_file_size(run->read_fd, &size);
	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, "the data", NULL, -r);
	if (size < data_end)
		return ul_error_set(err, run->check ? UL_E_CORRUPT : UL_E_INPUT, what, NULL,
				    run->check ? TODO_WRITE : NULL, "the data has %llu bytes, %llu are needed",
				    (unsigned long long)size, (unsigned long long)data_end);
	if (run->check && ul_file_size(run->fds.hash_fd, &size) == 0 && size < tree_end)
		return ul_error_set(err, UL_E_CORRUPT, what, NULL, TODO_WRITE,
				    "the hash tree ends at byte %llu, %llu are needed", (unsigned long long)size,
				    (unsigned long long)tree_end);
	leaves = run->g.levels > 0 ? (size_t)run->g.blocks[0] : 1;
	run->digests = calloc(leaves, d->root_hash_len);
	return run->digests ? 0 : ul_error_nomem(err, what);
}

static struct run new_run(const struct ul_image_fds *fds, const struct ul_work *work)
{
	return (struct run){
		.fds = *fds,
		.read_fd = fds->data_fd,
		.read_offset = fds->data_offset,
		.progress = work->progress,
		.cancelled = work->cancelled,
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
}

int ul_hash_tree_copy(const struct ul_image_fds *fds, int source_fd, const uint8_t uuid[16], struct ul_descriptor *d,
		      const struct ul_work *work, struct ul_error *err)
{
	static const char what[] = "making the hash tree";
	struct run run = new_run(fds, work);
	struct ul_descriptor made = *d;
	int r;

	if (source_fd >= 0) {
		run.copies = true;
		run.read_fd = source_fd;
		run.read_offset = 0;
	}
	made.root_hash_len = strcmp(d->hash, "sha512") ? 32 : 64;
	if (__builtin_add_overflow(fds->hash_offset, d->hash_start, &run.tree_offset))
		return bad_measures(d, what, err);
	r = prepare(&run, &made, what, err);
	if (r == 0)
		r = ul_superblock_write(fds->hash_fd, fds->hash_offset, uuid, &made, err);
	if (r == 0) {
		run_all(&run, work->threads);
		r = run.defect == DEFECT_NONE ? write_upper_levels(&run, err) : run_failed(&run, what, err);
	}
	free(run.digests);
	if (r == 0)
		*d = made;
	return r;
}

int ul_hash_tree_write(const struct ul_image_fds *fds, const uint8_t uuid[16], struct ul_descriptor *d,
		       const struct ul_work *work, struct ul_error *err)
{
	return ul_hash_tree_copy(fds, -1, uuid, d, work, err);
}

static int check(struct run *run, const struct ul_descriptor *d, unsigned int threads, uint64_t *ret_bad_block,
		 struct ul_error *err)
{
	static const char what[] = "checking the hash tree";
	struct ul_descriptor wanted = *d;
	uint64_t bad = UINT64_MAX;
	int r;

	run->check = true;
	if (__builtin_add_overflow(run->fds.hash_offset, d->hash_start, &run->tree_offset))
		return bad_measures(d, what, err);
	r = prepare(run, &wanted, what, err);
	if (r == 0)
		r = check_upper_levels(run, err);
	if (r == 0) {
		run_all(run, threads);
		if (run->defect != DEFECT_NONE)
			r = run_failed(run, what, err);
		if (run->defect == DEFECT_DATA)
			bad = run->defect_at;
	}
	free(run->digests);
	run->d = NULL; /* it goes with this function */
	if (r == -UL_E_CORRUPT && ret_bad_block)
		*ret_bad_block = bad;
	return r;
}

int ul_hash_tree_check(const struct ul_image_fds *fds, const struct ul_descriptor *d, const struct ul_work *work,
		       uint64_t *ret_bad_block, struct ul_error *err)
{
	struct run run = new_run(fds, work);

	return check(&run, d, work->threads, ret_bad_block, err);
}

int ul_hash_tree_hand_on(const struct ul_image_fds *fds, const struct ul_descriptor *d,
			 const struct ul_hash_tree_sink *sink, const struct ul_work *work, struct ul_error *err)
{
	struct run run = new_run(fds, work);

	run.sink = sink;
	return check(&run, d, work->threads, NULL, err);
}

int ul_hash_tree_scan(const struct ul_image_fds *fds, const struct ul_descriptor *d, const struct ul_work *work,
		      void (*bad)(void *user, bool in_tree, uint64_t block), void *user, struct ul_error *err)
{
	struct run run = new_run(fds, work);

	run.bad = bad;
	run.user = user;
	return check(&run, d, work->threads, NULL, err);
}
