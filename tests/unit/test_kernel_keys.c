/* What the kernel could have checked a signature with, as the message of a refusal tells it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "verity/open/kernel_keys.h"

static const char keys[] =
	"00a43b72 I------     1 perm 1f0b0000     0     0 keyring   .builtin_trusted_keys: 1\n"
	"0120a3ef I------     1 perm 0f030000     0     0 asymmetri SnakeOil: 63b8d5ee: X509.rsa 95 []\n"
	"021a4bf1 I------     1 perm 1f0f0000     0     0 keyring   .secondary_trusted_keys: 2\n"
	"03b2c310 I------     1 perm 1f0b0000     0     0 keyring   .platform: empty\n";

static void test_counts(void **state)
{
	char text[256];

	(void)state;
	ul_kernel_keyrings_text(keys, "6.12.118+deb13-cloud-amd64", text, sizeof(text));
	assert_string_equal(text, ".builtin_trusted_keys (1 entry), .secondary_trusted_keys "
				  "(2 entries) or .platform (0 entries)");
	ul_kernel_keyrings_text(keys, "7.0.0", text, sizeof(text));
	assert_non_null(strstr(text, "or .platform (0"));
	/* An old kernel does not ask the firmware's keys: that it has them would mislead. */
	ul_kernel_keyrings_text(keys, "6.1.0-41-cloud-amd64", text, sizeof(text));
	assert_string_equal(text, ".builtin_trusted_keys (1 entry) or .secondary_trusted_keys "
				  "(2 entries) (.platform is asked from kernel 6.12 on)");
}

static void test_what_is_not_there(void **state)
{
	char text[256];

	(void)state;
	ul_kernel_keyrings_text("x\n", "6.12", text, sizeof(text));
	assert_string_equal(text, ".builtin_trusted_keys (absent), .secondary_trusted_keys "
				  "(absent) or .platform (absent)");
	/* Not readable: nothing is said of what is in them. */
	ul_kernel_keyrings_text("", "strange", text, sizeof(text));
	assert_string_equal(text, ".builtin_trusted_keys, .secondary_trusted_keys or .platform");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_what_is_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
