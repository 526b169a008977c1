/* Places on a whole disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "verity/disk/disk_layout.h"
#include "verity/disk/esp.h"
#include "verity/format/image_layout.h"

#define MIB (UINT64_C(1) << 20)

/* An image of so many blocks of 4096 bytes. */
static struct ul_descriptor image_of(uint64_t blocks, uint32_t fec_roots)
{
	struct ul_descriptor d = {.data_block_size = 4096, .hash_block_size = 4096, .data_blocks = blocks};

	snprintf(d.hash, sizeof(d.hash), "sha256");
	d.hash_start = 4096;
	d.root_hash_len = 32;
	d.fec_roots = fec_roots;
	return d;
}

static struct ul_disk_request request_of(const struct ul_descriptor *d)
{
	return (struct ul_disk_request){
		.d = d, .data_size = d->data_blocks * 4096, .hash_size = 8192, .slots = 2, .esp_size = 64 * MIB};
}

/* Every part begins on a whole MiB behind the one before it, and the backup table has room. */
static void assert_in_order(const struct ul_disk_layout *l)
{
	uint64_t at = MIB;
	struct ul_disk_range all[3 + 3 * UL_DISK_SLOTS_MAX];
	size_t n = 0;

	all[n++] = l->esp;
	for (unsigned int i = 0; i < l->slots; i++) {
		all[n++] = l->slot[i].data;
		all[n++] = l->slot[i].hash;
		all[n++] = l->slot[i].sig;
	}
	all[n++] = l->trials;
	if (l->upper.size)
		all[n++] = l->upper;
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(all[i].offset % MIB, 0);
		assert_true(all[i].offset >= at);
		assert_true(all[i].size > 0);
		at = all[i].offset + all[i].size;
	}
	assert_true(at + 5 * 4096 <= l->size);
	assert_int_equal(l->size % MIB, 0);
}

static void takes_what_its_parts_need(void **state)
{
	struct ul_descriptor d = image_of(25600, 0); /* 100 MiB */
	struct ul_disk_request q = request_of(&d);
	struct ul_disk_layout l;

	(void)state;
	assert_int_equal(ul_disk_layout(&q, &l, NULL), 0);
	assert_in_order(&l);
	assert_int_equal(l.slots, 2);
	assert_int_equal(l.slot[0].data.size, 150 * MIB);
	assert_int_equal(l.slot[1].data.size, 150 * MIB);
	assert_int_equal(l.slot[0].sig.size, UL_SIG_PARTITION_SIZE);
	/* 38,400 blocks: 300 leaves, 3 blocks above, the root's, and the superblock: 305 blocks are less than 2 MiB. */
	assert_int_equal(l.slot[0].hash.size, 2 * MIB);
	assert_int_equal(l.upper.size, UL_DISK_UPPER_SIZE);
	q.slots = 0;
	assert_int_equal(ul_disk_layout(&q, &l, NULL), 0);
	assert_in_order(&l);
	q.slots = UL_DISK_SLOTS_MAX;
	assert_int_equal(ul_disk_layout(&q, &l, NULL), 0);
	assert_in_order(&l);
}

static void hash_partitions_have_room_for_parity(void **state)
{
	struct ul_descriptor plain = image_of(25600, 0), mended = image_of(25600, 24);
	struct ul_disk_request q = request_of(&plain);
	struct ul_disk_layout without, with;

	(void)state;
	assert_int_equal(ul_disk_layout(&q, &without, NULL), 0);
	q.d = &mended;
	assert_int_equal(ul_disk_layout(&q, &with, NULL), 0);
	/* 24 of 255 parts of the whole are parity. */
	assert_true(with.slot[0].hash.size > without.slot[0].hash.size + 150 * MIB * 24 / 255);
}

static void upper_gets_what_is_left(void **state)
{
	struct ul_descriptor d = image_of(2560, 0);
	struct ul_disk_request q = request_of(&d);
	struct ul_disk_layout l;

	(void)state;
	q.size = 1024 * MIB;
	assert_int_equal(ul_disk_layout(&q, &l, NULL), 0);
	assert_in_order(&l);
	assert_int_equal(l.size, 1024 * MIB);
	assert_int_equal(l.upper.offset + l.upper.size, 1023 * MIB);
	q.upper_size = 10 * MIB;
	assert_int_equal(ul_disk_layout(&q, &l, NULL), 0);
	assert_int_equal(l.upper.size, 10 * MIB);
	q.upper_size = 0;
	q.no_upper = true;
	assert_int_equal(ul_disk_layout(&q, &l, NULL), 0);
	assert_int_equal(l.upper.size, 0);
	assert_in_order(&l);
}

static void refused(struct ul_disk_request q, const char *words)
{
	struct ul_disk_layout l = {.size = 7};
	struct ul_error err;
	char text[1024];

	assert_int_equal(ul_disk_layout(&q, &l, &err), -UL_E_INPUT);
	snprintf(text, sizeof(text), "%s", err.why);
	if (!strstr(text, words))
		fail_msg("\"%s\" does not say \"%s\"", text, words);
	assert_int_equal(l.size, 7);
}

static void refuses_what_does_not_fit(void **state)
{
	struct ul_descriptor d = image_of(25600, 0);
	struct ul_disk_request q = request_of(&d);

	(void)state;
	q.slot_size = 99 * MIB;
	refused(q, "it has 104857600 bytes, the slots have room for 103809024");
	q.slot_size = 0;
	q.size = 200 * MIB;
	refused(q, "it has 209715200 bytes, ");
	q.no_upper = true;
	refused(q, "its parts need");
	q.size = 200 * MIB + 512;
	refused(q, "not a whole number of MiB");
	q.size = UINT64_C(1) << 62;
	refused(q, "beyond all disks");
	q.size = 0;
	q.slot_size = UINT64_C(1) << 62;
	refused(q, "beyond all disks");
}

/* At the last byte that is refused and the first that is taken. */
static void smallest_disk_is_exact(void **state)
{
	struct ul_descriptor d = image_of(2560, 0);
	struct ul_disk_request q = request_of(&d);
	struct ul_disk_layout l;

	(void)state;
	q.no_upper = true;
	assert_int_equal(ul_disk_layout(&q, &l, NULL), 0);
	q.size = l.size;
	assert_int_equal(ul_disk_layout(&q, &l, NULL), 0);
	q.size -= MIB;
	refused(q, "its parts need");
}

static void esp_is_a_fat32(void **state)
{
	struct ul_esp_file file = {"a", "a", 100 * MIB};

	(void)state;
	assert_true(ul_esp_size_min(512) >= 65525 * 512 && ul_esp_size_min(512) <= 36 * MIB);
	assert_true(ul_esp_size_min(4096) >= UINT64_C(65525) * 4096 && ul_esp_size_min(4096) <= 260 * MIB);
	assert_true(ul_esp_size_of(&file, 1, 512) > 100 * MIB && ul_esp_size_of(&file, 1, 512) < 110 * MIB);
}

/* A device has the size that it has: 0, too, is one. */
static void device_has_its_size(void **state)
{
	struct ul_descriptor d = image_of(1000, 0);
	struct ul_disk_request q = request_of(&d);
	struct ul_disk_layout l;
	struct ul_error err;

	(void)state;
	q.device = "/dev/sdx";
	assert_int_equal(ul_disk_layout(&q, &l, &err), -UL_E_INPUT);
	assert_string_equal(err.object, "/dev/sdx");
	assert_non_null(strstr(err.why, "it has 0 bytes"));
	assert_null(strstr(err.todo, "--size,"));
	q.no_upper = true;
	assert_int_equal(ul_disk_layout(&q, &l, &err), -UL_E_INPUT);
	assert_non_null(strstr(err.why, "it has 0 bytes"));
	q.no_upper = false;
	q.size = 256 * MIB;
	assert_int_equal(ul_disk_layout(&q, &l, &err), 0);
	assert_in_order(&l);
	assert_int_equal(l.upper.offset + l.upper.size, 255 * MIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_its_parts_need), cmocka_unit_test(hash_partitions_have_room_for_parity),
		cmocka_unit_test(upper_gets_what_is_left),   cmocka_unit_test(refuses_what_does_not_fit),
		cmocka_unit_test(smallest_disk_is_exact),    cmocka_unit_test(esp_is_a_fat32),
		cmocka_unit_test(device_has_its_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
