/* What takes the place of lists, directory loops and orders by hand: common/{vector,names,dir,compare}.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/compare.h"
#include "common/dir.h"
#include "common/names.h"
#include "common/vector.h"

struct place {
	uint64_t at;
	char kind;
};

struct place_list {
	UL_VECTOR_MEMBERS(struct place);
};

static void vector_keeps_what_is_pushed(void **state)
{
	struct place_list list = {0};
	UL_VECTOR(struct place) *same = (void *)&list;
	int calls = 0;

	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(ul_vector_push(&list, (struct place){.at = i * i, .kind = (char)('a' + i % 26)}), 0);
	assert_int_equal(list.n, 1000);
	assert_true(list.size >= list.n);
	for (uint64_t i = 0; i < 1000; i++) {
		assert_int_equal(list.at[i].at, i * i);
		assert_int_equal(list.at[i].kind, 'a' + i % 26);
	}
	/* Both arguments have their effects once. */
	assert_int_equal(ul_vector_push((calls++, same), (struct place){.at = (uint64_t)++calls}), 0);
	assert_int_equal(calls, 2);
	assert_int_equal(list.at[1000].at, 2);
	ul_vector_free(&list);
	assert_null(list.at);
	assert_int_equal(list.n, 0);
	assert_int_equal(list.size, 0);
}

static void vector_has_the_room_reserved(void **state)
{
	UL_VECTOR(int) list = {0};
	int *before;

	(void)state;
	assert_int_equal(ul_vector_reserve(&list, 100), 0);
	assert_int_equal(list.n, 0);
	assert_true(list.size >= 100);
	before = list.at;
	for (int i = 0; i < 100; i++)
		assert_int_equal(ul_vector_push(&list, i), 0);
	assert_ptr_equal(list.at, before);
	ul_vector_free(&list);
}

/* Sizes that do not fit into memory, or not even into a size_t. */
static void vector_stays_where_it_cannot_grow(void **state)
{
	UL_VECTOR(uint64_t) list = {0};
	uint64_t *before;
	size_t size;

	(void)state;
	assert_int_equal(ul_vector_push(&list, 7), 0);
	before = list.at;
	size = list.size;
	assert_int_equal(ul_vector_reserve(&list, SIZE_MAX), -ENOMEM);
	assert_int_equal(ul_vector_reserve(&list, SIZE_MAX / 8), -ENOMEM);
	assert_int_equal(ul_vector_reserve(&list, SIZE_MAX / 8 + 2), -ENOMEM);
	assert_ptr_equal(list.at, before);
	assert_int_equal(list.n, 1);
	assert_int_equal(list.size, size);
	assert_int_equal(list.at[0], 7);
	ul_vector_free(&list);
}

static int compare_places(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

static void vector_removes_and_sorts(void **state)
{
	struct place_list list = {0};
	const char *const left[] = {"bcd", "bd", "b"};
	const size_t gone[] = {0, 1, 1};

	(void)state;
	ul_vector_sort(&list, compare_places);
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(ul_vector_push(&list, (struct place){.at = i, .kind = "abcd"[i]}), 0);
	for (size_t k = 0; k < 3; k++) {
		ul_vector_remove(&list, gone[k]);
		assert_int_equal(list.n, strlen(left[k]));
		for (size_t i = 0; i < list.n; i++)
			assert_int_equal(list.at[i].kind, left[k][i]);
	}
	for (uint64_t i = 0; i < 50; i++)
		assert_int_equal(ul_vector_push(&list, (struct place){.at = i * 37 % 50}), 0);
	ul_vector_remove(&list, 0);
	ul_vector_sort(&list, compare_places);
	for (uint64_t i = 0; i < 50; i++)
		assert_int_equal(list.at[i].at, i);
	ul_vector_free(&list);
}

/* Neighbours in this order, the greatest distance included: a difference in an int would turn round. */
static void order_is_total(void **state)
{
	static const uint32_t u32[] = {0, 1, INT32_MAX, 0x80000000, UINT32_MAX};
	static const uint64_t u64[] = {0, 1, UINT32_MAX, 1ULL << 32, INT64_MAX, UINT64_MAX};
	static const char *const texts[] = {"", "a", "ab", "b", "\xff"};
	static const int64_t i64[] = {INT64_MIN, -1, 0, INT64_MAX};

	(void)state;
	for (int i = 0; i < 4; i++)
		for (int k = 0; k < 4; k++) {
			int wanted = i < k ? -1 : i > k;
			int order = ul_compare_texts(&texts[i], &texts[k]);
			int bytes = ul_compare_bytes(texts[i], strlen(texts[i]), texts[k], strlen(texts[k]));

			assert_int_equal(ul_order(i64[i], i64[k]), wanted);
			assert_int_equal(ul_compare_u32(&u32[i + 1], &u32[k + 1]), wanted);
			assert_int_equal(ul_compare_u32(&u32[i], &u32[k]), wanted);
			assert_int_equal(ul_compare_u64(&u64[i], &u64[k]), wanted);
			assert_int_equal(ul_compare_u64(&u64[i + 2], &u64[k + 2]), wanted);
			assert_int_equal(ul_order(order, 0), wanted);
			assert_int_equal(ul_order(bytes, 0), wanted);
		}
	/* What follows the length does not count. */
	assert_int_equal(ul_compare_bytes("ax", 1, "ay", 1), 0);
}

static void names_are_copies(void **state)
{
	ul_autonames struct ul_names names = {0};
	char text[] = "second";

	(void)state;
	assert_false(ul_names_has(&names, "first"));
	assert_false(ul_names_find(&names, "first"));
	assert_int_equal(ul_names_add_n(&names, "first of all", 5), 0);
	assert_int_equal(ul_names_add(&names, text), 0);
	text[0] = 'S';
	assert_int_equal(ul_names_take(&names, strdup("third")), 0);
	assert_int_equal(names.n, 3);
	assert_string_equal(names.at[0], "first");
	assert_string_equal(names.at[1], "second");
	assert_string_equal(names.at[2], "third");
	assert_true(ul_names_has(&names, "second"));
	assert_false(ul_names_has(&names, "Second"));
	assert_false(ul_names_has(&names, "secon"));
	assert_int_equal(ul_names_add_new(&names, "first"), 0);
	assert_int_equal(names.n, 3);
	assert_int_equal(ul_names_add_new(&names, "fourth"), 1);
	assert_string_equal(names.at[3], "fourth");
	ul_names_free(&names);
	assert_int_equal(names.n, 0);
	assert_int_equal(ul_names_add(&names, "again"), 0);
}

static void names_sort(void **state)
{
	ul_autonames struct ul_names names = {0};
	const char *const texts[] = {"b", "", "a", "b", "\xff", "a", "ab", "b"};
	const char *const all[] = {"", "a", "a", "ab", "b", "b", "b", "\xff"};
	const char *const unique[] = {"", "a", "ab", "b", "\xff"};

	(void)state;
	ul_names_sort(&names, true);
	assert_int_equal(names.n, 0);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(ul_names_add(&names, texts[i]), 0);
	ul_names_sort(&names, false);
	assert_int_equal(names.n, 8);
	for (size_t i = 0; i < 8; i++)
		assert_string_equal(names.at[i], all[i]);
	ul_names_sort(&names, true);
	assert_int_equal(names.n, 5);
	for (size_t i = 0; i < 5; i++) {
		assert_string_equal(names.at[i], unique[i]);
		assert_true(ul_names_find(&names, unique[i]));
	}
	assert_false(ul_names_find(&names, "aa"));
}

/* The text is taken over in any case: under ASan a text that is left behind is a failure. */
static void names_without_memory(void **state)
{
	struct ul_names full = {.n = SIZE_MAX / sizeof(char *), .size = SIZE_MAX / sizeof(char *)};

	(void)state;
	assert_int_equal(ul_names_take(&full, strdup("text")), -ENOMEM);
	assert_int_equal(ul_names_add(&full, "text"), -ENOMEM);
	assert_int_equal(ul_names_add_n(&full, "text", 2), -ENOMEM);
	assert_int_equal(full.n, SIZE_MAX / sizeof(char *));
	assert_int_equal(ul_names_take(&(struct ul_names){0}, NULL), -ENOMEM);
}

/* A folder of each test's own, open as an O_PATH descriptor in *state. */
static char folder[] = "/tmp/test_lists.XXXXXX";

static int make_folder(void **state)
{
	int *fd = malloc(sizeof(*fd));

	memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
	if (!fd || !mkdtemp(folder))
		return -1;
	*fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	*state = fd;
	return *fd < 0 ? -1 : 0;
}

static int remove_folder(void **state)
{
	int *fd = *state;
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", folder);
	close(*fd);
	free(fd);
	return system(command) == 0 ? 0 : -1; /* NOLINT(cert-env33-c) */
}

static void touch(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
}

/* All that is there, sorted; the status that ended it. */
static int list(DIR *dir, struct ul_names *names)
{
	struct dirent *entry;
	int r;

	while ((r = ul_dir_next(dir, &entry)) > 0)
		assert_int_equal(ul_names_add(names, entry->d_name), 0);
	ul_names_sort(names, false);
	return r;
}

static void dir_lists_all_but_dots(void **state)
{
	int fd = *(int *)*state;
	ul_autonames struct ul_names names = {0};
	ul_autodir DIR *empty = NULL, *dir = NULL;
	struct dirent *entry;

	assert_int_equal(mkdirat(fd, "empty", 0700), 0);
	assert_int_equal(mkdirat(fd, "dir", 0700), 0);
	touch(fd, "dir/.hidden");
	touch(fd, "dir/...");
	touch(fd, "dir/..x");
	touch(fd, "dir/file");
	assert_int_equal(mkdirat(fd, "dir/sub", 0700), 0);

	assert_int_equal(ul_dir_open(fd, "empty", &empty), 0);
	assert_int_equal(ul_dir_next(empty, &entry), 0);
	assert_int_equal(ul_dir_next(empty, &entry), 0);
	assert_int_equal(ul_dir_open(fd, "dir", &dir), 0);
	assert_int_equal(list(dir, &names), 0);
	assert_int_equal(names.n, 5);
	assert_string_equal(names.at[0], "...");
	assert_string_equal(names.at[1], "..x");
	assert_string_equal(names.at[2], ".hidden");
	assert_string_equal(names.at[3], "file");
	assert_string_equal(names.at[4], "sub");
}

/* More entries than one system call returns. */
static void dir_lists_many(void **state)
{
	int fd = *(int *)*state;
	ul_autonames struct ul_names names = {0};
	ul_autodir DIR *dir = NULL;
	char name[220];

	for (int i = 0; i < 400; i++) {
		snprintf(name, sizeof(name), "%03d%0200d", i, 0);
		touch(fd, name);
	}
	assert_int_equal(ul_dir_open(fd, ".", &dir), 0);
	assert_int_equal(list(dir, &names), 0);
	assert_int_equal(names.n, 400);
	for (int i = 0; i < 400; i++)
		assert_int_equal(atoi((char[]){names.at[i][0], names.at[i][1], names.at[i][2], 0}), i);
}

static void dir_is_nothing_else(void **state)
{
	int fd = *(int *)*state, r;
	DIR *dir = (DIR *)&fd;

	touch(fd, "file");
	assert_int_equal(mkdirat(fd, "real", 0700), 0);
	assert_int_equal(symlinkat("real", fd, "link"), 0);
	assert_int_equal(mkfifoat(fd, "fifo", 0600), 0);
	assert_int_equal(ul_dir_open(fd, "none", &dir), -ENOENT);
	assert_int_equal(ul_dir_open(fd, "file", &dir), -ENOTDIR);
	/* Not waited for, either. */
	assert_int_equal(ul_dir_open(fd, "fifo", &dir), -ENOTDIR);
	r = ul_dir_open(fd, "link", &dir);
	assert_true(r == -ENOTDIR || r == -ELOOP);
	assert_int_equal(ul_dir_open(-1, "real", &dir), -EBADF);
	assert_ptr_equal(dir, &fd);
}

/* The descriptor is taken over: closed where it is of no use, too. */
static void dir_of_takes_the_descriptor(void **state)
{
	int fd = *(int *)*state, file, own;
	ul_autodir DIR *dir = NULL;

	touch(fd, "file");
	file = openat(fd, "file", O_RDONLY | O_CLOEXEC);
	assert_int_equal(ul_dir_of(file, &dir), -ENOTDIR);
	assert_int_equal(fcntl(file, F_GETFD), -1);
	assert_int_equal(ul_dir_of(-1, &dir), -EBADF);
	assert_null(dir);

	own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(ul_dir_of(own, &dir), 0);
	assert_int_equal(dirfd(dir), own);
	ul_cleanup_closedir(&dir);
	dir = NULL;
	assert_int_equal(fcntl(own, F_GETFD), -1);
}

/* Two descriptors of one opening share their place: who read on with one does not shorten the other's list. */
static void dir_of_begins_at_the_start(void **state)
{
	int fd = *(int *)*state, first, second;
	ul_autonames struct ul_names once = {0}, again = {0};
	ul_autodir DIR *dir = NULL, *same = NULL;

	touch(fd, "a");
	touch(fd, "b");
	first = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	second = fcntl(first, F_DUPFD_CLOEXEC, 0);
	assert_int_equal(ul_dir_of(first, &dir), 0);
	assert_int_equal(list(dir, &once), 0);
	assert_int_equal(once.n, 2);
	assert_int_equal(ul_dir_of(second, &same), 0);
	assert_int_equal(list(same, &again), 0);
	assert_int_equal(again.n, 2);
}

/* What the descriptor has become cannot be read any more: an error, and not an end. */
static void dir_error_is_not_the_end(void **state)
{
	int fd = *(int *)*state, file;
	ul_autodir DIR *dir = NULL, *closed = NULL;
	struct dirent *entry = (struct dirent *)&file;

	touch(fd, "file");
	file = openat(fd, "file", O_RDONLY | O_CLOEXEC);
	assert_int_equal(ul_dir_open(fd, ".", &dir), 0);
	assert_true(dup2(file, dirfd(dir)) >= 0);
	errno = 0;
	assert_int_equal(ul_dir_next(dir, &entry), -ENOTDIR);
	assert_ptr_equal(entry, &file);

	assert_int_equal(ul_dir_open(fd, ".", &closed), 0);
	assert_true(dup2(fd, dirfd(closed)) >= 0); /* O_PATH: cannot be read */
	assert_int_equal(ul_dir_next(closed, &entry), -EBADF);
	assert_ptr_equal(entry, &file);
	close(file);
	/* An errno of before does not count as an error of the directory. */
	ul_cleanup_closedir(&closed);
	closed = NULL;
	assert_int_equal(ul_dir_open(fd, ".", &closed), 0);
	errno = EIO;
	assert_int_equal(ul_dir_next(closed, &entry), 1);
	errno = EIO;
	assert_int_equal(ul_dir_next(closed, &entry), 0);
}

static void dir_closing_keeps_errno(void **state)
{
	int fd = *(int *)*state;
	DIR *dir = NULL;

	errno = EXDEV;
	ul_cleanup_closedir(&dir);
	assert_int_equal(errno, EXDEV);
	assert_int_equal(ul_dir_open(fd, ".", &dir), 0);
	close(dirfd(dir)); /* so that closedir fails */
	errno = EXDEV;
	ul_cleanup_closedir(&dir);
	assert_int_equal(errno, EXDEV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vector_keeps_what_is_pushed),
		cmocka_unit_test(vector_has_the_room_reserved),
		cmocka_unit_test(vector_stays_where_it_cannot_grow),
		cmocka_unit_test(vector_removes_and_sorts),
		cmocka_unit_test(order_is_total),
		cmocka_unit_test(names_are_copies),
		cmocka_unit_test(names_sort),
		cmocka_unit_test(names_without_memory),
		cmocka_unit_test_setup_teardown(dir_lists_all_but_dots, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(dir_lists_many, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(dir_is_nothing_else, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(dir_of_takes_the_descriptor, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(dir_of_begins_at_the_start, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(dir_error_is_not_the_end, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(dir_closing_keeps_errno, make_folder, remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
