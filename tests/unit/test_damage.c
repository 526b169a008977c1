/* What is read from the kernel's log and from dm-verity's table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "initrd/base/kernel_log.h"
#include "verity/open/damage.h"
#include "verity/open/read_error.h"

#define TABLE                                    \
	"1 254:1 254:2 4096 4096 1000 1 sha256 " \
	"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff ab"
#define FEC " use_fec_from_device 254:2 fec_blocks 1009 fec_start 10 fec_roots 2"

static void tables(void **state)
{
	struct ul_damage d = {.corrupt = false};

	(void)state;
	assert_true(ul_damage_take_table(&d, TABLE " 9" FEC " ignore_zero_blocks"));
	assert_string_equal(d.device, "254:1");
	assert_string_equal(d.hash_name, "sha256");
	assert_int_equal(d.data_blocks, 1000);
	assert_int_equal(d.hash_start, 4096);
	assert_true(d.fec);
	d = (struct ul_damage){.corrupt = false};
	assert_true(ul_damage_take_table(&d, TABLE));
	assert_false(d.fec);
	assert_false(ul_damage_take_table(&d, "0 8 linear"));
	/* Neither half a number nor one too large; and what was known stays. */
	assert_false(ul_damage_take_table(&d, "1 254:3 254:4 4096 4096 1000x 1 sha256 00 ab 0"));
	assert_false(ul_damage_take_table(&d, "1 254:3 254:4 4294967296 4096 1000 1 sha256 00 ab 0"));
	assert_false(ul_damage_take_table(&d, "1 254:3 254:4 4096 4096 1000 1 a-hash-of-16-byte 00 ab"));
	assert_string_equal(d.device, "254:1");
}

static void options(void **state)
{
	static const struct {
		const char *table, *want;
	} cases[] = {
		{TABLE, TABLE " 1 panic_on_error"},
		{TABLE " 8" FEC, TABLE " 9" FEC " panic_on_error"},
		{TABLE " 1 restart_on_corruption", TABLE " 2 restart_on_corruption panic_on_error"},
		{"1 254:1 254:2 4096", NULL},
		{TABLE " x", NULL},
		{TABLE " 99 x", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *got = ul_verity_table_add(cases[i].table, "panic_on_error");

		if (cases[i].want)
			assert_string_equal(got, cases[i].want);
		else
			assert_null(got);
		free(got);
	}
}

static void records(void **state)
{
	static const char *const lines[] = {
		"3,500,1000,-;device-mapper: verity: 254:1: data block 5 is corrupted\n",
		"3,501,1001,-;device-mapper: verity: 254:1: data block 77 is corrupted\n",
		"3,502,1002,-;device-mapper: verity: 254:1: data block 5 is corrupted\n",
		"3,503,1003,-;device-mapper: verity: 254:1: metadata block 2 is corrupted\n",
		"3,504,1004,-;device-mapper: verity: 254:11: data block 6 is corrupted\n",
		"30,505,1005,-;device-mapper: verity: 254:1: data block 7 is corrupted\n",
		"12,506,1006,-;underlay: device-mapper: verity: 254:1: data block 8 is corrupted\n",
		"4,507,1007,-;device-mapper: verity-fec: 254:1: FEC 4096: corrected 4096 errors\n",
		"4,508,1008,-;device-mapper: verity-fec: 254:11: FEC 4096: corrected 4096 errors\n",
		"4,509,1009,-;fec_decode_bufs: 12 callbacks suppressed\n",
		"3,510,1010,-;device-mapper: verity-fec: 254:1: FEC 8192: failed to correct: -74\n",
		"4,511,1011,-;device-mapper: verity-fec: 254:1: FEC 8192: corrected 8159 errors\n",
		"3,512,1012,-;device-mapper: verity-fec: 254:1: FEC 8192: failed to correct (2 erasures)\n",
		"3,513,1013,-;fec_decode_rsb: 2 callbacks suppressed\n",
		"no record at all",
		"",
	};
	struct ul_damage d = {.device = "254:1"};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		ul_damage_take(&d, lines[i]);
	assert_int_equal(d.data.n, 2);
	assert_int_equal(d.data.numbers[0], 5);
	assert_int_equal(d.data.numbers[1], 77);
	assert_int_equal(d.hash.n, 1);
	assert_int_equal(d.hash.numbers[0], 2);
	assert_int_equal(d.mended, 11);
	assert_false(d.data.more);
	for (unsigned int i = 100; i < 200; i++) {
		char line[100];

		snprintf(line, sizeof(line), "3,1,1,-;device-mapper: verity: 254:1: data block %u is corrupted", i);
		ul_damage_take(&d, line);
	}
	assert_int_equal(d.data.n, UL_DAMAGE_BLOCKS);
	assert_true(d.data.more);
	/* The kernel's own count is not added to. */
	d = (struct ul_damage){.device = "254:1", .mended = 3, .mended_exact = true};
	ul_damage_take(&d, lines[7]);
	assert_int_equal(d.mended, 3);
}

/* The sentence behind the errno of a mount. */
static void complaints(void **state)
{
	static const struct {
		const char *record, *text; /* NULL: it is none */
	} rows[] = {
		{"3,339,5140900,-;EXT4-fs (vda2): couldn't mount because of unsupported features\n SUBSYSTEM=block\n",
		 "EXT4-fs (vda2): couldn't mount because of unsupported features"},
		{"4,1,2,-;XFS (vda2): Superblock has unknown incompatible features (0x40) enabled.",
		 "XFS (vda2): Superblock has unknown incompatible features (0x40) enabled."},
		{"3,1,2,-;BTRFS error (device vda2): cannot mount", "BTRFS error (device vda2): cannot mount"},
		/* Of another device, no complaint, a program's, no record. */
		{"3,1,2,-;EXT4-fs (vda21): couldn't mount", NULL},
		{"3,1,2,-;EXT4-fs (dvda2): couldn't mount", NULL},
		{"6,1,2,-;XFS (vda2): Mounting V5 Filesystem", NULL},
		{"11,1,2,-;EXT4-fs (vda2): told by a program", NULL},
		{"x;EXT4-fs (vda2): couldn't mount", NULL},
		{"EXT4-fs (vda2): couldn't mount", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[200];

		assert_int_equal(ul_kernel_log_take(rows[i].record, "vda2", text, sizeof(text)), rows[i].text != NULL);
		if (rows[i].text)
			assert_string_equal(text, rows[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables),
		cmocka_unit_test(options),
		cmocka_unit_test(records),
		cmocka_unit_test(complaints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
