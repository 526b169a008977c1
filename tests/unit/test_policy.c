/* The policy and the command line: every parameter's row is walked; nothing weakens what is signed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "initrd/policy/policy.h"
#include "tests/unit/policy_help.h"

static struct ul_error err;

static int read_policy(struct ul_policy *p, const char *text)
{
	ul_policy_init(p);
	return ul_policy_parse(p, text, strlen(text), "test.conf", &err);
}

static int apply(struct ul_policy *p, const char *text)
{
	return policy_apply(p, text, &err);
}

static void parameter(const struct ul_param *row, char *buf, size_t size)
{
	const struct ul_config_key *key = row->key ? ul_config_find(ul_policy_keys, row->section, row->key) : NULL;
	size_t len = strlen(row->name);

	if (row->name[len - 1] == '*')
		snprintf(buf, size, "%.*sanything=1", (int)len - 1, row->name);
	else
		snprintf(buf, size, "%s=%s", row->name, key ? policy_other_value(key) : "0");
}

/* One row under the default policy, with and without its permission. */
static void walk(const struct ul_param *row)
{
	static char before[8192], after[8192];
	char arg[256], conf[256];
	struct ul_policy p;
	int r;

	parameter(row, arg, sizeof(arg));
	assert_int_equal(read_policy(&p, "[image]\ndesignator = root\n"), 0);
	if (!strcmp(row->name, "usrhash"))
		p.designator = UL_DESIGNATOR_USR;
	policy_dump(&p, before, sizeof(before));
	r = apply(&p, arg);
	policy_dump(&p, after, sizeof(after));
	switch (row->rule) {
	case UL_PARAM_FREE:
		assert_int_equal(r, 0);
		break;
	case UL_PARAM_STRENGTHEN:
		assert_int_equal(r, row->key ? 0 : -UL_E_CMDLINE);
		assert_false(p.pin_trusted);
		break;
	case UL_PARAM_ALLOWED:
		if (!strcmp(row->name, "init")) {
			assert_int_equal(r, 0);
			assert_string_equal(p.wanted_init, "/something");
			break;
		}
		__attribute__((fallthrough));
	case UL_PARAM_REFUSED:
		assert_int_equal(r, -UL_E_CMDLINE);
		assert_non_null(strstr(err.object, row->name[strlen(row->name) - 1] == '*' ? "underlay." : row->name));
		assert_string_equal(before, after);
		break;
	case UL_PARAM_IGNORED:
		assert_int_equal(r, 0);
		assert_string_equal(before, after);
		break;
	}
	ul_policy_free(&p);

	snprintf(conf, sizeof(conf), "[cmdline]\nallow = %s\n[image]\ndesignator = root\n", row->name);
	assert_int_equal(read_policy(&p, conf), 0);
	policy_dump(&p, before, sizeof(before));
	r = apply(&p, arg);
	policy_dump(&p, after, sizeof(after));
	if (row->rule == UL_PARAM_REFUSED || row->rule == UL_PARAM_IGNORED) {
		/* A permission that cannot be given is a mistake in the policy. */
		assert_int_equal(r, -UL_E_CONFIG);
		assert_string_equal(before, after);
	} else if (row->rule == UL_PARAM_ALLOWED) {
		assert_int_equal(r, 0);
		assert_string_not_equal(before, after);
	}
	ul_policy_free(&p);
}

static void test_every_parameter(void **state)
{
	(void)state;
	for (const struct ul_param *row = ul_params; row->name; row++) {
		assert_true(strlen(row->why) > 10);
		walk(row);
	}
}

/* A parameter's row that names no setting by mistake would set nothing. */
static void test_rows_name_settings(void **state)
{
	(void)state;
	for (const struct ul_param *row = ul_params; row->name; row++)
		assert_true(!row->key || ul_config_find(ul_policy_keys, row->section, row->key));
}

static void test_pin(void **state)
{
	struct ul_policy p;

	(void)state;
	/* Added to a signature: one demand more. */
	assert_int_equal(read_policy(&p, ""), 0);
	assert_int_equal(apply(&p, "usrhash=" HASH_A), 0);
	assert_int_equal(p.pinned_len, 32);
	assert_int_equal(p.pinned[0], 0xaa);
	assert_int_equal(p.verify_mode, UL_POLICY_USER);
	assert_int_equal(ul_policy_finish(&p, 1, &err), 0);
	ul_policy_free(&p);
	/* Two that differ, on the command line or against the policy. */
	assert_int_equal(read_policy(&p, ""), 0);
	assert_int_equal(apply(&p, "usrhash=" HASH_A " underlay.root-hash=" HASH_B), -UL_E_CMDLINE);
	ul_policy_free(&p);
	assert_int_equal(read_policy(&p, "[verify]\nroot-hash = " HASH_A "\n"), 0);
	assert_int_equal(apply(&p, "usrhash=" HASH_B), -UL_E_CMDLINE);
	assert_int_equal(p.pinned[0], 0xaa);
	assert_int_equal(apply(&p, "usrhash=" HASH_A), 0);
	ul_policy_free(&p);
	/* The other kind of image's hash is not ours. */
	assert_int_equal(read_policy(&p, ""), 0);
	assert_int_equal(apply(&p, "roothash=" HASH_A), 0);
	assert_int_equal(p.pinned_len, 0);
	assert_int_equal(apply(&p, "usrhash=xyz"), -UL_E_CMDLINE);
	assert_int_equal(apply(&p, "usrhash"), -UL_E_CMDLINE);
	ul_policy_free(&p);
}

static void test_pinned_mode_trusts_no_command_line(void **state)
{
	struct ul_policy p;

	(void)state;
	assert_int_equal(read_policy(&p, "[verify]\nmode = pinned\n"), 0);
	assert_int_equal(ul_policy_finish(&p, 0, &err), -UL_E_CONFIG);
	assert_int_equal(apply(&p, "usrhash=" HASH_A), 0);
	assert_int_equal(ul_policy_finish(&p, 0, &err), -UL_E_CMDLINE);
	ul_policy_free(&p);
	assert_int_equal(read_policy(&p, "[verify]\nmode = pinned\n[cmdline]\nallow = usrhash\n"), 0);
	assert_int_equal(apply(&p, "usrhash=" HASH_A), 0);
	assert_int_equal(ul_policy_finish(&p, 0, &err), 0);
	ul_policy_free(&p);
	assert_int_equal(read_policy(&p, "[verify]\nmode=pinned\nroot-hash=" HASH_A "\n"), 0);
	assert_int_equal(ul_policy_finish(&p, 0, &err), 0);
	ul_policy_free(&p);
}

static void test_signatures_need_certificates(void **state)
{
	static const char *const modes[] = {"user", "both"};
	struct ul_policy p;
	char conf[64];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		snprintf(conf, sizeof(conf), "[verify]\nmode = %s\n", modes[i]);
		assert_int_equal(read_policy(&p, conf), 0);
		assert_int_equal(ul_policy_finish(&p, 0, &err), -UL_E_CONFIG);
		assert_non_null(strstr(err.object, "/etc/verity.d"));
		assert_int_equal(ul_policy_finish(&p, 1, &err), 0);
		ul_policy_free(&p);
	}
	/* No policy at all is the strict one. */
	ul_policy_init(&p);
	assert_int_equal(p.verify_mode, UL_POLICY_USER);
	assert_int_equal(p.descriptor, UL_REQUIRED);
	assert_int_equal(p.action, UL_FAIL_REBOOT);
	assert_int_equal(p.delay_us, 10000000);
	assert_int_equal(ul_policy_finish(&p, 0, &err), -UL_E_CONFIG);
	ul_policy_free(&p);
}

static void test_rollback_floor_only_rises(void **state)
{
	struct ul_policy p;

	(void)state;
	assert_int_equal(read_policy(&p, "[verify]\nrollback-min = 5\n"), 0);
	assert_int_equal(apply(&p, "underlay.rollback_min=4"), -UL_E_CMDLINE);
	assert_int_equal(p.rollback_min, 5);
	assert_int_equal(apply(&p, "underlay.rollback-min=x"), -UL_E_CMDLINE);
	assert_int_equal(apply(&p, "underlay.rollback-min=6"), 0);
	assert_int_equal(p.rollback_min, 6);
	assert_int_equal(apply(&p, "underlay.rollback-min=5"), -UL_E_CMDLINE);
	assert_int_equal(p.rollback_min, 6);
	ul_policy_free(&p);
}

static void test_no_shell_from_outside(void **state)
{
	struct ul_policy p;

	(void)state;
	assert_int_equal(read_policy(&p, "[cmdline]\nallow = underlay.failure\n"), 0);
	assert_int_equal(apply(&p, "underlay.failure=shell"), -UL_E_CMDLINE);
	assert_int_equal(p.action, UL_FAIL_REBOOT);
	assert_int_equal(apply(&p, "underlay.failure=poweroff"), 0);
	assert_int_equal(p.action, UL_FAIL_POWEROFF);
	assert_int_equal(apply(&p, "rd.shell rd.break=pre-mount emergency single 1"), 0);
	assert_int_equal(p.action, UL_FAIL_POWEROFF);
	ul_policy_free(&p);
}

static void test_kernel_switch(void **state)
{
	struct ul_policy p;

	(void)state;
	assert_int_equal(read_policy(&p, ""), 0);
	assert_int_equal(apply(&p, "dm_verity.require_signatures=1"), 0);
	assert_int_equal(apply(&p, "dm-verity.require-signatures=Y"), 0);
	assert_int_equal(apply(&p, "dm_verity.require_signatures"), 0);
	assert_int_equal(apply(&p, "dm_verity.require_signatures="), -UL_E_CMDLINE);
	assert_int_equal(apply(&p, "dm_verity.require_signatures=n"), -UL_E_CMDLINE);
	ul_policy_free(&p);
}

static void test_quiet(void **state)
{
	struct ul_policy p;

	(void)state;
	assert_int_equal(read_policy(&p, ""), 0);
	assert_int_equal(p.log_level, UL_POLICY_LOG_INFO);
	assert_int_equal(apply(&p, "quiet console=ttyS0 ro root=/dev/sda1"), 0);
	assert_int_equal(p.log_level, UL_POLICY_LOG_WARNING);
	ul_policy_free(&p);
	assert_int_equal(read_policy(&p, "[log]\nlevel = error\n"), 0);
	assert_int_equal(apply(&p, "quiet"), 0);
	assert_int_equal(p.log_level, UL_POLICY_LOG_ERROR);
	ul_policy_free(&p);
}

/* Nothing is verified where the policy says the word and names a share, and nowhere else. */
static void test_insecure(void **state)
{
	static const char insecure[] = "[verify]\nmode = insecure\n[lower]\nshare = 9p:store\n";
	static const struct {
		const char *text, *says;
	} bad[] = {
		{"[lower]\nshare = 9p:store\n", "the policy's mode verifies"},
		{"[verify]\nmode = both\n[lower]\nshare = virtiofs:x\n", "the policy's mode verifies"},
		{"[verify]\nmode = pinned\nroot-hash = " HASH_A "\n[lower]\nshare = 9p:x\n",
		 "the policy's mode verifies"},
		{"[verify]\nmode = insecure\n", "no shared directory is named"},
		{"[verify]\nmode = insecure\n[lower]\nshare =\n", "no shared directory is named"},
		{"[verify]\nmode = insecure\n[lower]\nshare = nfs:x\n", "neither virtiofs: nor 9p:"},
		{"[verify]\nmode = insecure\n[lower]\nshare = 9p\n", "neither virtiofs: nor 9p:"},
		{"[verify]\nmode = insecure\n[lower]\nshare = 9p:\n", "names no tag"},
		{"[verify]\nmode = insecure\n[lower]\nshare = virtiofs:a b\n", "not printable"},
		{"[verify]\nmode = insecure\n[lower]\nshare = 9p:1234567890123456789012345678901234567\n",
		 "longer than 36 bytes"},
		{"[verify]\nmode = insecure\nroot-hash = " HASH_A "\n[lower]\nshare = 9p:x\n", "hold nothing"},
		{"[verify]\nmode = insecure\nrollback-min = 1\n[lower]\nshare = 9p:x\n", "hold nothing"},
		{"[verify]\nmode = insecure\ncorruption = panic\n[lower]\nshare = 9p:x\n", "hold nothing"},
		{"[verify]\nmode = insecure\nread-error = panic\n[lower]\nshare = 9p:x\n", "hold nothing"},
		{"[verify]\nmode = insecure\n[lower]\nshare = 9p:x\n[image]\ndisks = vda\n", "not both"},
		{"[verify]\nmode = insecure\n[lower]\nshare = 9p:x\n[image]\nfile = x\nfile-device = LABEL=x\n",
		 "not both"},
	};
	struct ul_policy p;

	(void)state;
	assert_int_equal(read_policy(&p, insecure), 0);
	assert_int_equal(p.verify_mode, UL_POLICY_INSECURE);
	assert_string_equal(p.lower_share, "9p:store");
	assert_int_equal(ul_policy_finish(&p, 0, &err), 0);
	/* A command line may demand more than nothing; it cannot have it. */
	assert_int_equal(apply(&p, "usrhash=" HASH_A), 0);
	assert_int_equal(ul_policy_finish(&p, 0, &err), -UL_E_CMDLINE);
	ul_policy_free(&p);
	assert_int_equal(read_policy(&p, insecure), 0);
	assert_int_equal(apply(&p, "underlay.rollback-min=1"), 0);
	assert_int_equal(ul_policy_finish(&p, 1, &err), -UL_E_CMDLINE);
	ul_policy_free(&p);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(read_policy(&p, bad[i].text), -UL_E_CONFIG);
		assert_non_null(strstr(err.why, bad[i].says));
		ul_policy_free(&p);
	}
}

/* No command line leads there, whatever the policy allows it. */
static void test_insecure_from_outside(void **state)
{
	static const char *const lines[] = {
		"underlay.share=9p:store",
		"underlay.verify=insecure",
		"underlay.verify=insecure underlay.share=9p:store",
		"underlay.lower.share=9p:store",
		"underlay.verify_mode=insecure",
		"underlay.insecure",
	};
	struct ul_policy p;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_int_equal(read_policy(&p, ""), 0);
		assert_int_equal(apply(&p, lines[i]), -UL_E_CMDLINE);
		assert_int_equal(p.verify_mode, UL_POLICY_USER);
		assert_null(p.lower_share);
		ul_policy_free(&p);
	}
	assert_int_equal(read_policy(&p, "[cmdline]\nallow = underlay.share\n"), 0);
	assert_int_equal(apply(&p, ""), -UL_E_CONFIG);
	ul_policy_free(&p);
}

static void test_bad_configurations(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{"[verify]\nmode = none\n", "pinned, user, kernel, both"},
		{"[verify]\nroot-hash = 1234\n", "not a root hash"},
		{"[verify]\nroot-hash = " HASH_A "00\n", "not a root hash"},
		{"[verify]\nmodus = user\n", "no such setting"},
		{"[upper]\ntype = ext4\n", "tmpfs"},
		{"[image]\ntimeout = soon\n", "a time"},
		{"[image]\ntimeout = 0\n", "between"},
		{"[image]\ntimeout = 2h\n", "between 1us and 1h"},
		{"[failure]\naction = ignore\n", "reboot"},
		{"[lower]\nfilesystems = erofs vfat\n", "erofs, squashfs, ext4"},
		{"[upper]\nfilesystem = ntfs\n", "ext4, xfs, btrfs, f2fs"},
		{"[image]\nfile = x\n", "file is set, and file-device is not"},
		{"[image]\nfile-device = LABEL=x\n", "file-device is set, and file is not"},
		{"garbage\n", "neither"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ul_policy p;

		assert_int_equal(read_policy(&p, rows[i].text), -UL_E_CONFIG);
		assert_non_null(strstr(err.why, rows[i].says));
		ul_policy_free(&p);
	}
}

static void test_bad_permissions(void **state)
{
	struct ul_policy p;

	(void)state;
	assert_int_equal(read_policy(&p, "[cmdline]\nallow = underlay.tymeout\n"), 0);
	assert_int_equal(apply(&p, ""), -UL_E_CONFIG);
	assert_non_null(strstr(err.why, "underlay.tymeout"));
	ul_policy_free(&p);
	assert_int_equal(read_policy(&p, "[cmdline]\nallow = foo\n"), 0);
	assert_int_equal(apply(&p, ""), -UL_E_CONFIG);
	ul_policy_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_parameter),
		cmocka_unit_test(test_rows_name_settings),
		cmocka_unit_test(test_pin),
		cmocka_unit_test(test_pinned_mode_trusts_no_command_line),
		cmocka_unit_test(test_signatures_need_certificates),
		cmocka_unit_test(test_rollback_floor_only_rises),
		cmocka_unit_test(test_no_shell_from_outside),
		cmocka_unit_test(test_kernel_switch),
		cmocka_unit_test(test_quiet),
		cmocka_unit_test(test_insecure),
		cmocka_unit_test(test_insecure_from_outside),
		cmocka_unit_test(test_bad_configurations),
		cmocka_unit_test(test_bad_permissions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
