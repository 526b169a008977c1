/* What a boot loader says of the entry that it counted: firmware's bytes, which anybody may have written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "verity/disk/bless.h"

/* ASCII as UTF-16, with its end. */
static size_t utf16(const char *text, uint8_t ret[2048])
{
	size_t len = strlen(text) + 1;

	for (size_t i = 0; i < len; i++) {
		ret[2 * i] = (uint8_t)text[i];
		ret[2 * i + 1] = 0;
	}
	return 2 * len;
}

static bool parse(const char *text, struct ul_bless_entry *ret)
{
	uint8_t bytes[2048];
	size_t len = utf16(text, bytes);

	return ul_bless_parse(bytes, len, ret);
}

static void a_counted_entry(void **state)
{
	static const struct {
		const char *path, *dir, *counted, *good;
	} rows[] = {
		{"\\EFI\\Linux\\demo_1.0+2-1.efi", "EFI/Linux", "demo_1.0+2-1.efi", "demo_1.0.efi"},
		{"\\EFI\\Linux\\demo_1.0+0-3.EFI", "EFI/Linux", "demo_1.0+0-3.EFI", "demo_1.0.EFI"},
		{"\\EFI\\Linux\\demo_1.0+rc1+3.efi", "EFI/Linux", "demo_1.0+rc1+3.efi", "demo_1.0+rc1.efi"},
		{"\\loader\\entries\\a+1.conf", "loader/entries", "a+1.conf", "a.conf"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ul_bless_entry e;

		assert_true(parse(rows[i].path, &e));
		assert_string_equal(e.dir, rows[i].dir);
		assert_string_equal(e.counted, rows[i].counted);
		assert_string_equal(e.good, rows[i].good);
	}
}

static void what_is_none(void **state)
{
	static const char *const rows[] = {
		"",
		"\\",
		"demo+1.efi",
		"\\demo+1.efi",
		"\\EFI\\Linux\\demo.efi",
		"\\EFI\\Linux\\demo+x.efi",
		"\\EFI\\Linux\\demo+.efi",
		"\\EFI\\Linux\\+1.efi",
		"\\EFI\\Linux\\demo+1",
		"\\EFI\\..\\demo+1.efi",
		"\\EFI\\a:b\\demo+1.efi",
		"\\EFI\\Linux\\demo\x1b+1.efi",
	};
	struct ul_bless_entry e;
	uint8_t bytes[2048];
	char path[600];
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (parse(rows[i], &e))
			fail_msg("%s", rows[i]);
	/* A letter that is none of ASCII; half a letter; none at all. */
	len = utf16("\\EFI\\Linux\\demo+1.efi", bytes);
	bytes[21] = 1;
	assert_false(ul_bless_parse(bytes, len, &e));
	bytes[21] = 0;
	assert_true(ul_bless_parse(bytes, len, &e));
	assert_true(ul_bless_parse(bytes, len - 2, &e));
	assert_false(ul_bless_parse(bytes, len - 1, &e));
	assert_false(ul_bless_parse(bytes, 0, &e));
	/* Longer than there is room for, in each part. */
	for (size_t n = 150; n < 300; n++) {
		memset(path, 'a', sizeof(path));
		memcpy(path, "\\EFI\\", 5);
		strcpy(path + n, "+1.efi");
		assert_int_equal(parse(path, &e), n + 6 - 5 < sizeof(e.counted));
		memset(path, 'a', sizeof(path));
		path[0] = '\\';
		strcpy(path + n, "\\a+1.efi");
		assert_int_equal(parse(path, &e), n - 1 < sizeof(e.dir));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_counted_entry),
		cmocka_unit_test(what_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
