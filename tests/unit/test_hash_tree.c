/*
 * The hash tree: root hashes and files as `veritysetup format` of cryptsetup 2.6 made them (fixed data, salt
 * and UUID), every kind of damage and where it is found, and numbers that describe no tree.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/evp.h>

#include "common/cleanup.h"
#include "common/encoding.h"
#include "common/file.h"
#include "verity/format/hash_tree_geometry.h"
#include "verity/image/hash_tree.h"

#define SALT "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define UUID "123456789abcdef0123456789abcdef0"

/* What is hashed: a pattern in which no two blocks are equal, or (sparse) a number every 1000 blocks. */
static int make_data(uint64_t size, bool sparse)
{
	int fd = memfd_create("data", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	if (sparse) {
		for (uint64_t k = 0; k * 4096 < size; k += 1000) {
			char text[24];
			int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)k);

			assert_int_equal(ul_pwrite_full(fd, text, (size_t)n, k * 4096), 0);
		}
	} else {
		uint8_t *b = malloc(size);

		for (uint64_t i = 0; i < size; i++)
			b[i] = (uint8_t)(i * 7 + i / 4096 * 13 + i / 256);
		assert_int_equal(ul_pwrite_full(fd, b, size, 0), 0);
		free(b);
	}
	return fd;
}

static struct ul_descriptor describe(const char *hash, uint32_t data_block, uint32_t hash_block, uint64_t blocks)
{
	struct ul_descriptor d = {.salt_len = 32,
				  .data_block_size = data_block,
				  .hash_block_size = hash_block,
				  .data_blocks = blocks,
				  .hash_start = hash_block};

	snprintf(d.hash, sizeof(d.hash), "%s", hash);
	assert_true(ul_hex_decode(SALT, 64, d.salt, 32));
	return d;
}

static int write_at(struct ul_image_fds fds, const uint8_t uuid[16], struct ul_descriptor *d, struct ul_work work)
{
	struct ul_error err;

	return ul_hash_tree_write(&fds, uuid, d, &work, &err);
}

static int check_at(struct ul_image_fds fds, const struct ul_descriptor *d, unsigned int threads, uint64_t *ret_bad)
{
	struct ul_error err;

	return ul_hash_tree_check(&fds, d, &(struct ul_work){.threads = threads}, ret_bad, &err);
}

static int check(int data, int hash, const struct ul_descriptor *d, uint64_t *ret_bad)
{
	return check_at((struct ul_image_fds){data, 0, hash, 0}, d, 2, ret_bad);
}

static int write_tree(int data, struct ul_descriptor *d, unsigned int threads)
{
	int hash = memfd_create("hash", MFD_CLOEXEC);
	uint8_t uuid[16];

	assert_true(ul_hex_decode(UUID, 32, uuid, 16));
	assert_int_equal(
		write_at((struct ul_image_fds){data, 0, hash, 0}, uuid, d, (struct ul_work){.threads = threads}), 0);
	return hash;
}

static void sha256_of(int fd, char hex[65])
{
	struct ul_buffer b = {0};
	uint8_t digest[32];
	uint64_t size;

	assert_int_equal(ul_file_size(fd, &size), 0);
	assert_int_equal(ul_buffer_reserve(&b, size), 0);
	assert_int_equal(ul_pread_full(fd, b.data, size, 0), 0);
	EVP_Digest(b.data, size, digest, NULL, EVP_sha256(), NULL);
	ul_hex_encode(digest, 32, hex);
	ul_buffer_free(&b);
}

static const struct {
	const char *hash;
	uint32_t data_block, hash_block;
	uint64_t blocks;
	const char *root, *file; /* root hash; SHA-256 of the hash file */
} known[] = {
	{"sha256", 4096, 4096, 1, "d08e79b8a3991ef30fb9923efb690e2822920668dcba9a5dc8538e99a1d4b7f7",
	 "7fbcfff12660c7327efcfebc14a689654ac2ac60bbc9ecbd9cfe4af6876ede83"},
	{"sha256", 4096, 4096, 2, "dd14905fe41de59e32b7b78fca8f42adba3614172e45199e5bb1e0e7a8911b7d",
	 "8eeb7baa81bfd146e192d09d610d0a6901c96a3b4fc525e70bbfeddbb6633c12"},
	{"sha256", 4096, 4096, 127, "eca59beba19073add40e1b99fe6b8c0772b7a5f5bee47725602974fced464734",
	 "9e449b6c078a64fa87f0695bfe7a8df7bb87afafd7feac00d9b4367a63475706"},
	{"sha256", 4096, 4096, 128, "c28b2951ba45588d1622e2a2be856ac1700f6c2b20598242036d7fbbe0d1242c",
	 "35661b96827d5885485a01dd43603df65c5f92a63fa9e6463bba728e40c76a96"},
	{"sha256", 4096, 4096, 129, "3b7d6ed4cd3ded4658dfebfbb1a1af01a7935f80a5c9806e419f96cfc8d13192",
	 "29f4babee338930e837f3b399b7bfc077af1134ac509bcf8c69391b43f0f00a5"},
	{"sha256", 4096, 4096, 16384, "754862c16de152f0c915365b563498cf12adcbadc55943300dff47317ccb0387",
	 "062a93e38b124df139293f493bc8ba18f1120ef0a0321d4f80f38e5c91bdb044"},
	{"sha256", 4096, 4096, 16385, "305b1ce9640afc72afff9de3d99fbf70fb9de63d0cfa4b3c95fa3ed3442a5dbb",
	 "8e63c121cbd8d30caf246ca7e4523b632c9d2bc3634e3cea426b93f260d89ff2"},
	{"sha512", 4096, 4096, 129,
	 "c4fb2d082ae71dda54c573c3649b84df8db4da4cb0081ff1a2fbcebab0057bdb"
	 "81c9c5176362ff573820a947896b896b376d12f1994a2279f38ff1779d41d3ca",
	 "3f014563de67d95f9929a045620323a3cc9196a6cf4f934eaf152bc4f8bd1d82"},
	{"sha256", 512, 1024, 1032, "38d90533312603d35e18a5e8bc4a735d83c72ce028060f2c2673ee17570be90b",
	 "15343a6d69b8a51a1c76f504923120e4ed74929d8a294ecb6a05a96c00bce8f0"},
	{"sha512", 1024, 512, 516,
	 "7554ced15641b44b7ce266120cb203fa5e84b64382e67c3f3ea7a18477697dca"
	 "11f7ddacdf1ea77b9d48dbf0a4ee6c63ed76c6f05212ecbcab97f32affc56be0",
	 "0ed7ad0f578834ef9dc38e6a1d113d5db7d04be2d13120aa31c3395caaf11983"},
	{"sha256", 4096, 512, 129, "2b68515bc2c50d193b838276c23c14f024605a2fe8a4b7ef47a0122808482beb",
	 "232e7e266ddf0e0f18438f4ffb231459098e586aba3c6ffc9e5b6f8fc57b6530"},
};

static void known_trees(void **state)
{
	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(known); i++) {
		struct ul_descriptor d =
			describe(known[i].hash, known[i].data_block, known[i].hash_block, known[i].blocks);
		uint64_t size = known[i].blocks * known[i].data_block, bad = 0, file_size;
		int data = make_data(size, known[i].blocks >= 16384);
		char hex[2 * UL_ROOT_HASH_MAX + 1];

		for (unsigned int threads = 1; threads <= 3; threads++) {
			int hash = write_tree(data, &d, threads);

			ul_hex_encode(d.root_hash, d.root_hash_len, hex);
			assert_string_equal(hex, known[i].root);
			sha256_of(hash, hex);
			assert_string_equal(hex, known[i].file);
			assert_int_equal(ul_file_size(hash, &file_size), 0);
			assert_int_equal(file_size, d.hash_start + ul_hash_tree_size(&d));
			assert_int_equal(check_at((struct ul_image_fds){data, 0, hash, 0}, &d, threads, &bad), 0);
			close(hash);
		}
		close(data);
	}
}

static void no_salt(void **state)
{
	struct ul_descriptor d = describe("sha256", 4096, 4096, 129);
	int data = make_data(129 * 4096, false), hash;
	char hex[65];

	(void)state;
	d.salt_len = 0;
	hash = write_tree(data, &d, 2);
	ul_hex_encode(d.root_hash, 32, hex);
	assert_string_equal(hex, "e728b43a9ea9bf9d74a88cecd89ad4feeaade73d17c5df15aa393060cd1e7bf5");
	close(hash);
	close(data);
}

/* Offsets: data and hash in one file, neither at its start. */
static void in_one_file(void **state)
{
	struct ul_descriptor d = describe("sha256", 4096, 4096, 129), e;
	int data = make_data(129 * 4096, false), one = memfd_create("one", MFD_CLOEXEC);
	uint8_t *bytes = malloc(129 * 4096), uuid[16] = {1};

	(void)state;
	assert_int_equal(ul_pread_full(data, bytes, 129 * 4096, 0), 0);
	assert_int_equal(ul_pwrite_full(one, bytes, 129 * 4096, 1536), 0);
	e = d;
	close(write_tree(data, &d, 1));
	assert_int_equal(write_at((struct ul_image_fds){one, 1536, one, 1024 * 1024 + 512}, uuid, &e,
				  (struct ul_work){.threads = 2}),
			 0);
	assert_memory_equal(d.root_hash, e.root_hash, 32);
	assert_int_equal(check_at((struct ul_image_fds){one, 1536, one, 1024 * 1024 + 512}, &e, 2, NULL), 0);
	free(bytes);
	close(one);
	close(data);
}

/* The tree of data that lies elsewhere yet is the same one; the data comes to its place, its old one is given back. */
static void copied(void **state)
{
	static const uint64_t blocks[] = {1, 129, 5000};
	struct ul_error err;

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(blocks); i++) {
		struct ul_descriptor d = describe("sha256", 4096, 4096, blocks[i]), e = d;
		uint64_t size = blocks[i] * 4096, hash_at = size + 1536 + 512;
		int data = make_data(size, true), one = memfd_create("one", MFD_CLOEXEC);
		struct ul_image_fds fds = {one, 1536, one, hash_at};
		uint8_t *bytes = malloc(size), *there = malloc(size), uuid[16] = {1};
		struct stat st;

		assert_int_equal(ul_pread_full(data, bytes, size, 0), 0);
		close(write_tree(data, &d, 1));
		assert_int_equal(ul_hash_tree_copy(&fds, data, uuid, &e, &(struct ul_work){.threads = 2}, &err), 0);
		assert_memory_equal(d.root_hash, e.root_hash, 32);
		assert_int_equal(ul_pread_full(one, there, size, 1536), 0);
		assert_memory_equal(bytes, there, size);
		assert_int_equal(check_at(fds, &e, 2, NULL), 0);
		assert_int_equal(fstat(data, &st), 0);
		assert_true(blocks[i] == 1 || st.st_blocks == 0);
		free(bytes);
		free(there);
		close(one);
		close(data);
	}
}

static void no_room_to_copy(void **state)
{
	struct ul_descriptor d = describe("sha256", 4096, 4096, 300);
	int data = make_data(300 * 4096, true), full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	int hash = memfd_create("hash", MFD_CLOEXEC);
	struct ul_image_fds fds = {full, 0, hash, 0};
	struct ul_error err = {0};
	uint8_t uuid[16] = {0};

	(void)state;
	assert_int_equal(ul_hash_tree_copy(&fds, data, uuid, &d, &(struct ul_work){.threads = 2}, &err), -UL_E_SYSTEM);
	assert_string_equal(err.what, "copying the filesystem into the image");
	assert_string_equal(err.object, "data block 0");
	close(hash);
	close(full);
	close(data);
}

static bool always(void)
{
	return true;
}

static void interrupted(void **state)
{
	struct ul_descriptor d = describe("sha256", 4096, 4096, 5000);
	int data = make_data(5000 * 4096ull, true), hash = memfd_create("hash", MFD_CLOEXEC);
	struct ul_work work = {.threads = 2, .cancelled = always};
	struct ul_image_fds fds = {data, 0, hash, 0};
	struct ul_error err = {0};
	uint8_t uuid[16] = {0};

	(void)state;
	assert_int_equal(ul_hash_tree_write(&fds, uuid, &d, &work, &err), -UL_E_SYSTEM);
	assert_string_equal(err.why, "interrupted");
	close(hash);
	close(data);
}

static void flip(int fd, uint64_t offset)
{
	uint8_t byte;

	assert_int_equal(ul_pread_full(fd, &byte, 1, offset), 0);
	byte ^= 0x10;
	assert_int_equal(ul_pwrite_full(fd, &byte, 1, offset), 0);
}

#define BLOCKS 20000 /* three levels, several pieces */

static void damage_is_found(void **state)
{
	struct ul_descriptor d = describe("sha256", 4096, 4096, BLOCKS), e;
	int data = make_data(BLOCKS * 4096ull, true), hash = write_tree(data, &d, 2);
	struct ul_hash_tree_geometry g;
	uint64_t bad, spare;

	(void)state;
	assert_true(ul_hash_tree_measure(&d, &g));
	assert_int_equal(g.levels, 3);
	spare = d.hash_start + g.start[0] + BLOCKS * 32ull; /* behind the last leaf's digests */
	/* Two bad blocks, far from each other: the lower one is named, whoever is faster. */
	flip(data, 19999 * 4096ull + 7);
	for (int round = 0; round < 8; round++) {
		uint64_t block = (uint64_t)round * 2500 + 3;

		flip(data, block * 4096);
		assert_int_equal(check(data, hash, &d, &bad), -UL_E_CORRUPT);
		assert_int_equal(bad, block);
		flip(data, block * 4096);
	}
	flip(data, 19999 * 4096ull + 7);
	/* Each level of the tree, and the bytes that should be zero. */
	for (unsigned int level = 0; level < g.levels; level++) {
		flip(hash, d.hash_start + g.start[level] + 33);
		assert_int_equal(check(data, hash, &d, &bad), -UL_E_CORRUPT);
		assert_true(bad == UINT64_MAX);
		flip(hash, d.hash_start + g.start[level] + 33);
	}
	flip(hash, spare);
	assert_int_equal(check(data, hash, &d, &bad), -UL_E_CORRUPT);
	flip(hash, spare);
	e = d;
	e.root_hash[31] ^= 1;
	assert_int_equal(check(data, hash, &e, NULL), -UL_E_CORRUPT);
	e = d;
	e.salt[0] ^= 1;
	assert_int_equal(check(data, hash, &e, NULL), -UL_E_CORRUPT);
	assert_int_equal(check(data, hash, &d, NULL), 0);
	/* A superblock that was altered does not matter: nobody reads it. */
	flip(hash, 80);
	assert_int_equal(check(data, hash, &d, NULL), 0);
	close(hash);
	close(data);
}

static void cut_short(void **state)
{
	struct ul_descriptor d = describe("sha256", 4096, 4096, 300);
	int data = make_data(300 * 4096, false), hash = write_tree(data, &d, 1);
	uint64_t bad = 1;
	uint8_t uuid[16] = {0};

	(void)state;
	assert_int_equal(ftruncate(hash, 4096 * 4), 0);
	assert_int_equal(check(data, hash, &d, &bad), -UL_E_CORRUPT);
	assert_true(bad == UINT64_MAX);
	close(hash);
	hash = write_tree(data, &d, 1);
	assert_int_equal(ftruncate(data, 300 * 4096 - 1), 0);
	assert_int_equal(check(data, hash, &d, &bad), -UL_E_CORRUPT);
	assert_int_equal(write_at((struct ul_image_fds){data, 0, hash, 0}, uuid, &d, (struct ul_work){.threads = 1}),
			 -UL_E_INPUT);
	close(hash);
	close(data);
}

static void impossible(void **state)
{
	static const struct {
		uint32_t data_block, hash_block;
		uint64_t blocks;
	} rows[] = {{4096, 4096, 0},
		    {4096, 4096, UINT64_MAX},
		    {4096, 4096, 1ull << 51},
		    {0, 4096, 5},
		    {4096, 0, 5},
		    {4095, 4096, 5},
		    {4096, 4097, 5},
		    {4096, 32, 5},
		    {512, 64, 1ull << 53},
		    {1u << 31, 1u << 31, 1ull << 32}};
	struct ul_descriptor d;
	int data = make_data(8192, false);

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(rows); i++) {
		d = describe("sha256", rows[i].data_block, rows[i].hash_block, rows[i].blocks);
		d.root_hash_len = 32;
		assert_int_equal(ul_hash_tree_size(&d), 0);
		assert_int_equal(check(data, data, &d, NULL), -UL_E_INPUT);
	}
	d = describe("md5", 4096, 4096, 2);
	assert_int_equal(ul_hash_tree_size(&d), 0);
	/* Much data is claimed, little is there: nothing is allocated for it. */
	d = describe("sha256", 4096, 4096, 1ull << 50);
	d.root_hash_len = 32;
	assert_true(ul_hash_tree_size(&d) > 0);
	assert_int_equal(check(data, data, &d, NULL), -UL_E_CORRUPT);
	d = describe("sha256", 4096, 4096, 2);
	d.root_hash_len = 32;
	d.hash_start = UINT64_MAX - 4095;
	assert_int_equal(check_at((struct ul_image_fds){data, 0, data, 8192}, &d, 1, NULL), -UL_E_INPUT);
	close(data);
}

struct watched {
	struct ul_progress progress;
	uint64_t last, total;
	unsigned int calls;
};

static void watch(struct ul_progress *self, const char *what, uint64_t done, uint64_t total)
{
	struct watched *w = (struct watched *)self;

	assert_string_equal(what, "hashing");
	assert_true(done >= w->last && done <= total);
	w->last = done;
	w->total = total;
	w->calls++;
}

static void progress(void **state)
{
	struct watched w = {.progress = {watch}};
	struct ul_descriptor d = describe("sha256", 4096, 4096, BLOCKS);
	int data = make_data(BLOCKS * 4096ull, true), hash = memfd_create("hash", MFD_CLOEXEC);
	uint8_t uuid[16] = {0};

	(void)state;
	assert_int_equal(write_at((struct ul_image_fds){data, 0, hash, 0}, uuid, &d,
				  (struct ul_work){.threads = 1, .progress = &w.progress}),
			 0);
	assert_true(w.calls > 5);
	assert_int_equal(w.last, BLOCKS * 4096ull);
	assert_int_equal(w.total, BLOCKS * 4096ull);
	close(hash);
	close(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_trees),     cmocka_unit_test(no_salt),         cmocka_unit_test(in_one_file),
		cmocka_unit_test(copied),          cmocka_unit_test(no_room_to_copy), cmocka_unit_test(interrupted),
		cmocka_unit_test(damage_is_found), cmocka_unit_test(cut_short),       cmocka_unit_test(impossible),
		cmocka_unit_test(progress),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
