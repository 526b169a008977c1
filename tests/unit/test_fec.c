/* The FEC area: every message with its parity is a word of the code, wherever its bytes lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "verity/format/fec_geometry.h"
#include "verity/image/fec.h"
#include "verity/format/hash_tree_geometry.h"
#include "verity/image/hash_tree.h"

#define BLOCK  512u  /* small blocks: the rounds of a large image in a small one */
#define OFFSET 4096u /* of the data and of the hash partition in their files */

struct image {
	int data, hash;
	struct ul_descriptor d;
};

static const struct ul_work two = {.threads = 2};

static struct ul_image_fds fds_of(const struct image *im)
{
	return (struct ul_image_fds){im->data, OFFSET, im->hash, OFFSET};
}

static void make_image(struct image *im, uint64_t blocks, uint32_t roots)
{
	static const uint8_t uuid[16];
	uint32_t random = 12345;
	struct ul_image_fds fds;
	struct ul_error err;

	*im = (struct image){.data = memfd_create("data", MFD_CLOEXEC),
			     .hash = memfd_create("hash", MFD_CLOEXEC),
			     .d = {.hash = "sha256",
				   .root_hash_len = 32,
				   .data_block_size = BLOCK,
				   .hash_block_size = BLOCK,
				   .data_blocks = blocks,
				   .hash_start = BLOCK,
				   .fec_roots = roots}};
	fds = fds_of(im);
	for (uint64_t i = 0; i < blocks * BLOCK; i += 4, random = random * 1664525 + 1013904223)
		assert_int_equal(ul_pwrite_full(im->data, &random, 4, OFFSET + i), 0);
	assert_int_equal(ul_hash_tree_write(&fds, uuid, &im->d, &two, &err), 0);
	im->d.fec_start = BLOCK + ul_hash_tree_size(&im->d);
	assert_int_equal(ul_fec_write(&fds, &im->d, &two, &err), 0);
}

static void free_image(struct image *im)
{
	close(im->data);
	close(im->hash);
}

/* Byte b of block n of the protected row, read the plain way. */
static uint8_t row_byte(const struct image *im, uint64_t n, uint32_t b)
{
	uint64_t tree = ul_hash_tree_size(&im->d) / BLOCK;
	uint8_t byte = 0;

	if (n < im->d.data_blocks)
		assert_int_equal(ul_pread_full(im->data, &byte, 1, OFFSET + n * BLOCK + b), 0);
	else if (n - im->d.data_blocks < tree)
		assert_int_equal(
			ul_pread_full(im->hash, &byte, 1, OFFSET + BLOCK + (n - im->d.data_blocks) * BLOCK + b), 0);
	return byte;
}

/* By logarithms, unlike the encoder. */
static uint8_t power[255], logarithm[256];

static int make_field(void **state)
{
	unsigned int x = 1;

	(void)state;
	for (unsigned int i = 0; i < 255; i++) {
		power[i] = (uint8_t)x;
		logarithm[x] = (uint8_t)i;
		x = x << 1 ^ (x & 0x80 ? 0x11d : 0);
	}
	return 0;
}

/* A word of the code is zero at the first `roots` powers of 2 (Horner's rule, first symbol the highest). */
static void assert_code_word(const uint8_t word[255], unsigned int roots)
{
	for (unsigned int i = 0; i < roots; i++) {
		uint8_t sum = 0;

		for (unsigned int k = 0; k < 255; k++)
			sum = (sum ? power[(logarithm[sum] + i) % 255] : 0) ^ word[k];
		assert_int_equal(sum, 0);
	}
}

static void every_word_is_of_the_code(void **state)
{
	static const struct {
		uint64_t blocks;
		uint32_t roots;
	} cases[] = {{1, 2}, {3, 2}, {253, 2}, {6000, 2}, {700, 3}, {500, 8}, {500, 9}, {900, 24}};

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(cases); i++) {
		uint32_t roots = cases[i].roots;
		struct image im;
		uint64_t rounds;

		make_image(&im, cases[i].blocks, roots);
		rounds = ul_fec_size(&im.d) / BLOCK / roots;
		for (uint64_t n = 0; n < rounds; n++)
			for (uint32_t b = n % 7; b < BLOCK; b += 101) {
				uint8_t word[255];

				for (uint32_t k = 0; k < 255 - roots; k++)
					word[k] = row_byte(&im, n + k * rounds, b);
				assert_int_equal(ul_pread_full(im.hash, word + 255 - roots, roots,
							       OFFSET + im.d.fec_start + (n * BLOCK + b) * roots),
						 0);
				assert_code_word(word, roots);
			}
		free_image(&im);
	}
}

static void sizes(void **state)
{
	struct ul_descriptor d = {.data_block_size = 4096,
				  .hash_block_size = 4096,
				  .hash_start = 4096,
				  .data_blocks = 250,
				  .fec_roots = 2,
				  .fec_start = 4 * 4096};

	(void)state;
	assert_int_equal(ul_fec_size(&d), 2 * 4096); /* 250 + 3 blocks: one round */
	d.data_blocks++;
	assert_int_equal(ul_fec_size(&d), 4 * 4096);
	d.fec_roots = 0;
	assert_int_equal(ul_fec_size(&d), 0);
}

/* A partition that is just as long as the builder makes it holds the area, whatever the number of blocks is. */
static void fits_exactly(void **state)
{
	struct ul_descriptor d = {.data_block_size = 4096,
				  .hash_block_size = 4096,
				  .hash_start = 4096,
				  .fec_roots = 2,
				  .fec_start = 4 * 4096};

	(void)state;
	for (d.data_blocks = 1; d.data_blocks < 1000; d.data_blocks++) {
		uint64_t size = d.fec_start + ul_fec_size(&d);

		assert_true(ul_fec_fits(&d, d.fec_start, size));
		assert_false(ul_fec_fits(&d, d.fec_start, size - 1));
		assert_false(ul_fec_fits(&d, d.fec_start + 1, size));
	}
}

static void flip(int fd, uint64_t at)
{
	uint8_t byte;

	assert_int_equal(ul_pread_full(fd, &byte, 1, at), 0);
	byte ^= 1;
	assert_int_equal(ul_pwrite_full(fd, &byte, 1, at), 0);
}

static void a_check_finds_any_damage(void **state)
{
	struct ul_image_fds fds;
	struct ul_error err;
	struct image im;

	(void)state;
	make_image(&im, 5000, 4);
	fds = fds_of(&im);
	assert_int_equal(ul_fec_check(&fds, &im.d, &(struct ul_work){0}, &err), 0);
	for (uint64_t i = 0; i < 3; i++) {
		uint64_t area = ul_fec_size(&im.d);
		int fd = i == 0 ? im.data : im.hash;
		uint64_t at = i == 0   ? OFFSET + 2345 * BLOCK
			      : i == 1 ? OFFSET + BLOCK + 100
				       : OFFSET + im.d.fec_start + area - 1;

		flip(fd, at);
		assert_int_equal(ul_fec_check(&fds, &im.d, &(struct ul_work){0}, &err), -UL_E_CORRUPT);
		flip(fd, at);
	}
	/* Cut off. */
	assert_int_equal(ftruncate(im.hash, (off_t)(OFFSET + im.d.fec_start + 100)), 0);
	assert_int_equal(ul_fec_check(&fds, &im.d, &(struct ul_work){0}, &err), -UL_E_SYSTEM);
	free_image(&im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_word_is_of_the_code),
		cmocka_unit_test(sizes),
		cmocka_unit_test(fits_exactly),
		cmocka_unit_test(a_check_finds_any_damage),
	};

	return cmocka_run_group_tests(tests, make_field, NULL);
}
