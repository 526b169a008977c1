/* NAR hashes as `nix-hash --type sha256` of Nix 2.8 printed them, and what is refused. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include <fcntl.h>

#include "common/cleanup.h"
#include "common/encoding.h"
#include "common/file.h"
#include "dbgen/store/nar.h"

static char dir[] = "/tmp/underlay-nar-XXXXXX";
static int dirfd_ = -1;

static int setup(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(dir));
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dirfd_ < 0;
}

static int teardown(void **state)
{
	(void)state;
	close(dirfd_);
	return ul_remove_tree(AT_FDCWD, dir);
}

static void put(const char *path, mode_t mode, const char *text)
{
	assert_int_equal(ul_write_file(dirfd_, path, mode, text, strlen(text)), 0);
	assert_int_equal(fchmodat(dirfd_, path, mode, 0), 0);
}

static void expect(const char *path, const char *hex, uint64_t size)
{
	struct ul_error err;
	uint64_t got_size;
	uint8_t hash[32];
	char got[65];

	assert_int_equal(ul_nar_hash(dirfd_, path, hash, &got_size, &err), 0);
	ul_hex_encode(hash, 32, got);
	assert_string_equal(got, hex);
	assert_int_equal(got_size, size);
}

static void known_hashes(void **state)
{
	(void)state;
	put("hello", 0644, "hello\n");
	expect("hello", "1c37d01af40be2e80691de3cc3df44377a699afbb17c68f080964b2fd071fc13", 120);
	put("exec", 0755, "hello\n");
	expect("exec", "65436039d3f93ca19a8dbf1c60b15739ed58f53f14b8d372acc1b351533010fa", 152);
	put("void", 0644, "");
	expect("void", "77ac62e2629d8e45f624589c0c8bf99e24b3a722349bf1e79bc186008534e246", 112);
	assert_int_equal(symlinkat("hello", dirfd_, "link"), 0);
	expect("link", "46b153adf590ddbbb27665dbadd80ad1052fb42801728b83a9b7f4cd4b548125", 120);
	assert_int_equal(mkdirat(dirfd_, "nothing", 0755), 0);
	expect("nothing", "a50a5ab6d992f5598edd92105059fae9acfc192981e08bd88534c2167e92526a", 96);
	assert_int_equal(mkdirat(dirfd_, "tree", 0755), 0);
	assert_int_equal(mkdirat(dirfd_, "tree/sub", 0755), 0);
	put("tree/b", 0644, "b");
	put("tree/B", 0644, "B");
	put("tree/a.c", 0700, "a.c");
	put("tree/a", 0600, "a");
	put("tree/sub/12345678", 0644, "12345678");
	assert_int_equal(symlinkat("../b", dirfd_, "tree/sub/up"), 0);
	assert_int_equal(mkdirat(dirfd_, "tree/zero", 0755), 0);
	expect("tree", "cbbc0d89ae97a9defddea3c49047d2b3699a3bea13f575f601cfe7608586edc9", 1616);
	/* A hasher is as new after each object, a failed one too. */
	struct ul_nar_hasher *h = ul_nar_hasher_new();
	struct ul_error err;
	uint8_t first[32], again[32];
	uint64_t size;

	assert_int_equal(ul_nar_hasher_run(h, dirfd_, "tree", first, &size, &err), 0);
	assert_int_equal(ul_nar_hasher_run(h, dirfd_, "none", again, &size, &err), -UL_E_SYSTEM);
	assert_int_equal(err.errnum, ENOENT);
	assert_int_equal(ul_nar_hasher_run(h, dirfd_, "tree", again, &size, &err), 0);
	assert_memory_equal(first, again, 32);
	ul_nar_hasher_free(h);
}

static void refuses(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	struct ul_error err;
	uint8_t hash[32];
	uint64_t size;
	char long_path[5000];

	(void)state;
	assert_int_equal(mkdirat(dirfd_, "odd", 0755), 0);
	assert_int_equal(mkfifoat(dirfd_, "odd/pipe", 0644), 0);
	assert_int_equal(ul_nar_hash(dirfd_, "odd", hash, &size, &err), -UL_E_CHECK);
	assert_string_equal(err.object, "odd/pipe");
	assert_int_equal(unlinkat(dirfd_, "odd/pipe", 0), 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/odd/socket", dir);
	assert_int_equal(bind(s, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(ul_nar_hash(dirfd_, "odd", hash, &size, &err), -UL_E_CHECK);
	close(s);
	memset(long_path, 'a', sizeof(long_path));
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(ul_nar_hash(dirfd_, long_path, hash, &size, &err), -UL_E_SYSTEM);
}

static void count(void *user, uint64_t bytes)
{
	*(uint64_t *)user += bytes;
}

/* Called while the file is hashed, after its first part: it grows, or shrinks. */
static void meddle(void *user, uint64_t bytes)
{
	int *fd_and_size = user;

	(void)bytes;
	assert_int_equal(ftruncate(fd_and_size[0], fd_and_size[1]), 0);
}

static void file_that_changes(void **state)
{
	static const int sizes[] = {2999999, 3000001, 100, 0, 4000000};
	struct ul_nar_hasher *h = ul_nar_hasher_new();
	uint64_t size, counted = 0;
	struct ul_error err;
	uint8_t hash[32];

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(sizes); i++) {
		int fd = openat(dirfd_, "big", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		int fd_and_size[2] = {fd, sizes[i]};

		assert_int_equal(ftruncate(fd, 3000000), 0);
		ul_nar_hasher_watch(h, meddle, fd_and_size);
		assert_int_equal(ul_nar_hasher_run(h, dirfd_, "big", hash, &size, &err), -UL_E_CHECK);
		assert_string_equal(err.why, "it changed while it was read");
		assert_int_equal(ftruncate(fd, 3000000), 0);
		counted = 0;
		ul_nar_hasher_watch(h, count, &counted);
		assert_int_equal(ul_nar_hasher_run(h, dirfd_, "big", hash, &size, &err), 0);
		assert_int_equal(counted, size);
		close(fd);
	}
	ul_nar_hasher_free(h);
}

/* n directories within each other from the top on, all of one name. */
static void dig(const char *name, int n)
{
	int fd = dup(dirfd_);

	for (int i = 0; i < n; i++) {
		int next;

		assert_int_equal(mkdirat(fd, name, 0755), 0);
		next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(fd);
		fd = next;
	}
	close(fd);
}

/* And away again, from the top: the second level is moved up, the first one is then empty. */
static void fill_in(const char *name, int n)
{
	char second[2 * NAME_MAX + 2];

	snprintf(second, sizeof(second), "%s/%s", name, name);
	for (int i = 0; i < n; i++) {
		(void)!renameat(dirfd_, second, dirfd_, "up");
		assert_int_equal(unlinkat(dirfd_, name, AT_REMOVEDIR), 0);
		(void)!renameat(dirfd_, "up", dirfd_, name);
	}
}

/* Many levels; and where PATH_MAX ends them, it ends with that. */
static void deep(void **state)
{
	struct ul_error err;
	uint8_t hash[32];
	uint64_t size;
	char name[101];

	(void)state;
	dig("d", 400);
	assert_int_equal(ul_nar_hash(dirfd_, "d", hash, &size, &err), 0);
	/* Each of 399 directories is an entry: 9 words of 16 bytes and one of 24, and the outermost one. */
	assert_int_equal(size, 96 + 399 * 168);
	fill_in("d", 400);
	memset(name, 'd', 100);
	name[100] = '\0';
	dig(name, 42);
	assert_int_equal(ul_nar_hash(dirfd_, name, hash, &size, &err), -UL_E_SYSTEM);
	assert_int_equal(err.errnum, ENAMETOOLONG);
	fill_in(name, 42);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_hashes),
		cmocka_unit_test(refuses),
		cmocka_unit_test(file_that_changes),
		cmocka_unit_test(deep),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
