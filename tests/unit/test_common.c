/* What every part leans on: the error sentence, memory, configuration, files, helper programs, JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/config.h"
#include "common/error.h"
#include "common/file.h"
#include "common/number.h"
#include "common/run.h"
#include "common/version_number.h"

static void sentence_has_one_form(void **state)
{
	struct ul_error err;
	char text[1200];
	int r;

	(void)state;
	r = ul_error_set(&err, UL_E_CORRUPT, "reading the lower", "/dev/vda1", "Write it again.", "block %d is corrupt",
			 7);
	assert_int_equal(r, -UL_E_CORRUPT);
	assert_string_equal(ul_error_sentence(&err, text, sizeof(text)),
			    "reading the lower: /dev/vda1: block 7 is corrupt. Write it again.");
	ul_error_errno(&err, UL_E_SYSTEM, "opening", NULL, NULL, ENOENT);
	assert_string_equal(ul_error_sentence(&err, text, sizeof(text)), "opening: No such file or directory.");
	assert_int_equal(err.errnum, ENOENT);
}

/* A label from a hostile disk must not move the cursor of the console. */
static void sentence_escapes(void **state)
{
	struct ul_error err;
	char small[8];

	(void)state;
	ul_error_set(&err, UL_E_INPUT, "reading", "a\033[2Jb\n", NULL, "bad \x80");
	assert_string_equal(err.object, "a\\x1b[2Jb\\x0a");
	assert_string_equal(err.why, "bad \\x80");
	ul_escape_text(small, sizeof(small), "abc\001\002");
	assert_string_equal(small, "abc\\x01");
	/* Rewording in place: the arguments point into the object that is filled. */
	ul_error_set(&err, UL_E_INPUT, "rereading", err.object, err.todo, "%s", err.why);
	assert_string_equal(err.what, "rereading");
}

static void codes_are_stable(void **state)
{
	(void)state;
	assert_string_equal(ul_code_name(UL_E_SIGNATURE), "bad-signature");
	assert_int_equal(UL_E_SIGNATURE, 18);
	assert_int_equal(UL_E_PIVOT, 31);
	assert_int_equal(ul_code_exit_status(UL_E_USAGE), 2);
	assert_int_equal(ul_code_exit_status(UL_E_SIGNATURE), 1);
	assert_int_equal(ul_code_exit_status(UL_E_SYSTEM), 3);
	assert_string_equal(ul_code_name((enum ul_code)999), "unknown");
}

struct sample {
	char *text, *named;
	bool flag;
	uint64_t number, size, time;
	unsigned int choice;
	char **list, **few;
};

static const char *const colours[] = {"red", "green", NULL};
#define FIELD(f) .offset = offsetof(struct sample, f), .field = #f
static const struct ul_config_key keys[] = {
	{"a", "text", UL_CONFIG_STRING, FIELD(text)},
	{"a", "named", UL_CONFIG_STRING, FIELD(named), .def = "none"},
	{"a", "flag", UL_CONFIG_BOOL, FIELD(flag), .def = "on"},
	{"a", "number", UL_CONFIG_UINT, FIELD(number), .def = "3", .min = 2, .max = 9},
	{"b", "size", UL_CONFIG_SIZE, FIELD(size), .def = "1M"},
	{"b", "time", UL_CONFIG_DURATION, FIELD(time), .def = "2", .max = 3600000000},
	{"b", "choice", UL_CONFIG_ENUM, FIELD(choice), .def = "green", .choices = colours},
	{"b", "list", UL_CONFIG_LIST, FIELD(list)},
	{"b", "few", UL_CONFIG_LIST, FIELD(few), .def = "green red", .choices = colours},
	{.key = NULL},
};

static int read_sample(struct sample *s, const char *text, struct ul_error *err)
{
	*s = (struct sample){0};
	assert_int_equal(ul_config_init(keys, s, err), 0);
	return ul_config_parse(keys, text, strlen(text), "f", s, err);
}

static void config_has_defaults(void **state)
{
	struct sample s;
	struct ul_error err;

	(void)state;
	assert_int_equal(read_sample(&s, "", &err), 0);
	assert_null(s.text);
	assert_null(s.list);
	assert_string_equal(s.named, "none");
	assert_true(s.flag);
	assert_int_equal(s.number, 3);
	assert_int_equal(s.size, 1 << 20);
	assert_int_equal(s.time, 2000000);
	assert_int_equal(s.choice, 1);
	assert_string_equal(s.few[1], "red");
	assert_true(ul_config_complete(keys, &s));
	free(s.named);
	s.named = NULL;
	assert_false(ul_config_complete(keys, &s));
	ul_config_free(keys, &s);
}

/* An empty text or list is as if it were not given; a list's words take the place of its default. */
static void config_takes_empty_for_unset(void **state)
{
	struct sample s;
	struct ul_error err;

	(void)state;
	assert_int_equal(read_sample(&s, "[a]\ntext =\nnamed =\n[b]\nlist =\nfew =\n", &err), 0);
	assert_null(s.text);
	assert_null(s.list);
	assert_string_equal(s.named, "none");
	assert_string_equal(s.few[0], "green");
	assert_int_equal(ul_config_set(&keys[0], "x", "here", &s, &err), 0);
	assert_string_equal(s.text, "x");
	assert_int_equal(ul_config_set(&keys[0], "", "here", &s, &err), 0);
	assert_null(s.text);
	ul_config_free(keys, &s);
	assert_int_equal(read_sample(&s, "[b]\nfew =\nfew = red\nfew =\nfew = green\n", &err), 0);
	assert_string_equal(s.few[0], "red");
	assert_string_equal(s.few[1], "green");
	assert_null(s.few[2]);
	ul_config_free(keys, &s);
}

static void config_compares(void **state)
{
	static const struct ul_config_need red = {"b", "choice", UL_CONFIG_IS(0)},
					   green = {"b", "choice", UL_CONFIG_IS(1)};
	struct sample a, b;
	struct ul_error err;

	(void)state;
	assert_int_equal(read_sample(&a, "", &err), 0);
	assert_int_equal(read_sample(&b, "", &err), 0);
	for (const struct ul_config_key *key = keys; key->key; key++)
		assert_true(ul_config_same(key, &a, &b));
	assert_false(ul_config_meets(keys, &red, &a));
	assert_true(ul_config_meets(keys, &green, &a));
	ul_config_free(keys, &b);
	assert_int_equal(read_sample(&b,
				     "[a]\ntext = x\nnamed = y\nflag = no\nnumber = 4\n"
				     "[b]\nsize = 2\ntime = 3\nchoice = red\nlist = x\nfew = green\n",
				     &err),
			 0);
	for (const struct ul_config_key *key = keys; key->key; key++)
		assert_false(ul_config_same(key, &a, &b));
	ul_config_free(keys, &a);
	ul_config_free(keys, &b);
}

static void config_writes_numbers(void **state)
{
	char text[32];

	(void)state;
	ul_config_number_text(UL_CONFIG_DURATION, 1, text);
	assert_string_equal(text, "1us");
	ul_config_number_text(UL_CONFIG_DURATION, 90000000, text);
	assert_string_equal(text, "90s");
	ul_config_number_text(UL_CONFIG_DURATION, 3600000000, text);
	assert_string_equal(text, "1h");
	ul_config_number_text(UL_CONFIG_SIZE, 3 << 19, text);
	assert_string_equal(text, "1536K");
	ul_config_number_text(UL_CONFIG_SIZE, 1000, text);
	assert_string_equal(text, "1000");
	ul_config_number_text(UL_CONFIG_SIZE, 0, text);
	assert_string_equal(text, "0");
	ul_config_number_text(UL_CONFIG_UINT, 1024, text);
	assert_string_equal(text, "1024");
}

static void config_reads_every_kind(void **state)
{
	static const char text[] = "# a comment\n[a]\ntext = two words\nflag = yes\nnumber=9\n"
				   "[b]\nsize = 64M\ntime = 1500ms\nchoice = green\n"
				   "list = one two\nlist = three\n";
	struct sample s = {0};
	struct ul_error err;

	(void)state;
	assert_int_equal(ul_config_parse(keys, text, strlen(text), "f", &s, &err), 0);
	assert_string_equal(s.text, "two words");
	assert_true(s.flag);
	assert_int_equal(s.number, 9);
	assert_int_equal(s.size, 64 << 20);
	assert_int_equal(s.time, 1500000);
	assert_int_equal(s.choice, 1);
	assert_string_equal(s.list[2], "three");
	assert_null(s.list[3]);
	ul_config_free(keys, &s);
	assert_null(s.text);
}

static void config_refuses(void **state)
{
	static const struct {
		const char *text, *object, *why;
	} rows[] = {
		{"[a]\nnothing = 1\n", "f:2", "there is no such setting"},
		{"[c]\ntext = 1\n", "f:2", "there is no section [c]"},
		{"[a]\ntext = 1\ntext = 2\n", "f:3", "the setting is given twice"},
		{"[a]\nflag = maybe\n", "f:2", "\"maybe\" is not yes or no"},
		{"[a]\nnumber = 1\n", "f:2", "\"1\" is not between 2 and 9"},
		{"[b]\ntime = 2h\n", "f:2", "\"2h\" is not between 0 and 1h"},
		{"[b]\nfew = red blue\n", "f:2", "\"blue\" is not one of red, green"},
		{"[a]\nnumber = -3\n", "f:2", "\"-3\" is not a whole number such as 3"},
		{"[a]\nnumber = 99999999999999999999\n", "f:2",
		 "\"99999999999999999999\" is not a whole number such as 3"},
		{"[b]\nsize = 1Q\n", "f:2", "\"1Q\" is not a size such as 64M"},
		{"[b]\nsize = 99999999999999T\n", "f:2", "\"99999999999999T\" is not a size such as 64M"},
		{"[b]\ntime = soon\n", "f:2", "\"soon\" is not a time such as 30s, 500ms or 2min"},
		{"[b]\nchoice = blue\n", "f:2", "\"blue\" is not one of red, green"},
		{"[a]\nnonsense\n", "f:2", "the line is neither a section nor a setting"},
	};

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(rows); i++) {
		struct sample s = {0};
		struct ul_error err = {0};

		assert_int_equal(ul_config_parse(keys, rows[i].text, strlen(rows[i].text), "f", &s, &err),
				 -UL_E_CONFIG);
		assert_string_equal(err.object, rows[i].object);
		assert_string_equal(err.why, rows[i].why);
		ul_config_free(keys, &s);
	}
}

/* A misspelt name is told from a misspelt or missing section, and the first line that is wrong is named. */
static void config_tells_what_was_meant(void **state)
{
	static const struct {
		const char *text, *sentence;
	} rows[] = {
		{"[a]\nnmuber = 3\n", "reading [a] nmuber: f:2: there is no such setting. "
				      "Did you mean \"number\"? Correct its spelling, or remove it."},
		{"[a]\nxylophone = 3\n", "reading [a] xylophone: f:2: there is no such setting. "
					 "Correct its spelling, or remove it."},
		{"[a]\ntime = 3s\n", "reading [a] time: f:2: there is no such setting. "
				     "It is a setting of [b]: move it there, or remove it."},
		{"[quite another]\ntime = 3s\n",
		 "reading [quite another] time: f:2: there is no section [quite another]. "
		 "Correct its spelling, or remove it."},
		{"# first\ntime = 3s\n", "reading time: f:2: it stands before the first [section]. "
					 "Write its section, such as [b], on a line above it."},
		{"xylophone = 3\n", "reading xylophone: f:1: it stands before the first [section]. "
				    "Write its section in brackets on a line above it."},
		{"[b\ntime = 3s\n", "reading the configuration: f:1: the line is neither a section nor a setting. "
				    "Write [section], key = value, or a comment."},
		{"[b]\ntime = soon\n[a\n", "reading [b] time: f:2: \"soon\" is not a time such as 30s, 500ms or 2min."},
	};

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(rows); i++) {
		struct sample s = {0};
		struct ul_error err = {0};
		char sentence[1200];

		assert_int_equal(ul_config_parse(keys, rows[i].text, strlen(rows[i].text), "f", &s, &err),
				 -UL_E_CONFIG);
		assert_string_equal(ul_error_sentence(&err, sentence, sizeof(sentence)), rows[i].sentence);
		ul_config_free(keys, &s);
	}
}

static void config_finds_lines(void **state)
{
	static const char text[] = "[a]\ntext = x\n\n[b]\nlist = one twofold\nlist = two\n; few = red\ntime = 3";
	static const struct {
		const char *section, *key, *word;
		unsigned int line;
	} rows[] = {
		{"a", "text", NULL, 2},  {"b", "list", NULL, 5}, {"b", "list", "two", 6},
		{"b", "list", "six", 0}, {"b", "few", NULL, 0},  {"b", "time", NULL, 8},
	};

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(rows); i++)
		assert_int_equal(ul_config_line(text, strlen(text), ul_config_find(keys, rows[i].section, rows[i].key),
						rows[i].word),
				 rows[i].line);
}

static void config_refuses_odd_bytes(void **state)
{
	struct sample s = {0};
	struct ul_error err;
	char text[512];

	(void)state;
	assert_int_equal(ul_config_parse(keys, "[a]\0]\n", 6, "f", &s, &err), -UL_E_CONFIG);
	assert_string_equal(err.why, "the line holds a NUL byte");
	memset(text, 'x', sizeof(text));
	assert_int_equal(ul_config_parse(keys, text, sizeof(text), "f", &s, &err), -UL_E_CONFIG);
	assert_string_equal(err.why, "the line is longer than 190 characters");
	ul_config_free(keys, &s);
}

static char *scratch(void)
{
	static char dir[64];

	strcpy(dir, "/tmp/underlay-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	return dir;
}

static void files_round_trip(void **state)
{
	const char *dir = scratch();
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ul_autobuffer struct ul_buffer b = {0};
	struct stat st;

	(void)state;
	assert_int_equal(ul_mkdir_parents(fd, "a/b/c", 0755), 0);
	assert_int_equal(ul_mkdir_parents(fd, "a/b/c", 0755), 0);
	assert_int_equal(ul_write_file_atomic(fd, "a/b/f", 0600, "hello", 5), 0);
	assert_int_equal(ul_write_file_atomic(fd, "a/b/f", 0600, "world!", 6), 0);
	assert_int_equal(fstatat(fd, "a/b/f.tmp", &st, 0), -1);
	assert_int_equal(ul_read_file(fd, "a/b/f", 6, &b), 0);
	assert_string_equal(ul_buffer_string(&b), "world!");
	assert_int_equal(ul_read_file(fd, "a/b/f", 5, &b), -EFBIG);
	assert_int_equal(ul_read_file(fd, "a/b/none", 5, &b), -ENOENT);
	assert_int_equal(ul_read_file(fd, "a/b", 5, &b), -EISDIR);
	/* /proc files have no size: they are read to their end, and bounded too. */
	assert_int_equal(ul_read_file(AT_FDCWD, "/proc/self/mounts", 4, &b), -EFBIG);
	assert_int_equal(ul_write_file_atomic(fd, "a/none/f", 0600, "x", 1), -ENOENT);
	assert_int_equal(fchmodat(fd, "a/b", 0555, 0), 0);
	assert_int_equal(symlinkat("/etc", fd, "a/link"), 0);
	assert_int_equal(ul_remove_tree(fd, "a"), 0);
	assert_int_equal(ul_remove_tree(fd, "a"), 0);
	assert_int_equal(fstatat(fd, "a", &st, 0), -1);
	assert_int_equal(access("/etc/passwd", F_OK), 0);
	close(fd);
	rmdir(dir);
}

static void paths_join(void **state)
{
	(void)state;
	static const struct {
		const char *a, *b, *joined;
	} rows[] = {{"/a", "b", "/a/b"}, {"/a/", "/b", "/a/b"}, {"/", "b", "/b"}, {"a", "b", "a/b"}};

	for (size_t i = 0; i < UL_ARRAY_SIZE(rows); i++) {
		ul_autofree char *joined = ul_path_join(rows[i].a, rows[i].b);

		assert_string_equal(joined, rows[i].joined);
	}
}

static void programs_explain_themselves(void **state)
{
	static const char *const good[] = {"sh", "-c", "echo out; echo noise >&2", NULL};
	static const char *const bad[] = {"sh", "-c", "echo first >&2; echo why >&2; exit 4", NULL};
	static const char *const killed[] = {"sh", "-c", "kill -9 $$", NULL};
	static const char *const absent[] = {"underlay-no-such-program", NULL};
	ul_autobuffer struct ul_buffer out = {0};
	struct ul_error err;
	int status = -1;

	(void)state;
	assert_int_equal(ul_run(good, "trying", &out, NULL, &err), 0);
	assert_string_equal(ul_buffer_string(&out), "out\n");
	assert_int_equal(ul_run(bad, "trying", NULL, NULL, &err), -UL_E_SYSTEM);
	assert_string_equal(err.why, "it ended with status 4: why");
	assert_int_equal(ul_run(bad, "trying", NULL, &status, &err), 0);
	assert_int_equal(status, 4);
	assert_int_equal(ul_run(killed, "trying", NULL, &status, &err), -UL_E_SYSTEM);
	assert_string_equal(err.why, "it was killed by signal 9 (Killed)");
	assert_int_equal(ul_run(absent, "trying", NULL, NULL, &err), -UL_E_SYSTEM);
	assert_string_equal(err.why, "the program is not installed");
}

static void a_corrupt_lower_is_named(void **state)
{
	struct ul_error err;

	(void)state;
	assert_int_equal(ul_error_errno_of_lower(&err, UL_E_MANIFEST, "reading", "x", "Build it.", EIO), -UL_E_CORRUPT);
	assert_int_equal(err.code, UL_E_CORRUPT);
	assert_int_equal(err.errnum, EIO);
	assert_string_equal(err.todo, "Write the image again.");
	assert_int_equal(ul_error_errno_of_lower(NULL, UL_E_MANIFEST, "reading", "x", NULL, EIO), -UL_E_CORRUPT);
	assert_int_equal(ul_error_errno_of_lower(&err, UL_E_MANIFEST, "reading", "x", "Build it.", ENOENT),
			 -UL_E_MANIFEST);
	assert_string_equal(err.todo, "Build it.");
}

static void numbers_in_texts(void **state)
{
	const char *at = "12 callbacks", *none[] = {"", " 1", "-1", "+1", "x", "18446744073709551616"};
	const char *greatest = "18446744073709551615";
	uint64_t n = 7;

	(void)state;
	assert_true(ul_take_number(&at, &n));
	assert_int_equal(n, 12);
	assert_string_equal(at, " callbacks");
	assert_true(ul_take_number(&greatest, &n));
	assert_true(n == UINT64_MAX && *greatest == '\0');
	for (size_t i = 0; i < UL_ARRAY_SIZE(none); i++) {
		const char *text = none[i];

		n = 7;
		assert_false(ul_take_number(&text, &n));
		assert_ptr_equal(text, none[i]);
		assert_int_equal(n, 7);
	}
}

static void numbers_of_a_length(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} none[] = {{"1", 0}, {"", 1}, {"1x", 2}, {"x1", 2}, {"-1", 2}, {" 1", 2}, {"18446744073709551616", 20}};
	static const char open_ended[] = {'4', '2', '7'};
	uint64_t n;

	(void)state;
	assert_true(ul_parse_digits("00000012-x", 8, &n));
	assert_int_equal(n, 12);
	assert_true(ul_parse_digits("18446744073709551615", 20, &n));
	assert_true(n == UINT64_MAX);
	assert_true(ul_parse_digits(open_ended, 2, &n));
	assert_int_equal(n, 42);
	for (size_t i = 0; i < UL_ARRAY_SIZE(none); i++) {
		n = 7;
		assert_false(ul_parse_digits(none[i].text, none[i].len, &n));
		assert_int_equal(n, 7);
	}
}

static void number_files(void **state)
{
	static const struct {
		const char *text;
		int result;
	} rows[] = {{"100000\n", 0}, {"5", 0}, {"", -EINVAL}, {"\n", -EINVAL}, {"5 6\n", -EINVAL}, {"5x", -EINVAL}};
	char path[] = "/tmp/underlay-number-XXXXXX";
	uint64_t n;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	for (size_t i = 0; i < UL_ARRAY_SIZE(rows); i++) {
		assert_int_equal(ul_write_file(AT_FDCWD, path, 0600, rows[i].text, strlen(rows[i].text)), 0);
		assert_int_equal(ul_read_number_file(AT_FDCWD, path, &n), rows[i].result);
	}
	unlink(path);
	assert_int_equal(ul_read_number_file(AT_FDCWD, path, &n), -ENOENT);
	close(fd);
}

static void version_numbers(void **state)
{
	static const struct {
		const char *text;
		int result;
	} rows[] = {{"6.12", 1},   {"6.12.57-amd64", 1}, {"7.0", 1},   {"6.11.99", 0}, {"5.99", 0},
		    {"06.012", 1}, {"6.100pre20", 1},    {"6", -1},    {"", -1},       {"v6.12", -1},
		    {"6.", -1},    {"6.x", -1},          {"6-12", -1}, {" 6.12", -1},  {NULL, -1}};

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(rows); i++)
		assert_int_equal(ul_version_at_least(rows[i].text, 6, 12), rows[i].result);
}

static void lent_memory_is_left_alone(void **state)
{
	uint8_t memory[8] = "01234567";
	struct ul_buffer b = {0};

	(void)state;
	ul_buffer_lend(&b, memory, sizeof(memory));
	assert_int_equal(ul_buffer_append(&b, "abcdefgh", 8), 0);
	assert_ptr_equal(b.data, memory);
	/* One byte more: what was there moves on, and is the buffer's own from here. */
	assert_int_equal(ul_buffer_append(&b, "i", 1), 0);
	assert_ptr_not_equal(b.data, memory);
	assert_int_equal(b.len, 9);
	assert_memory_equal(b.data, "abcdefghi", 9);
	assert_memory_equal(memory, "abcdefgh", 8);
	ul_buffer_free(&b);
	ul_buffer_lend(&b, memory, sizeof(memory));
	ul_buffer_free(&b);
	assert_null(b.data);
}

static void arena_has_every_byte(void **state)
{
	const size_t size = ((size_t)5 << 20) + 1;
	struct ul_arena a;

	(void)state;
	assert_int_equal(ul_arena_init(&a, size), 0);
	assert_int_equal((uintptr_t)a.data % ((uintptr_t)2 << 20), 0);
	assert_int_equal(a.data[0], 0);
	assert_int_equal(a.data[size - 1], 0);
	memset(a.data, 0xff, size);
	ul_arena_free(&a);
	ul_arena_free(&a);
	assert_null(a.data);
	assert_int_equal(ul_arena_init(&a, SIZE_MAX), -ENOMEM);
	assert_int_equal(ul_arena_init(&a, SIZE_MAX / 2), -ENOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sentence_has_one_form),
		cmocka_unit_test(sentence_escapes),
		cmocka_unit_test(codes_are_stable),
		cmocka_unit_test(config_has_defaults),
		cmocka_unit_test(config_takes_empty_for_unset),
		cmocka_unit_test(config_compares),
		cmocka_unit_test(config_writes_numbers),
		cmocka_unit_test(config_reads_every_kind),
		cmocka_unit_test(config_refuses),
		cmocka_unit_test(config_tells_what_was_meant),
		cmocka_unit_test(config_finds_lines),
		cmocka_unit_test(config_refuses_odd_bytes),
		cmocka_unit_test(files_round_trip),
		cmocka_unit_test(paths_join),
		cmocka_unit_test(programs_explain_themselves),
		cmocka_unit_test(a_corrupt_lower_is_named),
		cmocka_unit_test(numbers_in_texts),
		cmocka_unit_test(numbers_of_a_length),
		cmocka_unit_test(number_files),
		cmocka_unit_test(version_numbers),
		cmocka_unit_test(lent_memory_is_left_alone),
		cmocka_unit_test(arena_has_every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
