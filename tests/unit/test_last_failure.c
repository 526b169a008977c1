/* The report that outlives a failed boot: its form. tests/qemu/damage.sh has its ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "initrd/base/boot.h"
#include "initrd/report/last_failure.h"

static void failed_boot(struct ul_boot *b, const char *why)
{
	ul_boot_init(b);
	b->failed_stage = "verify";
	ul_error_set(&b->failure, UL_E_CORRUPT, "reading through dm-verity", "/dev/vda1", "Write the image again.",
		     "%s", why);
}

static void a_record_is_read_as_written(void **state)
{
	char text[UL_LAST_FAILURE_MAX + 1], long_why[320];
	struct ul_last_failure f;
	struct ul_boot b;

	(void)state;
	failed_boot(&b, "a block \"5\" is \\ bad");
	ul_last_failure_format(&b, 1234567, text);
	assert_true(ul_last_failure_parse(text, strlen(text), &f));
	assert_int_equal(f.code, UL_E_CORRUPT);
	assert_string_equal(f.name, "corrupt");
	assert_string_equal(f.stage, "verify");
	assert_string_equal(f.sentence, "reading through dm-verity: /dev/vda1: a block \"5\" is \\ bad. "
					"Write the image again.");
	assert_int_equal(f.when, 1234567);
	ul_boot_free(&b);
	/* A sentence that takes more than there is room for is cut. */
	memset(long_why, '"', sizeof(long_why) - 1);
	long_why[sizeof(long_why) - 1] = '\0';
	failed_boot(&b, long_why);
	memset(b.failure.todo, '\\', sizeof(b.failure.todo) - 1);
	b.failure.todo[sizeof(b.failure.todo) - 1] = '\0';
	ul_last_failure_format(&b, 1, text);
	assert_true(strlen(text) > 500 && strlen(text) <= UL_LAST_FAILURE_MAX);
	assert_true(ul_last_failure_parse(text, strlen(text), &f));
	ul_boot_free(&b);
}

static void other_bytes_are_no_record(void **state)
{
	static const char *const bad[] = {
		"",
		"{}",
		"[1]",
		"{\"format\":2,\"code\":1,\"name\":\"a\",\"stage\":\"b\",\"sentence\":\"c\",\"when\":1,"
		"\"underlay\":\"d\"}",
		"{\"format\":1,\"code\":-1,\"name\":\"a\",\"stage\":\"b\",\"sentence\":\"c\",\"when\":1,"
		"\"underlay\":\"d\"}",
		"{\"format\":1,\"code\":1,\"name\":1,\"stage\":\"b\",\"sentence\":\"c\",\"when\":1,"
		"\"underlay\":\"d\"}",
		"{\"format\":1,\"code\":1,\"name\":\"a\",\"stage\":\"b\",\"sentence\":\"c\",\"when\":1,"
		"\"underlay\":\"d\"} x",
		"{\"format\":1,\"code\":1,\"name\":\"a\",\"stage\":\"a stage of far too long a name\","
		"\"sentence\":\"c\",\"when\":1,\"underlay\":\"d\"}",
	};
	static const char escape[] = "{\"format\":1,\"code\":1,\"name\":\"a\",\"stage\":\"b\","
				     "\"sentence\":\"\\u001b[2J\",\"when\":1,\"underlay\":\"d\"}";
	char huge[UL_LAST_FAILURE_MAX + 2];
	struct ul_last_failure f;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(ul_last_failure_parse(bad[i], strlen(bad[i]), &f));
	/* Nothing but its length is wrong with it. */
	memset(huge, ' ', sizeof(huge));
	memcpy(huge, escape, strlen(escape));
	assert_true(ul_last_failure_parse(huge, UL_LAST_FAILURE_MAX, &f));
	assert_false(ul_last_failure_parse(huge, UL_LAST_FAILURE_MAX + 1, &f));
	/* What could draw on a console is escaped. */
	assert_true(ul_last_failure_parse(escape, strlen(escape), &f));
	assert_string_equal(f.sentence, "\\x1b[2J");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_is_read_as_written),
		cmocka_unit_test(other_bytes_are_no_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
