/* The trials' record and the order that it gives: its bytes, each field made wrong, and devices' lives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/evp.h>

#include "common/bytes.h"
#include "common/error.h"
#include "verity/trial/decide.h"
#include "verity/trial/record.h"

/* An image of 32 bytes of root hash: all the same number. */
static struct ul_trial_image image(uint8_t number, const char *version)
{
	static uint8_t hashes[256][32];

	memset(hashes[number], number, sizeof(hashes[number]));
	return (struct ul_trial_image){hashes[number], sizeof(hashes[number]), version};
}

/* ---- the bytes ---- */

static struct ul_trial_record sample(void)
{
	struct ul_trial_record r = {.sequence = 41, .request = UL_TRIAL_RESET};
	struct ul_trial_image a = image(1, "1.0"), b = image(2, "1.1"), c = image(3, "1.2");

	ul_trial_set_good(&r, &a);
	ul_trial_begin(&r, &b, 3);
	ul_trial_explain(&r, &b, UL_TRIAL_BOOT_FAILED, UL_E_DATABASE);
	ul_trial_set_bad(&r, &c, UL_TRIAL_ROLLED_BACK);
	r.sequence = 42;
	return r;
}

static void a_record_is_read_as_written(void **state)
{
	struct ul_trial_record r = sample(), back;
	uint8_t bytes[UL_TRIAL_RECORD_SIZE];

	(void)state;
	assert_int_equal(ul_trial_format(&r, bytes), 0);
	assert_true(ul_trial_parse(bytes, &back));
	assert_memory_equal(&r, &back, sizeof(r));
	assert_int_equal(back.n, 3);
	assert_int_equal(back.sequence, 42);
	assert_int_equal(back.request, UL_TRIAL_RESET);
	assert_int_equal(back.trials[0].state, UL_TRIAL_GOOD);
	assert_int_equal(back.trials[1].tries_left, 2);
	assert_int_equal(back.trials[1].code, UL_E_DATABASE);
	assert_int_equal(back.trials[1].changed, 42);
	assert_string_equal(back.trials[2].version, "1.2");

	r = (struct ul_trial_record){.sequence = 0};
	assert_int_equal(ul_trial_format(&r, bytes), 0);
	assert_true(ul_trial_parse(bytes, &back));
	assert_int_equal(back.n, 0);
}

/* What the format says, byte by byte: a record that another version or program reads. */
static void the_bytes_are_those_of_the_format(void **state)
{
	struct ul_trial_record r = {.sequence = 7};
	struct ul_trial_image a = image(0xaa, "1.0-a_version_that_is_longer_than_there_is_room");
	uint8_t bytes[UL_TRIAL_RECORD_SIZE], sum[32];

	(void)state;
	r.sequence = 6;
	ul_trial_begin(&r, &a, 3);
	ul_trial_explain(&r, &a, UL_TRIAL_WATCHDOG, 0);
	r.sequence = 7;
	assert_int_equal(ul_trial_format(&r, bytes), 0);
	assert_memory_equal(bytes, "UL-TRIAL\1\0\0\0\1\0\0\0\7\0\0\0\0\0\0\0\0\0\0\0", 28);
	assert_int_equal(bytes[64], 0xaa);
	assert_int_equal(bytes[64 + 31], 0xaa);
	assert_true(ul_all_zero(bytes + 64 + 32, 32));
	assert_memory_equal(bytes + 128, "\x20\1\2\1\0\0\0\0\7\0\0\0\0\0\0\0", 16);
	assert_string_equal((char *)bytes + 144, "1.0-a_version_that_is_longer_th");
	assert_true(EVP_Digest(bytes, 960, sum, NULL, EVP_sha256(), NULL));
	assert_memory_equal(bytes + 960, sum, 32);
	assert_true(ul_all_zero(bytes + 992, 32));
}

/* With the sum made right again, so that it is not the sum that refuses it. */
static bool parses(const uint8_t *bytes)
{
	struct ul_trial_record r;
	uint8_t copy[UL_TRIAL_RECORD_SIZE];

	memcpy(copy, bytes, sizeof(copy));
	assert_true(EVP_Digest(copy, 960, copy + 960, NULL, EVP_sha256(), NULL));
	return ul_trial_parse(copy, &r);
}

static void each_field_wrong(void **state)
{
	static const struct {
		size_t at;
		const char *bytes;
		size_t len;
	} rows[] = {
		{0, "ul", 2},               /* magic */
		{8, "\2", 1},               /* format */
		{12, "\11", 1},             /* more entries than there is room for */
		{12, "\2", 1},              /* fewer than there are: padding that is not zero */
		{12, "\4", 1},              /* more than there are */
		{23, "\x41", 1},            /* sequence */
		{24, "\3", 1},              /* request */
		{27, "\1", 1},              /* request */
		{28, "\1", 1},              /* padding */
		{63, "\1", 1},              /* padding */
		{64 + 40, "\1", 1},         /* behind the root hash */
		{64 + 64, "\0", 1},         /* its length */
		{64 + 64, "\x41", 1},       /* its length */
		{64 + 64, "\x21", 1},       /* its length */
		{64 + 65, "\0", 1},         /* state */
		{64 + 65, "\4", 1},         /* state */
		{64 + 66, "\1", 1},         /* tries of a good one */
		{64 + 112 + 66, "\x10", 1}, /* more tries than anybody gives */
		{64 + 67, "\4", 1},         /* reason */
		{64 + 70, "\1", 1},         /* padding */
		{64 + 71, "\1", 1},         /* padding */
		{64 + 72, "\x2b", 1},       /* changed after the record */
		{64 + 80 + 1, "\x1b", 1},   /* version: a control character */
		{64 + 80 + 1, "\x80", 1},   /* not ASCII */
		{64 + 80 + 5, "x", 1},      /* behind its end */
		{64 + 112, "\1\1\1\1", 4},  /* (half of another's hash: see below) */
		{64 + 3 * 112, "\1", 1},    /* an entry that is not counted */
		{992, "\1", 1},             /* padding */
		{UL_TRIAL_RECORD_SIZE - 1, "\1", 1},
	};
	struct ul_trial_record r = sample();
	uint8_t good[UL_TRIAL_RECORD_SIZE], bad[UL_TRIAL_RECORD_SIZE];

	(void)state;
	assert_int_equal(ul_trial_format(&r, good), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool harmless = rows[i].at == 64 + 112;

		memcpy(bad, good, sizeof(bad));
		memcpy(bad + rows[i].at, rows[i].bytes, rows[i].len);
		assert_memory_not_equal(bad, good, sizeof(bad));
		if (parses(bad) != harmless)
			fail_msg("row %zu, byte %zu", i, rows[i].at);
	}
}

static void wrong_as_a_whole(void **state)
{
	struct ul_trial_record r = sample(), back;
	uint8_t good[UL_TRIAL_RECORD_SIZE], bad[UL_TRIAL_RECORD_SIZE];

	(void)state;
	assert_int_equal(ul_trial_format(&r, good), 0);
	/* Two entries of one root hash. */
	memcpy(bad, good, sizeof(bad));
	memcpy(bad + 64 + 112, good + 64, 64);
	assert_false(parses(bad));
	/* A version without an end. */
	memcpy(bad, good, sizeof(bad));
	memset(bad + 64 + 80, 'x', 32);
	assert_false(parses(bad));
	/* Each single bit that flips is found by the sum, or by its own check. */
	for (size_t bit = 0; bit < 8 * sizeof(good); bit++) {
		memcpy(bad, good, sizeof(bad));
		bad[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (ul_trial_parse(bad, &back))
			fail_msg("bit %zu", bit);
	}
}

/* ---- an entry's life ---- */

static void tries_count_down_and_end(void **state)
{
	struct ul_trial_record r = {.sequence = 0};
	struct ul_trial_image a = image(1, "1.0");
	const struct ul_trial *t;

	(void)state;
	assert_int_equal(ul_trial_standing(&r, &a), UL_STANDING_LIVE);
	assert_int_equal(ul_trial_standing(NULL, &a), UL_STANDING_LIVE);
	assert_int_equal(ul_trial_standing(&r, NULL), UL_STANDING_LIVE);
	for (unsigned int left = 3; left-- > 0;) {
		assert_int_equal(ul_trial_standing(&r, &a), UL_STANDING_LIVE);
		ul_trial_begin(&r, &a, 3);
		t = ul_trial_find(&r, &a);
		assert_non_null(t);
		assert_int_equal(t->tries_left, left);
		assert_int_equal(t->state, UL_TRIAL_TRYING);
		assert_int_equal(t->reason, UL_TRIAL_UNKNOWN);
		assert_int_equal(ul_trial_settle(&r), left == 0);
		ul_trial_explain(&r, &a, UL_TRIAL_WATCHDOG, 0);
		assert_int_equal(t->reason, left == 0 ? UL_TRIAL_UNKNOWN : UL_TRIAL_WATCHDOG);
	}
	assert_int_equal(ul_trial_standing(&r, &a), UL_STANDING_SPENT);
	assert_int_equal(ul_trial_find(&r, &a)->state, UL_TRIAL_BAD);
	/* A start as the last resort changes nothing. */
	ul_trial_begin(&r, &a, 3);
	assert_int_equal(ul_trial_find(&r, &a)->state, UL_TRIAL_BAD);
	/* Until it says of itself that it is good, or somebody forgets what was. */
	ul_trial_set_good(&r, &a);
	assert_int_equal(ul_trial_standing(&r, &a), UL_STANDING_GOOD);
	assert_true(ul_trial_forget(&r, &a));
	assert_false(ul_trial_forget(&r, &a));
	assert_int_equal(r.n, 0);
	assert_int_equal(ul_trial_standing(&r, &a), UL_STANDING_LIVE);
}

static void a_try_is_given_back(void **state)
{
	struct ul_trial_record r = {.sequence = 0};
	struct ul_trial_image a = image(1, "1.0"), b = image(2, "1.1");

	(void)state;
	ul_trial_return(&r, &a);
	assert_int_equal(r.n, 0);
	for (int i = 0; i < 100; i++) {
		ul_trial_begin(&r, &a, 1);
		assert_int_equal(ul_trial_standing(&r, &a), UL_STANDING_SPENT);
		ul_trial_return(&r, &a);
		assert_int_equal(ul_trial_standing(&r, &a), UL_STANDING_LIVE);
	}
	assert_int_equal(ul_trial_find(&r, &a)->tries_left, 1);
	ul_trial_set_good(&r, &a);
	ul_trial_return(&r, &a);
	ul_trial_explain(&r, &a, UL_TRIAL_WATCHDOG, 0);
	assert_int_equal(ul_trial_find(&r, &a)->tries_left, 0);
	assert_int_equal(ul_trial_find(&r, &a)->reason, UL_TRIAL_UNKNOWN);
	ul_trial_begin(&r, &b, 1000);
	assert_int_equal(ul_trial_find(&r, &b)->tries_left, UL_TRIAL_TRIES_MAX - 1);
	ul_trial_return(&r, &b);
	ul_trial_return(&r, &b);
	assert_int_equal(ul_trial_find(&r, &b)->tries_left, UL_TRIAL_TRIES_MAX);
}

static void a_full_record_loses_what_is_least_needed(void **state)
{
	struct ul_trial_record r = {.sequence = 0};

	(void)state;
	for (uint8_t i = 0; i < UL_TRIALS_MAX; i++, r.sequence++) {
		struct ul_trial_image x = image(i, "");

		if (i == 3 || i == 5)
			ul_trial_set_bad(&r, &x, UL_TRIAL_ROLLED_BACK);
		else
			ul_trial_set_good(&r, &x);
	}
	/* The bad ones first, the older of them first; then the good one that was longest without a change. */
	static const uint8_t goes[] = {3, 5, 0, 1};

	for (uint8_t i = 0; i < sizeof(goes); i++, r.sequence++) {
		struct ul_trial_image x = image(goes[i], ""), y = image((uint8_t)(100 + i), "");

		assert_non_null(ul_trial_find(&r, &x));
		ul_trial_begin(&r, &y, 3);
		assert_null(ul_trial_find(&r, &x));
		assert_non_null(ul_trial_find(&r, &y));
		assert_int_equal(r.n, UL_TRIALS_MAX);
	}
}

/* ---- the order ---- */

/* L: live, G: good, S: spent; newest first. */
static void the_order(void **state)
{
	static const struct {
		const char *standing;
		size_t first, then;
	} rows[] = {
		{"L", 0, 0},   {"S", 0, 0},  {"LG", 0, 1},   {"GL", 0, 0},   {"SLG", 1, 2},  {"SGL", 1, 1},
		{"SSL", 2, 2}, {"SS", 0, 0}, {"LLGG", 0, 2}, {"LSSL", 0, 0}, {"SLSS", 1, 1}, {"GGL", 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum ul_standing standing[4];
		size_t n = strlen(rows[i].standing);

		for (size_t k = 0; k < n; k++)
			standing[k] = rows[i].standing[k] == 'L'   ? UL_STANDING_LIVE
				      : rows[i].standing[k] == 'G' ? UL_STANDING_GOOD
								   : UL_STANDING_SPENT;
		assert_int_equal(ul_trial_choose(standing, n, true), rows[i].first);
		assert_int_equal(ul_trial_choose(standing, n, false), rows[i].then);
	}
}

/* ---- devices' lives ---- */

#define SLOTS 2
#define TRIES 3

enum nature { COMES_UP, CRASHES, SOMETIMES };

struct device {
	struct ul_trial_record record;
	struct {
		uint8_t number; /* which image; also its version: larger is newer */
		enum nature nature;
		unsigned int started; /* as a trial: since it was written */
	} slot[SLOTS];
	uint8_t next;
};

/* One boot, the power perhaps cut before the record is written or right after. Returns the slot that came up, or -1. */
static int boot(struct device *d)
{
	struct ul_trial_record before = d->record;
	struct ul_trial_image images[SLOTS];
	enum ul_standing standing[SLOTS];
	size_t order[SLOTS] = {0, 1}, chosen;
	bool good_somewhere = false, up;

	if (d->slot[0].number < d->slot[1].number)
		order[0] = 1, order[1] = 0;
	ul_trial_settle(&d->record);
	for (size_t i = 0; i < SLOTS; i++) {
		images[i] = image(d->slot[order[i]].number, "");
		standing[i] = ul_trial_standing(&d->record, &images[i]);
		good_somewhere |= standing[i] == UL_STANDING_GOOD;
	}
	chosen = ul_trial_choose(standing, SLOTS, true);
	if (good_somewhere)
		assert_int_not_equal(standing[chosen], UL_STANDING_SPENT);
	ul_trial_begin(&d->record, &images[chosen], TRIES);
	d->record.sequence++;
	if (rand() % 8 == 0) {
		d->record = before; /* cut before it is durable: nothing was started */
		return -1;
	}
	if (rand() % 8 == 0)
		return -1; /* cut right after it */
	if (standing[chosen] == UL_STANDING_LIVE)
		assert_true(++d->slot[order[chosen]].started <= TRIES);
	up = d->slot[order[chosen]].nature == COMES_UP ||
	     (d->slot[order[chosen]].nature == SOMETIMES && rand() % 2 == 0);
	if (!up)
		return -1;
	if (standing[chosen] != UL_STANDING_GOOD) {
		ul_trial_set_good(&d->record, &images[chosen]);
		d->record.sequence++;
	}
	return (int)order[chosen];
}

static void devices_lives(void **state)
{
	(void)state;
	for (unsigned int seed = 0; seed < 300; seed++) {
		struct device d = {.next = 3, .slot = {{1, COMES_UP, 0}, {0, CRASHES, 0}}};
		unsigned int without = 0;

		srand(seed);
		for (int i = 0; i < 120; i++) {
			uint8_t bytes[UL_TRIAL_RECORD_SIZE];
			int up = boot(&d);

			/* It goes by the disk each time. */
			assert_int_equal(ul_trial_format(&d.record, bytes), 0);
			assert_true(ul_trial_parse(bytes, &d.record));
			without = up < 0 ? without + 1 : 0;
			/* Cuts apart (one boot in four), no bad image keeps a device down for more than its tries. */
			assert_true(without < 40);
			if (up >= 0 && rand() % 4 == 0 && d.next < 250) {
				size_t other = 1 - (size_t)up;

				d.slot[other].number = d.next++;
				d.slot[other].nature = (enum nature)(rand() % 3);
				d.slot[other].started = 0;
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_is_read_as_written),
		cmocka_unit_test(the_bytes_are_those_of_the_format),
		cmocka_unit_test(each_field_wrong),
		cmocka_unit_test(wrong_as_a_whole),
		cmocka_unit_test(tries_count_down_and_end),
		cmocka_unit_test(a_try_is_given_back),
		cmocka_unit_test(a_full_record_loses_what_is_least_needed),
		cmocka_unit_test(the_order),
		cmocka_unit_test(devices_lives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
