/*
 * The encoder is a shift register of `roots` bytes for each message, kept in up to three words, and a table that
 * gives what one byte that is shifted out adds to it: one look-up for a byte of data, whatever the number of roots.
 * A worker takes a few neighbouring rounds at once, so that it reads runs of blocks.
 */
#include "verity/image/fec.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/file.h"
#include "common/workers.h"
#include "verity/format/fec_geometry.h"

#define FIELD_POLYNOMIAL 0x11d
#define WORDS_MAX        3 /* of eight roots each */
#define ROUNDS_AT_ONCE   8

/* ---- the code ---- */

struct code {
	unsigned int roots, words;
	uint64_t table[256][WORDS_MAX]; /* byte i of an entry goes to byte i of the register */
};

static uint8_t multiply(uint8_t a, uint8_t b)
{
	unsigned int product = 0, x = a;

	for (; b; b >>= 1) {
		if (b & 1)
			product ^= x;
		x <<= 1;
		if (x & 0x100)
			x ^= FIELD_POLYNOMIAL;
	}
	return (uint8_t)product;
}

/* The generator is the product of (x - 2^i), i from 0 to roots - 1. */
static void make_code(struct code *c, unsigned int roots)
{
	uint8_t generator[UL_FEC_ROOTS_MAX + 1] = {1}; /* coefficient of x^i at i */
	uint8_t root = 1;

	for (unsigned int degree = 0; degree < roots; degree++) {
		for (unsigned int i = degree + 1; i > 0; i--)
			generator[i] = generator[i - 1] ^ multiply(generator[i], root);
		generator[0] = multiply(generator[0], root);
		root = multiply(root, 2);
	}
	*c = (struct code){.roots = roots, .words = (roots + 7) / 8};
	for (unsigned int out = 0; out < 256; out++)
		for (unsigned int i = 0; i < roots; i++)
			c->table[out][i / 8] |= (uint64_t)multiply((uint8_t)out, generator[roots - 1 - i])
						<< (i % 8 * 8);
}

/* Shift data[k] into the register of message k, which is word k of each of the `words` rows. */
static void shift_in(const struct code *c, const uint8_t *data, size_t n, uint64_t *state)
{
	if (c->words == 1) {
		for (size_t k = 0; k < n; k++)
			state[k] = state[k] >> 8 ^ c->table[(uint8_t)state[k] ^ data[k]][0];
		return;
	}
	for (size_t k = 0; k < n; k++) {
		const uint64_t *add = c->table[(uint8_t)state[k] ^ data[k]];
		unsigned int w = 0;

		for (; w + 1 < c->words; w++)
			state[w * n + k] = state[w * n + k] >> 8 ^ state[(w + 1) * n + k] << 56 ^ add[w];
		state[w * n + k] = state[w * n + k] >> 8 ^ add[w];
	}
}

static void take_parity(const struct code *c, const uint64_t *state, size_t n, uint8_t *parity)
{
	uint8_t bytes[8 * WORDS_MAX];

	for (size_t k = 0; k < n; k++) {
		for (unsigned int w = 0; w < c->words; w++)
			ul_put_le64(bytes + 8 * w, state[w * n + k]);
		memcpy(parity + k * c->roots, bytes, c->roots);
	}
}

/* ---- the area ---- */

struct run {
	const struct ul_descriptor *d;
	struct ul_image_fds fds;
	bool check; /* else write */
	struct code code;
	uint64_t blocks, rounds;
	struct ul_progress *progress;
	_Atomic uint64_t next_round;

	pthread_mutex_t lock;
	enum ul_code failed; /* UL_OK: nothing has */
	int errnum;
	uint64_t failed_at; /* bytes from the start of the area; what was read or written there, or near */
};

static void fail(struct run *run, enum ul_code code, int errnum, uint64_t at)
{
	pthread_mutex_lock(&run->lock);
	if (!run->failed || at < run->failed_at) {
		run->failed = code;
		run->errnum = errnum;
		run->failed_at = at;
	}
	pthread_mutex_unlock(&run->lock);
}

/* n blocks of the protected row from `first` on. 0 or -errno. */
static int read_row(const struct run *run, uint64_t first, uint64_t n, uint8_t *buf)
{
	size_t size = run->d->hash_block_size;
	uint64_t data_blocks = run->d->data_blocks, take = 0;
	int r = 0;

	if (first < data_blocks) {
		take = n < data_blocks - first ? n : data_blocks - first;
		r = ul_pread_full(run->fds.data_fd, buf, (size_t)take * size, run->fds.data_offset + first * size);
		first += take;
		n -= take;
		buf += take * size;
	}
	if (r == 0 && n > 0 && first < run->blocks) {
		take = n < run->blocks - first ? n : run->blocks - first;
		r = ul_pread_full(run->fds.hash_fd, buf, (size_t)take * size,
				  run->fds.hash_offset + run->d->hash_start + (first - data_blocks) * size);
		n -= take;
		buf += take * size;
	}
	memset(buf, 0, (size_t)n * size);
	return r;
}

struct worker {
	uint8_t *data, *parity, *stored;
	uint64_t *state;
};

/* The parity of n rounds from `round` on: written, or compared. false: failed. */
static bool do_rounds(struct run *run, struct worker *w, uint64_t round, uint64_t n)
{
	size_t lanes = (size_t)n * run->d->hash_block_size, len = lanes * run->d->fec_roots;
	uint64_t at = round * run->d->hash_block_size * run->d->fec_roots;
	uint64_t offset = run->fds.hash_offset + run->d->fec_start + at;
	int r = 0;

	memset(w->state, 0, lanes * run->code.words * sizeof(*w->state));
	for (unsigned int i = 0; i < UL_FEC_CODE_LENGTH - run->d->fec_roots && r == 0; i++) {
		r = read_row(run, i * run->rounds + round, n, w->data);
		shift_in(&run->code, w->data, lanes, w->state);
	}
	take_parity(&run->code, w->state, lanes, w->parity);
	if (r == 0)
		r = run->check ? ul_pread_full(run->fds.hash_fd, w->stored, len, offset)
			       : ul_pwrite_full(run->fds.hash_fd, w->parity, len, offset);
	if (r < 0)
		fail(run, UL_E_SYSTEM, -r, at);
	else if (run->check && memcmp(w->parity, w->stored, len) != 0)
		fail(run, UL_E_CORRUPT, 0, at);
	return r == 0;
}

static void run_worker(void *context, unsigned int number)
{
	struct run *run = context;
	size_t block = run->d->hash_block_size, lanes = block * ROUNDS_AT_ONCE;
	struct worker w = {
		.data = malloc(lanes),
		.parity = malloc(lanes * UL_FEC_ROOTS_MAX),
		.stored = malloc(lanes * UL_FEC_ROOTS_MAX),
		.state = malloc(lanes * WORDS_MAX * sizeof(*w.state)),
	};

	if (!w.data || !w.parity || !w.stored || !w.state) {
		fail(run, UL_E_MEMORY, ENOMEM, 0);
		goto out;
	}
	for (;;) {
		uint64_t round = atomic_fetch_add(&run->next_round, ROUNDS_AT_ONCE), n;

		if (round >= run->rounds || run->failed)
			break;
		n = run->rounds - round < ROUNDS_AT_ONCE ? run->rounds - round : ROUNDS_AT_ONCE;
		if (!do_rounds(run, &w, round, n))
			break;
		if (number == 0)
			ul_progress_report(run->progress,
					   run->check ? "checking the error correction"
						      : "computing the error correction",
					   (round + n) * (UL_FEC_CODE_LENGTH - run->d->fec_roots) * block,
					   run->rounds * (UL_FEC_CODE_LENGTH - run->d->fec_roots) * block);
	}
out:
	free(w.data);
	free(w.parity);
	free(w.stored);
	free(w.state);
}

static int run_all(struct run *run, unsigned int threads, struct ul_error *err)
{
	const char *what = run->check ? "checking the error correction (FEC)" : "computing the error correction (FEC)";
	uint64_t pieces;

	run->rounds = ul_fec_rounds(run->d, &run->blocks);
	pieces = (run->rounds - 1) / ROUNDS_AT_ONCE + 1;
	make_code(&run->code, run->d->fec_roots);
	pthread_mutex_init(&run->lock, NULL);
	threads = ul_workers_count(threads);
	ul_workers_run(pieces < threads ? (unsigned int)pieces : threads, run_worker, run);
	pthread_mutex_destroy(&run->lock);
	switch (run->failed) {
	case UL_OK:
		return 0;
	case UL_E_MEMORY:
		return ul_error_nomem(err, what);
	case UL_E_CORRUPT:
		return ul_error_set(err, UL_E_CORRUPT, what, "the FEC area", "Write the image again.",
				    "its parity at or behind byte %llu does not belong to the data",
				    (unsigned long long)run->failed_at);
	default:
		return ul_error_errno(err, UL_E_SYSTEM, what, NULL, "Check the disk.", run->errnum);
	}
}

int ul_fec_write(const struct ul_image_fds *fds, const struct ul_descriptor *d, const struct ul_work *work,
		 struct ul_error *err)
{
	struct run run = {.d = d, .fds = *fds, .progress = work->progress};

	return run_all(&run, work->threads, err);
}

int ul_fec_check(const struct ul_image_fds *fds, const struct ul_descriptor *d, const struct ul_work *work,
		 struct ul_error *err)
{
	struct run run = {.d = d, .fds = *fds, .check = true, .progress = work->progress};

	return run_all(&run, work->threads, err);
}
