/* What a policy demands of an image: the judge's words for it, and what the kernel command line cannot make of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "initrd/policy/requirements.h"

#define HASH "0000000000000000000000000000000000000000000000000000000000000001"

static struct ul_policy policy;

static void read_policy(const char *text, const char *cmdline)
{
	struct ul_cmdline c = {0};

	ul_policy_init(&policy);
	assert_int_equal(ul_policy_parse(&policy, text, strlen(text), "test", NULL), 0);
	assert_int_equal(ul_cmdline_parse(cmdline, strlen(cmdline), &c, NULL), 0);
	assert_int_equal(ul_policy_apply(&policy, &c, NULL), 0);
	ul_cmdline_free(&c);
}

static void defaults(void **state)
{
	struct ul_requirements d;

	(void)state;
	read_policy("", "");
	d = ul_policy_requirements(&policy, NULL);
	assert_int_equal(d.seal.mode, UL_VERIFY_USER);
	assert_true(d.seal.descriptor_required);
	assert_true(d.manifest_required);
	assert_false(d.attach);
	assert_false(d.pin_names_image);
	assert_null(d.name);
	assert_null(d.system);
	assert_string_equal(d.init, "init");
	assert_null(d.seal.pinned_root_hash);
	ul_policy_free(&policy);
}

static void modes(void **state)
{
	(void)state;
	assert_int_equal(UL_POLICY_PINNED, UL_VERIFY_PINNED);
	assert_int_equal(UL_POLICY_USER, UL_VERIFY_USER);
	assert_int_equal(UL_POLICY_KERNEL, UL_VERIFY_KERNEL);
	assert_int_equal(UL_POLICY_BOTH, UL_VERIFY_BOTH);
}

/* A root hash of the command line is one more demand; it does not stand for the name that the policy demands. */
static void pins(void **state)
{
	struct ul_requirements d;

	(void)state;
	read_policy("[image]\nname = demo\n", "usrhash=" HASH);
	/* The command line's own demands are no part of it: ul_demands_meets_seal. */
	d = ul_policy_requirements(&policy, NULL);
	assert_int_equal(d.seal.pinned_root_hash_len, 0);
	assert_false(d.pin_names_image);
	ul_policy_free(&policy);
	read_policy("[image]\nname = demo\n[cmdline]\nallow = usrhash\n", "usrhash=" HASH);
	assert_true(ul_policy_requirements(&policy, NULL).pin_names_image);
	ul_policy_free(&policy);
	read_policy("[image]\nname = demo\n[verify]\nroot-hash = " HASH "\n", "");
	assert_true(ul_policy_requirements(&policy, NULL).pin_names_image);
	ul_policy_free(&policy);
}

/* Each filesystem that a policy can name is known to the judge, and permitted only where it is named. */
static void filesystems(void **state)
{
#define NAME(constant, word) [constant] = (word),
	static const char *const all[] = {UL_LOWER_FILESYSTEM_LIST(NAME)};
	static const struct {
		off_t offset;
		const char *magic;
	} magics[UL_ARRAY_SIZE(all)] = {
		[UL_LOWER_EROFS] = {1024, "\xe2\xe1\xf5\xe0"},
		[UL_LOWER_SQUASHFS] = {0, "hsqs"},
		[UL_LOWER_EXT4] = {1024 + 56, "\x53\xef"},
	};

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(all); i++) {
		const struct ul_judged_filesystem *fs = NULL;
		char path[] = "/tmp/underlay-demands-XXXXXX", text[80];
		int fd = mkstemp(path);

		assert_true(fd >= 0);
		unlink(path);
		assert_int_equal(ftruncate(fd, 8192), 0);
		assert_non_null(magics[i].magic);
		assert_true(pwrite(fd, magics[i].magic, strlen(magics[i].magic), 4096 + magics[i].offset) > 0);
		for (size_t k = 0; k < UL_ARRAY_SIZE(all); k++) {
			int r;

			snprintf(text, sizeof(text), "[lower]\nfilesystems = %s\n", all[k]);
			read_policy(text, "");
			r = ul_judge_filesystem(fd, 4096, "x", ul_policy_requirements(&policy, NULL).filesystems, &fs,
						NULL);
			assert_int_equal(r, i == k ? 0 : -UL_E_FILESYSTEM);
			ul_policy_free(&policy);
		}
		assert_string_equal(fs->name, all[i]);
		/* Neither the policy's default nor the judge's own takes ext4. */
		read_policy("", "");
		assert_int_equal(ul_judge_filesystem(fd, 4096, "x", ul_policy_requirements(&policy, NULL).filesystems,
						     &fs, NULL),
				 i == UL_LOWER_EXT4 ? -UL_E_FILESYSTEM : 0);
		assert_int_equal(ul_judge_filesystem(fd, 4096, "x", NULL, &fs, NULL),
				 i == UL_LOWER_EXT4 ? -UL_E_FILESYSTEM : 0);
		ul_policy_free(&policy);
		close(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(modes),
		cmocka_unit_test(pins),
		cmocka_unit_test(filesystems),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
