/*
 * What the command line demands refuses more, and never less: every policy against every image, by the decisions that
 * boot (policy, verify, the name of another maker's image), without and with each parameter that strengthens.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/encoding.h"
#include "common/file.h"
#include "initrd/base/log.h"
#include "initrd/policy/requirements.h"
#include "verity/lower/foreign.h"
#include "initrd/stages/verify.h"
#include "tests/unit/make_gpt.h"
#include "tests/unit/make_identity.h"
#include "tests/unit/policy_help.h"
#include "verity/format/signature.h"

enum { HASH = 32768, SIGNATURE = 65536, END = 98304 }; /* bytes: where the parts of an image begin */

static char dir[] = "/tmp/underlay-demands-XXXXXX";
static struct ul_signer *trusted, *stranger;
static struct ul_trust *trust;
static int tree = -1; /* another maker's: a store, and nothing that says a name */

static struct ul_error err;

/* ---- images ---- */

enum signed_by { BY_NOBODY, BY_US, BY_A_STRANGER };

/* All have the root hash HASH_A. */
static struct image {
	const char *title;
	enum signed_by by;
	bool share, descriptor;
	uint64_t rollback_index;
	char path[64];
} images[] = {
	{.title = "a shared directory", .share = true},
	{.title = "another maker's, not signed"},
	{.title = "another maker's", .by = BY_US},
	{.title = "another maker's, of a stranger", .by = BY_A_STRANGER},
	{.title = "ours, index 0", .by = BY_US, .descriptor = true},
	{.title = "ours, index 5", .by = BY_US, .descriptor = true, .rollback_index = 5},
	{.title = "ours, of a stranger", .by = BY_A_STRANGER, .descriptor = true, .rollback_index = 5},
};

static void put_superblock(uint8_t *sb)
{
	memcpy(sb, "verity", 6);
	ul_put_le32(sb + 8, 1);
	ul_put_le32(sb + 12, 1);
	memcpy(sb + 32, "sha256", 6);
	ul_put_le32(sb + 64, 4096);
	ul_put_le32(sb + 68, 4096);
	ul_put_le64(sb + 72, 8);
}

static void put_signature(const struct image *image, uint8_t *at)
{
	struct ul_descriptor d = {.root_hash_len = 32,
				  .hash = "sha256",
				  .data_block_size = 4096,
				  .hash_block_size = 4096,
				  .data_blocks = 8,
				  .hash_start = 4096,
				  .name = "demo",
				  .version = "1",
				  .rollback_index = image->rollback_index};
	struct ul_signer *signer = image->by == BY_US ? trusted : stranger;
	ul_autobuffer struct ul_buffer json = {0};
	struct ul_signature_blob blob = {0};
	char hex[] = HASH_A;

	memset(d.root_hash, 0xaa, 32);
	blob.root_hash = hex;
	assert_int_equal(ul_signer_sign(signer, hex, 64, &blob.signature, NULL), 0);
	if (image->descriptor) {
		assert_int_equal(ul_descriptor_format(&d, &blob.descriptor, NULL), 0);
		assert_int_equal(ul_signer_sign(signer, blob.descriptor.data, blob.descriptor.len,
						&blob.descriptor_signature, NULL),
				 0);
	}
	assert_int_equal(ul_signature_format(&blob, &json, NULL), 0);
	assert_true(json.len < END - SIGNATURE);
	memcpy(at, json.data, json.len);
	ul_buffer_free(&blob.signature);
	ul_buffer_free(&blob.descriptor);
	ul_buffer_free(&blob.descriptor_signature);
}

static int make_image(struct image *image)
{
	static uint8_t bytes[END];

	memset(bytes, 0, sizeof(bytes));
	put_superblock(bytes + HASH);
	if (image->by != BY_NOBODY)
		put_signature(image, bytes + SIGNATURE);
	return make_memfd(bytes, sizeof(bytes), image->path);
}

/* ---- one boot's decisions ---- */

/* The code that the stages end in; 0: the image is started. */
static int decide(const struct image *image, const char *policy, const char *cmdline)
{
	char *path = (char *)image->path;
	struct ul_boot b = {.trust = trust};
	struct ul_lower lower = {.shared = image->share,
				 .device = "device",
				 .slot = {.disk = path,
					  .data = {path, 0, HASH},
					  .hash = {path, HASH, SIGNATURE - HASH},
					  .sig = {image->by ? path : NULL, SIGNATURE, END - SIGNATURE}}};
	struct ul_judged judged = {0};
	struct ul_requirements wanted;
	struct ul_lower_root root;
	int r;

	ul_policy_init(&b.policy);
	r = ul_policy_parse(&b.policy, policy, strlen(policy), "test.conf", &err);
	if (r == 0)
		r = policy_apply(&b.policy, cmdline, &err);
	if (r == 0)
		r = ul_policy_finish(&b.policy, 1, &err);
	if (r == 0 && !image->share)
		r = ul_verify_decide(&b, &lower, &err);
	root = (struct ul_lower_root){.fd = tree,
				      .device = "dev",
				      .slot = &lower.slot,
				      .seal = lower.sealed ? &lower.seal : NULL,
				      .shared = lower.shared};
	wanted = ul_policy_requirements(&b.policy, b.trust);
	if (r == 0 && ul_lower_is_foreign(&root))
		r = ul_lower_read_foreign(&root, &wanted, &judged, &err);
	ul_judged_free(&judged);
	ul_seal_free(&lower.seal);
	ul_image_info_free(&lower.info);
	ul_policy_free(&b.policy);
	return r;
}

/* ---- the walk ---- */

static const char *const modes[] = {"user", "kernel", "pinned", "both"};
static const char *const descriptors[] = {"required", "optional"};
static const char *const pins[] = {"", "root-hash = " HASH_A "\n", "root-hash = " HASH_B "\n"};
static const char *const floors[] = {"0", "3"};
static const char *const names[] = {"", "name = demo\n", "name = theirs\n"};
static const char *const values[] = {HASH_A, HASH_B, "0", "1", "3", "9"};

enum { POLICIES = 4 * 2 * 3 * 2 * 3 };

/* The i-th policy for an image. The kinds of partition do not matter but to `roothash`. */
static void write_policy(size_t i, const struct image *image, const struct ul_param *row, char buf[512])
{
	const char *designator = !strcmp(row->name, "roothash") ? "root" : "usr";
	const char *name = names[i % 3], *floor = floors[i / 3 % 2], *pin = pins[i / 6 % 3];
	const char *descriptor = descriptors[i / 18 % 2], *mode = modes[i / 36];

	if (image->share)
		snprintf(buf, 512, "[verify]\nmode = insecure\n[lower]\nshare = 9p:x\nmanifest = optional\n[image]\n%s",
			 name);
	else
		snprintf(buf, 512,
			 "[verify]\nmode = %s\ndescriptor = %s\n%srollback-min = %s\n[lower]\nmanifest = optional\n"
			 "[image]\ndesignator = %s\n%s",
			 mode, descriptor, pin, floor, designator, name);
}

/* What became of the situations, for one parameter. */
struct tally {
	unsigned int refused, still_refused, accepted, newly_refused;
};

static void try_all_values(const char *policy, const struct image *image, const struct ul_param *row, struct tally *t)
{
	int before = decide(image, policy, "");

	if (before < 0)
		t->refused++;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		char cmdline[160];
		int after;

		snprintf(cmdline, sizeof(cmdline), "%s=%s", row->name, values[i]);
		after = decide(image, policy, cmdline);
		if (before < 0 && after == 0)
			fail_msg("%s, with\n%s: refused (%s), but started with %s", image->title, policy,
				 ul_code_name((enum ul_code) - before), cmdline);
		t->still_refused += before < 0;
		t->accepted += after == 0;
		t->newly_refused += before == 0 && after < 0;
	}
}

/* A parameter that strengthens: what is refused without it is refused with it, and it does demand something. */
static void test_no_demand_loosens(void **state)
{
	(void)state;
	for (const struct ul_param *row = ul_params; row->name; row++) {
		struct tally t = {0};

		for (size_t i = 0; row->rule == UL_PARAM_STRENGTHEN && i < POLICIES; i++)
			for (size_t k = 0; k < sizeof(images) / sizeof(images[0]); k++) {
				char policy[512];

				write_policy(i, &images[k], row, policy);
				try_all_values(policy, &images[k], row, &t);
			}
		if (row->rule != UL_PARAM_STRENGTHEN)
			continue;
		assert_true(t.refused > 100 && t.still_refused > 500);
		assert_true(t.accepted > 20 && t.newly_refused > 20);
	}
}

/* One situation for each demand, by name. */
static void test_demands_are_demanded(void **state)
{
	static const char user[] = "[verify]\nmode = user\ndescriptor = optional\n[lower]\nmanifest = optional\n";
	static const char theirs[] = "[verify]\nmode = user\ndescriptor = optional\n[lower]\nmanifest = optional\n"
				     "[image]\nname = theirs\n";
	static const char trusts[] = "[verify]\nmode = user\ndescriptor = optional\n[lower]\nmanifest = optional\n"
				     "[image]\nname = theirs\n[cmdline]\nallow = usrhash\n";
	const struct image *other = &images[2], *old = &images[4], *new = &images[5];

	(void)state;
	assert_int_equal(decide(other, user, ""), 0);
	assert_int_equal(decide(other, user, "usrhash=" HASH_A), 0);
	assert_int_equal(decide(other, user, "usrhash=" HASH_B), -UL_E_ROOT_HASH);
	assert_non_null(strstr(err.why, "the command line demands bbbbbbbbbbbbbbbb"));
	assert_int_equal(decide(other, user, "underlay.root-hash=" HASH_B), -UL_E_ROOT_HASH);
	assert_int_equal(decide(other, user, "underlay.rollback-min=1"), -UL_E_DESCRIPTOR);
	assert_int_equal(decide(old, user, "underlay.rollback-min=1"), -UL_E_ROLLBACK);
	assert_non_null(strstr(err.why, "the command line's floor is 1"));
	assert_int_equal(decide(new, user, "underlay.rollback-min=5"), 0);
	assert_int_equal(decide(new, user, "underlay.rollback-min=6"), -UL_E_ROLLBACK);
	/* Who names the right root hash does not thereby name the image, unless the policy trusts the parameter. */
	assert_int_equal(decide(other, theirs, ""), -UL_E_NO_IMAGE);
	assert_int_equal(decide(other, theirs, "usrhash=" HASH_A), -UL_E_NO_IMAGE);
	assert_int_equal(decide(other, trusts, ""), -UL_E_NO_IMAGE);
	assert_int_equal(decide(other, trusts, "usrhash=" HASH_A), 0);
	assert_int_equal(decide(other, trusts, "underlay.root-hash=" HASH_A), -UL_E_NO_IMAGE);
}

/* ---- the whole ---- */

static int set_up(void **state)
{
	char path[96];

	(void)state;
	ul_log_set_level(UL_LOG_ERROR);
	assert_non_null(mkdtemp(dir));
	make_identity(dir, "trusted", &trusted, &trust);
	make_identity(dir, "stranger", &stranger, NULL);
	for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++)
		(void)make_image(&images[i]);
	snprintf(path, sizeof(path), "%s/tree", dir);
	assert_int_equal(mkdir(path, 0755), 0);
	tree = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(tree >= 0);
	return mkdirat(tree, "00000000000000000000000000000000-system", 0755);
}

static int tear_down(void **state)
{
	(void)state;
	close(tree);
	ul_trust_free(trust);
	ul_signer_free(trusted);
	ul_signer_free(stranger);
	return ul_remove_tree(AT_FDCWD, dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_demands_are_demanded),
		cmocka_unit_test(test_no_demand_loosens),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
