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

/* One row under the default policy. */
static void walk(const struct ul_param *row, const char *arg)
{
	static char before[8192], after[8192];
	struct ul_policy p;
	int r;

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
		/* Nothing that the policy says became another. */
		assert_string_equal(before, after);
		assert_true(!row->key || ul_demands_of_image(p.demands));
		break;
	case UL_PARAM_ALLOWED:
		if (!strcmp(row->name, "init")) {
			assert_int_equal(r, 0);
			assert_string_equal(before, after);
			assert_int_equal(ul_demands_meets_init(p.demands, "/something", &err), 0);
			assert_int_equal(ul_demands_meets_init(p.demands, "/other", &err), -UL_E_CMDLINE);
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
}

/* The same with its permission. */
static void walk_allowed(const struct ul_param *row, const char *arg)
{
	static char before[8192], after[8192];
	char conf[256];
	struct ul_policy p;
	int r;

	snprintf(conf, sizeof(conf), "[cmdline]\nallow = %s\n[image]\ndesignator = root\n", row->name);
	r = read_policy(&p, conf);
	if (row->rule == UL_PARAM_REFUSED || row->rule == UL_PARAM_IGNORED) {
		/* A permission that cannot be given is a mistake in the policy. */
		assert_int_equal(r, -UL_E_CONFIG);
		ul_policy_free(&p);
		return;
	}
	assert_int_equal(r, 0);
	policy_dump(&p, before, sizeof(before));
	r = apply(&p, arg);
	policy_dump(&p, after, sizeof(after));
	if (row->rule == UL_PARAM_ALLOWED) {
		assert_int_equal(r, 0);
		/* What is demanded to be started anyway changes nothing. */
		if (strcmp(row->name, "init") != 0)
			assert_string_not_equal(before, after);
	}
	ul_policy_free(&p);
}

static void test_every_parameter(void **state)
{
	(void)state;
	for (const struct ul_param *row = ul_params; row->name; row++) {
		char arg[256];

		assert_true(strlen(row->why) > 10);
		parameter(row, arg, sizeof(arg));
		walk(row, arg);
		walk_allowed(row, arg);
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
	assert_int_equal(p.pinned_len, 0);
	assert_true(ul_demands_of_image(p.demands));
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
	ul_policy_free(&p);
	assert_int_equal(read_policy(&p, "[verify]\nroot-hash = " HASH_A "\n"), 0);
	assert_int_equal(apply(&p, "usrhash=" HASH_A), 0);
	assert_int_equal(p.pinned[0], 0xaa);
	ul_policy_free(&p);
	/* What `allow` names is the policy's, which no other parameter changes. */
	assert_int_equal(read_policy(&p, "[cmdline]\nallow = usrhash\n"), 0);
	assert_int_equal(apply(&p, "usrhash=" HASH_A), 0);
	assert_int_equal(p.pinned_len, 32);
	assert_int_equal(apply(&p, "underlay.root-hash=" HASH_B), -UL_E_CMDLINE);
	assert_int_equal(p.pinned[0], 0xaa);
	ul_policy_free(&p);
	assert_int_equal(read_policy(&p, "[cmdline]\nallow = usrhash\n"), 0);
	assert_int_equal(apply(&p, "underlay.root-hash=" HASH_B " usrhash=" HASH_A), -UL_E_CMDLINE);
	assert_int_equal(p.pinned_len, 0);
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
	assert_int_equal(read_policy(&p, "[verify]\nmode = pinned\n[cmdline]\nallow = usrhash\n"), 0);
	assert_int_equal(ul_policy_finish(&p, 0, &err), -UL_E_CONFIG);
	assert_int_equal(apply(&p, "underlay.root-hash=" HASH_A), 0);
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

/* A pin that no command line can bring is missing for good, which shows where the policy is packed. */
static void test_pin_that_never_comes(void **state)
{
	static const struct {
		const char *text;
		bool may_come;
	} rows[] = {
		{"", false},
		{"[cmdline]\nallow = underlay.timeout\n", false},
		{"[cmdline]\nallow = roothash\n", false},
		{"[cmdline]\nallow = usrhash\n[image]\ndesignator = root\n", false},
		{"[cmdline]\nallow = underlay.rollback-min\n", false},
		{"[cmdline]\nallow = usrhash\n", true},
		{"[cmdline]\nallow = underlay.root_hash\n", true},
		{"[cmdline]\nallow = roothash\n[image]\ndesignator = root\n", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ul_policy p;
		char text[128];

		snprintf(text, sizeof(text), "[verify]\nmode = pinned\n%s", rows[i].text);
		assert_int_equal(read_policy(&p, text), rows[i].may_come ? 0 : -UL_E_CONFIG);
		if (!rows[i].may_come) {
			assert_string_equal(err.object, "test.conf:2");
			assert_non_null(strstr(err.why, "there is no root-hash"));
		}
		ul_policy_free(&p);
	}
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
	assert_int_equal(p.rollback_min, 5);
	assert_true(ul_demands_of_image(p.demands));
	assert_int_equal(apply(&p, "underlay.rollback-min=5"), -UL_E_CMDLINE);
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
	assert_int_equal(apply(&p, "x\xa0"
				   "dm_verity.require_signatures=n"),
			 -UL_E_CMDLINE);
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
		{"[lower]\nshare = 9p:store\n", "nothing can verify a directory"},
		{"[verify]\nmode = both\n[lower]\nshare = virtiofs:x\n", "nothing can verify a directory"},
		{"[verify]\nmode = pinned\nroot-hash = " HASH_A "\n[lower]\nshare = 9p:x\n",
		 "nothing can verify a directory"},
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
	assert_int_equal(read_policy(&p, "[cmdline]\nallow = underlay.share\n"), -UL_E_CONFIG);
	ul_policy_free(&p);
}

static void test_bad_configurations(void **state)
{
	static const struct {
		const char *text, *says; /* what the sentence holds */
	} rows[] = {
		{"[verify]\nmode = none\n", "pinned, user, kernel, both"},
		{"[verify]\nrollback-min = 1\nroot-hash = zz\n",
		 "root-hash: test.conf:3: \"zz\" is not a root hash: 64, 96 or 128 digits of hex"},
		{"[verfy]\nmode = user\n", "there is no section [verfy]. Did you mean [verify]?"},
		{"[upper]\nsise = 1G\n", "Did you mean \"size\"?"},
		{"[image]\nname = a b\n", "name: test.conf:2: \"a b\" is not the name of any image"},
		{"[image]\nname = a_b\n", "is not the name of any image"},
		{"[database]\nnix-version = abc\n", "nix-version: test.conf:2: \"abc\" is not a version of Nix"},
		{"[database]\nnix-version = 2\n", "not a version of Nix"},
		{"[upper]\ntype = disk\n", "test.conf:2: device is missing: type = disk needs it. Set device"},
		{"[upper]\ntype = disk\ndevice = LABEL=\n", "device: test.conf:3: device \"LABEL=\": no name follows"},
		{"[upper]\ntype = disk\n\ndevice = x\n", "device: test.conf:4: device \"x\": it is neither"},
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
		{"[image]\nfile = x\n", "test.conf:2: file is set without file-device"},
		{"[image]\nfile-device = LABEL=x\n", "test.conf:2: file-device is set without file,"},
		{"garbage\n", "neither"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char sentence[1200];
		struct ul_policy p;

		assert_int_equal(read_policy(&p, rows[i].text), -UL_E_CONFIG);
		assert_non_null(strstr(ul_error_sentence(&err, sentence, sizeof(sentence)), rows[i].says));
		ul_policy_free(&p);
	}
}

static void test_bad_permissions(void **state)
{
	static const struct {
		const char *text, *sentence;
	} rows[] = {
		{"[cmdline]\nallow = init\nallow = quiet underlay.dsks\n",
		 "reading [cmdline] allow: test.conf:3: \"underlay.dsks\" cannot be allowed: there is no such parameter; a "
		 "misspelt one must not look as if it worked. "
		 "Did you mean \"underlay.disks\"? Correct its spelling, or remove it."},
		{"[cmdline]\nallow = xylophone\n", "reading [cmdline] allow: test.conf:2: \"xylophone\" cannot be "
						   "allowed: there is no such parameter. Remove it."},
		{"[cmdline]\nallow = underlay.allow\n",
		 "reading [cmdline] allow: test.conf:2: \"underlay.allow\" cannot be allowed: the command line cannot "
		 "grant itself anything. Remove it."},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char sentence[1200];
		struct ul_policy p;

		assert_int_equal(read_policy(&p, rows[i].text), -UL_E_CONFIG);
		assert_string_equal(ul_error_sentence(&err, sentence, sizeof(sentence)), rows[i].sentence);
		ul_policy_free(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_parameter),
		cmocka_unit_test(test_rows_name_settings),
		cmocka_unit_test(test_pin),
		cmocka_unit_test(test_pinned_mode_trusts_no_command_line),
		cmocka_unit_test(test_pin_that_never_comes),
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
