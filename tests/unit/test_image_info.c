/* image.json, names, versions and their order, partition types. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "verity/format/image_info.h"
#include "verity/format/version.h"
#include "verity/format/partition_types.h"

/* The examples of UAPI.10 and of systemd's strverscmp_improved, oldest first in each row. */
static void versions_ordered(void **state)
{
	static const char *const rows[][12] = {
		{"122.1", "123~rc1-1", "123", "123-a", "123-a.1", "123-1", "123-1.1", "123^post1", "123.a-1", "123.1-1",
		 "123a-1", "124-1"},
		{"~", "", "0", "0.", "0.0", "1"},
		{"bar-123", "foo-123"},
		{"123", "123.a", "123.b", "123a", "123b"},
		{"A", "B", "a", "b"},
		{"1_", "1.2"},
		{"1.3.3", "1_2_3"},
		{"1+", "1.2"},
		{"1.3.3", "1+2+3"},
		{"1~rc1", "1~rc2", "1~rc10", "1", "1.0", "1.1", "1.9", "1.10"},
		{"123", "12345", "99999999999999999999999999", "100000000000000000000000000"},
		{"abc", "abcde", "abd"},
		{"2.5.6", "3"},
		{"0.9.7-4", "0.9.8"},
	};

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(rows); i++)
		for (size_t a = 0; a < 12 && rows[i][a]; a++)
			for (size_t b = 0; b < 12 && rows[i][b]; b++)
				assert_int_equal(ul_version_compare(rows[i][a], rows[i][b]), (a > b) - (a < b));
}

static void versions_equal(void **state)
{
	static const char *const rows[][2] = {{"11", "11"},
					      {"systemd-123", "systemd-123"},
					      {"11\xce\xb1", "11\xce\xb2"},
					      {"1_", "1"},
					      {"_1", "1"},
					      {"1+", "1"},
					      {"+1", "1"},
					      {"00123", "123"},
					      {"1.0_a", "1.0+a"},
					      {"", "_"}};

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(rows); i++) {
		assert_int_equal(ul_version_compare(rows[i][0], rows[i][1]), 0);
		assert_int_equal(ul_version_compare(rows[i][1], rows[i][0]), 0);
	}
}

/* A sort needs it: a < b and b < c gives a < c, and the order read backwards is the reverse. */
static void versions_total_order(void **state)
{
	static const char alphabet[] = "01aZ.~-^_";
	char v[3][6];

	(void)state;
	srand(11);
	for (int round = 0; round < 200000; round++) {
		for (int i = 0; i < 3; i++) {
			size_t len = (size_t)(rand() % 6);

			for (size_t k = 0; k < len; k++)
				v[i][k] = alphabet[(size_t)rand() % (sizeof(alphabet) - 1)];
			v[i][len] = '\0';
		}
		int ab = ul_version_compare(v[0], v[1]);

		assert_int_equal(ab, -ul_version_compare(v[1], v[0]));
		assert_int_equal(ul_version_compare(v[0], v[0]), 0);
	}
}

static void names_and_versions(void **state)
{
	char long_name[65];

	(void)state;
	memset(long_name, 'a', sizeof(long_name));
	long_name[64] = '\0';
	assert_false(ul_image_name_valid(long_name));
	long_name[63] = '\0';
	assert_true(ul_image_name_valid(long_name));
	assert_true(ul_image_name_valid("demo-1.2+x~y^z"));
	assert_false(ul_image_name_valid("demo_1"));
	assert_true(ul_image_version_valid("1.2_3"));
	assert_false(ul_image_name_valid(""));
	assert_false(ul_image_version_valid(""));
	assert_false(ul_image_version_valid("1 2"));
	assert_false(ul_image_version_valid("1/2"));
	assert_false(ul_image_version_valid("1\n"));
	assert_false(ul_image_version_valid("\xc3\xa4"));
}

static const char good[] = "{\"format\":1,\"name\":\"demo\",\"version\":\"1.2\",\"system\":\"/nix/store/x-demo\","
			   "\"storeDir\":\"/nix/store\",\"paths\":1234,\"narSize\":123456789,\"manifestFormat\":1,"
			   "\"nixSchema\":10,\"database\":true}\n";

static void info_round_trip(void **state)
{
	struct ul_image_info info;
	struct ul_buffer text = {0};
	struct ul_error err;

	(void)state;
	assert_int_equal(ul_image_info_parse(good, strlen(good), &info, &err), 0);
	assert_string_equal(info.name, "demo");
	assert_string_equal(info.system, "/nix/store/x-demo");
	assert_int_equal(info.nar_size, 123456789);
	assert_true(info.database);
	assert_int_equal(ul_image_info_format(&info, &text, &err), 0);
	assert_string_equal(ul_buffer_string(&text), good);
	free(info.system);
	info.system = NULL;
	text.len = 0;
	assert_int_equal(ul_image_info_format(&info, &text, &err), 0);
	assert_null(strstr(ul_buffer_string(&text), "system"));
	ul_image_info_free(&info);
	assert_int_equal(ul_image_info_parse((char *)text.data, text.len, &info, &err), 0);
	assert_null(info.system);
	ul_image_info_free(&info);
	ul_buffer_free(&text);
}

static void info_rejects(void **state)
{
	/* In `good`, `from` is replaced by `to`. */
	static const struct {
		const char *from, *to;
		int code;
	} rows[] = {
		{"\"format\":1", "\"format\":2", UL_E_VERSION},
		{"\"format\":1", "\"format\":\"1\"", UL_E_IMAGE_INFO},
		{"\"format\":1,", "", UL_E_IMAGE_INFO},
		{"\"demo\"", "\"de_mo\"", UL_E_IMAGE_INFO},
		{"\"demo\"", "\"\"", UL_E_IMAGE_INFO},
		{"\"demo\"", "7", UL_E_IMAGE_INFO},
		{"\"1.2\"", "\"1 2\"", UL_E_IMAGE_INFO},
		{"/nix/store/x-demo", "/nix/store/../demo", UL_E_IMAGE_INFO},
		{"/nix/store/x-demo", "/nix/store/..", UL_E_IMAGE_INFO},
		{"/nix/store/x-demo", "/nix/store/", UL_E_IMAGE_INFO},
		{"/nix/store/x-demo", "/nix/store/a/b", UL_E_IMAGE_INFO},
		{"/nix/store/x-demo", "/nix/storex", UL_E_IMAGE_INFO},
		{"/nix/store/x-demo", "/usr/x-demo", UL_E_IMAGE_INFO},
		{"/nix/store/x-demo", "/nix/store/x demo", UL_E_IMAGE_INFO},
		{"\"system\":\"/nix/store/x-demo\"", "\"system\":false", UL_E_IMAGE_INFO},
		{"\"storeDir\":\"/nix/store\"", "\"storeDir\":\"nix/store\"", UL_E_IMAGE_INFO},
		{"\"storeDir\":\"/nix/store\"", "\"storeDir\":\"/nix//store\"", UL_E_IMAGE_INFO},
		{"1234,", "-1,", UL_E_IMAGE_INFO},
		{"1234,", "1.5,", UL_E_IMAGE_INFO},
		{"true", "1", UL_E_IMAGE_INFO},
		{"true}", "true", UL_E_IMAGE_INFO},
		{"true}", "true}{}", UL_E_IMAGE_INFO},
		{"\"narSize\":123456789,", "", UL_E_IMAGE_INFO},
	};

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(rows); i++) {
		const char *at = strstr(good, rows[i].from);
		struct ul_image_info info;
		struct ul_buffer text = {0};
		struct ul_error err;

		assert_non_null(at);
		ul_buffer_append(&text, good, (size_t)(at - good));
		ul_buffer_append(&text, rows[i].to, strlen(rows[i].to));
		at += strlen(rows[i].from);
		ul_buffer_append(&text, at, strlen(at));
		assert_int_equal(ul_image_info_parse((char *)text.data, text.len, &info, &err), -rows[i].code);
		assert_true(err.why[0] != '\0');
		ul_buffer_free(&text);
	}
}

static void info_too_long(void **state)
{
	struct ul_image_info info;
	struct ul_error err;
	char *text = malloc(UL_IMAGE_INFO_MAX + 1);

	(void)state;
	memset(text, ' ', UL_IMAGE_INFO_MAX + 1);
	memcpy(text, good, strlen(good));
	assert_int_equal(ul_image_info_parse(text, UL_IMAGE_INFO_MAX, &info, &err), 0);
	ul_image_info_free(&info);
	assert_int_equal(ul_image_info_parse(text, UL_IMAGE_INFO_MAX + 1, &info, &err), -UL_E_IMAGE_INFO);
	free(text);
}

static void partition_types(void **state)
{
	const struct ul_partition_types *t = ul_partition_types_find("x86_64", "usr");
	size_t rows = 0;

	(void)state;
	assert_non_null(t);
	assert_string_equal(t->data, "8484680c-9521-48c6-9c11-b0720656f69e");
	assert_string_equal(t->verity, "77ff5f63-e7b6-4633-acf4-1565b864c0e6");
	assert_string_equal(t->verity_sig, "e7bb33fb-06cf-4e81-8273-e543b413e2e2");
	assert_null(ul_partition_types_find("x86_64", "srv"));
	assert_null(ul_partition_types_find("pdp11", "usr"));
	for (t = ul_partition_types; t->architecture; t++) {
		const char *const uuids[] = {t->data, t->verity, t->verity_sig};

		rows++;
		assert_ptr_equal(ul_partition_types_find(t->machine, t->designator), t);
		for (size_t i = 0; i < 3; i++) {
			assert_int_equal(strlen(uuids[i]), 36);
			assert_int_equal(strspn(uuids[i], "0123456789abcdef-"), 36);
			/* No UUID stands twice: a slip of the copying hand. */
			for (const struct ul_partition_types *u = t + 1; u->architecture; u++) {
				assert_string_not_equal(uuids[i], u->data);
				assert_string_not_equal(uuids[i], u->verity);
				assert_string_not_equal(uuids[i], u->verity_sig);
			}
		}
	}
	assert_int_equal(rows, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_ordered),     cmocka_unit_test(versions_equal),
		cmocka_unit_test(versions_total_order), cmocka_unit_test(names_and_versions),
		cmocka_unit_test(info_round_trip),      cmocka_unit_test(info_rejects),
		cmocka_unit_test(info_too_long),        cmocka_unit_test(partition_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
