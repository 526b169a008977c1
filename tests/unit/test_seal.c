/*
 * Slots and the trust decision, on images made by hand: a GPT in a memfd, partitions of a few blocks, real
 * signatures. No data block is read here, so there are none.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/bytes.h"
#include "common/encoding.h"
#include "common/file.h"
#include "tests/unit/make_gpt.h"
#include "tests/unit/make_identity.h"
#include "verity/format/signature.h"
#include "verity/open/open.h"
#include "verity/format/partition_types.h"

/* LBAs: data of 8 blocks, hash of superblock and tree, signature; then those of a second slot. */
enum { DATA = 64, HASH = 128, SIG = 144, DATA_B = 256, HASH_B = 320, SIG_B = 336 };

static char dir[] = "/tmp/underlay-seal-XXXXXX";
static struct ul_signer *signers[2]; /* trusted; not trusted */
static struct ul_trust *trust, *no_trust;
static const struct ul_partition_types *types;

static uint8_t disk[GPT_SECTORS * 512];

/* One image as its builder knows it; make_slot writes it. */
struct made {
	struct ul_descriptor d;
	char data_uuid[37], hash_uuid[37];
};

static void put_uuid(char ret[37], const uint8_t bytes[16])
{
	char hex[33];

	ul_hex_encode(bytes, 16, hex);
	snprintf(ret, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

static struct made made(const char *version, uint8_t seed)
{
	struct made m = {.d = {.root_hash_len = 32,
			       .hash = "sha256",
			       .salt_len = 32,
			       .data_block_size = 4096,
			       .hash_block_size = 4096,
			       .data_blocks = 8,
			       .hash_start = 4096,
			       .name = "demo",
			       .rollback_index = 5,
			       .has_manifest = 1}};

	snprintf(m.d.version, sizeof(m.d.version), "%s", version);
	for (size_t i = 0; i < 32; i++)
		m.d.root_hash[i] = (uint8_t)(seed + 7 * i);
	memset(m.d.salt, seed, 32);
	put_uuid(m.data_uuid, m.d.root_hash);
	put_uuid(m.hash_uuid, m.d.root_hash + 16);
	return m;
}

/* The signature partition: root hash and descriptor, each signed by whom; -1: none. */
static void put_signature(uint64_t lba, const struct ul_descriptor *root, int root_by, const struct ul_descriptor *d,
			  int descriptor_by)
{
	struct ul_signature_blob blob = {0};
	struct ul_buffer json = {0};
	char hex[65];

	ul_hex_encode(root->root_hash, 32, hex);
	blob.root_hash = hex;
	blob.has_fingerprint = true;
	assert_int_equal(ul_signer_sign(signers[root_by], hex, 64, &blob.signature, NULL), 0);
	if (descriptor_by >= 0) {
		assert_int_equal(ul_descriptor_format(d, &blob.descriptor, NULL), 0);
		assert_int_equal(ul_signer_sign(signers[descriptor_by], blob.descriptor.data, blob.descriptor.len,
						&blob.descriptor_signature, NULL),
				 0);
	}
	assert_int_equal(ul_signature_format(&blob, &json, NULL), 0);
	memset(disk + lba * 512, 0, 16 * 512);
	assert_true(json.len < 16 * 512);
	memcpy(disk + lba * 512, json.data, json.len);
	ul_buffer_free(&json);
	ul_buffer_free(&blob.signature);
	ul_buffer_free(&blob.descriptor);
	ul_buffer_free(&blob.descriptor_signature);
}

static void put_superblock(uint64_t lba, const struct ul_descriptor *d)
{
	uint8_t *sb = disk + lba * 512;

	memset(sb, 0, 512);
	memcpy(sb, "verity", 6);
	ul_put_le32(sb + 8, 1);
	ul_put_le32(sb + 12, 1);
	memcpy(sb + 32, d->hash, strlen(d->hash));
	ul_put_le32(sb + 64, d->data_block_size);
	ul_put_le32(sb + 68, d->hash_block_size);
	ul_put_le64(sb + 72, d->data_blocks);
	ul_put_le16(sb + 80, (uint16_t)d->salt_len);
	memcpy(sb + 88, d->salt, d->salt_len);
}

/* The usual image: one slot, all of it right. */
static struct made good_image(void)
{
	struct made m = made("1.2", 1);
	const struct gpt_part parts[] = {
		{types->data, m.data_uuid, "demo_1.2", DATA, DATA + 63},
		{types->verity, m.hash_uuid, "demo_1.2", HASH, HASH + 15},
		{types->verity_sig, "11111111-2222-3333-4444-555555555555", "demo_1.2", SIG, SIG + 15},
	};

	make_gpt(disk, parts, 3);
	put_superblock(HASH, &m.d);
	put_signature(SIG, &m.d, 0, &m.d, 0);
	return m;
}

static int probe(struct ul_slot_list *list, char path[64], struct ul_error *err)
{
	int fd = make_memfd(disk, sizeof(disk), path);

	assert_int_equal(ul_slots_probe(path, "/dev", "usr", NULL, list, err), 0);
	return fd;
}

static int decide(const struct ul_seal_policy *policy, struct ul_seal *ret, struct ul_error *err)
{
	struct ul_slot_list list = {0};
	char path[64];
	int fd = probe(&list, path, err), r;

	assert_int_equal(list.n, 1);
	r = ul_seal_decide(&list.at[0], policy, ret, err);
	ul_slots_free(&list);
	close(fd);
	return r;
}

static void assert_decided(const struct ul_seal_policy *policy, struct ul_seal *seal)
{
	struct ul_error err;
	char sentence[1200];

	if (decide(policy, seal, &err) < 0)
		fail_msg("%s", ul_error_sentence(&err, sentence, sizeof(sentence)));
}

static void assert_refused(const struct ul_seal_policy *policy, enum ul_code code, const char *words)
{
	struct ul_seal seal;
	struct ul_error err = {0};
	int r = decide(policy, &seal, &err);

	if (r == 0 || r != -(int)code || !strstr(err.why, words) || !err.object[0])
		fail_msg("%d %s: \"%s: %s\", wanted %s: \"%s\"", r, ul_code_name(err.code), err.object, err.why,
			 ul_code_name(code), words);
}

/* ---- slots ---- */

static void one_slot(void **state)
{
	struct ul_slot_list list = {0};
	struct made m = good_image();
	char path[64];
	int fd = probe(&list, path, NULL);
	const struct ul_slot *s = list.at;

	(void)state;
	assert_int_equal(list.n, 1);
	assert_string_equal(s->disk, path);
	assert_string_equal(s->name, "demo");
	assert_string_equal(s->version, "1.2");
	assert_string_equal(s->label, "demo_1.2");
	assert_string_equal(s->data_uuid, m.data_uuid);
	assert_string_equal(s->hash_uuid, m.hash_uuid);
	assert_string_equal(s->data.device, path);
	assert_int_equal(s->data.offset, DATA * 512);
	assert_int_equal(s->data.size, 64 * 512);
	assert_int_equal(s->hash.offset, HASH * 512);
	assert_int_equal(s->sig.offset, SIG * 512);
	ul_slots_free(&list);
	close(fd);
}

/* Two slots, in the order data, data, sig, hash, hash, sig, so that position says nothing. */
static void two_slots(const char *label_a, const char *label_b, struct made *a, struct made *b)
{
	static const char *const sig_uuid[] = {"11111111-2222-3333-4444-555555555555",
					       "66666666-2222-3333-4444-555555555555"};

	*a = made("1.9", 1);
	*b = made("1.10", 77);
	const struct gpt_part parts[] = {
		{types->data, b->data_uuid, label_b, DATA_B, DATA_B + 63},
		{types->data, a->data_uuid, label_a, DATA, DATA + 63},
		{types->verity_sig, sig_uuid[0], label_a, SIG, SIG + 15},
		{types->verity, a->hash_uuid, label_a, HASH, HASH + 15},
		{types->verity, b->hash_uuid, label_b, HASH_B, HASH_B + 15},
		{types->verity_sig, sig_uuid[1], label_b, SIG_B, SIG_B + 15},
	};

	make_gpt(disk, parts, 6);
	put_signature(SIG, &a->d, 0, &a->d, 0);
	put_signature(SIG_B, &b->d, 0, &b->d, 0);
}

static void pairs(void **state)
{
	/* By label; by root hash, as labels say nothing or are all the same. */
	static const char *const labels[][2] = {{"demo_1.9", "demo_1.10"}, {"", ""}, {"x", "x"}};
	struct ul_slot_list list = {0};
	struct made a, b;
	char path[64];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		two_slots(labels[i][0], labels[i][1], &a, &b);
		int fd = probe(&list, path, NULL);

		assert_int_equal(list.n, 2);
		ul_slots_sort(&list);
		/* 1.10 is newer than 1.9; without versions the order is the place. */
		const struct ul_slot *sa = &list.at[i == 0], *sb = &list.at[i != 0];

		assert_int_equal(sa->data.offset, DATA * 512);
		assert_int_equal(sa->hash.offset, HASH * 512);
		assert_int_equal(sa->sig.offset, SIG * 512);
		assert_string_equal(sa->hash_uuid, a.hash_uuid);
		assert_int_equal(sb->data.offset, DATA_B * 512);
		assert_int_equal(sb->hash.offset, HASH_B * 512);
		assert_int_equal(sb->sig.offset, SIG_B * 512);
		assert_string_equal(sb->hash_uuid, b.hash_uuid);
		ul_slots_remove(&list, i == 0);
		assert_int_equal(list.n, 1);
		assert_string_equal(list.at[0].hash_uuid, b.hash_uuid);
		ul_slots_free(&list);
		close(fd);
	}
}

/* Nothing but the place says which hash partition is meant. */
static void by_place(void **state)
{
	struct ul_slot_list list = {0};
	struct made a, b;
	char path[64];

	(void)state;
	two_slots("x", "x", &a, &b);
	memset(disk + SIG * 512, 0, 16 * 512);
	int fd = probe(&list, path, NULL);

	assert_int_equal(list.n, 2);
	assert_string_equal(list.at[0].hash_uuid, a.hash_uuid);
	assert_string_equal(list.at[1].hash_uuid, b.hash_uuid);
	ul_slots_free(&list);
	close(fd);
}

static void free_and_single(void **state)
{
	struct ul_slot_list list = {0};
	struct made a, b;
	char path[64];

	(void)state;
	two_slots("demo_1.9", "_empty", &a, &b);
	int fd = probe(&list, path, NULL);

	assert_int_equal(list.n, 1);
	assert_string_equal(list.at[0].version, "1.9");
	ul_slots_free(&list);
	close(fd);

	/* A data partition alone is none; other types are not looked at. */
	const struct gpt_part alone[] = {{types->data, a.data_uuid, "demo_1", DATA, DATA + 63}};

	make_gpt(disk, alone, 1);
	fd = probe(&list, path, NULL);
	assert_int_equal(list.n, 0);
	close(fd);
	memset(disk, 0, sizeof(disk));
	fd = probe(&list, path, NULL);
	assert_int_equal(list.n, 0);
	close(fd);
}

static void foreign_labels(void **state)
{
	static const struct {
		const char *label, *name, *version;
	} rows[] = {{"usr-x86-64", "usr-x86-64", ""}, {"a_b_c", "a", "b_c"}, {"a b_1", "", "1"},
		    {"\x1b[31m_2", "", "2"},          {"_", "", ""},         {"demo_", "demo", ""}};
	struct ul_slot_list list = {0};
	struct made m = made("1", 1);
	char path[64];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct gpt_part parts[] = {
			{types->data, m.data_uuid, rows[i].label, DATA, DATA + 63},
			{types->verity, m.hash_uuid, "", HASH, HASH + 15},
		};

		make_gpt(disk, parts, 2);
		int fd = probe(&list, path, NULL);

		assert_int_equal(list.n, 1);
		assert_string_equal(list.at[0].name, rows[i].name);
		assert_string_equal(list.at[0].version, rows[i].version);
		assert_null(list.at[0].sig.device);
		ul_slots_free(&list);
		close(fd);
	}
}

static void no_such_disk(void **state)
{
	struct ul_slot_list list = {0};
	struct ul_error err;

	(void)state;
	assert_int_equal(ul_slots_probe("/nonexistent", "/dev", "usr", NULL, &list, &err), -UL_E_DEVICE);
	assert_int_equal(ul_slots_probe("/dev/null", "/dev", "usr", NULL, &list, &err), -UL_E_DEVICE);
	assert_int_equal(ul_slots_probe("/", "/dev", "nope", NULL, &list, &err), -UL_E_CONFIG);
	assert_int_equal(list.n, 0);
}

/* ---- the decision ---- */

static struct ul_seal_policy user_policy(void)
{
	return (struct ul_seal_policy){.mode = UL_VERIFY_USER, .trust = trust, .descriptor_required = true};
}

static void accepted_by_certificate(void **state)
{
	struct ul_seal_policy policy = user_policy();
	struct made m = good_image();
	struct ul_seal seal;

	(void)state;
	/* The superblock is neither believed nor read. */
	memset(disk + HASH * 512, 0xff, 512);
	policy.rollback_min = 5;
	for (int mode = UL_VERIFY_USER; mode <= UL_VERIFY_BOTH; mode++) {
		policy.mode = (enum ul_verify_mode)mode;
		assert_decided(&policy, &seal);
		assert_true(seal.from_descriptor);
		assert_memory_equal(seal.d.root_hash, m.d.root_hash, 32);
		assert_string_equal(seal.d.name, "demo");
		assert_string_equal(seal.d.version, "1.2");
		assert_int_equal(seal.d.hash_start, 4096);
		assert_string_equal(seal.by.subject, "CN=trusted");
		assert_true(seal.root_hash_signature.len > 100);
		ul_seal_free(&seal);
	}
}

static void accepted_as_pinned(void **state)
{
	struct made m = good_image();
	struct ul_seal_policy policy = {.mode = UL_VERIFY_PINNED,
					.pinned_root_hash = m.d.root_hash,
					.pinned_root_hash_len = 32,
					.descriptor_required = true};
	struct ul_seal seal;

	(void)state;
	assert_decided(&policy, &seal);
	assert_true(seal.from_descriptor);
	assert_int_equal(seal.d.data_blocks, 8);
	/* Nobody vouches for what the descriptor says of identity. */
	assert_string_equal(seal.d.name, "");
	assert_string_equal(seal.d.version, "");
	assert_int_equal(seal.d.has_manifest, 0);
	assert_int_equal(seal.d.rollback_index, 0);
	assert_string_equal(seal.by.subject, "");
	ul_seal_free(&seal);
	policy.rollback_min = 1;
	assert_refused(&policy, UL_E_DESCRIPTOR, "rollback index says nothing");
	policy.rollback_min = 0;

	/* Without a usable signature partition, from the superblock. */
	memset(disk + SIG * 512, 0, 16 * 512);
	assert_refused(&policy, UL_E_DESCRIPTOR, "the policy wants one");
	policy.descriptor_required = false;
	assert_decided(&policy, &seal);
	assert_false(seal.from_descriptor);
	assert_memory_equal(seal.d.root_hash, m.d.root_hash, 32);
	assert_int_equal(seal.d.salt_len, 32);
	ul_seal_free(&seal);
	disk[HASH * 512] = 'V';
	assert_refused(&policy, UL_E_SUPERBLOCK, "there is no superblock");
}

static void kernel_mode_checks_nothing_here(void **state)
{
	struct ul_seal_policy policy = {.mode = UL_VERIFY_KERNEL};
	struct made m = good_image();
	struct ul_seal seal;

	(void)state;
	put_signature(SIG, &m.d, 1, &m.d, 1);
	assert_decided(&policy, &seal);
	assert_true(seal.from_descriptor);
	assert_string_equal(seal.d.name, "");
	assert_true(seal.root_hash_signature.len > 100);
	ul_seal_free(&seal);
	/* A rollback floor rests on a descriptor that somebody checked. */
	policy.rollback_min = 5;
	assert_refused(&policy, UL_E_DESCRIPTOR, "rollback index says nothing");
	policy.trust = trust;
	assert_refused(&policy, UL_E_SIGNER, "");
	memset(disk + SIG * 512, 0, 16 * 512);
	assert_refused(&policy, UL_E_SIGNATURE, "empty");
	/* The policy's insecure is no mode, and must not pass for this one. */
	policy.mode = (enum ul_verify_mode)(UL_VERIFY_BOTH + 1);
	assert_refused(&policy, UL_E_CONFIG, "verifies nothing");
}

static void foreign_image(void **state)
{
	struct ul_seal_policy policy = user_policy();
	struct made m = good_image();
	struct ul_seal seal;

	(void)state;
	put_signature(SIG, &m.d, 0, NULL, -1);
	assert_refused(&policy, UL_E_DESCRIPTOR, "the policy wants one: the signature partition holds none");
	policy.descriptor_required = false;
	assert_decided(&policy, &seal);
	assert_false(seal.from_descriptor);
	assert_string_equal(seal.by.subject, "CN=trusted");
	assert_string_equal(seal.d.name, "");
	assert_int_equal(seal.d.data_blocks, 8);
	ul_seal_free(&seal);
	policy.rollback_min = 1;
	assert_refused(&policy, UL_E_DESCRIPTOR, "rollback floor");
}

static void refusals(void **state)
{
	struct ul_seal_policy policy = user_policy();
	struct made m = good_image(), other = made("1.3", 99);

	(void)state;
	put_signature(SIG, &m.d, 1, &m.d, 0);
	assert_refused(&policy, UL_E_SIGNER, "");
	put_signature(SIG, &m.d, 0, &m.d, 1);
	assert_refused(&policy, UL_E_SIGNER, "");
	put_signature(SIG, &m.d, 0, &other.d, 0);
	assert_refused(&policy, UL_E_DESCRIPTOR, "another root hash");
	memset(disk + SIG * 512, 0, 16 * 512);
	assert_refused(&policy, UL_E_SIGNATURE, "empty");

	good_image();
	policy.rollback_min = 6;
	assert_refused(&policy, UL_E_ROLLBACK, "the image has 5, the policy's floor is 6");
	policy = user_policy();
	policy.pinned_root_hash = other.d.root_hash;
	policy.pinned_root_hash_len = 32;
	assert_refused(&policy, UL_E_ROOT_HASH, "the policy demands 636a7178");
	policy.mode = UL_VERIFY_PINNED;
	assert_refused(&policy, UL_E_ROOT_HASH, "the image has 01080f16");
	policy = user_policy();
	policy.trust = no_trust;
	assert_refused(&policy, UL_E_SIGNER, "no certificate is trusted");
	policy.trust = NULL;
	assert_refused(&policy, UL_E_SIGNER, "no certificate is trusted");
}

/* Each character of the JSON changed: none of it may pass as another descriptor or root hash. */
static void every_byte_of_the_signature(void **state)
{
	struct ul_seal_policy policy = user_policy();
	struct made m = good_image();
	struct ul_slot_list list = {0};
	struct ul_seal seal;
	char path[64];
	int fd = probe(&list, path, NULL);
	size_t len = strlen((char *)disk + SIG * 512);

	(void)state;
	for (size_t i = 0; i < len; i++) {
		uint8_t was = disk[SIG * 512 + i], now = was == 'A' ? 'B' : 'A';

		assert_int_equal(pwrite(fd, &now, 1, (off_t)(SIG * 512 + i)), 1);
		if (ul_seal_decide(&list.at[0], &policy, &seal, NULL) == 0) {
			/* Only hints may differ: the fingerprint, names in the PKCS#7's envelope. */
			assert_memory_equal(&seal.d, &m.d, sizeof(m.d));
			assert_true(seal.from_descriptor);
			ul_seal_free(&seal);
		}
		assert_int_equal(pwrite(fd, &was, 1, (off_t)(SIG * 512 + i)), 1);
	}
	ul_slots_free(&list);
	close(fd);
}

/* Parameters that a signer got wrong, or that a superblock claims. */
static void geometry(void **state)
{
	struct ul_seal_policy policy = user_policy();
	struct made m = good_image();
	struct ul_descriptor d;

	(void)state;
	d = m.d;
	d.data_blocks = 9;
	put_signature(SIG, &d, 0, &d, 0);
	assert_refused(&policy, UL_E_PARTITIONS, "the data partition has 32768 bytes, the image needs 36864");
	d = m.d;
	d.hash_start = 8192;
	put_signature(SIG, &d, 0, &d, 0);
	assert_refused(&policy, UL_E_PARTITIONS, "the hash partition has 8192 bytes");
	d = m.d;
	d.fec_roots = 2;
	d.fec_start = 8192;
	put_signature(SIG, &d, 0, &d, 0);
	assert_refused(&policy, UL_E_DESCRIPTOR, "FEC area");

	policy.descriptor_required = false;
	put_signature(SIG, &m.d, 0, NULL, -1);
	d = m.d;
	d.data_blocks = UINT64_MAX / 4096 + 2;
	put_superblock(HASH, &d);
	assert_refused(&policy, UL_E_SUPERBLOCK, "number of data blocks is 0 or too large");
	d.data_blocks = UINT64_MAX;
	put_superblock(HASH, &d);
	assert_refused(&policy, UL_E_SUPERBLOCK, "number of data blocks is 0 or too large");
	d.data_blocks = INT64_MAX / 4096;
	put_superblock(HASH, &d);
	assert_refused(&policy, UL_E_PARTITIONS, "the data partition has 32768 bytes");
	d = m.d;
	memcpy(d.hash, "sha512", 7);
	put_superblock(HASH, &d);
	assert_refused(&policy, UL_E_SUPERBLOCK, "do not fit each other");
}

/* ---- keys ---- */

static int set_up(void **state)
{
	(void)state;
	types = ul_partition_types_find(NULL, "usr");
	assert_non_null(types);
	assert_non_null(mkdtemp(dir));
	make_identity(dir, "trusted", &signers[0], &trust);
	make_identity(dir, "stranger", &signers[1], NULL);
	assert_int_equal(ul_trust_load_dir(AT_FDCWD, "/nonexistent", &no_trust, NULL), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	ul_trust_free(trust);
	ul_trust_free(no_trust);
	ul_signer_free(signers[0]);
	ul_signer_free(signers[1]);
	return ul_remove_tree(AT_FDCWD, dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_slot),
		cmocka_unit_test(pairs),
		cmocka_unit_test(by_place),
		cmocka_unit_test(free_and_single),
		cmocka_unit_test(foreign_labels),
		cmocka_unit_test(no_such_disk),
		cmocka_unit_test(accepted_by_certificate),
		cmocka_unit_test(accepted_as_pinned),
		cmocka_unit_test(kernel_mode_checks_nothing_here),
		cmocka_unit_test(foreign_image),
		cmocka_unit_test(refusals),
		cmocka_unit_test(every_byte_of_the_signature),
		cmocka_unit_test(geometry),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
